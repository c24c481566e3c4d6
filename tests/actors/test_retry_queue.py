"""What the retry queue makes of messages from the broker, without processes."""

import time
from contextlib import closing

import pytest
import structlog
from attrs import evolve
from structlog.testing import capture_logs

from callboard import admin
from callboard.actors.base.quarantine import FILE
from callboard.actors.base.role import Setup
from callboard.actors.delivery.ordered_queues import Publication
from callboard.actors.delivery.retry_queue import RetryQueue
from callboard.actors.delivery.waiting_deliveries import WaitingDeliveries
from callboard.actors.messages import (
    Defer,
    Deferred,
    DeliveryBatch,
    DueBatch,
    OrderedFound,
    Progress,
    Release,
)
from callboard.actors.messages.paths import DELIVERIES, EVENT_BRIDGE, RETRY_QUEUE
from callboard.actors.operations.waiting import WaitingRequests
from callboard.adapters.broker.protocol import (
    Blocked,
    Confirmed,
    ConnectionDown,
    ConnectionUp,
    Declared,
    IncomingMessage,
    Overdue,
    Received,
    Removed,
    Unblocked,
    Unconfirmed,
    Unreadable,
)
from callboard.adapters.local.ordered_file import OrderedFile
from callboard.adapters.store.spool import Spool
from callboard.adapters.store.stores import connect
from callboard.config.settings import AmqpSettings, DataSettings, DeliverySettings, Settings
from callboard.supervision import Peer
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.hooks.arguments import NotOnThisNode
from callboard.webhooks.retries.retry_message import RetryMessage, as_json, from_json

DELIVERY = Delivery("i", "e", "h", "a", "all", "http://x/", "POST", "http://x/", (), b"{}")


class Broker:
    """A broker that only takes messages and acknowledgements."""

    def __init__(self):
        self.acknowledged, self.published, self.number = [], [], 0
        self.declared, self.consumed, self.removed, self.obsolete = [], [], [], []

    def declare(self, queue):
        self.declared.append(queue.name)

    def consume(self, queue, _prefetch):
        self.consumed.append(queue)

    def remove(self, queue, *, is_obsolete):
        self.removed.append(queue.name)
        self.obsolete.append(is_obsolete)

    def publish(self, message):
        self.number += 1
        self.published.append((self.number, message))
        return self.number

    def ack(self, tags):
        self.acknowledged += tags

    def ask_depths(self):
        pass

    def deadline(self):
        return None


class Here(RetryQueue):
    """A retry queue whose messages stay here."""

    def __init__(self, settings):
        super().__init__()
        self.own_process = False
        self.settings, self.path, self.incarnation = settings, RETRY_QUEUE, 1
        self.sent = []
        path = f"{DELIVERIES}/deliverer-1"
        self.peers = {path: Peer(path, 1, "deliverer", 0)}
        self.begin(Setup(settings))

    def connect_broker(self, topology, url="", first=None):
        super().connect_broker(topology, url)
        self.broker = Broker()

    def send(self, _address, message):
        self.sent.append(message)

    def every(self, _seconds, _call):
        pass

    after = every


@pytest.fixture
def retry_queue(tmp_path):
    settings = Settings(amqp=AmqpSettings(url="memory://"), data=DataSettings(dir=tmp_path))
    retry_queue = Here(settings)
    yield retry_queue
    retry_queue.closing.close()


def test_messages_too_large_for_actors_are_quarantined_and_the_others_go_on(retry_queue, tmp_path):
    """One of 70 MB was sent to the deliverer for ever, with all that were due with it."""
    good = as_json(RetryMessage(evolve(DELIVERY, unstored=True), 1, 0))  # Asks no hook table.
    large = good + b" " * 32 * 2**20
    messages = [IncomingMessage(n, "", "q", body) for n, body in enumerate((large, good))]
    retry_queue.on_broker(Received(tuple(messages)))
    retry_queue.after_poll()
    (batch,) = (message for message in retry_queue.sent if isinstance(message, DueBatch))
    assert [tag for tag, _retry in batch.items] == [1]
    assert retry_queue.broker.acknowledged == [0]
    with closing(Spool(tmp_path / FILE, dropping=False)) as spool:
        ((_id, _database, record),) = spool.first(9, 10**9)
    assert record["reason"] == f"it has {len(large)} bytes: at most 33554432 can be handled"


def test_copies_of_a_delivery_go_to_the_same_deliverer_although_another_has_come(retry_queue):
    """The number of deliverers decides which is chosen; two copies were sent by two at once."""
    copies = [evolve(DELIVERY, id=f"d{number}", unstored=True) for number in range(20)]
    bodies = [as_json(RetryMessage(copy, 1, 0)) for copy in copies]
    place = {}

    def receive(first):
        messages = [IncomingMessage(first + n, "", "q", body) for n, body in enumerate(bodies)]
        retry_queue.on_broker(Received(tuple(messages)))
        retry_queue.after_poll()
        batches, retry_queue.sent = retry_queue.sent, []
        return {retry.delivery.id: to for to, batch in batches for _tag, retry in batch.items}

    retry_queue.send = lambda to, message: retry_queue.sent.append((to, message))
    place = receive(0)
    for number in (2, 3):
        path = f"{DELIVERIES}/deliverer-{number}"
        retry_queue.peers[path] = Peer(path, 1, path, 0)
    assert len(place) == len(copies)
    assert receive(100) == place
    first = f"{DELIVERIES}/deliverer-1"
    before = dict(retry_queue.peers)
    retry_queue.peers[first] = Peer(first, 2, "its successor", 0)
    retry_queue.broker.requeue = lambda tags: None
    retry_queue.on_peers(before)
    assert len(set(receive(200).values())) == 3


def stored(retry):
    return evolve(retry, delivery=evolve(retry.delivery, unstored=True))


def receive(retry_queue, *retries, first=0):
    """Messages of the due queue; the tags that went to the deliverer, and those acknowledged."""
    retry_queue.sent.clear()
    retry_queue.broker.acknowledged.clear()
    bodies = enumerate(map(as_json, map(stored, retries)), first)
    retry_queue.on_broker(Received(tuple(IncomingMessage(n, "", "q", b) for n, b in bodies)))
    retry_queue.after_poll()
    sent = [tag for batch in retry_queue.sent for tag, _retry in batch.items]
    return sent, retry_queue.broker.acknowledged


def defer(retry_queue, *retries, confirmed=True):
    """Deferrals of a deliverer, which the broker confirms."""
    retry_queue.batches = getattr(retry_queue, "batches", 0) + 1
    retry_queue.on_broker(ConnectionUp("q"))
    message = Defer(retry_queue.batches, ("deliveries/deliverer-1", 1), retries)
    retry_queue.receiveMsg_Defer(message, "deliverer")
    published, retry_queue.broker.published = retry_queue.broker.published, []
    if confirmed:
        retry_queue.on_broker(Confirmed(tuple(number for number, _message in published)))
    return [message for _number, message in published]


def listed(waiting, **request):
    return [(one.id, one.reason) for one in waiting.listed(admin.ListWaiting(**request)).deliveries]


@pytest.fixture
def waiting(retry_queue):
    waiting = WaitingRequests(retry_queue.settings)
    yield waiting
    waiting.close()


def retry_of(id, **changes):
    in_a_minute = int(time.time() * 1000) + 60_000
    values = {"left": ("1m",), "history": ((1, "status 503"),)} | changes
    return RetryMessage(evolve(DELIVERY, id=id), 1, in_a_minute, **values)


def test_what_the_broker_has_is_listed_until_it_is_due(retry_queue, waiting):
    held_back = retry_of("b", deferred_since_ms=5)
    defer(retry_queue, retry_of("a"), held_back, retry_of("now", left=()))
    defer(retry_queue, retry_of("lost"), confirmed=False)
    assert sorted(listed(waiting)) == [("a", "status 503"), ("b", "no room at its endpoint")]
    assert listed(waiting, hook_id="h") == listed(waiting, account="a") == listed(waiting)
    assert listed(waiting, hook_id="x") == []
    assert receive(retry_queue, retry_of("a", left=())) == ([0], [])
    assert listed(waiting) == [("b", "no room at its endpoint")]


def test_what_waits_is_found_by_event_reference_and_text(retry_queue, waiting):
    of_7 = evolve(retry_of("a").delivery, event_id="e7", reference="no 7", body=b'{"order": 7}')
    get = evolve(of_7, id="c", method="GET", url="http://x/?order=8", body=b"", event_id="e8")
    defer(
        retry_queue,
        evolve(retry_of("a"), delivery=of_7),
        *(retry_of(f"b{n}") for n in range(3)),
        evolve(retry_of("c"), delivery=evolve(get, reference="")),
    )
    for text in ("e7", "no 7", '"order": 7'):
        assert [id for id, _reason in listed(waiting, text=text)] == ["a"]
    assert [id for id, _reason in listed(waiting, text="order=8")] == ["c"]
    assert [id for id, _reason in listed(waiting, text="no 8")] == []
    (one,) = waiting.listed(admin.ListWaiting(text="no 7")).deliveries
    assert (one.reference, one.tries, one.most_tries) == ("no 7", 1, 2)
    page = waiting.listed(admin.ListWaiting(text="{}", limit=2))
    assert (len(page.deliveries), page.count) == (2, 5)
    rest = waiting.listed(admin.ListWaiting(text="{}", after=page.more))
    assert ([len(rest.deliveries)], rest.more) == ([1], None)


def test_a_search_looks_at_a_bounded_number_at_a_time(retry_queue, waiting):
    defer(retry_queue, *(retry_of(f"{number:03}") for number in range(501)))
    page = waiting.listed(admin.ListWaiting(text="nothing"))
    assert page.deliveries == ()
    assert waiting.listed(admin.ListWaiting(text="nothing", after=page.more)).more is None


def test_what_waits_is_listed_page_by_page(retry_queue, waiting):
    defer(retry_queue, *map(retry_of, "abcde"))
    found, after = [], ()
    while after is not None:
        page = waiting.listed(admin.ListWaiting(limit=2, after=after))
        assert page.count == 5
        found.append([one.id for one in page.deliveries])
        after = page.more
    assert [len(ids) for ids in found] == [2, 2, 1]
    assert sorted(id for ids in found for id in ids) == list("abcde")


def test_a_delivery_that_was_sent_early_is_dropped_when_it_is_due(retry_queue, waiting):
    defer(retry_queue, retry_of("a"), retry_of("b"))
    chosen, more = waiting.chosen("h", ())
    assert (sorted(chosen), more) == (["a", "b"], None)
    message = waiting.message(chosen["a"])
    copy = from_json(message.body)
    assert (message.routing_key, copy.left, copy.deferrals) == ("callboard.events.retries", (), 2)
    assert (copy.attempts_made, copy.history) == (1, ((1, "status 503"),))
    waiting.sent([chosen["a"]])
    assert listed(waiting) == [("b", "status 503")]
    assert receive(retry_queue, copy) == ([0], [])
    due = [retry_of("a", left=()), retry_of("b", left=())]
    assert receive(retry_queue, *due, first=10) == ([11], [10])
    assert retry_queue.stats()["outdated"] == 1


def test_what_is_deferred_again_meanwhile_is_not_chosen_again(retry_queue, waiting):
    """They are chosen 500 at a time."""
    ids = [f"{number:03}" for number in range(501)]
    defer(retry_queue, *map(retry_of, ids))
    chosen, more = waiting.chosen("h", ())
    assert sorted(chosen) == ids[:500]
    time.sleep(0.002)
    defer(retry_queue, retry_of("000", deferrals=3), retry_of("z"))
    chosen, more = waiting.chosen("h", more)
    assert (sorted(chosen), more) == (["500"], None)


def test_the_log_says_why_there_is_no_index(tmp_path):
    (tmp_path / "waiting.sqlite3").mkdir()
    with capture_logs() as logs:
        waiting = WaitingDeliveries(
            Settings(data=DataSettings(dir=tmp_path)), None, structlog.get_logger()
        )
        waiting.put([(retry_of("a"), b"{}", "status 503")])
    [line] = logs
    assert (line["event"], line["log_level"]) == ("waiting_not_indexed", "warning")
    assert line["reason"].startswith(str(tmp_path / "waiting.sqlite3"))
    waiting.close()


def test_without_an_index_deliveries_are_made_as_ever(tmp_path):
    (tmp_path / "waiting.sqlite3").mkdir()
    here = Here(Settings(amqp=AmqpSettings(url="memory://"), data=DataSettings(dir=tmp_path)))
    defer(here, retry_of("a"))
    assert [message for message in here.sent if isinstance(message, Deferred)] == [Deferred(1)]
    assert receive(here, retry_of("a", left=())) == ([0], [])
    here.closing.close()
    off = Settings(
        amqp=AmqpSettings(url="memory://"),
        data=DataSettings(dir=tmp_path / "off"),
        delivery=DeliverySettings(waiting_index_mb=0),
    )
    here = Here(off)
    defer(here, retry_of("a"))
    assert receive(here, retry_of("a", left=())) == ([0], [])
    here.closing.close()
    assert not (tmp_path / "off" / "waiting.sqlite3").exists()
    for request in (
        lambda waiting: waiting.listed(admin.ListWaiting()),
        lambda waiting: waiting.chosen("h", ()),
    ):
        with pytest.raises(NotOnThisNode, match="waiting_index_mb is 0") as refused:
            request(WaitingRequests(off))
        assert refused.value.setting == "delivery.waiting_index_mb"


# The queues of hooks that need none any more

OF_HOOK = "callboard.events.ordered.h"


def with_queue(retry_queue):
    """The queue of an ordered hook exists, and is consumed."""
    retry_queue.on_broker(ConnectionUp("retries"))
    retry_queue.receiveMsg_OrderedFound(OrderedFound(((("a", "h"), False),)), None)
    retry_queue.on_broker(Declared(OF_HOOK, 0))
    return retry_queue.broker


def remembered(folder):
    with closing(OrderedFile(folder / "ordered.sqlite3", pytest.fail, time.time)) as file:
        return file.ordered_queues


def test_the_empty_queue_of_an_ordered_hook_stays(retry_queue):
    broker = with_queue(retry_queue)
    retry_queue.on_broker(Declared(OF_HOOK, 0))
    assert (broker.consumed, broker.removed) == ([OF_HOOK], [])


def test_the_queue_of_a_hook_that_is_ordered_no_more_is_removed_once_it_is_empty(
    retry_queue, tmp_path
):
    broker = with_queue(retry_queue)
    retry_queue.receiveMsg_OrderedFound(OrderedFound(None), None)  # The table is loading.
    retry_queue.on_broker(Declared(OF_HOOK, 0))
    retry_queue.receiveMsg_OrderedFound(OrderedFound(()), None)
    retry_queue.on_broker(Declared(OF_HOOK, 1))
    assert broker.removed == []
    retry_queue.on_broker(Declared(OF_HOOK, 0))
    assert (broker.removed, remembered(tmp_path)) == ([OF_HOOK], {("a", "h")})
    retry_queue.on_broker(Declared(OF_HOOK, 0))  # It was asked for before.
    retry_queue.on_broker(Removed(OF_HOOK, 0))
    assert (broker.removed, remembered(tmp_path)) == ([OF_HOOK], set())
    broker.declared.clear()
    retry_queue._ask_depths()
    assert broker.declared == []


@pytest.mark.logs("broker_down")
def test_queues_of_hooks_are_counted_while_the_broker_is_there(retry_queue):
    broker = with_queue(retry_queue)
    broker.declared.clear()
    retry_queue._ask_depths()
    assert broker.declared == [OF_HOOK]
    retry_queue.on_broker(ConnectionDown("closed", 1.0))
    retry_queue._ask_depths()
    assert broker.declared == [OF_HOOK]


@pytest.mark.parametrize(
    ("document", "is_deleted"),
    [(None, True), ({"pvt_deleted": True}, True), ({"ordered": False}, False)],
)
def test_the_quorum_queue_of_a_hook_is_removed_only_once_the_hook_is_deleted(
    tmp_path, document, is_deleted
):
    """RabbitMQ cannot delete it only if it is empty: another node may publish into it."""
    settings = Settings(
        amqp=AmqpSettings(url="memory://", queue_type="quorum"), data=DataSettings(dir=tmp_path)
    )
    with closing(connect(settings.couchdb.url, tmp_path)) as store:
        store.ensure_database("webhooks")
        if document is not None:
            store.save("webhooks", {"_id": "h", "pvt_type": "webhook", **document})
    here = Here(settings)
    broker = with_queue(here)
    here.receiveMsg_OrderedFound(OrderedFound(()), None)
    here.on_broker(Declared(OF_HOOK, 0))
    assert (broker.removed, broker.obsolete) == (([OF_HOOK], [True]) if is_deleted else ([], []))
    here.closing.close()


def test_no_queue_is_removed_before_the_hooks_are_known(retry_queue, tmp_path):
    with_queue(retry_queue)
    again = Here(retry_queue.settings)
    again.on_broker(ConnectionUp("retries"))
    for _time in range(2):
        again.on_broker(Declared(OF_HOOK, 0))
    assert (again.broker.consumed, again.broker.removed) == ([OF_HOOK], [])
    again.closing.close()
    assert remembered(tmp_path) == {("a", "h")}


@pytest.mark.parametrize("why", ["messages", "hook", "delivery"])
def test_a_queue_that_is_needed_after_all_is_consumed_again(retry_queue, why):
    broker = with_queue(retry_queue)
    retry_queue.receiveMsg_OrderedFound(OrderedFound(()), None)
    retry_queue.on_broker(Declared(OF_HOOK, 0))
    if why == "hook":
        retry_queue.receiveMsg_OrderedFound(OrderedFound(((("a", "h"), False),)), None)
    elif why == "delivery":
        retry_queue._ordered.put(Publication(RetryMessage(DELIVERY, 0, 0)))
    assert broker.published == []
    retry_queue.on_broker(Removed(OF_HOOK, 1 if why == "messages" else 0))
    retry_queue.on_broker(Declared(OF_HOOK, 0))
    assert broker.consumed == [OF_HOOK, OF_HOOK]
    assert len(broker.published) == (1 if why == "delivery" else 0)


# A broker that takes no messages


def report(retry_queue, *events):
    """The connection reports these."""
    retry_queue.broker.poll = lambda: events
    retry_queue._poll()


def test_what_is_deferred_waits_while_the_broker_is_blocked(retry_queue):
    broker = with_queue(retry_queue)
    defer(retry_queue, retry_of("sent before"), confirmed=False)
    report(retry_queue, Blocked("low on memory"))
    report(retry_queue, Unconfirmed((broker.number,), "blocked: low on memory"))
    assert defer(retry_queue, retry_of("a"), retry_of("b"), confirmed=False) == []
    retry_queue._ordered.put(Publication(RetryMessage(DELIVERY, 0, 0)))
    retry_queue._publish_all()
    assert broker.published == []
    assert Deferred(2) not in retry_queue.sent
    assert retry_queue.stats()["unconfirmed"] == 4
    report(retry_queue, Unblocked())
    published = [message.properties.message_id for _number, message in broker.published]
    assert sorted(published) == ["a", "b", "i", "sent before"]
    retry_queue.on_broker(Confirmed(tuple(number for number, _message in broker.published)))
    assert {Deferred(1), Deferred(2)} <= set(retry_queue.sent)
    assert retry_queue.stats()["unconfirmed"] == 0


def test_a_lost_connection_ends_a_block(retry_queue):
    with_queue(retry_queue)
    report(retry_queue, Blocked("low on memory"))
    report(retry_queue, ConnectionDown("lost", 1.0), ConnectionUp("retries"))
    assert len(defer(retry_queue, retry_of("a"))) == 1


# What it holds, and reports


def test_a_lost_connection_takes_what_came_by_it_and_leaves_what_deliverers_gave(retry_queue):
    retry_queue.on_broker(ConnectionUp("retries"))
    retry_queue.on_broker(Blocked("low on memory"))
    retry_queue.blocked = "low on memory"
    waits = [retry_of("next wait"), retry_of("asks", left=())]
    bodies = map(as_json, waits)
    retry_queue.on_broker(
        Received(tuple(IncomingMessage(n, "", "q", b) for n, b in enumerate(bodies, 1)))
    )
    retry_queue.receiveMsg_Defer(
        Defer(1, ("deliveries/deliverer-1", 1), (retry_of("given"),)), "deliverer"
    )
    stats = retry_queue.stats()
    assert (stats["in_hand"], stats["unconfirmed"]) == (1, 2)
    retry_queue.on_broker(ConnectionDown("lost", 1.0))
    stats = retry_queue.stats()
    assert (stats["in_hand"], stats["unconfirmed"]) == (0, 1)
    retry_queue.blocked = ""
    retry_queue.on_broker(ConnectionUp("retries"))
    published = [message.properties.message_id for _number, message in retry_queue.broker.published]
    assert published == ["given"]


def test_why_a_delivery_is_deferred_is_listed_through_all_of_its_waits(retry_queue, waiting):
    later = int(time.time() * 1000) + 7_200_000
    long = evolve(retry_of("a", left=("1h", "1m")), due_ms=later, deferred_since_ms=5)
    defer(retry_queue, long)
    before = listed(waiting)
    assert before == [("a", "no room at its endpoint")]
    message = IncomingMessage(1, "", "q", as_json(evolve(long, left=("1m",), history=())))
    retry_queue.on_broker(Received((message,)))
    assert retry_queue.stats()["rounds"] == 1
    published = [number for number, _message in retry_queue.broker.published]
    retry_queue.on_broker(Confirmed(tuple(published)))
    assert retry_queue.broker.acknowledged == [1]
    assert listed(waiting) == before


def test_the_deliveries_of_paused_hooks_are_counted_apart(retry_queue):
    both = ((("a", "h"), False), (("a", "p"), True))
    retry_queue.on_broker(ConnectionUp("retries"))
    retry_queue.receiveMsg_OrderedFound(OrderedFound(both), None)
    retry_queue.on_broker(Declared(OF_HOOK, 5))
    retry_queue.on_broker(Declared("callboard.events.ordered.p", 3))
    retry_queue.measure()
    gauges = retry_queue.tally.figures().gauges
    of_queue = {
        labels: value for (name, labels), value in gauges.items() if "queue_messages" in name
    }
    assert of_queue == {("ordered",): 5, ("paused",): 3}


def test_a_payload_that_is_refused_goes_to_a_deliverer_and_is_settled_at_the_bridge(retry_queue):
    """A deliverer writes its dead letter."""
    to = []
    retry_queue.send = lambda address, message: to.append((address, message))
    retry_queue.peers[EVENT_BRIDGE] = Peer(EVENT_BRIDGE, 1, "bridge", 0)
    retry_queue.on_broker(ConnectionUp("retries"))
    source = EVENT_BRIDGE, 1
    batch = DeliveryBatch("1/0", source, (), ((7, DELIVERY, 99),))
    retry_queue.receiveMsg_DeliveryBatch(batch, None)
    retry_queue.receiveMsg_Release(Release(1, 1, 0, (("1/0", (7,)),)), None)
    [due] = [message for _to, message in to if isinstance(message, DueBatch)]
    ((tag, item, reason, size),) = due.refused
    assert (item.delivery, reason, size) == (DELIVERY, "refused: payload", 99)
    to.clear()
    settled = Progress((RETRY_QUEUE, 1), (due.share,), ((due.share, (tag,)),))
    retry_queue.receiveMsg_Progress(settled, None)
    reports = [message for address, message in to if address == "bridge"]
    assert reports == [Progress(source, (), (("1/0", (7,)),))]
    assert retry_queue.broker.published == []


@pytest.mark.parametrize("first", [Received(()), Unreadable(()), Overdue(())])
def test_the_events_of_a_connection_are_all_handled_whatever_comes_first(retry_queue, first):
    retry_queue.broker.requeue = lambda tags: None
    report(retry_queue, first, Blocked("low on memory"))
    assert retry_queue.blocked == "low on memory"
