"""What the bridge makes of messages from the broker, without processes."""

import json
from contextlib import closing
from types import SimpleNamespace

import pytest
import structlog
from structlog.testing import capture_logs

from callboard.actors.base.event_modules import event_modules
from callboard.actors.base.quarantine import FILE
from callboard.actors.base.role import Setup
from callboard.actors.events.bridge import IN_ORDER, EventBridge
from callboard.actors.events.unclaimed import UnclaimedEvents
from callboard.actors.messages import (
    EventBatch,
    NotHeld,
    Progress,
    Published,
    PublishEvents,
    Quiesce,
    Quiesced,
    Refused,
    Routed,
)
from callboard.actors.messages.paths import (
    DELIVERIES,
    EVENT_BRIDGE,
    RETRY_QUEUE,
    responder_path,
)
from callboard.adapters.broker.edge import EXCHANGE_HEADER, KEY_HEADER, OFFERS_HEADER
from callboard.adapters.broker.protocol import (
    Blocked,
    BrokerError,
    Confirmed,
    ConnectionDown,
    ConnectionUp,
    ExchangesRefused,
    IncomingMessage,
    Probed,
    Properties,
    Received,
    Returned,
    Unblocked,
    Unconfirmed,
)
from callboard.adapters.store.spool import Spool
from callboard.config.settings import AmqpSettings, DataSettings, ModuleSettings, Settings
from callboard.supervision import Peer, Timer
from callboard.webhooks.metrics import catalog

MODULE = "order_paid"
ALL_MODULES = [module.id for module in event_modules(Settings()).modules]


class Broker:
    """A broker that takes acknowledgements and messages."""

    def __init__(self):
        self.acknowledged, self.requeued, self.published = [], [], []
        self.reconnects = self.probes = self.stops = 0

    def stop_consuming(self):
        self.stops += 1

    def probe(self):
        self.probes += 1

    def ack(self, tags):
        self.acknowledged += tags

    def requeue(self, tags):
        self.requeued += tags

    def reconnect(self, _reason):
        self.reconnects += 1

    def publish(self, message):
        if len(message.properties.headers.get("note", "")) > 99:
            raise BrokerError("too large")
        if len(message.routing_key) > 255:
            raise BrokerError("a routing key has 255 bytes at most")
        self.published.append(message)
        return len(self.published)

    def poll(self):
        return []

    def deadline(self):
        return None


class Here(EventBridge):
    """A bridge whose messages stay here."""

    def __init__(self, settings):
        super().__init__()
        self.own_process = False
        self.settings, self.path, self.incarnation = settings, EVENT_BRIDGE, 1
        self.sent, self.due, self.repeated, self.waits = [], [], [], []
        self.begin(Setup(settings))
        path = responder_path(MODULE)
        self.peers = {path: Peer(path, 1, "responder", 0)}
        self.on_broker(ConnectionUp("events"))

    def connect_broker(self, topology, url=""):
        super().connect_broker(topology, url)
        self.broker = Broker()

    def send(self, _address, message):
        self.sent.append(message)

    def every(self, _seconds, call):
        self.repeated.append(call)

    def after(self, seconds, call):
        self.due.append(call)
        self.waits.append(seconds)

    def pass_time(self):
        due, self.due = self.due, []
        for call in due:
            call()

    def receive(self, *bodies, first=1, exchange="shop", key="order", **headers):
        messages = [
            IncomingMessage(first + n, exchange, key, body, Properties(headers=headers))
            for n, body in enumerate(bodies)
        ]
        self.on_broker(Received(tuple(messages)))
        self.after_poll()

    def batches(self):
        return [message for message in self.sent if isinstance(message, EventBatch)]

    def gauge(self, metric):
        self.measure()
        return self.tally.figures().gauges[metric.name, (EVENT_BRIDGE,)]


def test_a_module_without_its_exchange_is_left_out_until_it_has_it(tmp_path):
    def left_out():
        bridge.measure()
        gauges = bridge.tally.figures().gauges
        return {
            labels: since > 0
            for (name, labels), since in gauges.items()
            if name == catalog.LEFT_OUT.name
        }

    with capture_logs() as logs:
        bridge = started(tmp_path)
        bridge.log = structlog.get_logger()
        assert bridge.stats()["left_out"] == 0
        for reasons in ({"shop": "404"}, {"shop": "404", "im": "406"}, {"shop": "403"}, {}):
            bridge.on_broker(ExchangesRefused(reasons))
            if reasons == {"shop": "404", "im": "406"}:
                assert left_out()["mms", "exchange im: 406"] is True
                assert bridge.stats()["left_out"] == "mms,order_paid,sms"
        assert bridge.stats()["left_out"] == 0
        bridge.receive(b'{"a": "x"}')
        assert [batch.events[0].body for batch in bridge.batches()] == [b'{"a": "x"}']
    bridge.closing.close()
    assert left_out() == {
        (MODULE, "exchange shop: 404"): False,
        (MODULE, "exchange shop: 403"): False,
        ("mms", "exchange im: 406"): False,
        ("sms", "exchange im: 406"): False,
    }
    seen = [(log["event"], log["module"]) for log in logs if log["event"].startswith("module_")]
    assert seen == [
        ("module_left_out", MODULE),
        ("module_left_out", "mms"),
        ("module_left_out", "sms"),
        ("module_left_out", MODULE),
        ("module_taken_in", "mms"),
        ("module_taken_in", "sms"),
        ("module_taken_in", MODULE),
    ]


@pytest.mark.parametrize(
    ("headers", "modules"),
    [({"state": "paid"}, ["paid"]), ({"state": "sent"}, ["sent"]), ({"state": "x"}, [])],
)
def test_messages_of_a_headers_exchange_go_to_the_modules_bound_by_these(
    headers, modules, tmp_path
):
    tables = tuple(
        ModuleSettings(
            id=state,
            exchange="states",
            exchange_type="headers",
            binding_headers=({"state": state},),
            account="a",
        )
        for state in ("paid", "sent")
    )
    bridge = Here(Settings(data=DataSettings(dir=tmp_path), modules=tables))
    with bridge.closing:
        message = IncomingMessage(1, "states", "", b"{}", Properties(headers=headers))
        assert sorted(bridge._claims.of(message)) == modules


@pytest.fixture
def clock(monkeypatch):
    """The monotonic clock: a list of the time."""
    clock = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    return clock


def started(folder, **amqp):
    module = ModuleSettings(id=MODULE, exchange="shop", bindings=("order",), account="a")
    amqp = AmqpSettings(**{"url": "memory://"} | amqp)
    return Here(Settings(amqp=amqp, data=DataSettings(dir=folder), modules=(module,)))


@pytest.fixture
def bridge(tmp_path):
    bridge = started(tmp_path)
    yield bridge
    bridge.closing.close()


@pytest.fixture
def one_of_several(tmp_path, clock):
    """The bridge of a node whose broker may have other nodes."""
    bridge = started(tmp_path, url="amqp://127.0.0.1:1", prefetch=4)
    yield bridge
    bridge.closing.close()


def records(folder):
    with closing(Spool(folder / FILE, dropping=False)) as spool:
        return [record for _id, _database, record in spool.first(99, 10**9)]


def test_messages_too_large_for_actors_are_quarantined_and_the_others_go_on(bridge, tmp_path):
    """Two of 70 MB were sent to the responder for ever, and the module stood still."""
    large, good = bytes(32 * 2**20 + 1), json.dumps({"a": "1"}).encode()
    bridge.receive(large, large, good)
    (batch,) = (message for message in bridge.sent if isinstance(message, EventBatch))
    assert [event.tag for event in batch.events] == [3]
    assert bridge.broker.acknowledged == [1, 2]
    quarantined = records(tmp_path)
    assert [record["reason"] for record in quarantined] == [
        "it has 33554433 bytes: at most 33554432 can be handled"
    ] * 2
    assert {len(record["body"]) for record in quarantined} == {2 * len(large)}
    bridge.receiveMsg_Routed(Routed(batch.batch, {}, {}, ()), "responder")
    assert bridge.broker.acknowledged == [1, 2, 3]
    assert bridge.stats()["in_hand"] == 0


def test_the_largest_event_that_is_handled(bridge):
    bridge.receive(bytes(32 * 2**20))
    assert [len(message.events) for message in bridge.sent] == [1]
    assert bridge.stats()["poison"] == 0


# Events of no module


def test_an_event_of_no_module_becomes_a_dead_letter_where_there_is_no_other_node(bridge, tmp_path):
    """A removed module's events were acknowledged, and gone."""
    bridge.receive(b"{}", exchange="house", key="door.open", note="n")
    assert (bridge.broker.published, bridge.broker.acknowledged) == ([], [1])
    [record] = records(tmp_path)
    assert (record["reason"], record["exchange"], record["routing_key"], record["headers"]) == (
        "no module",
        "house",
        "door.open",
        {"note": "n"},
    )
    assert bridge.stats()["no_module"] == 1
    assert bridge.stats()["acknowledged"] == 1
    bridge.measure()
    counters = bridge.tally.figures().counters
    counted = catalog.MESSAGES_UNCLAIMED, catalog.MESSAGES_NO_MODULE, catalog.MESSAGES_ACKNOWLEDGED
    assert [counters[metric.name, ()] for metric in counted] == [1, 1, 1]


def offer(bridge, clock):
    clock[0] += 2.0
    bridge.pass_time()


def test_an_event_of_no_module_is_offered_to_the_other_nodes(one_of_several, clock, tmp_path):
    bridge = one_of_several
    bridge.receive(b"1", exchange="house", key="door.open", note="n")
    bridge.pass_time()
    assert bridge.broker.published == [], "at once, it would be back at once"
    offer(bridge, clock)
    [message] = bridge.broker.published
    assert (message.exchange, message.routing_key) == ("", "callboard.events")
    assert message.properties.headers == {
        EXCHANGE_HEADER: "house",
        KEY_HEADER: "door.open",
        OFFERS_HEADER: 1,
        "note": "n",
    }
    assert bridge.broker.acknowledged == [], "the broker does not have it yet"
    bridge.on_broker(Confirmed((1,)))
    assert bridge.broker.acknowledged == [1]
    stats = bridge.stats()
    assert (stats["unclaimed"], stats["no_module"], records(tmp_path)) == (1, 0, [])


def back(bridge, tag, offers):
    """An event that was offered comes back."""
    where = {EXCHANGE_HEADER: "house", KEY_HEADER: "door.open", OFFERS_HEADER: offers}
    bridge.receive(b"1", first=tag, exchange="", key="callboard.events", **where)


def test_an_event_is_offered_only_so_often(one_of_several, clock, tmp_path):
    bridge = one_of_several
    back(bridge, 1, 29)
    offer(bridge, clock)
    assert bridge.broker.published[0].properties.headers[OFFERS_HEADER] == 30
    assert records(tmp_path) == []
    back(bridge, 2, 30)
    assert bridge.broker.acknowledged == [2]
    [record] = records(tmp_path)
    assert (record["reason"], record["exchange"]) == ("no module", "house")
    assert record["headers"] == {}, "sent again, it is offered again"


def test_an_offered_event_is_the_same_event_to_the_node_that_has_its_module(one_of_several):
    where = {EXCHANGE_HEADER: "shop", KEY_HEADER: "order", OFFERS_HEADER: 3}
    one_of_several.receive(b"{}", exchange="", key="callboard.events", **where)
    [batch] = one_of_several.batches()
    [event] = batch.events
    assert (event.exchange, event.routing_key, event.headers) == ("shop", "order", {})


@pytest.mark.parametrize("lost", [Unconfirmed((1,), "nack"), ConnectionDown("lost", 1.0)])
def test_what_the_broker_did_not_take_stays_its_event(one_of_several, clock, tmp_path, lost):
    bridge = one_of_several
    bridge.receive(b"1", exchange="house", key="door.open")
    offer(bridge, clock)
    bridge.on_broker(lost)
    bridge.on_broker(Confirmed((1,)))
    requeued = [1] if isinstance(lost, Unconfirmed) else []
    assert (bridge.broker.requeued, bridge.broker.acknowledged) == (requeued, [])
    assert records(tmp_path) == []


def test_a_lost_connection_ends_the_pauses(one_of_several, clock):
    bridge = one_of_several
    bridge.receive(b"1", exchange="house", key="door.open")
    bridge.on_broker(ConnectionDown("lost", 1.0))
    offer(bridge, clock)
    assert bridge.broker.published == []


def test_pauses_leave_half_of_the_prefetch(one_of_several, clock):
    bridge = one_of_several
    bridge.receive(b"1", b"2", exchange="house", key="door.open")
    clock[0] += 1
    bridge.receive(b"3", b"4", first=3, exchange="house", key="door.open")
    assert [message.body for message in bridge.broker.published] == [b"1", b"2"]
    clock[0] += 1.0
    bridge.pass_time()
    assert len(bridge.broker.published) == 2, "the others have a pause of their own"
    offer(bridge, clock)
    assert [message.body for message in bridge.broker.published] == [b"1", b"2", b"3", b"4"]


def test_while_the_broker_is_blocked_events_wait_to_be_offered(one_of_several, clock):
    bridge = one_of_several
    bridge.receive(b"1", exchange="house", key="door.open")
    bridge.on_broker(Blocked("low on memory"))
    offer(bridge, clock)
    assert bridge.broker.published == []
    bridge.on_broker(Unblocked())
    assert [message.body for message in bridge.broker.published] == [b"1"]


def test_an_overdue_event_is_offered_no_more(one_of_several, clock):
    bridge = one_of_several
    bridge.receive(b"1", exchange="house", key="door.open")
    offer(bridge, clock)
    bridge.receive(b"2", b"3", first=2, exchange="house", key="door.open")
    bridge.on_overdue({1, 2, 99})
    assert sorted(bridge.broker.requeued) == [1, 2]
    assert len(bridge._unclaimed) == 1
    bridge.on_broker(Confirmed((1,)))
    offer(bridge, clock)
    assert [message.body for message in bridge.broker.published] == [b"1", b"3"]
    assert bridge.broker.acknowledged == []


def test_with_a_prefetch_of_one_an_event_has_its_pause(tmp_path, clock):
    bridge = started(tmp_path, url="amqp://127.0.0.1:1", prefetch=1)
    bridge.receive(b"1", exchange="house", key="door.open")
    assert bridge.broker.published == []
    bridge.receive(b"2", first=2, exchange="house", key="door.open")
    assert [message.body for message in bridge.broker.published] == [b"1"]
    bridge.closing.close()


def test_a_stop_waits_for_what_is_on_its_way_to_the_broker(one_of_several, clock):
    bridge = one_of_several
    bridge.receive(b"1", exchange="house", key="door.open")
    bridge.receiveMsg_Quiesce(Quiesce(), "owner")
    offer(bridge, clock)
    assert bridge.sent == []
    bridge.on_broker(Confirmed((1,)))
    assert bridge.sent == [Quiesced()]


@pytest.mark.parametrize("single", [False, True])
def test_a_stop_takes_no_new_events(tmp_path, single):
    """A single active consumer stays one, or the next node had events before earlier ones."""
    bridge = started(tmp_path, single_active_consumer=single)
    bridge.receiveMsg_Quiesce(Quiesce(), "owner")
    assert bridge.broker.stops == (not single)
    assert bridge.sent == [Quiesced()]
    bridge.receive(b"{}")  # It may have been on its way.
    assert len(bridge.batches()) == (not single)
    bridge.closing.close()


def test_what_cannot_be_offered_becomes_a_dead_letter(one_of_several, clock, tmp_path):
    bridge = one_of_several
    bridge.receive(b"1", exchange="house", key="door.open", note="n" * 100)
    bridge.receive(b"2", first=2, exchange="house", key="door.open")
    offer(bridge, clock)
    bridge.on_broker(Returned(1, "312 NO_ROUTE"))  # Somebody has deleted the queue.
    bridge.on_broker(Confirmed((1,)))
    assert bridge.broker.acknowledged == [1, 2]
    assert [bytes.fromhex(record["body"]) for record in records(tmp_path)] == [b"1", b"2"]


def test_of_a_known_exchange_the_modules_that_accept_an_event_get_it(bridge, tmp_path):
    """A queue may be bound by hand. An event that all modules of its exchange decline is no one's:
    a module that cannot be imported may have bound the queue.
    """
    call = {"Event-Category": "call_event", "Event-Name": "CHANNEL_CREATE"}
    other = call | {"Event-Name": "CHANNEL_OF_A_MODULE_THAT_IS_MISSING"}
    peers = {path: Peer(path, 1, path, 0) for path in map(responder_path, ALL_MODULES)}
    bridge.peers = peers
    for tag, body in enumerate((call, other, "not JSON"), 1):
        bridge.receive(json.dumps(body).encode(), first=tag, exchange="callevt", key="by.hand")
    taken = [event.tag for batch in bridge.batches() for event in batch.events]
    assert set(taken) == {1, 3}
    assert taken.count(1) == 1
    assert taken.count(3) > 1, "each module quarantines it"
    assert bridge.broker.acknowledged == [2]
    assert [record["reason"] for record in records(tmp_path)] == ["no module"]


def test_a_table_takes_only_what_it_has_bound(bridge, tmp_path):
    """Another table of its exchange that is missing here may have bound the queue."""
    bridge.receive(b"{}", key="order.of.another.table")
    assert (bridge.batches(), bridge.broker.acknowledged) == ([], [1])
    assert [record["reason"] for record in records(tmp_path)] == ["no module"]


def test_there_is_one_log_line_for_many(bridge):
    lines = []
    bridge._unclaimed._log.warning = lambda event, **facts: lines.append((event, facts))
    bridge.receive(b"1", exchange="house", key="door.1")
    bridge.pass_time()
    bridge.receive(*[b"2"] * 4, first=2, exchange="house", key="door.2")
    bridge.pass_time()
    assert lines == [
        ("events_unclaimed", {"routing_key": f"door.{n}", "unclaimed": many, "no_module": many})
        for n, many in ((1, 1), (2, 4))
    ]


def test_the_log_lines_are_a_minute_apart(clock):
    waits, due, lines = [], [], []

    def after(seconds, call):
        waits.append(seconds)
        due.append(call)

    unclaimed = UnclaimedEvents(
        *(Settings(amqp=AmqpSettings(url="memory://")), None, None, None, None),
        lambda _tag, _message: None,
        lambda call: Timer(after, call),
        SimpleNamespace(warning=lambda _event, **facts: lines.append(facts["unclaimed"])),
    )
    for now, events in ((1000.0, 1), (1020.0, 2), (1100.0, 1)):
        clock[0] = now
        for tag in range(events):
            unclaimed.take(tag, SimpleNamespace(routing_key="door.open"), 0)
        clock[0] += waits[-1]
        due[-1]()
    assert (waits, lines) == ([0.0, 40.0, 20.0], [1, 2, 1])


# What readiness is judged by


def test_the_progress_of_those_that_have_the_events(bridge, clock):
    assert bridge.gauge(catalog.LAST_PROGRESS) == 0
    bridge.receive(b"1")
    sent = bridge.gauge(catalog.LAST_PROGRESS)
    clock[0] += 20
    assert sent == bridge.gauge(catalog.LAST_PROGRESS) > 0
    [batch] = bridge.batches()
    holders = {"1/0": ("deliveries/deliverer-1", 1)}
    bridge.receiveMsg_Routed(Routed(batch.batch, {"1/0": (1,)}, holders, ()), "responder")
    clock[0] += 20
    assert bridge.gauge(catalog.LAST_PROGRESS) == sent + 20
    bridge.receiveMsg_Progress(Progress((EVENT_BRIDGE, 1), ("1/0",), ()), "deliverer")
    assert bridge.gauge(catalog.LAST_PROGRESS) == 0, "it may wait for its rate, order or retry"


def test_a_responder_that_routes_one_batch_after_the_other_makes_progress(bridge, clock):
    bridge.receive(b"1")
    sent = bridge.gauge(catalog.LAST_PROGRESS)
    bridge.receive(b"2", first=2)
    clock[0] += 20
    bridge.receiveMsg_Routed(Routed(bridge.batches()[0].batch, {}, {}, ()), "responder")
    assert bridge.gauge(catalog.LAST_PROGRESS) == sent + 20


def test_a_batch_sent_again_and_again_is_counted(bridge, clock):
    bridge.receive(b"1")
    for _time in range(2):
        clock[0] += 61
        for call in bridge.repeated:
            call()
    before = bridge.peers
    bridge.peers = {path: Peer(path, 2, path, 0) for path in before}
    bridge.on_peers(before)
    assert bridge.gauge(catalog.BATCH_RESENDS) == 3
    bridge.receiveMsg_Routed(Routed(bridge.batches()[-1].batch, {}, {}, ()), "responder")
    assert bridge.gauge(catalog.BATCH_RESENDS) == 0


# Lost shares


def routed_to(bridge, path):
    """Two events of a batch, each in a share of this holder; the second is lost."""
    bridge.receive(b"1", b"2")
    bridge.receive(b"3", first=3)
    bridge.peers[path] = Peer(path, 1, "holder", 0)
    batch = bridge.batches()[0]
    shares = {f"{batch.batch}/{number}": (number,) for number in (1, 2)}
    holders = dict.fromkeys(shares, (path, 1))
    bridge.receiveMsg_Routed(Routed(batch.batch, shares, holders, ()), None)
    bridge.receiveMsg_NotHeld(NotHeld((EVENT_BRIDGE, 1), (f"{batch.batch}/2",)), None)


def test_a_lost_event_is_requeued_alone_where_no_order_counts(bridge):
    routed_to(bridge, f"{DELIVERIES}/deliverer-1")
    assert (bridge.broker.requeued, bridge.broker.reconnects) == ([2], 0)
    assert (bridge.stats()["in_hand"], bridge.stats()["requeued"]) == (2, 1)


def test_where_order_counts_the_broker_redelivers_all_events_from_a_lost_one_on(bridge):
    routed_to(bridge, RETRY_QUEUE)
    assert (bridge.broker.requeued, bridge.broker.reconnects) == ([], 1)
    # Nothing is released, or acknowledged, before the connection is known to be down.
    assert bridge.stats()["in_hand"] == 0
    first = bridge.batches()[0].batch
    bridge.receiveMsg_Progress(Progress((EVENT_BRIDGE, 1), (), ((f"{first}/1", (1,)),)), None)
    assert bridge.broker.acknowledged == []
    assert bridge.stats()["requeued"] == 3


def publish(bridge, *senders, size=1):
    """Ask for it; the broker answers no probe yet."""
    bridge.sent.clear()
    for sender in senders:
        events = (("shop", "order", b"1" * size, "t"),)
        bridge.receiveMsg_PublishEvents(PublishEvents(events), sender)


def take(bridge):
    """The broker answers all probes: it takes messages."""
    while bridge.broker.probes:
        bridge.broker.probes -= 1
        bridge.on_broker(Probed())


def test_what_clients_publish_is_not_refused_for_a_new_connection(bridge):
    publish(bridge, "early")
    take(bridge)
    routed_to(bridge, RETRY_QUEUE)
    assert bridge.broker.reconnects == 0
    bridge.receive(b"3", first=4)  # It is redelivered, too.
    assert bridge.stats()["in_hand"] == 0
    bridge.on_broker(Confirmed((1,)))
    assert bridge.broker.reconnects == 1
    publish(bridge, "late")
    bridge.on_broker(ConnectionDown(IN_ORDER, 1.0))
    assert len(bridge.broker.published) == 1
    bridge.on_broker(ConnectionUp("events"))
    take(bridge)
    assert len(bridge.broker.published) == 2
    bridge.on_broker(Confirmed((2,)))
    assert bridge.sent == [Published(1, 0)]
    bridge.receive(b"3", first=5)
    assert bridge.stats()["in_hand"] == 1


def test_a_new_connection_does_not_wait_for_long_for_confirmations(bridge):
    publish(bridge, "early")
    take(bridge)
    routed_to(bridge, RETRY_QUEUE)
    assert bridge.broker.reconnects == 0
    assert bridge.waits[-1] == 1.0
    bridge.pass_time()
    assert bridge.broker.reconnects == 1


def test_what_clients_publish_is_refused_if_the_new_connection_fails(bridge):
    routed_to(bridge, RETRY_QUEUE)
    publish(bridge, "late")
    bridge.on_broker(ConnectionDown(IN_ORDER, 1.0))
    assert bridge.broker.published == []
    bridge.on_broker(ConnectionDown("refused", 1.0))
    bridge.on_broker(Unconfirmed((1,), "refused"))
    assert bridge.sent == [Refused("the broker did not take it: refused")]


BLOCKED = Refused("the broker takes no messages: low on memory", "blocked")


def test_what_clients_publish_follows_a_probe(bridge):
    publish(bridge, "one", "two")
    assert bridge.broker.published == []
    take(bridge)
    assert len(bridge.broker.published) == 2
    bridge.on_broker(Confirmed((1, 2)))
    assert bridge.sent == [Published(1, 0)] * 2


def test_what_clients_publish_is_refused_while_the_broker_is_blocked(bridge):
    """161 of 161 refused events were published later."""
    publish(bridge, "one", "two")
    bridge.on_broker(Blocked("low on memory"))
    assert bridge.sent == [BLOCKED] * 2
    publish(bridge, "three")
    assert bridge.sent == [BLOCKED]
    bridge.on_broker(Unblocked())
    take(bridge)
    assert bridge.broker.published == []
    publish(bridge, "four")
    take(bridge)
    assert len(bridge.broker.published) == 1


def test_of_what_was_sent_before_a_block_it_is_told_that_it_may_be_published(bridge):
    publish(bridge, "early")
    take(bridge)
    bridge.on_broker(Blocked("low on memory"))
    [refused] = bridge.sent
    assert refused.cause == ""
    assert "it may still take it" in refused.reason
    bridge.on_broker(Confirmed((1,)))
    assert bridge.sent == [refused]


def test_what_cannot_be_published_ends_its_request_alone(bridge):
    bridge.sent.clear()
    good = ("shop", "order", b"1", "t")
    bad = ("shop", "k" * 300, b"1", "t")
    bridge.receiveMsg_PublishEvents(PublishEvents((good, bad, good)), "one")
    bridge.receiveMsg_PublishEvents(PublishEvents((good,)), "two")
    bridge.receiveMsg_PublishEvents(PublishEvents(()), "three")
    take(bridge)
    assert len(bridge.broker.published) == 2
    bridge.on_broker(Returned(2, "312 NO_ROUTE"))
    bridge.on_broker(Confirmed((1, 2)))
    too_long = Refused("the broker cannot take it: a routing key has 255 bytes at most")
    assert bridge.sent == [Published(0, 0), too_long, Published(1, 1)]


def test_what_clients_publish_is_bounded_by_bytes(bridge):
    """The bridge grew to 333 MB."""
    half = 16 * 2**20
    publish(bridge, "one", "two", size=half)
    assert bridge.sent == []
    publish(bridge, "three")
    [busy] = bridge.sent
    assert busy.cause == "busy"
    take(bridge)
    bridge.on_broker(Confirmed((1,)))
    publish(bridge, "four", size=half)
    assert bridge.sent == []
    take(bridge)
    bridge.on_broker(Confirmed((2, 3)))
    publish(bridge, "one alone may be larger", size=3 * half)
    assert bridge.sent == []


def test_a_probe_that_a_lost_connection_took_with_it_refuses_what_it_was_for(bridge):
    publish(bridge, "one")
    bridge.on_broker(ConnectionDown("lost", 1.0))
    bridge.on_broker(Unconfirmed((1,), "lost"))
    assert bridge.sent == [Refused("the broker did not take it: lost")]


def test_events_of_no_module_wait_while_the_broker_is_blocked(one_of_several, clock):
    bridge = one_of_several
    bridge.receive(b"1", b"2", b"3", exchange="house", key="door.open")
    before = len(bridge.broker.published)
    bridge.on_broker(Blocked("low on memory"))
    offer(bridge, clock)
    bridge.receive(b"4", first=4, exchange="house", key="door.open")
    assert len(bridge.broker.published) == before
    assert bridge.broker.requeued == []
    bridge.on_broker(Unblocked())
    offer(bridge, clock)
    assert len(bridge.broker.published) == 4


def test_it_looks_for_a_block_although_nobody_publishes(bridge):
    take(bridge)
    for call in bridge.repeated:
        call()
    assert bridge.broker.probes == 1
    bridge.on_broker(Blocked("low on memory"))
    for call in bridge.repeated:
        call()
    assert bridge.broker.probes == 1


# The end


@pytest.mark.parametrize("end", ["settled", "requeued", "disconnected"])
def test_it_is_quiet_once_it_holds_no_event_any_more(bridge, end):
    bridge.receive(b"{}")
    [batch] = bridge.batches()
    holders = {"1/0": ("deliveries/deliverer-1", 1)}
    bridge.receiveMsg_Quiesce(Quiesce(), "owner")
    bridge.receiveMsg_Routed(Routed(batch.batch, {"1/0": (1,)}, holders, ()), "responder")
    bridge.sent.clear()
    if end == "settled":
        bridge.receiveMsg_Progress(Progress((EVENT_BRIDGE, 1), (), (("1/0", (1,)),)), None)
    elif end == "requeued":
        bridge.on_overdue({1})
    else:
        bridge.on_broker(ConnectionDown("lost", 1.0))
    assert bridge.sent == [Quiesced()]


def test_the_metrics_count_what_became_of_the_messages(bridge, tmp_path):
    """Three events of a module, one of which is requeued, one settled; and one of no module."""
    bridge.receive(b"1", b"2", b"3")
    bridge.receive(b"4", first=4, exchange="house", key="door.open")
    [batch] = bridge.batches()
    holders = {"1/0": ("deliveries/deliverer-1", 1)}
    bridge.receiveMsg_Routed(Routed(batch.batch, {"1/0": (1, 2, 3)}, holders, ()), None)
    bridge.receiveMsg_Progress(Progress((EVENT_BRIDGE, 1), (), (("1/0", (1,)),)), None)
    bridge.on_overdue({2})
    bridge.measure()
    figures = bridge.tally.figures()
    counted = {
        metric: figures.counters[metric.name, ()]
        for metric in (
            *(catalog.MESSAGES_RECEIVED, catalog.MESSAGES_ACKNOWLEDGED),
            *(catalog.MESSAGES_REQUEUED, catalog.MESSAGES_UNCLAIMED, catalog.MESSAGES_NO_MODULE),
        )
    }
    assert list(counted.values()) == [4, 2, 1, 1, 1]
    assert figures.gauges[catalog.EVENTS_IN_HAND.name, ()] == 1


def test_no_batch_is_sent_again_within_a_minute(bridge, clock):
    bridge.receive(b"1")
    for passes_s, sent in ((30, 1), (29, 1), (2, 2)):
        clock[0] += passes_s
        for call in bridge.repeated:
            call()
        assert len(bridge.batches()) == sent


def test_no_batch_is_sent_while_a_hundred_shares_are_on_the_way(bridge):
    bridge.receive(*[b"1"] * 100)
    [batch] = bridge.batches()
    shares = {f"1/{number}": (number,) for number in range(1, 101)}
    holders = dict.fromkeys(shares, ("deliveries/deliverer-1", 1))
    bridge.receiveMsg_Routed(Routed(batch.batch, shares, holders, ()), "responder")
    bridge.receive(b"2", first=101)
    assert len(bridge.batches()) == 1
    bridge.receiveMsg_Progress(Progress((EVENT_BRIDGE, 1), ("1/1",), ()), "deliverer")
    assert len(bridge.batches()) == 2
