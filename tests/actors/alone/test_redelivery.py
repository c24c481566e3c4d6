"""Dead letters, replays and early attempts alone: each request is answered, and nothing is lost.

What `Redelivery` publishes is taken from the broker's queues, as the retry queue would receive it.
"""

from contextlib import closing

import pytest
from attrs import evolve

from callboard import admin
from callboard.actors.messages.paths import REDELIVERY
from callboard.actors.operations.redelivery import Redelivery, event_again
from callboard.adapters.broker.protocol import Queue, Topology
from callboard.adapters.broker.publications import Publication, set_aside
from callboard.adapters.store.spool import Spool
from callboard.adapters.store.waiting_index import WaitingIndex
from callboard.config.settings import AmqpSettings, AttemptsSettings, DeadLettersSettings
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.history.dead_letters import dead_letter
from callboard.webhooks.hooks.hook import new_hook
from callboard.webhooks.retries.retry_message import RetryMessage, as_json, from_json
from callboard.webhooks.values.kazoo_names import modb

LETTERS, HOOKS = "callboard_dead_letters", "webhooks"
EVENTS, DUE = "callboard.events", "callboard.events.retries"
DAY_S, GREGORIAN_S = 86_400, 62_167_219_200
HOOK = "a1" * 16


def delivery(id, hook_id=HOOK):
    uri = "https://x.example/path"
    return Delivery(
        id=id,
        event_id="e1",
        hook_id=hook_id,
        account_id="b2" * 16,
        hook_event="shop",
        uri=uri,
        method="POST",
        url=uri,
        headers=(("Content-Type", "application/json"),),
        body=b'{"n":1}',
    )


class Redelivering:
    """The actor, an operator, and the queues that it publishes to."""

    def __init__(self, world, servers, settings):
        self.world, self.store, self.broker = world, servers.store, servers.broker
        self.settings, self.operator = settings, world.peer("operator")
        self.numbers = iter(range(1, 1000))
        for name in (EVENTS, DUE):
            self.broker.declare(Topology(queue=Queue(name)), name)
        for database in (HOOKS, "system_config"):
            self.store.ensure_database(database)

    def start(self, **options):
        if options:
            self.settings = self.world.settings(modules=self.settings.modules, **options)
        self.actor = self.world.start(Redelivery, REDELIVERY, self.settings)
        self.world.pass_time(0.5)
        return self

    @property
    def now_s(self):
        return int(self.world.unix_s + self.world.now)

    def ask(self, request):
        ref = f"r{next(self.numbers)}"
        self.operator.say(self.actor, evolve(request, ref=ref))
        self.world.pass_time(0.5)
        (answer,) = self.operator.take(admin.AdminAnswer)
        assert answer.ref == ref
        return answer

    def refused(self, request):
        answer = self.ask(request)
        assert isinstance(answer, admin.Refused)
        return answer.reason

    def published(self, queue):
        found = list(self.broker.queues[queue])
        self.broker.queues[queue].clear()
        return found

    def letters(self):
        return sorted(letter["_id"] for letter in self.store.all(LETTERS))

    def hook(self, **fields):
        public = {"name": "n", "uri": "https://x.example/", "hook": "shop"}
        document = new_hook(public | {"pvt_account_id": "b2" * 16}, 0, HOOK, "node")
        self.store.save(HOOKS, document | fields)

    def add_letters(self, *documents):
        if LETTERS not in self.store.databases:
            self.store.ensure_database(LETTERS)
        for document in documents:
            self.store.save(LETTERS, document)
        return tuple(document["_id"] for document in documents)

    def of_deliveries(self, *ids):
        return self.add_letters(
            *(dead_letter(delivery(id), "status 500", 3, (), self.now_s, "node") for id in ids)
        )

    def quarantine(self, count, module="shop"):
        kinds = {"content_type": "text/plain", "content_encoding": "utf-8"}
        message = Publication(
            *(b"\x00body", "shop", "order.paid"), message_id="m1", headers={"a": "b"}, **kinds
        )
        record = set_aside(message, module=module, reason="odd", now_unix_s=1_790_000_000.0)
        spool = Spool(self.settings.data.dir / "poison.sqlite3", dropping=False)
        spool.append([("", {**record, "routing_key": f"order.{n}"}) for n in range(count)])
        spool.close()


@pytest.fixture
def it(world, servers, settings):
    return Redelivering(world, servers, settings)


# Quarantined events become dead letters


def test_quarantined_events_become_dead_letters_at_once_and_once(it, world):
    it.quarantine(120)
    it.start()
    letters = it.store.all(LETTERS)
    assert len(letters) == 120
    assert {letter["routing_key"] for letter in letters} == {f"order.{n}" for n in range(120)}
    first = letters[0]
    assert (first["pvt_type"], first["kind"], first["module"]) == ("dead_letter", "event", "shop")
    assert (first["reason"], first["exchange"], first["message_id"]) == ("odd", "shop", "m1")
    assert first["pvt_created"] == 1_790_000_000 + GREGORIAN_S
    world.kill(it.actor.address)
    it.start()
    assert len(it.store.all(LETTERS)) == 120


def test_later_ones_are_looked_for_every_five_seconds(it, world):
    it.start()
    it.quarantine(3)
    assert it.actor.actor.stats()["set_aside"] == 3
    world.pass_time(4.0)
    assert it.store.all(LETTERS) == []
    world.pass_time(0.8)
    assert len(it.store.all(LETTERS)) == 3
    assert it.actor.actor.stats()["set_aside"] == 0


@pytest.mark.logs("dead_letters_not_purged", "dead_letters_wait")
def test_they_wait_while_the_store_is_away(it, world):
    it.quarantine(3)
    it.store.away = True
    it.start()
    world.pass_time(20)
    it.store.away = False
    world.pass_time(5)
    assert len(it.store.all(LETTERS)) == 3


@pytest.mark.logs("dead_letter_refused")
def test_one_that_the_store_refuses_is_kept_in_a_file_and_holds_up_no_other(it, world):
    it.quarantine(3)
    it.store.refuse = lambda letter: "too large" if letter["routing_key"] == "order.1" else None
    it.start()
    assert len(it.store.all(LETTERS)) == 2
    spool = Spool(it.settings.data.dir / "refused.sqlite3", dropping=False)
    ((_id, database, letter),) = spool.first(10)
    assert (database, letter["routing_key"]) == (LETTERS, "order.1")
    assert [event["event"] for event in world.logged] == ["dead_letter_refused"]


# Old ones are deleted


@pytest.mark.parametrize(("days", "left"), [(30, ["day", "new"]), (2, ["new"]), (0, None)])
def test_old_dead_letters_are_deleted(it, world, days, left):
    now = it.now_s + GREGORIAN_S
    ages = {"old": 31 * DAY_S, "edge": 30 * DAY_S + 10, "day": 29 * DAY_S, "new": 0}
    letter = dead_letter(delivery("d"), "r", 1, (), 0, "node")
    it.add_letters(*({**letter, "_id": id, "pvt_created": now - s} for id, s in ages.items()))
    it.start(dead_letters=DeadLettersSettings(keep_days=days))
    world.pass_time(5)
    assert it.letters() == sorted(left or ages)
    assert it.actor.actor.stats()["too_old"] == (4 - len(left) if left else 0)


def test_many_are_deleted_in_turns_of_a_second_and_then_every_ten_minutes(it, world):
    letter = dead_letter(delivery("d"), "r", 1, (), 0, "node")
    it.add_letters(*({**letter, "_id": f"{n}", "pvt_created": 5} for n in range(45)))
    it.start()  # half a second has passed
    counts = []
    for _second in range(4):
        world.pass_time(1)
        counts.append(len(it.letters()))
    assert counts == [25, 5, 0, 0]
    it.add_letters({**letter, "_id": "more", "pvt_created": 5})
    world.pass_time(590)
    assert it.letters() == ["more"]
    world.pass_time(15)
    assert it.letters() == []


@pytest.mark.parametrize(
    ("settings_", "left"),
    [
        pytest.param(
            {"attempts": AttemptsSettings(keep_days=30)},
            ["new"],
            marks=pytest.mark.logs("attempts_not_purged"),
        ),
        ({}, ["new", "old"]),
        (
            {
                "attempts": AttemptsSettings(keep_days=30),
                "amqp": AmqpSettings(url="memory://", join_kazoo=True),
            },
            ["new", "old"],
        ),
    ],
)
@pytest.mark.logs("dead_letters_not_purged")
def test_old_attempts_are_deleted_but_beside_kazoos_application(it, world, settings_, left):
    now = it.now_s + GREGORIAN_S
    database = modb("b2" * 16, it.now_s - 30 * DAY_S)
    it.store.ensure_database(database)
    for id, age_s in {"old": 31 * DAY_S, "new": 29 * DAY_S}.items():
        attempt = {"_id": id, "pvt_type": "webhook_attempt", "pvt_created": now - age_s}
        it.store.save(database, attempt)
    it.start(**settings_)
    world.pass_time(5)
    assert sorted(document["_id"] for document in it.store.all(database)) == left
    assert it.actor.actor.stats()["old_attempts"] == 2 - len(left)
    it.store.away = True
    world.pass_time(3600)
    it.store.away = False
    it.store.save(database, {**attempt, "_id": "more", "pvt_created": 1})
    world.pass_time(3600)
    assert len(it.store.all(database)) == (1 if len(left) == 1 else 3)


# Lists


def test_dead_letters_are_shown_purged_and_refused(it):
    ids = it.of_deliveries("d1", "d2", "d3")
    it.start()
    shown = it.ask(admin.ShowDeadLetter(ids[0]))
    assert (shown.document["_id"], shown.document["delivery_id"]) == (ids[0], "d1")
    assert it.refused(admin.ShowDeadLetter("0" * 32)) == f"there is no dead letter {'0' * 32}"
    purged = it.ask(admin.PurgeDeadLetters((ids[0], "0" * 32)))
    assert (purged.purged, purged.refused) == ((ids[0], "0" * 32), ())
    assert it.letters() == sorted(ids[1:])
    it.store.refuse = lambda letter: "locked" if letter["_id"] == ids[1] else None
    purged = it.ask(admin.PurgeDeadLetters(ids[1:]))
    assert purged.refused == ((ids[1], "locked"),)
    assert purged.purged == (ids[2],)


def test_what_is_asked_in_a_wrong_way_is_refused(it):
    it.start()
    for request, reason in (
        (admin.PurgeDeadLetters("abc"), "ids"),
        (admin.ListDeadLetters(limit=0), "0 is no number of things"),
        (admin.ListDeadLetters(kind="odd"), "odd"),
        (admin.ListDeadLetters(since_s="today"), "'today' is no time"),
        (admin.ShowDeadLetter("x", version=99), "version 99"),
        (admin.ReplayAttempts(HOOK, ("x",), "run"), f"there is no hook {HOOK}"),
        (admin.TestHook(HOOK), f"there is no hook {HOOK}"),
        (admin.ListAttempts(HOOK, 0.0, 1.0, (), 5), f"there is no hook {HOOK}"),
        (admin.ShowAttempt(HOOK, "202611/x"), f"there is no hook {HOOK}"),
    ):
        assert reason in it.refused(request), request


# Retries


def test_a_dead_letter_is_deleted_when_the_broker_has_its_delivery(it, world):
    it.hook()
    ids = it.of_deliveries("d1", "d2")
    it.start()
    retried = it.ask(admin.RetryDeadLetters((*ids, "0" * 32)))
    assert set(retried.retried) == set(ids)
    assert retried.refused == (("0" * 32, f"there is no dead letter {'0' * 32}"),)
    due = it.published(DUE)
    assert len(due) == 2
    retries = [from_json(message.body) for message in due]
    assert {retry.delivery.body for retry in retries} == {b"n=1"}
    # At once, with all attempts before them.
    assert {retry.attempts_made for retry in retries} == {0}
    assert all(0 <= it.now_s - retry.due_ms / 1000 + 1 < 3 for retry in retries)
    assert it.letters() == []
    assert it.actor.actor.stats()["retried"] == 2
    assert it.actor.actor.stats()["unconfirmed"] == 0


def test_an_event_returns_to_the_events_queue_as_it_was(it):
    it.quarantine(1)
    it.start()
    (id,) = it.letters()
    assert it.ask(admin.RetryDeadLetters((id,))).retried == (id,)
    (message,) = it.published(EVENTS)
    assert message.body == b"\x00body"
    properties = message.properties
    assert (properties.message_id, properties.content_type) == ("m1", "text/plain")
    assert (properties.content_encoding, properties.headers["a"]) == ("utf-8", "b")
    assert it.letters() == []


def test_in_kazoos_queue_an_events_dead_letter_stays(it):
    it.quarantine(1)
    it.start(amqp=AmqpSettings(join_kazoo=True))
    (id,) = it.letters()
    name = "webhooks_shared_listener"
    it.broker.declare(Topology(queue=Queue(name)), name)
    answer = it.ask(admin.RetryDeadLetters((id,)))
    assert answer.retried == (id,)
    assert [refused for refused, _why in answer.refused] == [id]
    assert "Kazoo's queue" in answer.refused[0][1]
    assert it.letters() == [id]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (None, f"there is no hook {HOOK}"),
        ({"pvt_deleted": True}, f"there is no hook {HOOK}"),
        ({"enabled": False}, f"hook {HOOK} is disabled"),
        (
            {"enabled": False, "pvt_disabled_message": "too often"},
            f"hook {HOOK} is disabled: too often",
        ),
    ],
)
def test_what_has_no_hook_to_be_sent_to_stays_with_the_reason(it, fields, reason):
    if fields is not None:
        it.hook(**fields)
    ids = it.of_deliveries("d1")
    it.start()
    answer = it.ask(admin.RetryDeadLetters(ids))
    assert (answer.retried, answer.refused) == ((), ((ids[0], reason),))
    assert it.letters() == list(ids)
    assert it.published(DUE) == []


@pytest.mark.logs("broker_down")
def test_without_the_broker_nothing_is_deleted(it, world):
    it.hook()
    ids = it.of_deliveries("d1")
    it.start()
    it.broker.stop(60)
    world.pass_time(0.5)
    answer = it.ask(admin.RetryDeadLetters(ids))
    assert answer.retried == ()
    assert [id for id, _why in answer.refused] == list(ids)
    assert it.letters() == list(ids)


def test_a_dead_letter_that_cannot_be_deleted_is_said_to_be_published(it):
    it.hook()
    ids = it.of_deliveries("d1")
    it.start()
    it.store.refuse = lambda _letter: "locked"
    answer = it.ask(admin.RetryDeadLetters(ids))
    assert answer.retried == ids
    problem = "it is published, but its dead letter could not be deleted: locked"
    assert answer.refused == ((ids[0], problem),)


@pytest.mark.logs("dead_letters_not_purged")
def test_while_the_store_is_away_requests_are_refused(it):
    ids = it.of_deliveries("d1")
    it.start()
    it.store.away = True
    assert "the store is away" in it.refused(admin.ShowDeadLetter(ids[0]))
    purged = it.ask(admin.PurgeDeadLetters(ids))
    assert purged.purged == ()
    assert purged.refused == ((ids[0], "the store is away"),)
    retried = it.ask(admin.RetryDeadLetters(ids))
    assert (retried.retried, retried.refused) == ((), ((ids[0], "the store is away"),))


def test_stored_attempts_of_a_hook_are_shown_and_replayed(it):
    it.hook()
    database = modb("b2" * 16, it.now_s)
    it.store.ensure_database(database)
    attempt = {
        **{"pvt_type": "webhook_attempt", "event_id": "e1", "method": "post"},
        **{"req_headers": {"content-type": "application/json"}, "req_body": '{"n":1}'},
    }
    for id, hook_id in (("x", HOOK), ("y", "c3" * 16)):
        it.store.save(database, attempt | {"_id": id, "hook_id": hook_id})
    it.start()
    ids = x, y = tuple(f"{database[-6:]}/{id}" for id in "xy")
    shown = it.ask(admin.ShowAttempt(HOOK, x)).document
    assert (shown["id"], shown["req_body"]) == (x, '{"n":1}')
    assert "pvt_type" not in shown
    missing = f"there is no attempt {y} of the hook {HOOK}"
    assert it.refused(admin.ShowAttempt(HOOK, y)) == missing
    replayed = it.ask(admin.ReplayAttempts(HOOK, ids, "run"))
    assert (replayed.replayed, replayed.refused) == ((x,), ((y, missing),))
    (message,) = it.published(DUE)
    retry = from_json(message.body)
    assert (retry.delivery.hook_id, retry.delivery.body) == (HOOK, b"n=1")
    assert retry.attempts_made == 0
    assert it.actor.actor.stats()["replayed"] == 1


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"enabled": False}, f"hook {HOOK} is disabled"),
        ({"pvt_deleted": True}, f"there is no hook {HOOK}"),
    ],
)
@pytest.mark.parametrize(
    "request_", [admin.ReplayAttempts(HOOK, ("202611/x",), "run"), admin.RetryWaiting(HOOK)]
)
def test_nothing_is_repeated_for_a_hook_that_takes_nothing(it, fields, reason, request_):
    it.hook(**fields)
    it.start()
    assert it.refused(request_) == reason
    assert it.published(DUE) == []


# Deliveries that wait


def test_deliveries_that_wait_are_listed_and_sent_early(it):
    it.hook()
    due_ms = (it.now_s + 3600) * 1000
    retry = RetryMessage(delivery("d1"), 2, due_ms, deferrals=4)
    with closing(WaitingIndex(it.settings.data.dir / "waiting.sqlite3", 1_000_000)) as index:
        index.put([(retry, as_json(retry), "status 503")], it.now_s * 1000)
    it.start()
    listed = it.ask(admin.ListWaiting())
    assert [(one.id, one.tries, one.due_s, one.reason) for one in listed.deliveries] == [
        ("d1", 2, due_ms / 1000, "status 503")
    ]
    sent = it.ask(admin.RetryWaiting(HOOK))
    assert (sent.sent, sent.refused, sent.more) == (("d1",), (), None)
    (message,) = it.published(DUE)
    copy = from_json(message.body)
    assert (copy.attempts_made, copy.deferrals) == (2, 5)
    assert 0 <= it.now_s - copy.due_ms / 1000 + 1 < 3
    assert it.actor.actor.stats()["sent_early"] == 1
    assert it.ask(admin.ListWaiting()).deliveries == ()


def test_it_shows_what_it_has_done(it):
    it.start()
    it.hook()
    ids = it.of_deliveries("d1", "d2")
    it.ask(admin.RetryDeadLetters(ids))
    assert it.actor.actor.stats() == {
        "broker": "up",
        "works": 0,
        "unpublished": 0,
        "set_aside": 0,
        "too_old": 0,
        "old_attempts": 0,
        "retried": 2,
        "replayed": 0,
        "sent_early": 0,
        "tested": 0,
        "unconfirmed": 0,
    }


def test_old_attempts_are_deleted_without_long_pauses_between_the_months(it, world):
    """In turns of a tenth of a second, so that requests are answered in between."""
    now = it.now_s + GREGORIAN_S
    for days in range(31, 31 + 12 * 30, 30):
        database = modb("b2" * 16, it.now_s - days * DAY_S)
        it.store.ensure_database(database)
        old = {"_id": "old", "pvt_type": "webhook_attempt", "pvt_created": now - days * DAY_S}
        it.store.save(database, old)
    it.start(attempts=AttemptsSettings(keep_days=30))
    world.pass_time(3)
    assert it.actor.actor.stats()["old_attempts"] == 12


def test_a_dead_letter_without_its_exchange_is_published_to_none(it):
    it.quarantine(1)
    it.start()
    [letter] = it.store.all(LETTERS)
    whole = event_again(letter)
    assert (whole.exchange, whole.routing_key, whole.body) == ("shop", "order.0", b"\x00body")
    assert (whole.content_type, whole.content_encoding) == ("text/plain", "utf-8")
    assert (whole.message_id, whole.headers) == ("m1", {"a": "b"})
    odd = event_again(letter | {"exchange": None, "routing_key": 7, "message_id": 7})
    assert (odd.exchange, odd.routing_key, odd.message_id) == ("", "", None)
