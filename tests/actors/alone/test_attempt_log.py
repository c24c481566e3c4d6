"""The attempt log alone: what it has confirmed reaches the store, whatever ends or is away."""

import logging
from contextlib import closing
from types import SimpleNamespace

import pytest
from attrs import evolve

from callboard.actors.base.role import Ports
from callboard.actors.delivery.attempt_log import AttemptLog
from callboard.actors.messages import (
    AttemptPolicy,
    Attempts,
    AttemptsPersisted,
    ConfigurationChanged,
    WhichAttempts,
)
from callboard.actors.messages.operational import EventsReported, ReportEvents
from callboard.actors.messages.paths import ATTEMPT_LOG, HOOK_LISTENER
from callboard.adapters.store.protocol import StoreError
from callboard.adapters.store.spool import Spool
from callboard.config.settings import AmqpSettings, AttemptsSettings, DeliverySettings
from callboard.webhooks.history.dead_letters import DATABASE as DEAD_LETTERS
from support.world import Broker, Store, World

MONTH = "account/a1/b2/c3-202611"


class Log:
    def __init__(self, world, servers, settings):
        self.world, self.store, self.settings = world, servers.store, settings
        self.deliverer = world.peer("deliveries/deliverer-1")
        self.start()

    def start(self, seconds=1):
        self.actor = self.world.start(AttemptLog, ATTEMPT_LOG, self.settings, self.deliverer)
        self.world.pass_time(seconds)

    def send(self, batch, *documents):
        self.deliverer.say(self.actor, Attempts(batch, documents))

    def confirmed(self):
        self.world.pass_time(0.1)
        return [message.batch for message in self.deliverer.take(AttemptsPersisted)]

    def stored(self, database, within_s=60.0):
        self.world.pass_time(within_s)
        return sorted(document["_id"] for document in self.store.all(database))


@pytest.fixture
def log(world, servers, settings):
    return Log(world, servers, settings)


def attempt(number=1):
    return MONTH, {"_id": f"a{number}", "result": "failure"}


def letter(number=1):
    """Of an event: those of deliveries wait for the hook listener (test_operational_events.py)."""
    return DEAD_LETTERS, {"_id": f"l{number}", "kind": "event"}


def test_records_are_confirmed_before_the_store_has_them(log):
    log.send(1, attempt(), letter())
    assert log.confirmed() == [1]
    assert log.store.all(MONTH) == log.store.all(DEAD_LETTERS) == []
    assert log.stored(MONTH) == ["a1"]
    assert log.stored(DEAD_LETTERS) == ["l1"]


def test_a_killed_log_has_lost_nothing_that_it_has_confirmed(log):
    log.send(1, attempt(), letter())
    assert log.confirmed() == [1]
    log.world.kill(log.actor.address)
    assert log.stored(MONTH) == []
    log.start(0.5)
    assert (log.stored(MONTH, 0), log.stored(DEAD_LETTERS, 0)) == (["a1"], ["l1"]), "at once"


def test_a_batch_that_arrives_again_is_confirmed_again_and_stored_once(log):
    for _time in range(2):
        log.send(1, attempt(), letter())
        assert log.confirmed() == [1]
    assert (log.stored(MONTH), log.stored(DEAD_LETTERS)) == (["a1"], ["l1"])


@pytest.mark.parametrize("away_s", [1.0, 60.0, 3600.0])
@pytest.mark.logs("store_unavailable")
def test_while_the_store_is_away_records_wait_on_disk(log, away_s):
    log.store.away = True
    log.send(1, attempt(), letter())
    assert log.confirmed() == [1]
    assert log.stored(MONTH, away_s) == []
    log.actor.actor.measure()
    gauges = log.actor.actor.tally.figures().gauges
    assert gauges["callboard_attempts_waiting", ()] == 1
    log.store.away = False
    assert (log.stored(MONTH), log.stored(DEAD_LETTERS)) == (["a1"], ["l1"])


@pytest.mark.logs("store_unavailable")
def test_records_gather_for_a_quarter_of_a_second_and_are_written_again_after_two(log):
    log.send(1, attempt(1))
    assert log.stored(MONTH, 0.24) == []
    assert log.stored(MONTH, 0.02) == ["a1"]
    log.store.away = True
    log.send(2, attempt(2))
    log.world.pass_time(0.26)
    log.store.away = False
    assert log.stored(MONTH, 1.98) == ["a1"]
    assert log.stored(MONTH, 0.02) == ["a1", "a2"]


@pytest.mark.logs("dead_letter_refused")
def test_a_refused_dead_letter_holds_up_no_other(log):
    log.store.refuse = lambda document: "too large" if document["_id"] == "l1" else None
    log.send(1, letter(1), letter(2))
    assert log.confirmed() == [1]
    assert log.stored(DEAD_LETTERS) == ["l2"]
    with closing(Spool(log.settings.data.dir / "refused.sqlite3", dropping=False)) as kept:
        [(_id, database, document)] = kept.first(10)
    assert (database, document) == letter(1)


@pytest.mark.logs("dead_letters_refused")
def test_dead_letters_that_are_refused_together_are_written_singly_and_none_is_dropped(log):
    save_many, written, refused = log.store.save_many, [], {"l2"}

    def save(database, documents):
        ids = [document["_id"] for document in documents]
        written.append(ids)
        if refused.intersection(ids):
            raise StoreError("too large")
        return save_many(database, documents)

    log.store.save_many = save
    log.send(1, *map(letter, (1, 2, 3, 4)))
    log.world.pass_time(29)
    assert written == [["l1", "l2", "l3", "l4"], ["l1"], ["l2", "l3", "l4"], ["l2"]]
    refused.clear()
    log.world.pass_time(1.2)
    assert written[4:] == []
    log.world.pass_time(0.1)
    assert written[4:] == [["l2"], ["l3", "l4"]]
    assert len(log.store.all(DEAD_LETTERS)) == 4


@pytest.mark.logs("attempts_refused")
def test_attempts_that_are_refused_together_are_dropped_and_counted(log):
    save_many = log.store.save_many

    def save(database, documents):
        if database == "account/no":
            raise StoreError("illegal_database_name")
        return save_many(database, documents)

    log.store.save_many = save
    log.send(1, ("account/no", {"_id": "x1"}), ("account/no", {"_id": "x2"}), attempt())
    assert log.stored(MONTH) == ["a1"]
    stats = log.actor.actor.stats()
    assert (stats["written"], stats["refused"], stats["waiting"]) == (1, 2, 0)
    [line] = log.world.logged
    assert (line["event"], line["database"], line["reason"]) == (
        "attempts_refused",
        "account/no",
        "illegal_database_name",
    )


def test_dead_letters_wait_for_their_events_and_those_after_them_for_nothing_else(log):
    listener = log.world.peer(HOOK_LISTENER)
    log.world.tell_peers(log.actor, log.deliverer, listener)
    exhausted = {"kind": "delivery", "pvt_account_id": "a", "hook_event": "shop"}

    def reported(within_s):
        log.world.pass_time(within_s)
        found = listener.take(ReportEvents)
        return [r.number for r in found], [
            e.data["dead_letter_id"] for r in found for e in r.events
        ]

    log.send(1, (DEAD_LETTERS, {"_id": "l1", **exhausted}))
    (first,), ids = reported(1)
    assert ids == ["l1"]
    (again,), ids = reported(5)
    assert ids == ["l1"], "it is repeated after five seconds"
    log.send(2, (DEAD_LETTERS, {"_id": "l2", **exhausted}))
    listener.say(log.actor, EventsReported(first))
    assert reported(1) == ([], []), "an earlier number"
    listener.say(log.actor, EventsReported(again))
    (number,), ids = reported(0.1)
    assert ids == ["l2"]
    listener.say(log.actor, EventsReported(number))
    assert reported(60) == ([], [])


def test_ten_thousand_at_once_are_all_confirmed_and_stored(log):
    for batch in range(50):
        log.send(batch, *[attempt(batch * 200 + number) for number in range(200)])
    assert sorted(log.confirmed()) == list(range(50))
    assert len(log.stored(MONTH)) == 10_000


def test_five_hundred_attempts_and_fifty_dead_letters_are_written_at_a_time(log):
    save_many, written = log.store.save_many, []

    def save(database, documents):
        written.append((database, len(documents)))
        return save_many(database, documents)

    log.store.save_many = save
    log.send(1, *map(attempt, range(501)), *map(letter, range(51)))
    log.world.pass_time(1)
    assert [count for database, count in written if database == MONTH] == [500, 1]
    assert [count for database, count in written if database == DEAD_LETTERS] == [50, 1]


def test_who_asks_for_the_policy_gets_it_and_hears_of_changes(log):
    log.deliverer.say(log.actor, WhichAttempts())
    log.world.pass_time(1)
    assert [policy.successes for policy in log.deliverer.take(AttemptPolicy)] == [False]
    log.store.databases["system_config"] = {}
    log.store.save(
        "system_config", {"_id": "webhooks", "default": {"log_successful_attempts": True}}
    )
    log.world.pass_time(27.9)
    assert log.deliverer.take(AttemptPolicy) == []
    log.world.pass_time(0.2)
    assert [policy.successes for policy in log.deliverer.take(AttemptPolicy)] == [True]


@pytest.mark.parametrize(
    ("stored", "expected_ms"),
    [(2500, 2500), (0, 10_000), ("soon", 10_000), (None, 10_000), (-7, 1)],
)
def test_the_cluster_says_how_long_connecting_may_take(log, stored, expected_ms):
    log.store.databases["system_config"] = {}
    log.store.save("system_config", {"_id": "webhooks", "default": {"connect_timeout_ms": stored}})
    log.world.pass_time(90)
    log.deliverer.say(log.actor, WhichAttempts())
    log.world.pass_time(1)
    assert log.deliverer.take(AttemptPolicy)[-1].connect_timeout_ms == expected_ms


def test_the_log_says_that_the_policy_cannot_be_read():
    with World(log_level=logging.WARNING) as world:
        store = Store()
        store.away = True
        world.ports = Ports(Broker(world).connect, store.connect)
        Log(world, SimpleNamespace(store=store), world.settings())
        assert world.logged == [
            {"event": "store_unavailable", "actor": ATTEMPT_LOG, "reason": "the store is away"}
        ]


@pytest.mark.logs("attempts_refused", "store_unavailable")
def test_what_was_dropped_and_what_the_store_refused_is_counted_together(world, servers, settings):
    log = Log(world, servers, evolve(settings, attempts=AttemptsSettings(spool_mb=1)))
    log.store.away = True
    large = [(MONTH, {"_id": f"a{n:02}", "body": "x" * 100_000}) for n in range(15)]
    for batch, one in enumerate(large):
        log.send(batch, one)
    log.world.pass_time(1)
    dropped = log.actor.actor.stats()["dropped"]
    assert 0 < dropped < 15
    log.store.away = False

    def refuse(_database, _documents):
        raise StoreError("no valid name")

    log.store.save_many = refuse
    log.world.pass_time(10)
    log.actor.actor.measure()
    counters = log.actor.actor.tally.figures().counters
    assert log.actor.actor.stats()["refused"] == 15 - dropped
    assert counters["callboard_attempts_dropped_total", ()] == 15
    assert counters["callboard_attempts_written_total", ()] == 0


@pytest.mark.parametrize(
    ("trial", "known"), [(False, False), (False, True), (True, False), (True, True)]
)
def test_a_trial_leaves_the_views_of_kazoos_databases_as_they_are(
    world, servers, settings, trial, known
):
    if known:
        servers.store.ensure_database(MONTH)
    log = Log(world, servers, evolve(settings, amqp=AmqpSettings(join_kazoo=trial)))
    views, databases = [], []
    ensure = log.store.ensure_database
    log.store.ensure_views = lambda database, _views: views.append(database)
    log.store.ensure_database = lambda name: databases.append(name) or ensure(name)
    for number in (1, 2):
        log.send(number, attempt(number))
        assert log.stored(MONTH) == [f"a{n}" for n in range(1, number + 1)]
    assert views == ([] if trial and known else [MONTH])
    assert databases == [MONTH], "once"


def test_a_later_run_does_not_write_the_attempts_of_a_dry_run(world, servers, settings):
    servers.store.away = True
    dry = evolve(settings, delivery=DeliverySettings(dry_run=True))
    log = Log(world, servers, dry)
    log.send(1, attempt(), letter())
    assert log.confirmed() == [1]
    world.kill(log.actor.address)
    servers.store.away = False
    log = Log(world, servers, settings)
    assert (log.stored(MONTH), log.stored(DEAD_LETTERS)) == ([], [])
    world.kill(log.actor.address)
    world.logged.clear()
    Log(world, servers, dry)
    world.pass_time(5)
    assert len(servers.store.all(MONTH)) == 1


@pytest.mark.logs("attempts_not_kept")
def test_no_dead_letter_is_dropped_when_their_file_is_full(world, servers, settings):
    log = Log(world, servers, evolve(settings, attempts=AttemptsSettings(spool_mb=1)))
    for number in range(15):
        log.send(number, (DEAD_LETTERS, letter(number)[1] | {"body": "x" * 100_000}))
    confirmed = log.confirmed()
    assert 8 < len(confirmed) < 15
    assert log.stored(DEAD_LETTERS, 120) == sorted(f"l{number}" for number in range(15))
    assert confirmed + log.confirmed() == [*range(15)]


def test_a_changed_policy_is_sent_to_the_deliverers_at_once(log):
    policy = {"log_successful_attempts": True, "connect_timeout_ms": 2500}
    document = log.store.get("system_config", "webhooks")
    log.store.save("system_config", document | {"default": policy})
    log.deliverer.take(AttemptPolicy)
    changed = ConfigurationChanged((("system_config", "webhooks"),))
    for _time in range(2):
        log.deliverer.say(log.actor, changed)
    log.world.pass_time(0.1)
    assert log.deliverer.take(AttemptPolicy) == [AttemptPolicy(True, 2500)]
