"""Slices of large fan-outs: how much comes at once, whose turn it is, and when an event ends."""

import json

import pytest
from attrs import asdict

from callboard.webhooks.deliveries.delivery import FanOut
from callboard.webhooks.deliveries.shaping import Shaping
from callboard.webhooks.deliveries.slicing import FanOuts, made_or_refused
from callboard.webhooks.events.event import Event
from callboard.webhooks.modules.protocol import Firing
from support.hooks import hooks_with

hook = hooks_with(event="object", uri="https://x.example/", format="json")
BARE = 736
"""The size of a delivery to this URI without its payload: 700, and the URI twice."""


def fan(*hooks, size=BARE + 2, payload=None):
    """A fan-out whose deliveries have this size each, or this payload."""
    raw = ("text/plain", bytes(size - BARE)) if payload is None else None
    return FanOut(Event({}), "object", Firing("a", "object", payload or {}, raw=raw), hooks, None)


def of(account, count):
    """So many hooks of an account."""
    return [hook(f"{account}{number}", account) for number in range(count)]


class Slicing:
    """Fan-outs whose slices the test takes; an event's waiter is its name."""

    def __init__(self):
        self.fan_outs = FanOuts(self.finishing, lambda _key, make: make())
        self.finished = []

    def finishing(self, owner):
        def finish(delivery):
            self.finished.append((owner, delivery.hook_id))
            return delivery

        return finish

    def begin(self, name, *hooks, **options):
        self.fan_outs.begin(("x", "", name, b""), fan(*hooks, **options), 1.5, name)

    def next(self, late=False):
        return self.fan_outs.next(lambda: late)

    def all(self):
        """The slices that can be made now."""
        found = []
        while made := self.next():
            found.append(made)
        return found

    def ended(self):
        return [event.key[2] for event in self.fan_outs.ended()]


@pytest.fixture
def slicing():
    return Slicing()


def lengths(slices):
    return [len(made) for made in slices]


@pytest.mark.parametrize(
    ("hooks", "slices"),
    [(1, [1]), (199, [199]), (200, [200]), (201, [200, 1]), (401, [200, 200, 1])],
)
def test_a_slice_has_at_most_200_deliveries(slicing, hooks, slices):
    slicing.begin("e", *of("a", hooks))
    made = slicing.all()
    assert lengths(made) == slices
    ids = [one.delivery.hook_id for slice in made for one in slice]
    assert ids == [f"a{number}" for number in range(hooks)]
    assert slicing.finished == [("a", id) for id in ids]
    assert {(one.event.number, one.event.taken_at) for slice in made for one in slice} == {(1, 1.5)}
    assert not slicing.fan_outs.wait
    assert slicing.next() == []


@pytest.mark.parametrize(("size", "slices"), [(250_000, [4, 1]), (250_001, [4, 1]), (249_999, [5])])
def test_a_slice_ends_with_the_delivery_that_reaches_a_megabyte(slicing, size, slices):
    for number in range(5):
        slicing.begin(f"e{number}", hook(), size=size)
    assert lengths(slicing.all()) == slices


def test_a_payload_counts_once_in_a_slice(slicing):
    slicing.begin("e", *of("a", 201), size=1736)
    first, second = slicing.all()
    assert [one.size for one in first] == [1736] + [736] * 199
    assert [one.size for one in second] == [1736]
    assert slicing.fan_outs.bytes == 2 * 1736 + 199 * 736
    assert slicing.fan_outs.unsettled == 201


def test_a_slice_ends_where_time_is_up(slicing):
    slicing.begin("e", *of("a", 3))
    assert len(slicing.next(late=True)) == 1
    assert lengths(slicing.all()) == [2]


def test_accounts_take_turns(slicing):
    slicing.begin("e", *of("a", 500), *of("b", 1))
    slicing.begin("f", *of("c", 300))
    owners = [(made[0].delivery.account_id, len(made)) for made in slicing.all()]
    assert owners == [("a", 200), ("b", 1), ("c", 200), ("a", 200), ("c", 100), ("a", 100)]


@pytest.mark.parametrize(
    ("events", "hooks", "size", "unsettled"),
    [
        (1, 2300, 738, 2000),
        (11, 1, 999_999, 10),
        (11, 1, 1_000_000, 8),
    ],
)
def test_an_account_has_at_most_2000_unsettled_deliveries_or_8_megabytes(
    slicing, events, hooks, size, unsettled
):
    for number in range(events):
        slicing.begin(f"e{number}", *of("a", hooks), size=size)
    made = slicing.all()
    assert sum(lengths(made)) == slicing.fan_outs.unsettled == unsettled
    assert slicing.fan_outs.wait
    slicing.begin("other", *of("b", 1))
    assert lengths(slicing.all()) == [1]  # another account has a window of its own
    slicing.fan_outs.settled(made[0])
    assert len(slicing.all()) == 1


def test_from_20000_in_all_on_each_account_gets_one_slice(slicing):
    slicing.begin("e", *(one for n in range(10) for one in of(f"a{n}", 2000 - (n == 0))))
    first = slicing.all()
    assert slicing.fan_outs.unsettled == 19_999
    slicing.begin("f", *of("a0", 1))
    assert lengths(slicing.all()) == [1]
    slicing.begin("new", *of("new", 300))
    assert lengths(slicing.all()) == [200]
    slicing.fan_outs.settled(first[0] + first[1])
    assert lengths(slicing.all()) == [100]


def test_exactly_20000_are_the_most_in_all(slicing):
    slicing.begin("e", *(one for n in range(10) for one in of(f"a{n}", 2000 - 2 * (n == 0))))
    assert sum(lengths(slicing.all())) == 19_998
    for number, slices in enumerate(([1], [1], [])):
        slicing.begin(f"new {number}", *of("new", 1))
        assert lengths(slicing.all()) == slices


def test_exactly_64_megabytes_are_the_most_in_all(slicing):
    for number in range(63):
        slicing.begin(f"e{number}", *of(f"a{number // 8}", 1), size=1_000_000)
    assert sum(lengths(slicing.all())) == 63
    for number in range(2):  # the first completes them
        slicing.begin(f"new {number}", *of("new", 1), size=1_000_000)
    assert lengths(slicing.all()) == [1]


@pytest.mark.parametrize(("size", "slices"), [(1_000_000, [1]), (900_000, [2, 2, 2])])
def test_from_64_megabytes_in_all_on_each_account_gets_one_slice(slicing, size, slices):
    for number in range(64):
        slicing.begin(f"e{number}", *of(f"a{number // 8}", 1), size=size)
    assert sum(lengths(slicing.all())) == 64
    for number in range(6):
        slicing.begin(f"new {number}", *of("new", 1), size=size)
    assert lengths(slicing.all()) == slices


def test_an_event_ends_when_all_its_deliveries_are_settled(slicing):
    slicing.begin("e", *of("a", 2), *of("b", 1))
    slicing.begin("f", *of("a", 1))
    slicing.begin("e", *of("a", 2))  # redelivered: it is still in progress
    fan_outs = slicing.fan_outs
    assert (len(fan_outs), list(fan_outs.waiters)) == (2, ["e", "e", "f"])
    (first, second, third), (fourth,) = slicing.all()
    assert [first.event.number, second.event.number, third.event.number] == [1, 1, 2]
    assert slicing.ended() == []
    fan_outs.settled([first, second])
    assert slicing.ended() == []
    fan_outs.settled([third, fourth])
    assert slicing.ended() == ["f", "e"]
    assert slicing.ended() == []
    assert (len(fan_outs), fan_outs.unsettled, fan_outs.bytes) == (0, 0, 0)
    held = asdict(fan_outs, recurse=False).values()
    assert [each for each in held if isinstance(each, dict | list) and each] == []
    slicing.begin("e", *of("a", 1))
    ((again,),) = slicing.all()
    assert again.event.number == 3


def test_hooks_with_deliveries_to_be_made_delay_those_of_later_events(slicing):
    fan_outs = slicing.fan_outs
    later = fan(hook("h", "a"), hook("h", "z"))
    assert not fan_outs.delays(later)
    slicing.begin("e", *of("a", 1))
    assert fan_outs.wait
    assert fan_outs.delays(later)
    assert not fan_outs.delays(fan(hook("h", "b")))
    slicing.all()
    assert not fan_outs.wait
    assert not fan_outs.delays(later)


def test_the_bytes_of_payloads_are_known_as_they_are_encoded():
    one = fan(hook(), payload={"a": 1})
    assert one.encoded_bytes == 0
    for _hook in range(2):  # the second one shares the payload of the first
        body = one.make(hook()).body
        assert one.encoded_bytes == len(body) == 12
    assert fan(hook(), size=BARE + 7).encoded_bytes == 7


def test_the_work_of_transforms_counts_as_eight_bytes_a_unit():
    event, firing = Event({}), Firing("a", "object", {"a": 1})
    shaping = Shaping(event, "object", "a", firing.payload)
    one = FanOut(event, "object", firing, [hook()], None, shaping=shaping)
    shaping.work = 125
    assert one.encoded_bytes == 1000


def test_what_fails_to_be_finished_changes_nothing(slicing):
    def refuse(_owner):
        raise LookupError

    fan_outs = FanOuts(refuse, lambda _key, make: make())
    fan_outs.begin(("x", "", "e", b""), fan(*of("a", 1)), 1.5, "e")
    with pytest.raises(LookupError):
        fan_outs.next(lambda: False)
    assert (fan_outs.wait, fan_outs.unsettled, len(fan_outs)) == (True, 0, 1)


LARGEST = 32 * 2**20


@pytest.mark.parametrize("more", [0, 1])
def test_a_delivery_of_more_than_32_mib_is_refused_without_its_payload(slicing, more):
    slicing.begin("e", hook(), size=LARGEST + more)
    ((made,),) = slicing.all()
    body = LARGEST + more - BARE
    assert len(made.delivery.body) == (0 if more else body)
    assert (made.refused, made.size) == ((body, BARE) if more else (None, LARGEST))


def test_a_payload_that_cannot_be_encoded_is_refused_and_takes_no_bytes(slicing):
    slicing.begin("e", hook(), payload={"a": object()})
    ((made,),) = slicing.all()
    assert (made.delivery.body, made.refused, made.size) == (b"", 0, 0)
    slicing.fan_outs.settled([made])
    assert slicing.ended() == ["e"]


def test_the_making_is_guarded_for_its_event():
    guarded = []

    def guard(key, make):
        guarded.append(key)
        return make()

    fan_outs = FanOuts(lambda _owner: lambda delivery: delivery, guard)
    key = ("x", "r", "e", b"")
    fan_outs.begin(key, fan(hook(), payload={"a": 1}), 1.5, "e")
    (made,) = fan_outs.next(lambda: False)
    assert json.loads(made.delivery.body)["a"] == 1
    assert guarded == [key]


def test_a_single_delivery_is_made_or_refused():
    for payload, refused in (({"a": 1}, None), ({"a": object()}, 0)):
        one = fan(hook(), payload=payload)
        delivery, why = made_or_refused(one, hook(), lambda one=one: one.make(hook()))
        assert (bool(delivery.body), why) == (refused is None, refused)
