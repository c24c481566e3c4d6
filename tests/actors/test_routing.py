"""Which deliveries of a batch go to the deliverers at once, and which in slices."""

import pytest

from callboard.actors.events.routing import Routing
from callboard.actors.messages import EventBatch, RawEvent
from callboard.webhooks.deliveries.delivery import FanOut
from callboard.webhooks.events.event import Event
from callboard.webhooks.modules.protocol import Firing
from support.hooks import hooks_with

hook = hooks_with(event="object", uri="https://x.example/", format="json")
RAW = RawEvent(1, "e", "k", b"{}", None, None)


def fan_out(count, account="a", payload=None):
    hooks = tuple(hook(f"{account}{number}", account) for number in range(count))
    payload = {"n": 1} if payload is None else payload
    return FanOut(Event({}), "object", Firing("a", "object", payload), hooks, None)


def routing(**room):
    return Routing(EventBatch(1, 1, (RAW,), 0), **room)


def ids(made):
    return None if made is None else [delivery.hook_id for delivery in made]


def small(routing, matched):
    return ids(routing.small(matched, lambda delivery: delivery))


@pytest.mark.parametrize(("count", "at_once"), [(1, True), (64, True), (65, False)])
def test_an_event_with_more_than_64_deliveries_is_sliced(count, at_once):
    made = small(routing(), fan_out(count))
    assert made == ([f"a{number}" for number in range(count)] if at_once else None)


def test_a_batch_has_room_for_a_thousand_deliveries():
    batch = routing()
    for _event in range(15):
        assert len(small(batch, fan_out(64))) == 64
    assert small(batch, fan_out(41)) is None
    assert len(small(batch, fan_out(40))) == 40
    assert small(batch, fan_out(1)) is None


def test_a_batch_has_room_for_so_many_bytes():
    """The payload, which deliveries share, counts once."""
    one, two = fan_out(1), fan_out(2)
    (delivery,) = routing().small(one, lambda delivery: delivery)
    bare, payload = delivery.bare_size, one.encoded_bytes
    assert payload == len(delivery.body) > 0
    assert small(routing(room_bytes=bare + payload), fan_out(1)) == ["a0"]
    assert small(routing(room_bytes=bare + payload - 1), fan_out(1)) is None
    batch = routing(room_bytes=3 * bare + 2 * payload)
    assert small(batch, two) == ["a0", "a1"]
    assert small(batch, fan_out(2)) is None
    assert small(batch, fan_out(1)) == ["a0"]
    assert (batch.room, batch.room_bytes) == (997, 0)


def test_no_event_overtakes_the_slices_of_its_account():
    batch = routing()
    batch.slice(RAW, fan_out(65))
    assert small(batch, fan_out(1)) is None
    assert small(batch, fan_out(1, "b")) == ["b0"]


def test_an_event_that_cannot_be_encoded_is_left_to_the_slices_and_takes_no_room():
    batch = routing()
    assert small(batch, fan_out(1, payload={"a": object()})) is None
    assert (batch.room, batch.room_bytes) == (1000, 4_000_000)
