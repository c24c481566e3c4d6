"""Operators' requests alone: what is asked of other actors, what is stored, and each answer."""

import json

import pytest

from callboard import admin
from callboard.actors.messages import (
    CountFailures,
    FailingListed,
    FailuresCounted,
    FailuresForgotten,
    FlushFailures,
    ListFailing,
    ListTable,
    TableListed,
)
from callboard.actors.messages.paths import FAILURE_CACHE, HOOK_TABLE
from callboard.actors.operations.maintenance import Maintenance
from callboard.adapters.broker.protocol import Binding, Exchange, Queue, Topology

ACCOUNT, HOOK = "a1" * 16, "b2" * 16
ANOTHER = Topology((Exchange("configuration"),), Queue("another"), (Binding("configuration", "#"),))
FIRST, SECOND = (ACCOUNT, HOOK), (ACCOUNT, "c3" * 16)


def configured(hook):
    return admin.ConfiguredHook(*hook, "https://a.example/", "post", "object", 3)


class Operating:
    """The actor, an operator, and the two actors that it asks."""

    def __init__(self, world, servers, settings):
        self.world, self.store, self.broker = world, servers.store, servers.broker
        servers.broker.declare(ANOTHER, "another")
        self.store.ensure_database("system_config")
        self.store.ensure_database("accounts")
        self.operator = world.peer("operator")
        self.table, self.cache = world.peer(HOOK_TABLE), world.peer(FAILURE_CACHE)
        self.actor = world.start(Maintenance, "maintenance", settings, self.table, self.cache)
        world.pass_time(0.5)

    def ask(self, request):
        self.operator.say(self.actor, request)
        self.world.pass_time(0.2)
        return self.answers()

    def answers(self):
        return self.operator.take(admin.AdminAnswer)

    def announced(self):
        bodies = [json.loads(message.body) for message in self.broker.held("another")]
        return [(body["Event-Name"], body["Database"], body["ID"]) for body in bodies]

    def asked(self, peer, kind):
        (message,) = peer.take(kind)
        return message

    def reply(self, peer, message):
        peer.say(self.actor, message)
        self.world.pass_time(0.2)
        return self.answers()


@pytest.fixture
def it(world, servers, settings):
    return Operating(world, servers, settings)


@pytest.mark.parametrize(("more", "cursor"), [(True, SECOND), (False, None)])
def test_the_hooks_of_the_table_are_listed(it, more, cursor):
    request = admin.HooksConfigured(ACCOUNT, FIRST, 2, ref="r")
    assert it.ask(request) == []
    asked = it.asked(it.table, ListTable)
    assert asked == ListTable(asked.ask, ACCOUNT, FIRST, 2)
    between = ACCOUNT, "b9" * 16
    hooks = tuple(map(configured, (FIRST, between, SECOND)))
    (answer,) = it.reply(it.table, TableListed(asked.ask, hooks, more))
    assert answer == admin.ConfiguredHooks(hooks, cursor, ref="r")
    assert it.reply(it.table, TableListed(asked.ask, hooks, more)) == [], "it is answered once"


def test_a_page_has_a_limit(it):
    it.ask(admin.HooksConfigured(limit=10_000_000))
    assert it.asked(it.table, ListTable).limit == 5000


@pytest.mark.parametrize(("more", "cursor"), [(True, SECOND), (False, None)])
def test_hooks_with_recent_failures_are_listed(it, more, cursor):
    assert it.ask(admin.FailureStatus(None, (), 7, ref="r")) == []
    asked = it.asked(it.cache, ListFailing)
    assert asked == ListFailing(asked.ask, None, None, 7)
    assert it.reply(it.cache, FailingListed(asked.ask, (FIRST, SECOND), more)) == []
    counting = it.asked(it.cache, CountFailures)
    assert counting.hooks == (FIRST, SECOND)
    # A failure counts for a minute; Gregorian milliseconds.
    now_ms = (it.world.unix_s + it.world.now + 62_167_219_200) * 1000
    assert counting.since_ms[ACCOUNT] == pytest.approx(now_ms - 60_000, abs=1000)
    (answer,) = it.reply(it.cache, FailuresCounted(counting.ask, (3, 0)))
    assert answer == admin.FailingHooks((admin.FailingHook(*FIRST, 3),), cursor, ref="r")


@pytest.mark.parametrize(
    ("request_", "hook_id"),
    [
        (admin.FlushAccountFailures(ACCOUNT, ref="r"), None),
        (admin.FlushHookFailures(ACCOUNT, HOOK, ref="r"), HOOK),
    ],
)
def test_failures_are_forgotten_on_all_nodes(it, request_, hook_id):
    it.ask(request_)
    asked = it.asked(it.cache, FlushFailures)
    assert asked == FlushFailures(ACCOUNT, hook_id, everywhere=True, ask=asked.ask)
    (answer,) = it.reply(it.cache, FailuresForgotten(asked.ask, 4))
    assert answer == admin.FailuresFlushed(4, ref="r")


ASKING = [
    (admin.HooksConfigured(ref="r"), HOOK_TABLE),
    (admin.FailureStatus(ref="r"), FAILURE_CACHE),
    (admin.FlushAccountFailures(ACCOUNT, ref="r"), FAILURE_CACHE),
]


@pytest.mark.parametrize(("request_", "path"), ASKING)
def test_an_actor_that_does_not_answer_is_not_waited_for_longer(it, request_, path):
    it.ask(request_)
    it.world.pass_time(4.6)
    assert it.answers() == []
    it.world.pass_time(0.4)
    assert it.answers() == [admin.Refused(f"{path} did not answer within 5 s", ref="r")]


@pytest.mark.parametrize(("request_", "path"), ASKING)
def test_an_actor_that_is_away_or_dies_cannot_be_asked(it, request_, path):
    it.ask(request_)
    peers = {peer.path: peer for peer in (it.table, it.cache)}
    other = next(peer for peer in peers.values() if peer.path != path)
    peers[path].restart()
    it.world.tell_peers(it.actor, *peers.values())
    it.world.pass_time(0.2)
    assert it.answers() == [admin.Refused(f"{path} was restarted meanwhile: try again", ref="r")]
    it.world.tell_peers(it.actor, other)
    it.world.pass_time(0.2)
    reason = f"{path} is being restarted: try again"
    assert it.ask(request_) == [admin.Refused(reason, ref="r")]


@pytest.mark.parametrize(
    ("request_", "member", "value"),
    [
        (admin.SetFailureExpiry(90_000, ref="r"), "attempt_failure_expiry_ms", 90_000),
        (admin.SetDisableThreshold(9, ref="r"), "attempt_failure_count", 9),
    ],
)
def test_a_setting_is_stored_for_all_or_for_an_account(it, request_, member, value):
    assert it.ask(request_) == [admin.SettingSaved(member, value, None, ref="r")]
    assert it.store.get("system_config", "webhooks")["default"][member] == value
    it.world.pass_time(1)
    assert it.announced() == [("doc_created", "system_config", "webhooks")]
    for_account = type(request_)(value, ACCOUNT, ref="s")
    refused = admin.Refused(f"there is no account {ACCOUNT}", ref="s")
    assert it.ask(for_account) == [refused]


def test_a_setting_for_all_counts_at_once(it):
    """Also where that of before was read a moment ago."""
    for expiry_ms in (90_000, 30_000):
        it.ask(admin.SetFailureExpiry(expiry_ms))
        it.ask(admin.FailureStatus())
        listed = it.asked(it.cache, ListFailing)
        it.reply(it.cache, FailingListed(listed.ask, (FIRST,), False))
        counting = it.asked(it.cache, CountFailures)
        now_ms = (it.world.unix_s + it.world.now + 62_167_219_200) * 1000
        assert counting.since_ms[ACCOUNT] == pytest.approx(now_ms - expiry_ms, abs=1000)


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (admin.ResetHookDefinitions(ref="r"), "failed to clear old hook definitions: "),
        (admin.ResetHookDefinition("object", ref="r"), "failed to clear hook webhooks_object: "),
        (admin.CleanUpOrphans(ref="r"), ""),
    ],
)
def test_a_page_that_fails_at_once_is_refused_with_the_reason(it, request_, reason):
    it.store.away = True
    assert it.ask(request_) == [admin.Refused(f"{reason}the store is away", ref="r")]


@pytest.mark.parametrize(
    ("request_", "word"),
    [
        (admin.HooksConfigured(limit=0), "0 is no number"),
        (admin.FlushAccountFailures(""), "account"),
        (admin.SetFailureExpiry(-1), "expiry"),
        (admin.SetDisableThreshold(0), "count"),
        (admin.ResetHookDefinition("nothing"), "nothing"),
        (admin.RetryDeadLetters(("l",)), "RetryDeadLetters is not supported"),
    ],
)
def test_what_makes_no_sense_is_refused(it, request_, word):
    (answer,) = it.ask(request_)
    assert isinstance(answer, admin.Refused)
    assert word in answer.reason
    assert it.table.received == it.cache.received == []


def save_orphans(store):
    """A hook in each of two accounts that there are not."""
    store.ensure_database("webhooks")
    for account in ("a1" * 16, "b2" * 16):
        hook = {"_id": account, "pvt_type": "webhook", "pvt_account_id": account, "enabled": True}
        store.save("webhooks", hook)


def test_the_next_account_with_deleted_orphans_waits(it):
    save_orphans(it.store)
    (first,) = it.ask(admin.CleanUpOrphans(delete=True, ref="1"))
    assert first.more is not None
    assert it.ask(admin.CleanUpOrphans(first.more, delete=True, ref="2")) == []
    it.world.pass_time(4.5)
    assert it.answers() == []
    it.world.pass_time(0.5)
    assert [answer.ref for answer in it.answers()] == ["2"]


def test_only_orphans_that_were_deleted_make_the_next_account_wait(it):
    save_orphans(it.store)
    (shown,) = it.ask(admin.CleanUpOrphans(delete=False, ref="1"))
    assert len(shown.accounts) == 2
    (deleted,) = it.ask(admin.CleanUpOrphans(delete=True, ref="2"))
    assert deleted.ref == "2"
