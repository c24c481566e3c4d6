"""The failure cache and the disabler alone: each failure counts once, on all nodes."""

import json

import pytest

from callboard.actors.failures.disabler import Disabler
from callboard.actors.failures.failure_cache import FailureCache
from callboard.actors.messages import (
    CountFailures,
    DisableHook,
    FailedAttempts,
    FailingListed,
    FailuresCounted,
    FailuresForgotten,
    FailuresSeen,
    Figures,
    FlushFailures,
    FlushHooks,
    GetFailures,
    ListFailing,
)
from callboard.actors.messages.operational import ReportEvents
from callboard.actors.messages.paths import DISABLER, FAILURE_CACHE, HOOK_LISTENER, METRICS
from callboard.adapters.broker.protocol import Properties
from callboard.config.settings import DisablerSettings

EXCHANGE = "callboard.events.failures"
DAY_MS = 86_400_000


class Cache:
    """A failure cache, another node's, and those that ask them."""

    def __init__(self, world, settings):
        self.world, self.other = world, world.peer(DISABLER)
        self.metrics = world.peer(METRICS)
        self.actor = world.start(FailureCache, FAILURE_CACHE, settings, self.metrics)
        world.pass_time(1)

    @property
    def now_ms(self):
        return int((self.world.unix_s + self.world.now + 62167219200) * 1000)

    def say(self, message):
        self.other.say(self.actor, message)
        self.world.pass_time(0.05)

    def ask(self, message, kind):
        self.say(message)
        (answer,) = self.other.take(kind)
        return answer

    def fail(self, hook, *times, account="a"):
        self.say(FailedAttempts(tuple((account, hook, at) for at in times)))

    def seen(self):
        return self.ask(GetFailures(), FailuresSeen).failures

    def gauge(self):
        self.world.pass_time(2)
        return self.metrics.take(Figures)


@pytest.fixture
def cache(world, servers, settings):
    return Cache(world, settings)


@pytest.fixture
def caches(world, servers, settings):
    return Cache(world, settings), Cache(world, settings)


def test_failures_are_listed_counted_and_forgotten(cache):
    cache.fail("h1", 10, 20, 30)
    cache.fail("h2", 10)
    cache.fail("h3", 40, account="b")
    assert cache.seen() == {("a", "h1"): (10, 20, 30), ("a", "h2"): (10,), ("b", "h3"): (40,)}
    count = CountFailures(4, (("a", "h1"), ("a", "h9"), ("b", "h3")), {"a": 10, "b": 0})
    assert cache.ask(count, FailuresCounted) == FailuresCounted(4, (2, 0, 1))
    assert cache.ask(FlushFailures("a", "h1", ask=5), FailuresForgotten) == FailuresForgotten(5, 3)
    assert cache.ask(FlushFailures("a", ask=6), FailuresForgotten) == FailuresForgotten(6, 1)
    cache.say(FlushFailures("b", "h9"))
    assert cache.other.take(FailuresForgotten) == []
    assert cache.seen() == {("b", "h3"): (40,)}
    cache.fail("h4", 1, account="b")
    cache.say(FlushHooks((("b", "h3"),)))
    assert cache.seen() == {("b", "h4"): (1,)}


@pytest.mark.parametrize(
    ("account", "after", "limit", "hooks", "more"),
    [
        (None, None, 3, (("a", "h1"), ("a", "h2"), ("b", "h1")), False),
        (None, None, 2, (("a", "h1"), ("a", "h2")), True),
        (None, ("a", "h2"), 2, (("b", "h1"),), False),
        ("b", None, 2, (("b", "h1"),), False),
        ("c", None, 2, (), False),
    ],
)
def test_hooks_with_failures_are_listed_by_pages(cache, account, after, limit, hooks, more):
    for of, hook in (("b", "h1"), ("a", "h2"), ("a", "h1")):
        cache.fail(hook, 1, account=of)
    listed = cache.ask(ListFailing(7, account, after, limit), FailingListed)
    assert listed == FailingListed(7, hooks, more)


def test_nodes_count_each_others_failures_once(caches, world, servers):
    one, two = caches
    one.fail("h1", 10)
    one.fail("h1", 20)
    two.fail("h1", 30)
    world.pass_time(0.3)
    assert two.seen() == {("a", "h1"): (30,)}  # collected for half a second
    world.pass_time(0.4)
    assert set(two.seen()["a", "h1"]) == set(one.seen()["a", "h1"]) == {10, 20, 30}
    one.say(FlushFailures("a", "h1"))
    world.pass_time(1)
    assert set(two.seen()["a", "h1"]) == {10, 20, 30}
    two.say(FlushFailures("a", "h1", everywhere=True))
    world.pass_time(1)
    assert (one.seen(), two.seen()) == ({}, {})


@pytest.mark.parametrize(
    ("flush", "left"),
    [
        (FlushFailures("a", everywhere=True), {("b", "h1"): (3,)}),
        (FlushFailures("a", "h1", everywhere=True), {("a", "h2"): (2,), ("b", "h1"): (3,)}),
        (FlushHooks((("a", "h1"),)), {("a", "h2"): (2,), ("b", "h1"): (3,)}),
    ],
)
def test_failures_before_a_flush_do_not_outlive_it_on_other_nodes(caches, world, flush, left):
    one, two = caches
    one.fail("h1", 1)
    one.fail("h2", 2)
    one.fail("h1", 3, account="b")
    one.say(flush)
    one.fail("h3", 4)
    world.pass_time(1)
    assert one.seen() == two.seen() == left | {("a", "h3"): (4,)}


def test_what_is_sent_to_other_nodes(cache, world, servers):
    """The form that nodes of other versions read."""
    sent = []
    real = servers.broker.publish

    def publish(exchange, key, body, properties):
        sent.append((exchange, key, json.loads(body), properties.content_type))
        return real(exchange, key, body, properties)

    servers.broker.publish = publish
    cache.fail("h1", 10)
    cache.say(FlushFailures("a", "h2", everywhere=True))
    cache.say(FlushFailures("b", everywhere=True))
    world.pass_time(5)
    ((exchange, key, body, content_type),) = sent
    assert (exchange, key, content_type) == (EXCHANGE, "", "application/json")
    assert body.pop("Origin")
    assert body == {"Failures": [["a", "h1", 10]], "Flushes": [["a", "h2"], ["b", None]]}


def test_while_the_broker_is_away_failures_are_kept_for_the_other_nodes(caches, world, servers):
    one, two = caches
    servers.broker.stop(10)
    world.pass_time(1)
    one.fail("h1", 10)
    two.fail("h2", 20)
    one.say(FlushFailures("a", "h2", everywhere=True))
    world.pass_time(5)
    assert one.seen() == {("a", "h1"): (10,)}
    world.pass_time(20)
    assert one.seen() == {("a", "h1"): (10,), ("a", "h2"): (20,)}
    assert two.seen()["a", "h1"] == (10,)


def test_what_no_node_has_confirmed_is_sent_again(caches, world, servers):
    one, two = caches
    one.fail("h1", 10)
    one.say(FlushFailures("a", "h2", everywhere=True))
    two.fail("h2", 20)
    world.pass_time(0.401)  # on its way as the connection is lost
    servers.broker.stop(2)
    world.pass_time(10)
    assert two.seen().get(("a", "h1")) == (10,)
    world.pass_time(10)
    assert world.logged == []


@pytest.mark.logs("failures_unreadable")
def test_a_message_of_something_else_is_acknowledged_and_changes_nothing(cache, world, servers):
    servers.broker.publish(EXCHANGE, "", b"nonsense", Properties())
    world.pass_time(1)
    assert cache.seen() == {}
    assert servers.broker.messages == 0
    body = {"Origin": "x", "Failures": [["a", "h", 5]], "Flushes": []}
    servers.broker.publish(EXCHANGE, "", json.dumps(body).encode(), Properties())
    world.pass_time(1)
    assert cache.seen() == {("a", "h"): (5,)}
    assert servers.broker.messages == 0


def test_failures_of_a_day_ago_are_forgotten_within_a_minute(cache, world):
    now = cache.now_ms
    cache.fail("h1", now - DAY_MS - 1_000, now - DAY_MS + 90_000)
    cache.fail("h2", now - DAY_MS - 1_000)
    world.pass_time(61)
    assert cache.seen() == {("a", "h1"): (now - DAY_MS + 90_000,)}
    world.pass_time(120)
    assert cache.seen() == {}


def test_the_number_of_failures_is_reported(cache, world):
    cache.fail("h1", 10, 20)
    (figures,) = cache.gauge()[-1:]
    assert figures.figures.gauges[("callboard_failures_remembered", ())] == 2
    stats = cache.actor.actor.stats()
    assert stats == {"failures": 2, "unshared": 0}


# The disabler


class Disabling:
    """A disabler, with a failure cache and a hook listener that keep what they are told."""

    def __init__(self, world, servers, settings, **system):
        self.world, self.store = world, servers.store
        self.cache, self.listener = world.peer(FAILURE_CACHE), world.peer(HOOK_LISTENER)
        self.metrics = world.peer(METRICS)
        for database in ("system_config", "services", "accounts"):
            self.store.ensure_database(database)
        if system:
            self.store.save("system_config", {"_id": "webhooks", "default": system})
        self.actor = world.start(
            Disabler, DISABLER, settings, self.cache, self.listener, self.metrics
        )

    @property
    def now_ms(self):
        return int((self.world.unix_s + self.world.now + 62167219200) * 1000)

    def asked(self, seconds):
        """How often the cache was asked within this time."""
        self.world.pass_time(seconds)
        return len(self.cache.take(GetFailures))

    def seen(self, failures):
        self.cache.say(self.actor, FailuresSeen(failures))
        self.world.pass_time(0.1)
        return self.listener.take(DisableHook)


@pytest.fixture
def disabling(world, servers, settings):
    return lambda settings=settings, **system: Disabling(world, servers, settings, **system)


@pytest.mark.parametrize(
    ("system", "pause_s"),
    [
        ({}, 15.0),
        ({"attempt_failure_expiry_ms": 40_000}, 10.0),
        ({"attempt_failure_expiry_ms": 5}, 1.0),
        ({"attempt_failure_expiry_ms": "soon"}, 15.0),
    ],
)
def test_it_counts_four_times_in_every_window(disabling, system, pause_s):
    it = disabling(**system)
    assert it.asked(0.9) == 0
    assert it.asked(0.2) == 1
    assert it.asked(pause_s - 0.2) == 0
    assert it.asked(0.2) == 1


def often(it):
    return {("a", "often"): tuple(it.now_ms - n for n in range(9))}


def test_it_disables_none_where_it_is_switched_off(disabling, world):
    """It counts nevertheless: that a hook is failing is an operational event."""
    off = world.settings(disabler=DisablerSettings(enabled=False))
    for it in (disabling(disable_disabler=True), disabling(settings=off)):
        assert it.asked(100) > 1
        assert it.seen(often(it)) == []


def test_a_switch_is_seen_without_a_restart(disabling):
    it = disabling(disable_disabler=True)
    it.asked(20)
    document = it.store.get("system_config", "webhooks")
    document["default"]["disable_disabler"] = False
    it.store.save("system_config", document)
    assert it.asked(60) >= 1
    assert len(it.seen(often(it))) == 1


@pytest.mark.logs("store_unavailable")
def test_it_waits_for_the_store_and_asks_again_after_five_seconds(disabling):
    it = disabling()
    it.store.away = True
    assert it.asked(4) == 0
    it.store.away = False
    assert it.asked(1.9) == 0
    assert it.asked(0.2) == 1


def test_too_many_recent_failures_disable_a_hook(disabling, world):
    it = disabling(attempt_failure_count=3)
    world.pass_time(2)
    now = it.now_ms
    failures = {
        ("a", "often"): (now - 1000, now - 2000, now - 3000),
        ("a", "seldom"): (now - 1000, now - 2000),
        ("a", "before"): (now - 1000, now - 2000, now - 61_000),
    }
    assert it.seen(failures) == [DisableHook("a", "often", "too many failed attempts")]
    assert it.actor.actor.stats() == {"asked": 1}
    world.pass_time(2)
    figures = it.metrics.take(Figures)[-1].figures
    assert figures.counters["callboard_hooks_disabled_total", ()] == 1


@pytest.mark.logs("store_unavailable")
def test_without_the_store_or_the_listener_nothing_is_disabled(disabling, world):
    it = disabling()
    world.pass_time(2)
    now = it.now_ms
    failures = {("a", "h"): tuple(now - n for n in range(9))}
    world.pass_time(40)
    it.store.away = True
    world.pass_time(40)
    assert it.seen(failures) == []
    it.store.away = False
    world.tell_peers(it.actor, it.cache)
    assert it.seen(failures) == []
    world.tell_peers(it.actor, it.cache, it.listener)
    now = it.now_ms
    assert len(it.seen({("a", "h"): tuple(now - n for n in range(9))})) == 1


def test_what_fails_before_the_broker_is_up_is_shared_once_it_is(world, servers, settings):
    servers.broker.up = False
    one = Cache(world, settings)
    one.fail("h1", 10)
    one.say(FlushFailures("a", "h2", everywhere=True))
    world.pass_time(5)
    assert one.actor.actor.stats() == {"failures": 1, "unshared": 1}
    servers.broker.up = True
    world.pass_time(5)
    assert one.actor.actor.stats() == {"failures": 1, "unshared": 0}
    other = Cache(world, settings)
    other.fail("h2", 20)
    servers.broker.stop(2)
    one.fail("h1", 11)
    world.pass_time(5)
    assert other.seen() == {("a", "h2"): (20,), ("a", "h1"): (11,)}


def test_a_failing_hook_is_reported_once_until_it_fails_no_longer(disabling, world):
    it = disabling(attempt_failure_count=4)
    it.store.ensure_database("webhooks")
    hook = {"_id": "h", "pvt_type": "webhook", "pvt_account_id": "a", "hook": "shop", "name": "n"}
    it.store.save("webhooks", hook | {"uri": "https://x.example/"})
    now = it.now_ms
    failures = {("a", "h"): tuple(now - number for number in range(3))}

    def reported(found):
        it.cache.say(it.actor, FailuresSeen(found, frozenset(found)))
        world.pass_time(0.1)
        assert it.listener.take(DisableHook) == []
        return len(it.listener.take(ReportEvents))

    assert [reported(found) for found in (failures, failures, {}, failures)] == [1, 0, 0, 1]
