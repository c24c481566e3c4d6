"""What other nodes and the failure cache hear of the documents that a worker has changed."""

import json
import re

import pytest
from attrs import evolve
from thespian.actors import WatchMessage

from callboard.actors.base.role import BrokerRole, Ports, Role
from callboard.actors.base.slices import SlicedJob
from callboard.actors.hooks.change_exchange import change_topology
from callboard.actors.messages import ConfigurationChanged, FlushHooks
from callboard.actors.messages.paths import FAILURE_CACHE
from callboard.actors.operations.store_worker import StoreWorker
from callboard.adapters.broker.protocol import (
    Binding,
    Exchange,
    Properties,
    Queue,
    Received,
    Topology,
)
from callboard.adapters.local.suspects import Suspects
from callboard.adapters.repositories.maintenance import AccountHooks, Change, Step
from callboard.config.settings import ActorsSettings, AmqpSettings, DeliverySettings

HOOK = {"_id": "h", "pvt_account_id": "a", "_rev": "2-0", "pvt_type": "webhook"}
SETTING = {"_id": "accounts", "_rev": "3-0"}


class Worker(StoreWorker):
    def begin(self, setup):
        super().begin(setup)
        self.work_with(change_topology(self.settings))


@pytest.fixture
def cache(world):
    return world.peer(FAILURE_CACHE)


@pytest.fixture
def worker(world, servers, settings, cache):
    another = Topology(
        (Exchange("configuration"),), Queue("another"), (Binding("configuration", "#"),)
    )
    servers.broker.declare(another, "another")
    worker = world.start(Worker, "worker", settings, cache)
    world.pass_time(2)
    return worker.actor


def published(world, servers):
    world.pass_time(1)
    bodies = [json.loads(message.body) for message in servers.broker.held("another")]
    return [(body["Event-Name"], body["Database"], body["ID"]) for body in bodies]


def test_changes_of_a_job_are_published_and_failures_of_its_hooks_forgotten(
    world, servers, worker, cache
):
    ended = []
    changes = Change("doc_edited", "webhooks", HOOK), Change("doc_edited", "system_config", SETTING)
    worker.work(SlicedJob(iter([Step((AccountHooks("a"),), changes)]), lambda *r: ended.append(r)))
    assert published(world, servers) == [
        ("doc_edited", "webhooks", "h"),
        ("doc_edited", "system_config", "accounts"),
    ]
    assert cache.take(FlushHooks) == [FlushHooks((("a", "h"),))]
    assert ended == [((), None, "")]


def test_changes_of_no_hook_concern_no_failures(world, servers, worker, cache):
    worker.publish([Change("doc_edited", "webhooks", {"_id": "h", "_rev": "2-0"})])
    worker.publish([Change("doc_edited", "accounts", HOOK)])
    assert [database for _event, database, _id in published(world, servers)] == [
        "webhooks",
        "accounts",
    ]
    assert cache.take(FlushHooks) == []


def test_without_the_failure_cache_changes_are_published(world, servers, worker):
    worker.peers.clear()
    worker.publish([Change("doc_deleted", "webhooks", HOOK)])
    assert published(world, servers) == [("doc_deleted", "webhooks", "h")]


@pytest.mark.logs("broker_down", "change_not_published")
def test_while_the_broker_is_away_changes_wait(world, servers, worker):
    servers.broker.stop(5)
    worker.publish([Change("doc_edited", "webhooks", HOOK)])
    world.pass_time(1)
    assert (worker.stats()["unpublished"], worker.stats()["broker"]) == (1, "down")
    world.pass_time(20)
    assert published(world, servers) == [("doc_edited", "webhooks", "h")]
    assert (worker.stats()["unpublished"], worker.stats()["broker"]) == (0, "up")


@pytest.mark.parametrize("waits", [True, False])
def test_each_call_of_the_store_is_a_sign_of_life_of_an_actor_that_waits_for_it(
    world, servers, settings, waits
):
    """Its supervisor gets no heartbeat while a handler calls the store again and again."""
    signs = []

    class Reader(Role):
        waits_for_store = waits

        def alive(self):
            signs.append(world.now)
            super().alive()

    store = world.start(Reader, "reader", settings).actor.connect_store()
    signs.clear()
    assert store.ensure_database("webhooks") is True
    assert store.get("webhooks", "none") is None
    assert len(signs) == 2 * waits


@pytest.mark.logs("broker_blocked", "broker_down", "change_not_published")
def test_the_broker_is_shown_as_blocked_by_its_reason_and_until_it_is_not(world, servers, worker):
    def blocked():
        gauges = worker.tally.figures().gauges
        return {labels: at for (name, labels), at in gauges.items() if "blocked" in name}

    def block(reason):
        servers.broker.block(reason)
        worker.publish([Change("doc_edited", "webhooks", HOOK)])
        world.pass_time(1)

    memory, disk = ("worker", "low on memory"), ("worker", "low on disk")
    before = world.unix_s + world.now
    block(memory[1])
    assert blocked()[memory] == pytest.approx(before, abs=1)
    servers.broker.unblock()
    world.pass_time(1)
    assert blocked() == {memory: 0}
    block(disk[1])
    assert blocked() == {memory: 0, disk: pytest.approx(before + 2, abs=1)}
    servers.broker.stop(5)
    world.pass_time(1)
    assert blocked() == {memory: 0, disk: 0}


def test_documents_that_have_changed_are_read_again(world, servers, worker):
    def found():
        return worker.accounts.setting("webhooks", "color", "default")

    def write(text):
        document = servers.store.get("system_config", "webhooks") or {"_id": "webhooks"}
        servers.store.save("system_config", document | {"default": {"color": text}})

    servers.store.ensure_database("system_config")
    write("red")
    assert found() == "red"
    write("blue")
    for documents, seen in (
        ((), "red"),
        ((("system_config", "another"), ("accounts", "webhooks")), "red"),
        ((("system_config", "webhooks"),), "blue"),
    ):
        worker.receiveMsg_ConfigurationChanged(ConfigurationChanged(documents), None)
        assert found() == seen
    write("green")
    worker.receiveMsg_ConfigurationChanged(ConfigurationChanged(None), None)
    assert found() == "green"


def test_what_is_to_come_first_does_so_once_and_before_the_connection(world, servers, settings):
    """It may take as long as the store, so the start is reported before."""
    calls = []

    class First(BrokerRole):
        def begin(self, setup):
            self.connect_broker(Topology(), first=lambda: calls.append("first"))
            calls.append("begun")

        def on_broker(self, event):
            calls.append(type(event).__name__)

    world.start(First, "first", settings)
    assert calls == ["begun"]
    world.pass_time(2)
    assert calls == ["begun", "first", "ConnectionUp"]


class Polled(BrokerRole):
    """An actor that notes its broker events; `after_poll` as `-`."""

    def begin(self, setup):
        self.events = []
        queue, bound = Queue("polled", exclusive=False), Binding("configuration", "#")
        self.connect_broker(Topology((Exchange("configuration"),), queue, (bound,), 10))

    def on_broker(self, event):
        match event:
            case Received(messages):
                self.events.append([message.body for message in messages])
                self.broker.ack([message.tag for message in messages])
            case _:
                self.events.append(type(event).__name__)

    def after_poll(self):
        self.events.append("-")


def test_after_each_poll_an_actor_goes_on_once(world, servers, settings):
    role = world.start(Polled, "polled", settings)
    world.pass_time(2)
    events = role.actor.events
    assert events == ["ConnectionUp", "-"]
    servers.broker.publish("configuration", "one", b"{}", Properties())
    world.pass_time(1)
    assert events[2:] == [[b"{}"], "-"]
    world.deliver(role.address, WatchMessage([]), role.address)
    assert events[4:] == ["-"]


@pytest.mark.parametrize("dry_run", [False, True])
def test_only_a_dry_run_has_a_store_of_its_own(world, servers, settings, dry_run):
    connected = []

    def connect(url, folder, timeout_s):
        connected.append((url, folder, timeout_s))
        return servers.store

    world.ports = Ports(servers.broker.connect, connect)
    dry = evolve(settings, delivery=DeliverySettings(dry_run=dry_run))
    world.start(Role, "reader", dry).actor.connect_store()
    folder = settings.data.dir
    own = ("sqlite://", folder / "dry_run", 10.0)
    assert connected == [("sqlite://", folder, 10.0), own][: 1 + dry_run]


def test_the_connection_is_polled_when_its_timer_is_due(world, servers, settings):
    """For its heartbeats, and to connect again."""
    role = world.start(Polled, "polled", settings)
    world.pass_time(2)
    role.actor.events.clear()
    due = world.now + 5
    servers.broker.connections[0].deadline = lambda: due if world.now < due else None
    world.deliver(role.address, WatchMessage([]), role.address)
    assert role.actor.events == ["-"]
    world.pass_time(4.9)
    assert role.actor.events == ["-"]
    world.pass_time(0.2)
    assert role.actor.events == ["-", "-"]


@pytest.mark.logs("messages_wait")
def test_messages_that_wait_after_deaths_are_dropped_with_their_connection(
    world, servers, settings
):
    """The broker redelivers them, and they are handled once."""
    suspects = Suspects(settings.data.dir / "suspects" / "polled", None)
    for number in range(5):
        suspects.ended_by(bytes([number]) * 16)
    suspects.close()
    role = world.start(Polled, "polled", settings)
    world.pass_time(1)
    servers.broker.publish("configuration", "one", b"1", Properties())
    world.pass_time(1)
    servers.broker.connections[0].lose("reset by peer")
    world.pass_time(5)
    role.actor._intake._suspects._clock = lambda: 2e9
    world.pass_time(10)
    assert [event for event in role.actor.events if isinstance(event, list)] == [[b"1"]]
    assert servers.broker.messages == 0


@pytest.mark.parametrize(("restarts", "deaths"), [(1, 1), (3, 1), (4, 2), (10, 5)])
def test_messages_may_cause_half_of_the_restarts_at_least_one(world, restarts, deaths):
    settings = world.settings(actors=ActorsSettings(max_restarts=restarts))
    assert world.start(Role, "role", settings).actor.most_deaths == deaths


@pytest.mark.parametrize("order", ["listed", "random"])
def test_the_brokers_of_a_cluster_are_tried_in_the_order_of_the_settings(
    world, servers, settings, order
):
    hosts = [f"host{number}" for number in range(20)]
    urls = [f"amqp://{host}" for host in hosts]
    tried = []

    def connect(url, *arguments, **options):
        tried.append(url)
        return servers.broker.connect(url, *arguments, **options)

    world.ports = Ports(connect, servers.store.connect)
    amqp = AmqpSettings(url=",".join(urls), url_order=order)
    world.start(Polled, "polled", evolve(settings, amqp=amqp))
    found = re.findall(r"host[0-9]+", tried[0])
    assert sorted(found) == sorted(hosts)
    assert (found == hosts) is (order == "listed")


def test_the_suspects_of_an_actor_are_in_a_file_named_by_its_path(world, settings):
    """There the next process finds them, of a later version, too."""
    world.start(Role, "deliveries/role", settings).actor.open_suspects()
    folder = settings.data.dir / "suspects"
    assert [each.name for each in folder.iterdir()] == ["deliveries.role"]
