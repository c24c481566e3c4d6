"""The retry queue alone: no deferred delivery is lost or confirmed too early."""

import itertools
import json
from contextlib import closing

import pytest
from attrs import evolve

from callboard.actors.delivery.retry_queue import RetryQueue
from callboard.actors.delivery.waiting_deliveries import waiting_index
from callboard.actors.messages import (
    Defer,
    Deferred,
    DeliveryBatch,
    DueBatch,
    EventDeliveries,
    Figures,
    FindHooks,
    FindOrdered,
    HooksFound,
    HooksOutdated,
    HooksRefreshed,
    NotHeld,
    OrderedFound,
    Progress,
    Reconcile,
    RefreshHooks,
    Release,
)
from callboard.actors.messages.paths import (
    EVENT_BRIDGE,
    HOOK_LISTENER,
    HOOK_TABLE,
    METRICS,
    RETRY_QUEUE,
)
from callboard.adapters.broker.protocol import Properties
from callboard.adapters.store.spool import Spool
from callboard.adapters.store.waiting_index import Window
from callboard.config.time_limits import overdue_s
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.hooks.hook import Hook
from callboard.webhooks.hooks.options import CANCELLED_UNTIL, Options
from callboard.webhooks.metrics import catalog
from callboard.webhooks.retries.retry_message import RetryMessage, as_json, from_json, in_time
from support.world.world import FakePeer

DUE = "callboard.events.retries"
LOST_S = 120.0


def delivery(id="d1", body=b"{}"):
    url = "https://x.example/"
    return Delivery(id, "e", "h", "a", "shop", url, "POST", url, (), body)


class Table(FakePeer):
    """A hook table in which every hook may fire; it answers at once, unless it is `silent`."""

    silent = False
    known, options, change = True, Options(), 0

    def receiveMessage(self, message, sender):
        super().receiveMessage(message, sender)
        if isinstance(message, FindHooks) and not self.silent:
            self.world.deliver(sender, self.found(message), self.address)

    def found(self, message, change=None):
        url = "https://x.example/"
        keys = message.keys if self.known else ()
        hooks = tuple(Hook(id, a, url, "shop", options=self.options) for a, id in keys)
        return HooksFound(message.ask, hooks, self.change if change is None else change)


class Listener(FakePeer):
    """A hook listener that answers at once, unless it is `silent`."""

    silent = False

    def receiveMessage(self, message, sender):
        super().receiveMessage(message, sender)
        if isinstance(message, RefreshHooks) and not self.silent:
            self.world.deliver(sender, HooksRefreshed(message.ask), self.address)


class Retries:
    """A retry queue, with a deliverer that does what the test says."""

    def __init__(self, world, servers, settings):
        self.world, self.broker, self.settings = world, servers.broker, settings
        self.deliverer = world.peer("deliveries/deliverer-1")
        self.table = Table(world, HOOK_TABLE)
        self.listener = Listener(world, HOOK_LISTENER)
        self.incarnation = 0
        self.start()

    def start(self, *peers):
        self.incarnation += 1
        self.actor = self.world.start(
            RetryQueue,
            RETRY_QUEUE,
            self.settings,
            self.deliverer,
            self.table,
            self.listener,
            incarnation=self.incarnation,
        )
        self.world.pass_time(1)

    def message(self, after_s=5.0, **fields):
        now = self.world.unix_s + self.world.now
        return RetryMessage(delivery(**fields), 1, *in_time(int(after_s * 1000), now))

    def defer(self, batch, *messages):
        source = self.deliverer.path, self.deliverer.incarnation
        self.deliverer.say(self.actor, Defer(batch, source, messages))

    def confirmed(self):
        return [message.batch for message in self.deliverer.take(Deferred)]

    def due(self, within_s=10.0):
        """The due batches, as (share, ids by tag)."""
        self.world.pass_time(within_s)
        taken = self.deliverer.take(DueBatch)
        return [(b.share, {tag: item.delivery.id for tag, item in b.items}) for b in taken]

    def report(self, share, tags, incarnation=None):
        source = RETRY_QUEUE, incarnation or self.incarnation
        self.deliverer.say(self.actor, Progress(source, (share,), ((share, tuple(tags)),)))
        self.world.pass_time(0.1)

    @property
    def unconfirmed(self):
        return self.actor.actor.stats()["unconfirmed"]

    @property
    def left(self):
        return self.broker.messages


@pytest.fixture
def retries(world, servers, settings):
    return Retries(world, servers, settings)


def test_a_deferral_is_confirmed_once_the_broker_has_it(retries):
    retries.defer(7, retries.message())
    assert (retries.confirmed(), retries.unconfirmed) == ([], 1)
    retries.world.pass_time(0.1)
    assert (retries.confirmed(), retries.unconfirmed) == ([7], 0)
    assert retries.left == 1
    [(share, items)] = retries.due()
    assert list(items.values()) == ["d1"]
    assert retries.left == 1
    retries.report(share, items)
    assert retries.left == 0


def test_a_batch_that_arrives_twice_before_it_is_confirmed_is_published_once(retries):
    message = retries.message()
    retries.defer(7, message)
    retries.defer(7, message)
    retries.world.pass_time(1)
    assert retries.confirmed() == [7]
    assert retries.left == 1


def test_a_batch_whose_confirmation_was_lost_is_confirmed_again(retries):
    message = retries.message()
    for _time in range(2):
        retries.defer(7, message)
        retries.world.pass_time(1)
    assert retries.confirmed() == [7, 7]


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.002, 0.004])
@pytest.mark.logs("broker_down")
def test_no_moment_of_a_broken_connection_loses_a_deferral(retries, seconds):
    retries.defer(7, retries.message())
    retries.world.pass_time(seconds)
    retries.broker.connections[0].lose("reset by peer")
    retries.world.pass_time(3)
    assert retries.confirmed() == [7]
    assert {id for _share, items in retries.due() for id in items.values()} == {"d1"}
    unconfirmed = [x for x in retries.world.logged if x["event"] == "put_off_unconfirmed"]
    assert [line["reason"] for line in unconfirmed] == ["reset by peer"] * (seconds < 0.004)
    retries.world.logged[:] = [x for x in retries.world.logged if x not in unconfirmed]


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.002, 0.004, 1.0])
def test_a_killed_queue_has_confirmed_only_what_the_broker_has(retries, seconds):
    retries.defer(7, retries.message())
    retries.world.pass_time(seconds)
    retries.world.kill(retries.actor.address)
    confirmed = retries.confirmed()
    assert len(confirmed) <= retries.left
    assert seconds < 1.0 or confirmed == [7]


def test_reports_that_arrive_twice_acknowledge_once(retries):
    retries.defer(7, retries.message(), retries.message(id="d2"))
    shares = retries.due()
    assert retries.left == 2
    for _time in range(2):
        retries.report(*shares[0])
        assert retries.left == 2 - len(shares[0][1])
    for share in shares:
        retries.report(*share)
    assert retries.left == 0


def test_the_deliveries_of_a_dead_deliverer_are_handed_out_again(retries):
    retries.defer(7, retries.message())
    [(share, items)] = retries.due()
    retries.deliverer.restart()
    retries.world.tell_peers(retries.actor, retries.deliverer, retries.table)
    [(again, items_again)] = retries.due()
    assert list(items_again.values()) == ["d1"]
    retries.report(share, items)  # Late, of the share that is forgotten.
    assert retries.left == 1
    retries.report(again, items_again)
    assert retries.left == 0


def test_without_a_deliverer_they_wait(retries):
    retries.world.tell_peers(retries.actor, retries.table)
    retries.defer(7, retries.message())
    assert retries.due(60) == []
    retries.world.tell_peers(retries.actor, retries.deliverer, retries.table)
    assert len(retries.due()) == 1


def test_a_share_without_a_report_is_asked_after_and_handed_out_again(retries):
    retries.defer(7, retries.message())
    [(share, _items)] = retries.due()
    retries.world.pass_time(LOST_S)
    asked = Reconcile((RETRY_QUEUE, 1), (share,))
    assert asked in retries.deliverer.take(Reconcile)
    for _time in range(2):
        retries.deliverer.say(retries.actor, NotHeld((RETRY_QUEUE, 1), (share,)))
    [(again, items)] = retries.due()
    retries.report(again, items)
    assert retries.left == 0


def test_the_successor_of_a_killed_queue_hands_out_what_was_unsettled(retries):
    retries.defer(7, retries.message())
    [(share, items)] = retries.due()
    retries.world.kill(retries.actor.address)
    retries.start()
    [(again, items_again)] = retries.due()
    retries.report(share, items, incarnation=1)  # To the one before.
    assert retries.left == 1
    retries.report(again, items_again)
    assert retries.left == 0


@pytest.mark.parametrize("body", [b"", b"no JSON", b"[]", b'{"version": 99}'])
@pytest.mark.logs("retry_set_aside")
def test_a_message_that_is_no_delivery_is_quarantined_and_holds_up_none(retries, body):
    retries.broker.publish("", DUE, body, Properties())
    retries.defer(7, retries.message())
    [(share, items)] = retries.due()
    retries.report(share, items)
    assert retries.left == 0
    kept = Spool(retries.settings.data.dir / "poison.sqlite3", dropping=False)
    [(_id, _name, record)] = kept.first(9)
    assert (record["module"], record["routing_key"]) == ("", DUE)
    [line] = retries.world.logged
    assert "module" not in line
    kept.close()


@pytest.mark.parametrize(("jump_s", "within_s"), [(3600, 10), (-3600, 130)])
def test_a_jump_of_the_clock_delays_no_delivery_beyond_its_waits(retries, jump_s, within_s):
    retries.defer(7, retries.message(after_s=90.0))
    retries.world.pass_time(1)
    retries.world.set_clock(jump_s)
    if jump_s > 0:
        retries.world.pass_time(120)
    assert len(retries.due(within_s)) == 1


def test_a_long_delay_is_waited_for_in_parts(retries):
    retries.defer(7, retries.message(after_s=4000.0))
    assert retries.due(3990) == []
    [(share, items)] = retries.due(500)
    retries.report(share, items)
    assert retries.left == 0


def test_ten_thousand_at_once_are_handed_out_in_bounded_batches(retries):
    numbers = itertools.count()
    for batch in range(50):
        retries.defer(batch, *[retries.message(id=f"d{next(numbers)}") for _n in range(200)])
    retries.world.pass_time(2)
    assert sorted(retries.confirmed()) == list(range(50))
    seen = []
    for _round in range(200):
        for share, items in retries.due(1):
            assert len(items) <= 200
            seen += items.values()
            retries.report(share, items)
        if not retries.left:
            break
    assert sorted(seen) == sorted(f"d{number}" for number in range(10_000))


def test_messages_of_this_version_are_read(retries):
    message = retries.message(after_s=0.0)
    retries.broker.publish("", DUE, as_json(message), Properties())
    assert json.loads(as_json(message))["version"] == 1
    assert len(retries.due(1)) == 1


def test_a_response_from_before_a_change_of_the_hook_sends_nothing(retries):
    retries.table.silent = True
    retries.defer(7, retries.message(after_s=1.0))
    assert retries.due() == []
    [first] = retries.table.take(FindHooks)
    retries.table.say(retries.actor, HooksOutdated(7, (("a", "h"),)))
    retries.table.say(retries.actor, retries.table.found(first, change=6))
    assert retries.due(1) == []
    [second] = retries.table.take(FindHooks)
    assert (second.keys, second.ask == first.ask) == (first.keys, False)
    retries.table.say(retries.actor, retries.table.found(second, change=7))
    assert [list(items.values()) for _share, items in retries.due(1)] == [["d1"]]


def test_a_new_hook_table_is_asked_at_once_what_the_old_one_did_not_answer(retries):
    retries.table.silent = True
    retries.defer(7, retries.message(after_s=1.0))
    assert retries.due() == []
    retries.table.silent = False
    retries.table.restart()
    peers = retries.deliverer, retries.table, retries.listener
    retries.world.tell_peers(retries.actor, *peers)
    assert [list(items.values()) for _share, items in retries.due(0.1)] == [["d1"]]


@pytest.mark.parametrize(
    "why",
    ["a sleep", pytest.param("a lost connection", marks=pytest.mark.logs("broker_down"))],
)
def test_no_due_delivery_is_handed_out_before_the_hooks_are_fresh(retries, why):
    retries.listener.silent = True
    if why == "a sleep":
        retries.world.suspend(30)
    else:
        retries.broker.connections[0].lose("no heartbeat")
        retries.world.pass_time(2)
    retries.defer(7, retries.message(after_s=0))
    retries.world.pass_time(12)
    assert retries.due() == []
    asks = {message.ask for message in retries.listener.take(RefreshHooks)}
    assert len(asks) == 1, "it asks again by the same number"
    retries.listener.say(retries.actor, HooksRefreshed(asks.pop()))
    assert [id for _share, items in retries.due() for id in items.values()] == ["d1"]


@pytest.mark.parametrize("ordered", [False, True])
def test_a_decided_delivery_without_a_deliverer_is_judged_again_when_its_hook_changes(
    retries, ordered
):
    retries.table.options = Options(ordered=ordered)
    retries.table.say(retries.actor, OrderedFound(((("a", "h"), False),) if ordered else ()))
    retries.world.pass_time(1)
    retries.world.tell_peers(retries.actor, retries.table, retries.listener)
    retries.broker.publish("", DUE, as_json(retries.message(after_s=0.0)), Properties())
    retries.world.pass_time(1)
    # It is judged again in the queue of its hook.
    assert len(retries.table.take(FindHooks)) == 1 + ordered
    retries.table.say(retries.actor, HooksOutdated(7, (("a", "other"),)))
    assert retries.table.take(FindHooks) == []
    retries.table.change = 8
    retries.table.say(retries.actor, HooksOutdated(8, (("a", "h"),)))
    retries.world.pass_time(0.1)
    assert [asked.keys for asked in retries.table.take(FindHooks)] == [(("a", "h"),)]


@pytest.mark.logs("store_unavailable")
def test_a_delivery_whose_hook_cannot_be_looked_at_waits(retries, servers):
    retries.table.known = False
    servers.store.away = True
    retries.broker.publish("", DUE, as_json(retries.message(after_s=0.0)), Properties())
    assert retries.due(1) == []
    assert retries.actor.actor.stats()["held"] == 1
    assert (retries.unconfirmed, retries.left) == (0, 1)
    retries.table.known = True
    assert [list(items.values()) for _share, items in retries.due(120)] == [["d1"]]


@pytest.mark.logs("put_off_unconfirmed")
@pytest.mark.parametrize("ordered", [False, True])
def test_what_a_queue_refuses_is_published_again(retries, ordered):
    retries.table.options = Options(ordered=ordered)
    retries.table.say(retries.actor, OrderedFound(((("a", "h"), False),) if ordered else ()))
    retries.world.pass_time(1)
    retries.broker.full.update(retries.broker.queues.keys() - {DUE})
    message = retries.message(after_s=0.0 if ordered else 5.0)
    if ordered:
        retries.broker.publish("", DUE, as_json(message), Properties())
    else:
        retries.defer(7, message)
    retries.world.pass_time(3)
    assert (retries.confirmed(), retries.unconfirmed) == ([], 1)
    lines = retries.world.logged
    assert {line["reason"] for line in lines} == {"the queue is full"}
    assert 2 <= len(lines) <= 4, "once a second"
    retries.broker.full.clear()
    assert [list(items.values()) for _share, items in retries.due(10)] == [["d1"]]
    assert retries.unconfirmed == 0


def test_what_the_bridge_has_not_released_is_not_confirmed(retries):
    bridge = retries.world.peer(EVENT_BRIDGE)
    retries.world.tell_peers(retries.actor, retries.deliverer, retries.table, bridge)
    events = tuple(EventDeliveries(tag, (delivery(f"d{tag}"),)) for tag in (1, 2))
    retries.table.say(retries.actor, DeliveryBatch("1/0", (EVENT_BRIDGE, 1), events))
    retries.world.pass_time(0.1)
    assert retries.unconfirmed == 2
    bridge.take(Progress)
    bridge.say(retries.actor, Release(1, 1, before=3, released=(("1/0", (2,)),)))
    retries.world.pass_time(0.1)
    settled = [report.settled for report in bridge.take(Progress)]
    assert settled == [(("1/0", (1,)),), (("1/0", (2,)),)], "what is void, then what is published"
    assert retries.unconfirmed == 0
    [message] = retries.broker.held("callboard.events.ordered.h")
    now_ms = (retries.world.unix_s + retries.world.now) * 1000
    item = from_json(message.body)
    assert item.taken_ms == pytest.approx(now_ms, abs=200)
    assert (item.attempts_made, item.due_ms, item.deferrals) == (0, 0, 0)


def test_a_new_hook_listener_is_asked_for_fresh_hooks_at_once(retries):
    retries.listener.silent = True
    retries.world.suspend(30)
    retries.world.pass_time(1)
    [ask] = {message.ask for message in retries.listener.take(RefreshHooks)}
    for restarts in (False, True):
        if restarts:
            retries.listener.restart()
        peers = retries.deliverer, retries.table, retries.listener
        retries.world.tell_peers(retries.actor, *peers)
        retries.world.pass_time(0.1)
        asks = [message.ask for message in retries.listener.take(RefreshHooks)]
        assert asks == [ask] * restarts


@pytest.mark.parametrize("where", ["for fresh hooks", "with a deliverer"])
@pytest.mark.logs("messages_overdue")
def test_a_delivery_that_waits_for_too_long_returns_to_the_broker(where, retries):
    overdue = overdue_s(retries.settings)
    early = {}
    if where == "for fresh hooks":
        retries.listener.silent = True
        retries.world.suspend(30)
        retries.defer(7, retries.message(1.0))
        assert retries.due(overdue + 10) == []
        retries.listener.silent = False
        retries.world.pass_time(10)
    else:
        retries.defer(7, retries.message(1.0))
        [(share, early)] = retries.due()
        retries.world.pass_time(overdue)
    assert retries.left == 1
    [(again, redelivered)] = retries.due()
    assert redelivered.keys().isdisjoint(early)
    if early:
        retries.report(share, early)  # Too late.
    assert retries.left == 1
    retries.report(again, redelivered)
    assert retries.left == 0


def test_the_depths_of_the_queues_are_measured_again_and_again(retries):
    metrics = retries.world.peer(METRICS)
    retries.world.tell_peers(
        retries.actor, retries.deliverer, retries.table, retries.listener, metrics
    )

    def waiting():
        retries.world.pass_time(10)
        gauges = metrics.take(Figures)[-1].figures.gauges
        return {
            labels[0]: value
            for (name, labels), value in gauges.items()
            if name == "callboard_retry_queue_messages" and value
        }

    retries.defer(1, retries.message(after_s=7200.0, id="d1"))
    assert waiting() == {"2h": 1}
    retries.defer(2, retries.message(after_s=7200.0, id="d2"), retries.message(60.0, id="d3"))
    assert waiting() == {"2h": 2, "1m": 1}


def test_waiting_deliveries_of_events_before_a_cancellation_are_listed_no_longer(retries, servers):
    now_ms = int((retries.world.unix_s + retries.world.now) * 1000)
    cancelled = {"_id": "h", "pvt_type": "webhook", CANCELLED_UNTIL: now_ms}
    servers.store.ensure_database("webhooks")
    servers.store.save("webhooks", cancelled)
    with closing(waiting_index(retries.settings)) as index:
        for id, taken_ms in (("d1", now_ms), ("d2", now_ms + 1)):
            retries.defer(int(id[1:]), evolve(retries.message(60.0, id=id), taken_ms=taken_ms))
        retries.world.pass_time(1)
        assert index.count(Window()) == 2
        retries.table.say(retries.actor, HooksOutdated(7, (("a", "h"),)))
        assert [one.id for one in index.page(Window(), None, 9)] == ["d2"]


def test_a_new_hook_table_is_asked_which_hooks_are_ordered(retries):
    retries.world.pass_time(0.1)
    retries.table.take(FindOrdered)
    peers = retries.deliverer, retries.table, retries.listener
    for restarts in (False, True):
        if restarts:
            retries.table.restart()
        retries.world.tell_peers(retries.actor, *peers)
        retries.world.pass_time(0.1)
        assert len(retries.table.take(FindOrdered)) == restarts


def test_due_deliveries_go_to_a_deliverer_as_soon_as_there_is_one(retries):
    retries.world.tell_peers(retries.actor, retries.table, retries.listener)
    retries.defer(7, retries.message(after_s=1.0))
    assert retries.due() == []
    retries.world.tell_peers(retries.actor, retries.deliverer, retries.table, retries.listener)
    assert [list(items.values()) for _share, items in retries.due(0.01)] == [["d1"]]


def test_a_confirmation_without_its_deliverer_is_sent_once_it_is_known_again(retries):
    retries.defer(7, retries.message())
    retries.world.tell_peers(retries.actor, retries.table, retries.listener)
    retries.world.pass_time(1)
    assert retries.confirmed() == []
    retries.world.tell_peers(retries.actor, retries.deliverer, retries.table, retries.listener)
    retries.world.pass_time(0.01)
    assert retries.confirmed() == [7]


@pytest.fixture
def bridge(retries):
    bridge = retries.world.peer(EVENT_BRIDGE)
    retries.world.tell_peers(
        retries.actor, retries.deliverer, retries.table, retries.listener, bridge
    )
    return bridge


def made(*events, refused=()):
    """What a responder sends of the bridge's first batch."""
    parts = tuple(EventDeliveries(tag, (one,)) for tag, one in events)
    return DeliveryBatch("1/0", (EVENT_BRIDGE, 1), parts, refused)


def settled(bridge):
    return [
        tag for report in bridge.take(Progress) for _share, tags in report.settled for tag in tags
    ]


def test_a_release_may_come_before_the_deliveries(retries, bridge):
    bridge.say(retries.actor, Release(1, 1, before=3, released=(("1/0", (1,)),)))
    retries.world.pass_time(0.1)
    retries.table.say(retries.actor, made((1, delivery())))
    retries.world.pass_time(0.1)
    assert settled(bridge) == [1]
    assert len(list(retries.broker.held("callboard.events.ordered.h"))) == 1


@pytest.mark.logs("broker_down")
def test_what_cannot_go_into_an_ordered_queue_is_given_up_by_a_deliverer(retries, bridge):
    """A payload that the broker would refuse, and one that could not be encoded."""
    large = delivery("large", body=b"x" * 2**24)
    odd = delivery("odd", body=b"")
    batch = made((1, delivery("small")), (2, large), refused=((3, odd, 0),))
    retries.table.say(retries.actor, batch)
    released = (("1/0", (1, 2, 3)),)
    bridge.say(retries.actor, Release(1, 1, before=4, released=released))
    retries.world.pass_time(0.1)
    assert settled(bridge) == [1]
    assert len(list(retries.broker.held("callboard.events.ordered.h"))) == 1
    assert [
        (item.delivery.id, reason, size)
        for batch in retries.deliverer.take(DueBatch)
        for _tag, item, reason, size in batch.refused
    ] == [("large", "refused: payload", 2**24), ("odd", "refused: payload", 0)]
    retries.broker.connections[0].lose("reset by peer")
    retries.world.pass_time(3)
    for batch in retries.deliverer.take(DueBatch):
        retries.report(batch.share, [tag for tag, *_rest in batch.refused])
    assert settled(bridge) == [2, 3]
    assert retries.actor.actor.stats()["settled"] == 0, "none of them came by the broker"


def test_a_deliverer_that_is_away_holds_up_no_confirmation_for_another(retries):
    peers = retries.table, retries.listener
    others = [retries.world.peer(f"deliveries/deliverer-{n}") for n in range(2, 5)]
    retries.world.tell_peers(retries.actor, *peers, retries.deliverer, *others)
    for number, sender in enumerate((*others, retries.deliverer)):
        source = sender.path, sender.incarnation
        sender.say(retries.actor, Defer(number, source, (retries.message(id=f"d{number}"),)))
    retries.world.tell_peers(retries.actor, *peers, others[-1])
    retries.world.pass_time(1)
    assert [done.batch for done in others[-1].take(Deferred)] == [2]
    retries.world.tell_peers(retries.actor, *peers, retries.deliverer, others[0])
    retries.world.pass_time(1)
    assert ([done.batch for done in others[0].take(Deferred)], retries.confirmed()) == ([0], [3])


def test_a_deliverer_learns_up_to_which_change_the_hooks_are_known(retries):
    """It knows of later changes itself, and sends nothing for a hook as it was."""
    for number, options in enumerate((Options(), Options(ordered=True)), 1):
        retries.table.change, retries.table.options = 10 + number, options
        retries.broker.publish("", DUE, as_json(retries.message(after_s=0.0)), Properties())
        retries.world.pass_time(1)
        [batch] = retries.deliverer.take(DueBatch)
        assert batch.change == 10 + number
        retries.report(batch.share, [tag for tag, _item in batch.items])


def test_the_depths_are_known_as_soon_as_the_broker_is(retries):
    retries.defer(1, retries.message(after_s=7200.0))
    retries.world.pass_time(1)
    retries.world.kill(retries.actor.address)
    retries.start()
    gauges = retries.actor.actor.tally.figures().gauges
    assert gauges["callboard_retry_queue_messages", ("2h",)] == 1


@pytest.mark.logs("retry_set_aside")
def test_the_metrics_count_what_was_handed_out_and_what_was_no_delivery(retries):
    retries.broker.publish("", DUE, b"no JSON", Properties())
    retries.defer(7, retries.message(), retries.message(id="d2"))
    retries.due()
    retries.actor.actor.measure()
    counters = retries.actor.actor.tally.figures().counters
    assert [
        counters[metric.name, ()] for metric in (catalog.RETRIES_HANDED_OUT, catalog.RETRIES_POISON)
    ] == [2, 1]


def test_a_delivery_of_megabytes_fits_into_an_ordered_queue(retries, bridge):
    retries.table.say(retries.actor, made((1, delivery(body=b"x" * 3_000_000))))
    bridge.say(retries.actor, Release(1, 1, before=2, released=(("1/0", (1,)),)))
    retries.world.pass_time(0.1)
    assert settled(bridge) == [1]
    assert [batch.refused for batch in retries.deliverer.take(DueBatch)] == [()]


def test_after_a_change_of_hooks_the_table_is_asked_which_are_ordered(retries):
    retries.table.take(FindOrdered)
    retries.table.say(retries.actor, HooksOutdated(7, (("a", "other"),)))
    retries.world.pass_time(0.1)
    assert len(retries.table.take(FindOrdered)) == 1


def test_the_deliveries_of_a_hook_that_is_paused_no_more_go_on_at_once(retries):
    key = ("a", "h")
    retries.table.options = Options(paused=True)
    retries.table.say(retries.actor, OrderedFound(((key, True),)))
    retries.broker.publish("", DUE, as_json(retries.message(after_s=0.0)), Properties())
    assert retries.due(20) == []
    retries.table.options = Options()
    retries.table.say(retries.actor, OrderedFound(((key, False),)))
    assert [list(items.values()) for _share, items in retries.due(0.1)] == [["d1"]]


def test_at_most_twenty_shares_are_on_the_way_until_they_are_accepted(retries):
    for number in range(21):
        message = retries.message(after_s=0.0, id=f"d{number}")
        retries.broker.publish("", DUE, as_json(message), Properties())
        retries.world.pass_time(0.01)
    shares = [share for share, _items in retries.due(0.1)]
    assert len(shares) == 20
    report = Progress((RETRY_QUEUE, retries.incarnation), tuple(shares[:1]), ())
    retries.deliverer.say(retries.actor, report)
    assert [list(items.values()) for _share, items in retries.due(0.1)] == [["d20"]]


def test_news_of_the_same_peers_hand_nothing_out_again(retries):
    retries.defer(7, retries.message())
    assert len(retries.due()) == 1
    retries.world.tell_peers(retries.actor, retries.deliverer, retries.table, retries.listener)
    assert retries.due() == []


def test_a_hook_table_that_is_still_empty_is_asked_again_every_second(retries):
    retries.table.silent = True
    retries.broker.publish("", DUE, as_json(retries.message(after_s=0.0)), Properties())
    asked = []
    for _second in range(4):
        retries.world.pass_time(1.1)
        found = retries.table.take(FindHooks)
        asked.append(len(found))
        for message in found:
            retries.table.say(retries.actor, HooksFound(message.ask, None, 0))
    assert asked == [1] * 4


def test_the_deliveries_of_several_hooks_that_no_store_has_are_decided_together(retries):
    retries.table.known = False
    for number, hook in enumerate(("h", "h", "other")):
        message = retries.message(after_s=0.0, id=f"d{number}")
        message = evolve(message, delivery=evolve(message.delivery, hook_id=hook))
        retries.broker.publish("", DUE, as_json(message), Properties())
    retries.world.pass_time(1)
    [batch] = retries.deliverer.take(DueBatch)
    decided = [item.delivery.id for _tag, item, _reason in batch.cancelled]
    decided += [item.delivery.id for _tag, item in batch.items]
    assert sorted(decided) == ["d0", "d1", "d2"]


def test_of_the_decided_deliveries_those_of_a_changed_hook_alone_are_judged_again(retries):
    retries.world.tell_peers(retries.actor, retries.table, retries.listener)
    for number, hook in enumerate(("h", "other")):
        message = retries.message(after_s=0.0, id=f"d{number}")
        message = evolve(message, delivery=evolve(message.delivery, hook_id=hook))
        retries.broker.publish("", DUE, as_json(message), Properties())
    retries.world.pass_time(1)
    retries.table.take(FindHooks)
    retries.table.change = 8
    retries.table.say(retries.actor, HooksOutdated(8, (("a", "h"),)))
    retries.world.pass_time(1)
    assert [asked.keys for asked in retries.table.take(FindHooks)] == [(("a", "h"),)]
    retries.world.tell_peers(retries.actor, retries.deliverer, retries.table, retries.listener)
    found = [id for _share, items in retries.due(1) for id in items.values()]
    assert sorted(found) == ["d0", "d1"]


def test_a_new_bridge_hears_nothing_of_what_the_one_before_has_sent(retries, bridge):
    retries.table.say(retries.actor, made((1, delivery())))
    bridge.restart()
    peers = retries.deliverer, retries.table, retries.listener, bridge
    retries.world.tell_peers(retries.actor, *peers)
    bridge.take(Progress)
    later = evolve(made((1, delivery("d2"))), source=(EVENT_BRIDGE, 2))
    retries.table.say(retries.actor, later)
    bridge.say(retries.actor, Release(2, 1, before=2, released=(("1/0", (1,)),)))
    retries.world.pass_time(0.1)
    reports = bridge.take(Progress)
    assert {report.source for report in reports} == {(EVENT_BRIDGE, 2)}
    assert [share for report in reports for share in report.accepted] == ["1/0"]
    held = retries.broker.held("callboard.events.ordered.h")
    assert [from_json(message.body).delivery.id for message in held] == ["d2"]
