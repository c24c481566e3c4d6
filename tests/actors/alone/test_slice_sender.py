"""Slices of large fan-outs on their way to deliverers, and what becomes of them."""

import json
import time

import pytest

from callboard.actors.events.slice_sender import SliceSender
from callboard.actors.messages import DeliveryBatch, NotHeld, Progress, Reconcile
from callboard.supervision import Peer
from callboard.webhooks.acknowledgement.receipts import Receipt
from callboard.webhooks.deliveries.delivery import FanOut
from callboard.webhooks.deliveries.slicing import FanOuts
from callboard.webhooks.events.event import Event
from callboard.webhooks.metrics import catalog
from callboard.webhooks.metrics.tally import Tally
from callboard.webhooks.modules.protocol import Firing
from support.hooks import hooks_with

hook = hooks_with(event="object", uri="https://x.example/", format="json")
SELF, BRIDGE = ("responders/object", 3), ("event_bridge", 2)
ONE, TWO = "deliveries/deliverer-1", "deliveries/deliverer-2"


def hooks(account, count):
    return tuple(hook(f"{account}{number}", account) for number in range(count))


class Sender:
    """`sent`: (address, message) since it was last read; an address is the peer's path."""

    def __init__(self, world):
        self.world, self.peers, self.ended, self._sent = world, {}, [], []
        self.fan_outs = FanOuts(lambda _owner: lambda delivery: delivery, lambda _key, make: make())
        self.tally = Tally()
        self.slices = SliceSender(
            self.fan_outs,
            made=lambda key: self.ended.append(key[2]),
            source=lambda: SELF,
            peers=lambda: self.peers,
            send=lambda address, message: self._sent.append((address, message)),
            tally=self.tally,
        )

    def up(self, **incarnations):
        """The peers are these from now on."""
        names = {"one": ONE, "two": TWO, "bridge": "event_bridge"}
        before = self.peers
        self.peers = {
            names[name]: Peer(names[name], incarnation, address=names[name], pid=1)
            for name, incarnation in incarnations.items()
        }
        self.slices.on_peers(before)

    def begin(self, name, *its_hooks, tag=7, share="1/0", source=BRIDGE, payload=None):
        firing = Firing("a", "object", {"n": name} if payload is None else payload)
        fan_out = FanOut(Event({}), "object", firing, its_hooks, None)
        self.fan_outs.begin(("x", "", name, b""), fan_out, 1.5, Receipt(source, share, tag))

    def make(self, for_s=60):
        return self.slices.make(time.monotonic() + for_s)

    @property
    def sent(self):
        sent, self._sent = self._sent, []
        return sent

    def batches(self):
        """By address: (share, hook ids) of each batch sent since the last look."""
        found = {}
        for address, batch in self.sent:
            assert isinstance(batch, DeliveryBatch)
            assert batch.source == SELF
            ids = [d.hook_id for event in batch.events for d in event.deliveries]
            found.setdefault(address, []).append((batch.share, ids))
        return found

    def settle(self, share, *tags, source=SELF):
        self.slices.progress(Progress(source, (), ((share, tags),)))


@pytest.fixture
def it(world):
    return Sender(world)


def test_a_slice_is_sent_with_its_events_and_the_refused_ones_apart(it):
    it.up(one=1)
    it.begin("e", *hooks("a", 2))
    it.begin("f", *hooks("a", 1), payload={"a": object()})
    assert not it.make()
    ((address, batch),) = it.sent
    assert (address, batch.share, batch.source) == (ONE, "1", SELF)
    (event,) = batch.events
    assert (event.tag, event.taken_at, len(event.deliveries)) == (1, 1.5, 2)
    assert json.loads(event.deliveries[0].body)["n"] == "e"
    ((tag, delivery, size),) = batch.refused
    assert (tag, delivery.hook_id, delivery.body, size) == (2, "a0", b"", 0)
    assert it.slices.made == 3
    sizes = it.tally.figures().distributions[catalog.BATCH_SIZE.name, ("deliveries",)]
    assert (sizes.count, sizes.sum) == (1, 3)


def test_without_a_deliverer_slices_wait_for_one(it):
    it.begin("e", *hooks("a", 3))
    assert not it.make()
    it.up(bridge=2)
    assert it.sent == []
    it.up(bridge=2, one=1)
    assert it.batches() == {ONE: [("1", ["a0", "a1", "a2"])]}
    it.up(bridge=2, one=1, two=1)
    assert it.sent == []


def test_it_stops_when_its_time_is_up_after_one_slice_at_least(it):
    it.up(one=1)
    it.begin("e", *hooks("a", 500))
    assert it.make(for_s=0)
    assert it.slices.made == 200
    assert not it.make()
    assert [len(ids) for _share, ids in it.batches()[ONE]] == [200, 200, 100]


def test_a_repeated_delivery_goes_to_the_same_deliverer_and_shares_have_one_name_each(it):
    it.up(one=1, two=1)
    it.begin("e", *hooks("a", 40))
    it.make()
    first = it.batches()
    assert first.keys() == {ONE, TWO}
    assert sorted(id for found in first.values() for _share, ids in found for id in ids) == sorted(
        f"a{number}" for number in range(40)
    )
    assert sorted(share for found in first.values() for share, _ids in found) == ["1", "2"]
    other = Sender(it.world)
    other.up(one=1, two=1)
    other.begin("e", *hooks("a", 40))
    other.make()
    assert other.batches() == first


def test_the_bridge_hears_of_an_event_when_all_its_deliveries_are_settled(it):
    it.up(bridge=2, one=1)
    it.begin("e", *hooks("a", 2), tag=7, share="1/0")
    it.begin("e", *hooks("a", 2), tag=8, share="2/0")  # redelivered meanwhile
    it.begin("e", *hooks("a", 2), tag=9, share="0/0", source=("event_bridge", 1))
    it.begin("f", *hooks("a", 1), tag=5, share="1/0")
    it.make()
    assert it.batches() == {ONE: [("1", ["a0", "a1", "a0"])]}
    it.settle("1", 1, source=("responders/object", 2))
    it.settle("2", 1)
    assert (it.sent, it.ended) == ([], [])
    it.settle("1", 1)
    # Not the waiter of an earlier bridge, whose events are redelivered.
    report = Progress(BRIDGE, (), (("1/0", (7,)), ("2/0", (8,))))
    assert it.sent == [("event_bridge", report)]
    assert it.ended == ["e"]
    it.settle("1", 1, 2)
    assert it.sent == [("event_bridge", Progress(BRIDGE, (), (("1/0", (5,)),)))]
    assert it.slices.unknown(["1/0"]) == ("1/0",)


def test_shares_of_which_no_event_is_in_progress_are_unknown(it):
    it.begin("e", *hooks("a", 1), share="1/0")
    assert it.slices.unknown(["1/0", "1/1"]) == ("1/1",)


@pytest.mark.parametrize("now", [{"two": 1}, {"one": 2, "two": 1}])
def test_what_a_dead_deliverer_had_is_sent_again_and_settled_once(it, now):
    it.up(one=1)
    it.begin("e", *hooks("a", 40))
    it.begin("f", *hooks("b", 1))
    it.make()
    assert [share for share, _ids in it.batches()[ONE]] == ["1", "2"]
    it.settle("2", 2)
    assert it.ended == ["f"]
    it.up(**now)
    again = it.batches()
    assert sorted(id for found in again.values() for _share, ids in found for id in ids) == sorted(
        f"a{number}" for number in range(40)
    )
    it.settle("1", 1)  # of the dead one
    assert it.ended == ["f"]
    for found in again.values():
        for share, _ids in found:
            it.settle(share, 1)
    assert it.ended == ["f", "e"]


def test_a_slice_that_never_arrived_is_sent_again_as_it_was(it):
    it.up(one=1)
    it.begin("e", *hooks("a", 2))
    it.make()
    first = it.sent
    it.slices.not_held(NotHeld(("responders/object", 2), ("1",)), ONE)
    it.slices.not_held(NotHeld(SELF, ("9",)), ONE)
    assert it.sent == []
    it.slices.not_held(NotHeld(SELF, ("1",)), ONE)
    assert it.sent == first
    it.settle("1", 1)
    it.slices.not_held(NotHeld(SELF, ("1",)), ONE)
    assert it.sent == []


def test_a_deliverer_is_asked_after_slices_that_are_unsettled_for_long(it):
    it.up(one=1)
    it.begin("e", *hooks("a", 1))
    it.begin("f", *hooks("b", 1))
    it.make()
    _ = it.sent
    it.world.pass_time(60)
    it.slices.reconcile()
    assert it.sent == []
    it.world.pass_time(0.1)
    it.slices.reconcile()
    assert it.sent == [(ONE, Reconcile(SELF, ("1", "2")))]
    it.slices.reconcile()
    assert it.sent == []
    it.peers = {}
    it.world.pass_time(100)
    it.slices.reconcile()
    assert it.sent == []
