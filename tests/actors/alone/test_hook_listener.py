"""The hook listener alone: the table gets every hook and every change."""

import json
import logging
from types import SimpleNamespace

import pytest
from attrs import evolve

from callboard.actors.base.role import Ports
from callboard.actors.hooks.listener import HookListener
from callboard.actors.messages import (
    Applied,
    ApplyHooks,
    Barrier,
    ChangeHooks,
    ConfigurationChanged,
    DisableHook,
    EditHook,
    FlushFailures,
    HooksApplied,
    HookSaved,
    HooksLoaded,
    HooksRefreshed,
    LoadHooks,
    RefreshHooks,
    Refused,
)
from callboard.actors.messages.notifications import HookDisabled, Notices
from callboard.actors.messages.operational import EndpointsDown
from callboard.actors.messages.paths import (
    DISABLER,
    FAILURE_CACHE,
    HOOK_LISTENER,
    HOOK_TABLE,
    RETRY_QUEUE,
)
from callboard.adapters.broker.protocol import Binding, Exchange, Properties, Queue, Topology
from callboard.config.settings import AmqpSettings, DisablerSettings, ModuleSettings
from callboard.webhooks.dispatch.down_endpoints import DownEndpoint
from callboard.webhooks.events.changes import document_change
from callboard.webhooks.hooks.hook import new_hook
from support.world import Broker, Store, World


def document(number, **fields):
    public = {"name": "n", "uri": "https://x.example/", "hook": "shop", "pvt_account_id": "a"}
    return new_hook(public | fields, 0, f"h{number:04}", "node")


class Hooks:
    """A listener with a table that answers when the test says so."""

    def __init__(self, world, servers, settings):
        self.world, self.broker, self.store = world, servers.broker, servers.store
        self.settings = settings
        self.table = world.peer(HOOK_TABLE)
        self.store.ensure_database("webhooks")

    def start(self, incarnation=1):
        self.actor = self.world.start(
            HookListener, HOOK_LISTENER, self.settings, self.table, incarnation=incarnation
        )
        self.world.pass_time(2)

    def save(self, *numbers, **fields):
        for number in numbers:
            self.store.save("webhooks", document(number, **fields))

    def publish(self, number, name="doc_created"):
        key, body = document_change(name, "webhooks", document(number), "another")
        self.broker.publish("configuration", key, json.dumps(body).encode(), Properties())
        self.world.pass_time(1)

    def loads(self):
        self.world.pass_time(0.1)
        return self.table.take(LoadHooks)

    def confirm(self, *loads):
        for load in loads:
            self.table.say(self.actor, HooksLoaded(load.stream, len(load.hooks)))
        self.world.pass_time(0.1)

    def load_all(self):
        """Confirm every page; the ids of all hooks."""
        ids = []
        while pages := self.loads():
            ids += [hook.id for page in pages for hook in page.hooks]
            self.confirm(*pages)
        return ids

    def changes(self):
        return [[hook.id for hook in change.put] for change in self.table.take(ChangeHooks)]


@pytest.fixture
def hooks(world, servers, settings):
    # More often than the table is asked whether a message was lost.
    often = evolve(settings, couchdb=evolve(settings.couchdb, compare_s=10))
    return Hooks(world, servers, often)


def test_all_hooks_are_loaded_in_numbered_pages(hooks):
    hooks.save(*range(1200))
    hooks.start()
    seen, numbers = [], []
    while pages := hooks.loads():
        assert len(pages) <= 2
        seen += [hook.id for page in pages for hook in page.hooks]
        numbers += [page.number for page in pages]
        hooks.confirm(*pages)
    assert sorted(set(seen)) == [f"h{number:04}" for number in range(1200)]
    assert numbers == list(range(len(numbers)))


def test_a_page_that_is_not_confirmed_makes_the_load_begin_again(hooks):
    hooks.save(1)
    hooks.start()
    first = hooks.loads()
    hooks.world.pass_time(70)
    again = hooks.loads()
    assert again[0].stream > first[0].stream
    assert again[0].number == 0
    hooks.confirm(*first)  # Late; these do not count.
    assert [hook.id for page in again for hook in page.hooks] == ["h0001"]


def test_without_a_table_nothing_is_sent_and_a_new_one_gets_everything(hooks):
    hooks.save(1)
    hooks.start()
    assert hooks.load_all() == ["h0001"]
    hooks.world.tell_peers(hooks.actor)
    hooks.save(2)
    hooks.publish(2)
    hooks.table.restart()
    hooks.world.tell_peers(hooks.actor, hooks.table)
    assert sorted(hooks.load_all()) == ["h0001", "h0002"]


def test_a_change_on_the_bus_reaches_the_table(hooks):
    hooks.start()
    hooks.load_all()
    hooks.save(1)
    hooks.publish(1)
    hooks.publish(1)
    assert set(map(tuple, hooks.changes())) == {("h0001",)}


@pytest.mark.logs("hooks_not_compared", "store_unavailable")
def test_while_the_store_is_away_a_change_waits(hooks):
    hooks.start()
    hooks.load_all()
    hooks.save(1)
    hooks.store.away = True
    hooks.publish(1)
    hooks.world.pass_time(20)
    assert hooks.changes() == []
    hooks.store.away = False
    hooks.world.pass_time(5)
    assert hooks.changes() == [["h0001"]]


def test_while_the_store_is_away_a_load_waits(hooks):
    hooks.save(1)
    hooks.store.away = True
    hooks.start()
    hooks.world.pass_time(300)
    assert hooks.loads() == []
    hooks.store.away = False
    hooks.world.pass_time(5)
    assert hooks.load_all() == ["h0001"]


@pytest.mark.logs("broker_down")
def test_a_load_that_began_before_the_connection_was_lost_begins_again(hooks):
    """A change may have come meanwhile, of a page that was sent before."""
    hooks.save(1)
    hooks.start()
    first = hooks.loads()
    hooks.broker.stop(5)
    hooks.world.pass_time(10)
    assert first[0].stream < hooks.loads()[0].stream


@pytest.mark.logs("broker_down")
def test_readers_forget_what_they_know_after_each_connection_and_each_sleep(hooks):
    hooks.start()
    readers = [hooks.world.peer(path) for path in (DISABLER, "responders/shop", RETRY_QUEUE)]
    other = hooks.world.peer("metrics")
    hooks.world.tell_peers(hooks.actor, hooks.table, *readers, other)
    hooks.load_all()

    def seen():
        found = [[m.documents for m in reader.take(ConfigurationChanged)] for reader in readers]
        assert other.take(ConfigurationChanged) == []
        return found

    seen()
    hooks.broker.stop(5)
    hooks.world.pass_time(10)
    assert seen() == [[None]] * 3
    hooks.world.suspend(30)
    hooks.world.pass_time(5)
    assert seen() == [[None]] * 3


def miss_connection(hooks):
    hooks.broker.stop(5)
    hooks.save(1)
    hooks.world.pass_time(10)


def miss_sleep(hooks):
    hooks.save(1)
    hooks.world.suspend(30)
    hooks.world.pass_time(1)


def miss_message(hooks):
    hooks.save(1)
    hooks.world.pass_time(12)


@pytest.mark.logs("hook_changes_missed")
@pytest.mark.parametrize(
    "miss",
    [
        pytest.param(miss_connection, marks=pytest.mark.logs("broker_down")),
        miss_sleep,
        miss_message,
    ],
)
def test_what_the_bus_did_not_bring_is_found_in_the_store(hooks, miss):
    """A load reads all hooks; this reads what has changed."""
    hooks.save(2, 3)
    hooks.start()
    hooks.load_all()
    miss(hooks)
    assert hooks.changes() == [["h0001"]]
    assert hooks.loads() == []


def test_what_the_bus_brought_is_not_read_again(hooks):
    hooks.start()
    hooks.load_all()
    hooks.save(1)
    hooks.publish(1)
    assert hooks.changes() == [["h0001"]]
    hooks.world.pass_time(25)
    assert hooks.changes() == []
    assert hooks.actor.actor.stats()["missed"] == 0


@pytest.mark.logs("hook_changes_missed")
def test_a_missed_removal_is_found_too(hooks):
    hooks.save(1, 2)
    hooks.start()
    hooks.load_all()
    stored = hooks.store.get("webhooks", "h0001")
    hooks.store.save("webhooks", stored | {"pvt_deleted": True})
    hooks.world.pass_time(12)
    assert [change.remove for change in hooks.table.take(ChangeHooks)] == [(("a", "h0001"),)]
    # The document of a hard deletion tells no account, so that all are loaded again.
    stored = hooks.store.get("webhooks", "h0002")
    hooks.store.delete("webhooks", "h0002", stored["_rev"])
    hooks.world.pass_time(12)
    assert hooks.load_all() == []


@pytest.mark.logs("hook_changes_missed", "hooks_not_compared")
def test_an_actor_that_slept_is_answered_once_all_is_in_effect(hooks):
    hooks.start()
    hooks.load_all()
    sleeper = hooks.world.peer("deliveries/deliverer-1")
    hooks.save(1)
    hooks.store.away = True
    sleeper.say(hooks.actor, RefreshHooks(7))
    hooks.world.pass_time(3)
    hooks.store.away = False
    hooks.world.pass_time(3)
    assert hooks.changes() == [["h0001"]]
    tickets = [barrier.ticket for barrier in hooks.table.take(Barrier)]
    assert sleeper.take(HooksRefreshed) == []
    hooks.table.say(hooks.actor, Applied(tickets[-1]))
    hooks.world.pass_time(0.1)
    assert [message.ask for message in sleeper.take(HooksRefreshed)] == [7]


def test_while_hooks_are_loaded_a_sleeper_waits_for_the_load(hooks):
    hooks.save(1)
    hooks.start()
    sleeper = hooks.world.peer("deliveries/deliverer-1")
    sleeper.say(hooks.actor, RefreshHooks(7))
    hooks.world.pass_time(3)
    assert not [b for b in hooks.table.take(Barrier) if b.ticket < 0]
    hooks.load_all()
    hooks.world.pass_time(1)
    assert [b.ticket for b in hooks.table.take(Barrier) if b.ticket < 0]


def published(hooks):
    """The ids of the hooks whose changes have reached another node."""
    queue = hooks.broker.queues["another"]
    return [json.loads(message.body)["ID"] for message in queue]


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("silent_s", [0.0, 0.0005, 0.01])
def test_a_change_is_told_whatever_becomes_of_the_connection(hooks, silent_s, restarted):
    """N6: `hooks disable` at a node whose connection is dead without notice was never told."""
    hooks.save(*range(20))
    hooks.start()
    hooks.load_all()
    another = Topology(
        (Exchange("configuration"),), Queue("another"), (Binding("configuration", "#"),)
    )
    hooks.broker.declare(another, "another")
    client = hooks.world.peer("client")
    for number in range(20):
        client.say(hooks.actor, EditHook(f"h{number:04}", {"enabled": False}))
    hooks.world.pass_time(silent_s)
    hooks.broker.stop(5)
    if restarted:
        hooks.world.kill(hooks.actor.address)
        hooks.start(incarnation=2)
    hooks.world.pass_time(20)
    assert set(published(hooks)) == {f"h{number:04}" for number in range(20)}
    told = len(published(hooks))
    hooks.broker.stop(5)
    hooks.world.pass_time(20)
    assert len(published(hooks)) == told, "what is confirmed is not told again"
    events = {line["event"] for line in hooks.world.logged}
    unconfirmed = {"change_not_published"} if silent_s < 0.01 and not restarted else set()
    assert events == {"broker_down"} | unconfirmed
    hooks.world.logged.clear()


@pytest.mark.parametrize("answered", [True, False])
def test_the_table_is_asked_whether_it_has_all_and_is_loaded_again_if_not(hooks, answered):
    hooks.start()
    hooks.load_all()
    for _minute in range(4):
        hooks.world.pass_time(31)
        for barrier in hooks.table.take(Barrier):
            if answered:
                hooks.table.say(hooks.actor, Applied(barrier.ticket))
    assert bool(hooks.loads()) is not answered


def test_the_clock_may_be_set_back_between_two_lives(hooks):
    hooks.save(1)
    hooks.start(incarnation=7)
    before = hooks.loads()
    hooks.world.kill(hooks.actor.address)
    hooks.world.set_clock(-3600)
    hooks.start(incarnation=8)
    assert hooks.loads()[0].stream > before[0].stream


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"uri": 5}, marks=pytest.mark.logs("hook_skipped")),
        pytest.param({"hook": None}, marks=pytest.mark.logs("hook_skipped")),
        {"retries": "x"},
        {"enabled": []},
    ],
)
def test_a_document_of_any_shape_holds_up_no_other(hooks, fields):
    hooks.save(1, **fields)
    hooks.save(2)
    hooks.start()
    assert "h0002" in hooks.load_all()


@pytest.mark.parametrize(
    ("join_kazoo", "read_only", "enabled"),
    [(False, None, False), (True, None, True), (True, False, False), (False, True, True)],
)
def test_beside_kazoo_no_hook_is_disabled_unless_asked(
    world, servers, settings, join_kazoo, read_only, enabled
):
    amqp = AmqpSettings(join_kazoo=join_kazoo)
    chosen = DisablerSettings(read_only="" if read_only is None else read_only)
    hooks = Hooks(world, servers, evolve(settings, amqp=amqp, disabler=chosen))
    hooks.save(1)
    hooks.start()
    hooks.load_all()
    hooks.table.say(hooks.actor, DisableHook("a", "h0001", "the endpoint answered 410 Gone"))
    world.pass_time(1)
    (stored,) = servers.store.all("webhooks")
    assert stored["enabled"] is enabled
    assert ("pvt_disabled_message" in stored) is not enabled
    events = [line["event"] for line in world.logged]
    assert events == ["hook_would_be_disabled" if enabled else "hook_disabled"]
    world.logged.clear()


def test_hooks_that_another_actor_saved_are_put_into_the_table_together(hooks):
    hooks.start()
    hooks.load_all()
    hooks.save(1, 2)
    hooks.save(3, enabled=False)
    hooks.table.take(ChangeHooks)
    saved = tuple(("a", f"h{number:04}") for number in (1, 2, 3, 4))
    hooks.table.say(hooks.actor, ApplyHooks(saved))
    hooks.world.pass_time(0.1)
    changes = hooks.table.take(ChangeHooks)
    assert [[hook.id for hook in change.put] for change in changes if change.put] == [
        ["h0001", "h0002"]
    ]
    assert [key for change in changes for key in change.remove] == [("a", "h0003"), ("a", "h0004")]
    (barrier,) = hooks.table.take(Barrier)
    hooks.table.say(hooks.actor, Applied(barrier.ticket))
    hooks.world.pass_time(0.1)
    assert hooks.table.take(HooksApplied) == [HooksApplied()]


class Disabling(Hooks):
    """With a failure cache and a subscriber to `hook_disabled`; warnings are collected."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.cache, self.subscriber = map(
            self.world.peer, (FAILURE_CACHE, "subscribers/hook_disabled/1")
        )

    def start(self, incarnation=1):
        super().start(incarnation)
        self.world.tell_peers(self.actor, self.table, self.cache, self.subscriber)
        self.load_all()
        self.world.logged.clear()

    def disable(self, hook="h0001"):
        self.cache.say(self.actor, DisableHook("a", hook, "too many failed attempts"))
        self.world.pass_time(1)

    @property
    def removed(self):
        return [change.remove for change in self.table.take(ChangeHooks) if change.remove]

    @property
    def flushed(self):
        return {(m.account_id, m.hook_id) for m in self.cache.take(FlushFailures)}

    @property
    def notified(self):
        return [notice for batch in self.subscriber.take(Notices) for notice in batch.notices]

    @property
    def warnings(self):
        """The fields of each line of the log, without those of every line."""
        found = [{k: v for k, v in line.items() if k != "actor"} for line in self.world.logged]
        self.world.logged.clear()
        return found


@pytest.fixture
def warning_world():
    with World(log_level=logging.WARNING) as world:
        yield world
        assert world.crashes == []


@pytest.fixture
def disabling(warning_world):
    servers = SimpleNamespace(broker=Broker(warning_world), store=Store())
    warning_world.ports = Ports(servers.broker.connect, servers.store.connect)
    shop = ModuleSettings(id="shop", exchange="shop", bindings=("order.#",), account_id="a")

    def disabling(**parts):
        settings = warning_world.settings(modules=(shop,), **parts)
        return Disabling(warning_world, servers, settings)

    return disabling


def test_a_hook_that_is_disabled_leaves_the_table_and_its_failures_are_forgotten(disabling):
    hooks = disabling()
    hooks.save(1, 2)
    hooks.start()
    hooks.disable()
    assert [doc["_id"] for doc in hooks.store.all("webhooks") if not doc["enabled"]] == ["h0001"]
    assert (hooks.removed, hooks.flushed) == ([(("a", "h0001"),)], {("a", "h0001")})
    assert hooks.notified == [HookDisabled("a", "h0001", "too many failed attempts")]
    assert hooks.warnings == [{"event": "hook_disabled", "account": "a", "hook": "h0001"}]
    # Another node has found the same failures.
    hooks.disable()
    assert (hooks.flushed, hooks.notified, hooks.warnings) == ({("a", "h0001")}, [], [])


def test_what_cannot_be_disabled_is_logged_and_keeps_its_failures(disabling):
    hooks = disabling()
    hooks.save(1)
    hooks.start()
    hooks.disable("of a callflow")
    assert hooks.warnings == [
        {"event": "hook_not_disabled", "hook": "of a callflow", "reason": "it is not stored"}
    ]
    hooks.store.away = True
    hooks.disable()
    (warning,) = hooks.warnings
    assert (warning["event"], warning["hook"]) == ("hook_not_disabled", "h0001")
    assert warning["reason"]
    assert (hooks.flushed, hooks.notified, hooks.removed) == (set(), [], [])


def test_a_hook_that_would_be_disabled_is_logged_and_counts_its_failures_from_the_start(disabling):
    hooks = disabling(disabler=DisablerSettings(read_only=True))
    hooks.save(1)
    hooks.start()
    hooks.disable()
    assert (hooks.flushed, hooks.notified, hooks.removed) == ({("a", "h0001")}, [], [])
    assert hooks.warnings == [
        {
            "event": "hook_would_be_disabled",
            "account": "a",
            "hook": "h0001",
            "reason": "too many failed attempts",
        }
    ]


def test_a_removal_that_the_bus_brought_is_not_found_again(hooks):
    hooks.save(1, 2)
    hooks.start()
    hooks.load_all()
    stored = hooks.store.get("webhooks", "h0001")
    hooks.store.delete("webhooks", "h0001", stored["_rev"])
    hooks.publish(1, "doc_deleted")
    assert [change.remove for change in hooks.table.take(ChangeHooks)] == [(("a", "h0001"),)]
    hooks.world.pass_time(25)
    assert (hooks.loads(), hooks.actor.actor.stats()["missed"]) == ([], 0)


def test_the_endpoints_of_a_deliverer_that_is_silent_for_two_minutes_are_up(hooks):
    """It has ended; its successor reports those that are still down within half a minute."""
    hooks.start()
    everything = Topology(
        (Exchange("callboard.operational", "topic", True),),
        Queue("seen"),
        (Binding("callboard.operational", "#"),),
    )
    hooks.broker.declare(everything, "seen")

    def published():
        found = [json.loads(message.body) for message in hooks.broker.queues["seen"]]
        hooks.broker.queues["seen"].clear()
        return [(body["Event-Name"], body["Account-ID"]) for body in found]

    deliverer = hooks.world.peer("deliveries/deliverer-1")
    down = (DownEndpoint("https://x.example:443", 1_790_000_000_000, ("a", "b")),)
    for _report in range(5):
        deliverer.say(hooks.actor, EndpointsDown(deliverer.path, down))
        hooks.world.pass_time(30)
    assert published() == [("endpoint.down", "a"), ("endpoint.down", "b")]
    hooks.world.pass_time(60)
    assert published() == []
    hooks.world.pass_time(61)
    assert published() == [("endpoint.up", "a"), ("endpoint.up", "b")]


@pytest.mark.logs("broker_down")
def test_changes_of_this_node_are_in_effect_although_the_bus_is_away(hooks):
    hooks.save(1, 2)
    hooks.start()
    hooks.load_all()
    hooks.broker.stop(60)
    hooks.world.pass_time(1)
    hooks.table.take(ChangeHooks)
    client = hooks.world.peer("client")

    def in_effect(kind):
        """The responses before and after the table has passed the change on."""
        hooks.world.pass_time(0.1)
        before = client.take(kind)
        for barrier in hooks.table.take(Barrier):
            hooks.table.say(hooks.actor, Applied(barrier.ticket))
        hooks.world.pass_time(0.1)
        return len(before), len(client.take(kind))

    client.say(hooks.actor, EditHook("h0001", {"name": "new"}))
    assert in_effect(HookSaved) == (0, 1)
    assert hooks.changes() == [["h0001"]]
    client.say(hooks.actor, ApplyHooks((("a", "h0002"),)))
    assert in_effect(HooksApplied) == (0, 1)
    assert hooks.changes() == [["h0002"]]


@pytest.mark.parametrize(
    ("enabled", "name", "refused"),
    [
        pytest.param(True, "other", True, marks=pytest.mark.logs("hook_skipped")),
        pytest.param(True, "n", False, marks=pytest.mark.logs("hook_skipped")),
        (False, "other", False),
        (False, "n", False),
    ],
)
def test_an_edit_that_changes_an_enabled_hook_must_let_it_fire(hooks, enabled, name, refused):
    hooks.save(1, http_verb="brew", enabled=enabled)
    hooks.start()
    hooks.load_all()
    client = hooks.world.peer("client")
    client.say(hooks.actor, EditHook("h0001", {"name": name}))
    hooks.world.pass_time(1)
    assert bool(client.take(Refused)) is refused
    stored = hooks.store.get("webhooks", "h0001")
    assert stored["name"] == ("n" if refused else name)


def test_the_failures_of_a_hook_are_forgotten_when_it_is_edited_not_when_it_is_created(disabling):
    hooks = disabling()
    hooks.save(1)
    hooks.start()
    hooks.publish(1)
    assert hooks.flushed == set()
    hooks.publish(1, "doc_edited")
    assert hooks.flushed == {("a", "h0001")}
    hooks.store.away = True
    hooks.publish(1, "doc_edited")
    assert hooks.warnings[0] == {
        "event": "store_unavailable",
        "hooks": ["h0001"],
        "reason": "the store is away",
    }


@pytest.mark.parametrize("node", ["its own", "another"])
def test_only_a_seen_change_of_this_node_is_not_read_again(hooks, node):
    """What another node announces may be gone from the store since."""
    name = hooks.settings.node.name if node == "its own" else "another"
    hooks.start()
    hooks.load_all()

    def announce():
        key, body = document_change("doc_created", "webhooks", stored, name)
        hooks.broker.publish("configuration", key, json.dumps(body).encode(), Properties())
        hooks.world.pass_time(1)
        changes = hooks.table.take(ChangeHooks)
        return [hook.id for change in changes for hook in change.put], [
            id for change in changes for _account, id in change.remove
        ]

    hooks.save(1)
    stored = hooks.store.get("webhooks", "h0001")
    assert announce() == (["h0001"], [])
    hooks.store.delete("webhooks", "h0001", stored["_rev"])
    assert announce() == ([], [] if node == "its own" else ["h0001"])


@pytest.mark.logs("hook_changes_missed")
def test_a_missed_change_flushes_the_failures_of_its_hook(hooks):
    cache = hooks.world.peer(FAILURE_CACHE)
    hooks.start()
    hooks.world.tell_peers(hooks.actor, hooks.table, cache)
    hooks.load_all()
    hooks.save(1)
    hooks.world.pass_time(12)
    assert cache.take(FlushFailures) == [FlushFailures("a", "h0001")]


def loaded_reader(hooks):
    """A reader of the configuration, once all hooks are loaded."""
    reader = hooks.world.peer(DISABLER)
    hooks.start()
    hooks.world.tell_peers(hooks.actor, hooks.table, reader)
    hooks.load_all()
    reader.take(ConfigurationChanged)
    return reader


def test_readers_drop_changed_documents_that_are_no_hooks(hooks):
    """Hooks, which change by the thousand, are in no reader's directory."""
    reader = loaded_reader(hooks)
    for database, id in (("webhooks", "h1"), ("system_config", "webhooks")):
        key, body = document_change("doc_edited", database, {"_id": id}, "another")
        hooks.broker.publish("configuration", key, json.dumps(body).encode(), Properties())
    hooks.world.pass_time(1)
    changed = [message.documents for message in reader.take(ConfigurationChanged)]
    assert [documents for documents in changed if documents] == [(("system_config", "webhooks"),)]


@pytest.mark.logs("broker_down", "hook_changes_missed")
def test_after_a_lost_connection_the_store_is_compared_at_once(hooks):
    hooks.start()
    hooks.load_all()
    hooks.broker.stop(1)
    hooks.save(1)
    hooks.world.pass_time(4)
    assert hooks.changes() == [["h0001"]]


@pytest.mark.logs("broker_down")
def test_while_the_broker_is_away_a_load_waits_for_a_second(hooks):
    """A connection that is soon there makes a second load unnecessary."""
    hooks.start()
    hooks.load_all()
    hooks.broker.stop(100)
    hooks.world.pass_time(3)
    hooks.table.restart()
    hooks.world.tell_peers(hooks.actor, hooks.table)
    hooks.world.pass_time(0.8)
    assert hooks.loads() == []
    hooks.world.pass_time(0.3)
    assert len(hooks.loads()) == 1


@pytest.mark.logs("hook_disabled")
def test_a_disabled_hook_is_announced_as_an_edited_document(hooks):
    another = Topology(
        (Exchange("configuration"),), Queue("another"), (Binding("configuration", "#"),)
    )
    hooks.broker.declare(another, "another")
    hooks.save(1)
    hooks.start()
    hooks.load_all()
    hooks.table.say(hooks.actor, DisableHook("a", "h0001", "too many failed attempts"))
    hooks.world.pass_time(1)
    bodies = [json.loads(message.body) for message in hooks.broker.held("another")]
    assert ("doc_edited", "h0001") in [(body.get("Event-Name"), body.get("ID")) for body in bodies]


def test_a_message_about_no_document_concerns_no_reader(hooks):
    reader = loaded_reader(hooks)
    key, body = document_change("doc_edited", "system_config", {"_id": "x"}, "another")
    del body["ID"], body["Database"]
    hooks.broker.publish("configuration", key, json.dumps(body).encode(), Properties())
    hooks.world.pass_time(1)
    assert reader.take(ConfigurationChanged) == []
