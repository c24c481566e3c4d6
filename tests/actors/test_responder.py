"""What a responder sends to the deliverers and the bridge, without processes."""

import itertools
import json
import os
import pickle
import time
from collections import Counter

import pytest
from attrs import evolve

from callboard.actors.base.role import Setup
from callboard.actors.events.responder import Responder
from callboard.actors.messages import (
    DeliveryBatch,
    EventBatch,
    HookPage,
    NotHeld,
    Progress,
    RawEvent,
    Reconcile,
    Routed,
)
from callboard.actors.messages.paths import (
    DELIVERIES,
    EVENT_BRIDGE,
    HOOK_TABLE,
    RETRY_QUEUE,
    responder_path,
)
from callboard.adapters.local.sealed_transport import Limits
from callboard.config.settings import (
    CouchdbSettings,
    DataSettings,
    ModuleSettings,
    Settings,
    TracingSettings,
)
from callboard.supervision import Peer
from callboard.webhooks.acknowledgement.event_ledger import BatchLimits, EventLedger
from callboard.webhooks.acknowledgement.receipts import Receipt, Receipts
from callboard.webhooks.deliveries import slicing
from callboard.webhooks.deliveries.encoding import JSON_TYPE, content
from callboard.webhooks.hooks.options import Options
from support.collector import Collector
from support.hooks import hooks_with

LARGE = os.environ.get("CALLBOARD_TEST_LARGE") == "1"
"""Whether to test the sizes at which systems have failed, some of which take a minute."""
MODULE = "order_paid"
PATH = responder_path(MODULE)
hook = hooks_with(event=MODULE, uri="https://e.example/in", format="json")


class Here(Responder):
    """A responder whose messages stay here, in order; `clock` is when timers are due."""

    def __init__(self, settings):
        super().__init__()
        self.own_process = False
        self.settings, self.path, self.incarnation = settings, PATH, 3
        self.sent, self.due, self.repeated = [], [], []
        self.begin(Setup(settings, MODULE))

    def send(self, address, message):
        self.sent.append((address, message))

    def after(self, _seconds, call):
        self.due.append(call)

    def every(self, _seconds, call):
        self.repeated.append(call)


class World:
    """A responder between a bridge and deliverers that settle what they get when told to."""

    def __init__(self, settings, deliverers=2):
        self.ledger = EventLedger(BatchLimits(10**9, 10**9, 10**9))
        self.responder = Here(settings)
        self.delivered, self.refused, self.largest = Counter(), [], 0
        self.received = {}
        self.most_unsettled = 0
        self.batches = self.tags = 0
        self.set_deliverers(*(f"{DELIVERIES}/deliverer-{n + 1}" for n in range(deliverers)))

    def set_deliverers(self, *paths, incarnation=1):
        before = self.responder.peers
        bridge = Peer(EVENT_BRIDGE, 1, EVENT_BRIDGE, 0)
        paths = (*paths, RETRY_QUEUE)
        peers = [bridge, *(Peer(path, incarnation, path, 0) for path in paths)]
        self.responder.peers = {peer.path: peer for peer in peers}
        self.paths = paths
        for path in set(self.received) | set(paths):
            if path not in paths or incarnation != 1:
                self.received.pop(path, None)
            self.received.setdefault(path, (Receipts(), []))
        self.responder.on_peers(before)

    def hooks(self, *hooks):
        before = self.responder.peers
        self.responder.peers = before | {HOOK_TABLE: Peer(HOOK_TABLE, 1, "table", 0)}
        self.responder.on_peers(before)
        address, subscribe = self.responder.sent.pop()
        assert address == "table"
        page = HookPage(subscribe.stream, 0, hooks, last=True)
        self.responder.receiveMsg_HookPage(page, "table")

    def publish(self, *bodies):
        """Events in one batch, as the bridge sends them."""
        events = []
        for body in bodies:
            self.tags += 1
            body = json.dumps(body | {"n": self.tags}).encode()
            event = RawEvent(self.tags, "shop", "order", body, "application/json", None)
            self.ledger.take(event, {MODULE})
            events.append(event)
        self.batches, sent = self.ledger.next(MODULE, 0.0)
        assert sent == events
        self.responder.receiveMsg_EventBatch(EventBatch(self.batches, 1, tuple(events)), "bridge")

    def take(self):
        """Pass on what the responder has sent; returns the batches that deliverers got."""
        batches = []
        sent, self.responder.sent = self.responder.sent, []
        for address, message in sent:
            self.largest = max(self.largest, len(pickle.dumps(message)))
            match message:
                case Routed():
                    self.ledger.routed(message.batch, message.shares, message.deliverers, 0.0)
                case Progress(_source, _accepted, settled):
                    for share, tags in settled:
                        self.ledger.settled(share, tags)
                case DeliveryBatch():
                    batches.append((address, message))
        self.most_unsettled = max(self.most_unsettled, self.responder.stats()["unsettled"])
        return batches

    def settle(self, path, batch):
        """A deliverer receives a batch and settles it."""
        receipts, reports = self.received[path]
        counts = Counter({event.tag: len(event.deliveries) for event in batch.events})
        counts.update(tag for tag, _delivery, _size in batch.refused)
        if not receipts.take(batch.source, batch.share, counts):
            return
        for event in batch.events:
            for delivery in event.deliveries:
                self.delivered[delivery.id] += 1
                reports.append(delivery)
                receipts.settle(Receipt(batch.source, batch.share, event.tag))
        for tag, delivery, size in batch.refused:
            self.refused.append((delivery.hook_id, size))
            receipts.settle(Receipt(batch.source, batch.share, tag))
        for source in receipts.paths():
            report = receipts.report(source)
            progress = Progress(report.source, report.accepted, report.settled)
            if source == EVENT_BRIDGE:
                for share, tags in progress.settled:
                    self.ledger.settled(share, tags)
            else:
                self.responder.receiveMsg_Progress(progress, path)

    def turn(self):
        """Deliver all messages and call all timers; False if there were none."""
        batches = self.take()
        due, self.responder.due = self.responder.due, []
        for path, batch in batches:
            if path in self.paths:
                self.settle(path, batch)
        for call in due:
            call()
        return bool(batches or due)

    def pass_time(self):
        """Call all timers."""
        due, self.responder.due = self.responder.due, []
        for call in due:
            call()

    def reconcile(self):
        """Call what is to be called repeatedly."""
        for call in self.responder.repeated:
            call()

    def run(self):
        while self.turn():
            pass

    def made(self, path=None):
        paths = self.paths if path is None else (path,)
        return [one for path in paths for one in self.received[path][1]]


@pytest.fixture
def settings(tmp_path):
    return Settings(
        data=DataSettings(dir=tmp_path),
        couchdb=CouchdbSettings(url="sqlite://"),
        modules=(
            ModuleSettings(id=MODULE, exchange="shop", bindings=("order",), account="account"),
        ),
    )


@pytest.fixture
def world(settings):
    world = World(settings)
    yield world
    world.responder.closing.close()


def order(account="a", size=0):
    return {"account": account, "text": "x" * size}


def test_a_small_batch_goes_whole_to_one_deliverer_and_is_the_bridge_s(world):
    world.hooks(*(hook(f"h{n}", "a") for n in range(3)))
    world.publish(order(), order())
    for call in world.responder.due:  # On a busy machine it handles messages in between.
        call()
    (path, batch), (_bridge, routed) = world.responder.sent[-2:]
    assert [len(event.deliveries) for event in batch.events] == [3, 3]
    assert batch.source == (EVENT_BRIDGE, 1)
    assert routed.deliverers == {batch.share: (path, 1)}


SHAPES = {
    "170 hooks with data of their own, 20 events of 48 kB": (170, 20, 48_000, True, "post"),
    "80 hooks with data of their own, one event of 0.95 MB": (80, 1, 950_000, True, "post"),
    "300 gets of 1 MB": (300, 1, 1_000_000, False, "get"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_no_batch_is_too_large_to_be_sent(settings, shape):
    """Each of these made one DeliveryBatch above 64 MiB: nothing was ever delivered."""
    hooks, events, size, own, verb = SHAPES[shape]
    if not LARGE:
        hooks, size = hooks // 5, size // 2
    world = World(settings, deliverers=1)
    data = [{"custom_data": {"n": f"{n}"}} if own else {} for n in range(hooks)]
    world.hooks(*(hook(f"h{n}", "a", verb=verb, **data[n]) for n in range(hooks)))
    world.publish(*(order(size=size) for _ in range(events)))
    world.run()
    assert len(world.delivered) == hooks * events
    assert set(world.delivered.values()) == {1}
    assert world.ledger.open == 0
    assert world.largest < max(4_000_000, 3 * size) + 500_000 < Limits().max_frame_bytes
    world.responder.closing.close()


@pytest.mark.parametrize("what", ["uri", "headers", "raw"])
def test_urls_headers_and_raw_messages_take_room_too(settings, what):
    """Only encoded payloads did: 1,000 hooks with URLs of 100 kB were a message above 64 MiB."""
    (module,) = settings.modules
    settings = evolve(settings, modules=(evolve(module, raw=what == "raw"),))
    world, long = World(settings, deliverers=1), "x" * (100 if what == "raw" else 60_000)
    fields = {
        "uri": lambda n: {"uri": f"https://e.example/{n}/{long}"},
        "headers": lambda n: {"options": Options(headers=(("x-long", f"{n}{long}"),))},
        "raw": lambda _n: {},
    }[what]
    accounts = [f"a{n}" for n in range(16)]
    world.hooks(*(hook(f"{a}-{n}", a, **fields(f"{a}{n}")) for a in accounts for n in range(20)))
    world.publish(*(order(a, size=1_000_000 if what == "raw" else 0) for a in accounts))
    world.run()
    assert set(world.delivered.values()) == {1}
    assert len(world.delivered) == 320
    assert world.ledger.open == 0
    assert world.largest < 6_000_000
    world.responder.closing.close()


def test_a_storm_of_one_account_is_bounded_and_lets_the_others_through(world):
    """400 events with 2,000 hooks were one handler of 13 s, killed as hanging, for ever."""
    events, many = (400, 2_000) if LARGE else (40, 300)
    world.hooks(*(hook(f"a{n}", "a") for n in range(many)), hook("b", "b"), hook("c", "c"))
    for _batch in range(2):
        world.publish(*(order("a") for _ in range(events // 2)))
    for _ in range(3):
        world.turn()
    before = len(world.delivered)
    assert before < events * many
    world.publish(order("b"), order("c"))
    while not {"b", "c"} <= {delivery.hook_id for delivery in world.made()}:
        assert world.turn()
    assert len(world.delivered) < before + 2 * slicing.ACCOUNT_DELIVERIES < events * many
    world.run()
    assert len(world.delivered) == events * many + 2
    assert set(world.delivered.values()) == {1}
    assert world.ledger.open == 0
    window = slicing.ACCOUNT_DELIVERIES + slicing.SLICE_DELIVERIES
    assert world.most_unsettled <= window
    assert world.responder.stats()["fan_outs"] == 0


def test_no_message_waits_for_the_slices_of_another(world):
    """Each batch and each report was followed by slices of a storm, for 100 ms."""
    world.hooks(*(hook(f"a{n}", "a") for n in range(3_000)), hook("b", "b"))
    world.publish(order("a"))
    world.pass_time()
    first, *others = world.take()
    world.settle(*first)
    world.publish(order("b"))
    batches = world.take()
    assert [delivery.hook_id for _path, batch in batches for delivery in sent(batch)] == ["b"]
    for path, batch in (*others, *batches):
        world.settle(path, batch)
    world.run()
    assert len(world.delivered) == 3_001


def sent(batch):
    return [delivery for event in batch.events for delivery in event.deliveries]


def test_one_event_with_very_many_hooks(world):
    hooks = 50_000 if LARGE else 5_000
    world.hooks(*(hook(f"h{n}", "a") for n in range(hooks)))
    world.publish(order())
    world.run()
    assert len(world.delivered) == hooks
    assert world.ledger.open == 0
    assert world.most_unsettled <= slicing.ACCOUNT_DELIVERIES + slicing.SLICE_DELIVERIES


def test_the_deliveries_of_a_hook_keep_the_order_of_its_events(world):
    ordered = Options(ordered=True)
    hooks = [hook(f"h{n}", "a", options=ordered) for n in range(100)]
    world.hooks(*hooks, hook("all", "b", options=ordered))
    for size in (1, 2, 3):
        world.publish(order(size=size), order("b", size))
    world.run()
    sizes = {}
    for delivery in world.made():
        sizes.setdefault(delivery.hook_id, []).append(len(json.loads(delivery.body)["text"]))
    assert set(map(tuple, sizes.values())) == {(1, 2, 3)}


def test_a_payload_too_large_for_any_message_is_refused(world):
    world.hooks(hook("large", "a"), hook("small", "b"))
    world.publish(order("a", 2**25), order("b", 10))
    world.run()
    assert [hook_id for hook_id, _size in world.refused] == ["large"]
    assert world.refused[0][1] > 2**25
    assert [delivery.hook_id for delivery in world.made()] == ["small"]
    assert world.ledger.open == 0


@pytest.mark.parametrize("options", [Options(), Options(ordered=True)])
def test_a_payload_that_one_hook_cannot_send_is_sent_to_the_others(world, monkeypatch, options):
    """The whole event was quarantined, for all of its hooks, if they were few."""

    def fails_for_forms(form, payload):
        if form != JSON_TYPE:
            raise ValueError("such a form cannot be made")
        return content(form, payload)

    monkeypatch.setattr("callboard.webhooks.deliveries.delivery.content", fails_for_forms)
    bad = hook("bad", "a", format="form-data", options=options)
    world.hooks(bad, hook("good", "a"), hook("other", "b"))
    world.publish(order("a"), order("b"))
    world.run()
    assert world.refused == [("bad", 0)]
    assert sorted(delivery.hook_id for delivery in world.made()) == ["good", "other"]
    assert world.ledger.open == 0


def test_batches_of_lost_connections_do_not_add_up(world):
    for batch in range(1, 40):
        event = RawEvent(batch, "shop", "order", b"{}", "application/json", None)
        since = batch - batch % 3
        message = EventBatch(batch, 1, (event,), since)
        world.responder.receiveMsg_EventBatch(message, "bridge")
        held = [batch.batch for batch, _sender in world.responder._held]
        assert held == list(range(max(since, 1), batch + 1))


def test_payloads_that_are_encoded_and_refused_end_a_slice_by_time(world):
    """200 hooks with data of their own took four minutes in one handler, killed as hanging."""
    world.set_deliverers(world.paths[0])
    hooks = [hook(f"h{n}", "a", format="form-data", custom_data={"n": f"{n}"}) for n in range(3)]
    world.hooks(*hooks)
    # It takes longer to encode than a slice may, and becomes more than 32 MiB.
    world.publish({"account": "a", "text": "\u00e9" * 5_600_000})
    sizes, goes_on = [], True
    while goes_on:
        sizes += [len(m.refused) for _to, m in world.responder.sent if isinstance(m, DeliveryBatch)]
        goes_on = world.turn()
    assert sizes == [2, 1], "the first was encoded before, to see how large it is"
    assert len(world.refused) == 3
    assert world.ledger.open == 0


def test_the_slices_of_a_dead_deliverer_go_to_another(world):
    world.hooks(*(hook(f"h{n}", "a") for n in range(500)))
    world.publish(order())
    world.pass_time()
    _one, two, _retry_queue = world.paths
    for path, batch in world.take():
        if path == two:
            world.settle(path, batch)
    assert 0 < len(world.delivered) < 500
    world.set_deliverers(two)
    world.run()
    assert len(world.delivered) == 500
    assert set(world.delivered.values()) == {1}
    assert world.ledger.open == 0


def test_a_lost_slice_is_sent_again_and_a_lost_report_asked_for(world, monkeypatch):
    world.hooks(*(hook(f"h{n}", "a") for n in range(100)))
    world.publish(order())
    world.pass_time()
    world.responder.sent = [
        (to, message)
        for to, message in world.responder.sent
        if not isinstance(message, DeliveryBatch)
    ]
    world.run()
    assert world.ledger.open == 1
    world.reconcile()
    assert not world.responder.sent  # It is too early.
    later = time.monotonic() + 61
    monkeypatch.setattr("time.monotonic", lambda: later)
    world.reconcile()
    asked, world.responder.sent = world.responder.sent, []
    assert asked
    for path, question in asked:
        assert isinstance(question, Reconcile)
        receipts, _made = world.received[path]
        missing = NotHeld(question.source, receipts.unknown(question.source, question.shares))
        world.responder.receiveMsg_NotHeld(missing, path)
    world.run()
    assert len(world.delivered) == 100
    assert world.ledger.open == 0


def test_an_event_that_is_redelivered_meanwhile_is_made_once(world):
    world.hooks(*(hook(f"h{n}", "a") for n in range(3_000)))
    body = json.dumps(order()).encode()
    for batch in (1, 2):
        event = RawEvent(batch, "shop", "order", body, "application/json", None)
        world.ledger.take(event, {MODULE})
        assert world.ledger.next(MODULE, 0.0) == (batch, [event])
        world.responder.receiveMsg_EventBatch(EventBatch(batch, 1, (event,)), "bridge")
    world.run()
    assert len(world.delivered) == 3_000
    assert set(world.delivered.values()) == {1}
    assert world.ledger.open == 0


def test_a_batch_of_a_new_bridge_is_no_repeat_of_the_old_one_s(world):
    event = RawEvent(1, "shop", "order", b'{"account": "a"}', "application/json", None)
    world.responder.receiveMsg_EventBatch(EventBatch(1, 1, (event,)), "bridge")
    world.responder.receiveMsg_EventBatch(EventBatch(1, 1, (event,)), "bridge")
    assert [b.bridge for b, _sender in world.responder._held] == [1]
    world.responder.receiveMsg_EventBatch(EventBatch(1, 2, (event,)), "bridge")
    assert [b.bridge for b, _sender in world.responder._held] == [2]


def test_a_share_that_it_does_not_know_is_not_held(world):
    world.hooks(*(hook(f"h{n}", "a") for n in range(3_000)))
    world.publish(order())
    own = next(one for _to, one in world.responder.sent if isinstance(one, Progress)).accepted
    world.responder.sent.clear()
    bridge = EVENT_BRIDGE, 1
    world.responder.receiveMsg_Reconcile(Reconcile(bridge, (*own, "9/9")), "bridge")
    assert world.responder.sent == [("bridge", NotHeld(bridge, ("9/9",)))]


def test_the_span_of_an_event_says_how_many_deliveries_were_made_or_what_failed(settings):
    with Collector() as collector:
        traced = evolve(settings, tracing=TracingSettings(endpoint=collector.url))
        world = World(traced)
        ordered = Options(ordered=True)
        world.hooks(hook("h1", "a"), hook("h2", "a"), hook("h3", "a", options=ordered))
        world.publish(order("a"), order("another"))
        odd = RawEvent(3, "shop", "order", b"[]", "application/json", None)
        world.responder.receiveMsg_EventBatch(EventBatch(2, 1, (odd,)), "bridge")
        world.responder.closing.close()
    made, none, failed = sorted(collector.spans, key=lambda span: span.began)
    assert {span.attributes["callboard.module"] for span in collector.spans} == {MODULE}
    assert [span.attributes["callboard.deliveries"] for span in (made, none)] == [3, 0]
    assert "callboard.deliveries" not in failed.attributes
    assert (made.reason, failed.reason) == ("", "PoisonEvent")


def test_a_turn_of_slices_ends_after_twenty_milliseconds_or_one_slice(world, monkeypatch):
    world.hooks(*(hook(f"a{n}", "a") for n in range(1_000)))
    world.publish(order("a"))
    looks = itertools.count()
    monkeypatch.setattr(time, "monotonic", lambda: next(looks) / 1000)
    turns = []
    while len(world.delivered) < 1_000:
        world.pass_time()
        batches = world.take()
        turns.append(sum(len(sent(batch)) for _path, batch in batches))
        for path, batch in batches:
            world.settle(path, batch)
    assert len(turns) >= 10, "each look at the clock takes a millisecond, and a slice 100 at most"
    assert max(turns) < 120
