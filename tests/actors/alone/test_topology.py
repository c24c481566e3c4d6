"""What each actor declares at the broker: by these names, nodes of other versions share queues.

A name that changes leaves the messages of an upgraded node in a queue that nobody reads.
"""

import logging

import pytest
from attrs import evolve

from callboard.actors.api.server import ApiServer
from callboard.actors.base.role import Ports
from callboard.actors.delivery.retry_queue import RetryQueue
from callboard.actors.events.bridge import EventBridge
from callboard.actors.failures.failure_cache import FailureCache
from callboard.actors.hooks.listener import HookListener
from callboard.actors.hooks.zone_listener import ZoneListener
from callboard.actors.messages import ZoneChanges
from callboard.actors.messages.paths import (
    EVENT_BRIDGE,
    FAILURE_CACHE,
    HOOK_LISTENER,
    INITIALIZER,
    MAINTENANCE,
    RETRY_QUEUE,
)
from callboard.actors.operations.initializer import Initializer
from callboard.actors.operations.maintenance import Maintenance
from callboard.actors.operations.redelivery import Redelivery
from callboard.actors.system.topologies import queues, topologies
from callboard.adapters.broker.protocol import Properties
from callboard.adapters.broker.queues import is_deprecated
from callboard.config.settings import (
    AmqpSettings,
    ApiSettings,
    DeliverySettings,
    KazooSettings,
)
from support.world import Broker, Store, World

OPERATIONAL = ("callboard.operational", "topic")
CHANGES = [
    ("configuration", "*.webhooks.webhook.*"),
    ("configuration", "doc_deleted.*.account.*"),
    ("configuration", "*.accounts.account.*"),
    ("configuration", "*.services.*.*"),
    ("configuration", "*.system_config.*.*"),
    ("configuration", "*.*.account_config.*"),
    ("configuration", "*.*.number.*"),
]
NEW_ACCOUNTS = [
    ("configuration", "*.*.database.*"),
    ("configuration", "doc_created.accounts.account.*"),
    ("configuration", "doc_created.webhooks.webhook.*"),
]
DELAYS_MS = {
    "1s": 1_000,
    "2s": 2_000,
    "5s": 5_000,
    "10s": 10_000,
    "20s": 20_000,
    "1m": 60_000,
    "2m": 120_000,
    "5m": 300_000,
    "10m": 600_000,
    "20m": 1_200_000,
    "1h": 3_600_000,
    "2h": 7_200_000,
    "5h": 18_000_000,
    "10h": 36_000_000,
}


def own(purpose):
    """A queue that ends with its connection, which completes the name."""
    return (f"callboard.events.{purpose}.", False, True, True, {})


KAZOO = (
    *("webhooks_shared_listener", False, False, True),
    {"x-message-ttl": 60_000, "x-max-length": 100},
)
ACTORS = {
    FAILURE_CACHE: FailureCache,
    HOOK_LISTENER: HookListener,
    EVENT_BRIDGE: EventBridge,
    MAINTENANCE: Maintenance,
    RETRY_QUEUE: RetryQueue,
    INITIALIZER: Initializer,
}
ZONE = "zone_listener-1"
LINGERS = {"x-expires": 10_000}
QUORUM = {"x-queue-type": "quorum", "x-delivery-limit": 2_147_483_647}


def durable(name, **arguments):
    return (name, True, False, False, {key.replace("_", "-"): v for key, v in arguments.items()})


@pytest.fixture
def declared(world, servers, settings):
    """The topology that an actor connects with."""
    connections = []
    connect = servers.broker.connect

    def kept(url, topology, folder, **options):
        connections.append((url, topology))
        return connect(url, topology, folder, **options)

    def declared(actor_class, zone="", **options):
        world.ports = type(world.ports)(kept, servers.store.connect)
        made = world.settings(modules=settings.modules, **options)
        world.start(actor_class, "here", made, zone=zone)
        world.pass_time(1)
        return connections[-1][1]

    return declared


def test_the_queue_of_a_dry_run_ends_with_it(declared):
    topology = declared(EventBridge, delivery=DeliverySettings(dry_run=True))
    assert queue_of(topology) == ("callboard.events.dry_run", True, False, True, LINGERS)


def queue_of(topology):
    queue = topology.queue
    arguments = dict(queue.arguments)
    return (queue.name, queue.durable, queue.exclusive, queue.auto_delete, arguments)


def bindings_of(topology):
    return [(binding.exchange, binding.key) for binding in topology.bindings]


@pytest.mark.parametrize(
    ("actor_class", "exchanges", "queue", "bindings", "prefetch"),
    [
        (
            *(FailureCache, [("callboard.events.failures", "fanout")], own("failures")),
            *([("callboard.events.failures", "")], 50),
        ),
        (
            HookListener,
            [("configuration", "topic"), ("notifications", "topic"), OPERATIONAL],
            *(own("changes"), CHANGES, 50),
        ),
        (ZoneListener, [("configuration", "topic")], own("changes"), CHANGES, 50),
        (
            *(Maintenance, [("configuration", "topic"), ("targeted", "direct")]),
            ("callboard.events.requests", True, False, True, LINGERS),
            [("configuration", "configuration.doc_type_update.webhook")],
            None,
        ),
        (Initializer, [("configuration", "topic")], own("accounts"), NEW_ACCOUNTS, None),
    ],
)
def test_what_an_actor_declares(declared, actor_class, exchanges, queue, bindings, prefetch):
    topology = declared(actor_class, zone="amqp://zone" if actor_class is ZoneListener else "")
    assert [(exchange.name, exchange.type) for exchange in topology.exchanges] == exchanges
    # Kazoo's are not durable.
    durable = [
        (exchange.name, exchange.type) for exchange in topology.exchanges if exchange.durable
    ]
    assert durable == [one for one in exchanges if one == OPERATIONAL]
    assert queue_of(topology) == queue
    assert bindings_of(topology) == bindings
    assert topology.delays == ()
    if prefetch is not None:
        assert topology.prefetch == prefetch


OUR_CHANGES = [("callboard.events.changes", key) for _exchange, key in CHANGES]


@pytest.mark.parametrize(
    ("actor_class", "exchanges", "queue", "bindings"),
    [
        (
            *(HookListener, [("callboard.events.changes", "topic"), OPERATIONAL]),
            *(own("changes"), OUR_CHANGES),
        ),
        (Maintenance, [("callboard.events.changes", "topic")], None, []),
        (ApiServer, [("callboard.events.changes", "topic")], None, []),
        (
            *(EventBridge, [OPERATIONAL, ("shop", "topic")], durable("callboard.events")),
            [("callboard.operational", "#"), ("shop", "order.#")],
        ),
    ],
)
def test_without_kazoo_no_exchange_of_it_is_declared(
    declared, actor_class, exchanges, queue, bindings
):
    topology = declared(actor_class, kazoo=KazooSettings(modules=()), api=ApiSettings(port=0))
    assert [(exchange.name, exchange.type) for exchange in topology.exchanges] == exchanges
    assert (topology.queue and queue_of(topology)) == queue
    assert bindings_of(topology) == bindings


def test_a_dry_run_without_kazoo_follows_the_changes_of_the_others(declared):
    topology = declared(
        HookListener, kazoo=KazooSettings(modules=()), delivery=DeliverySettings(dry_run=True)
    )
    assert [exchange.name for exchange in topology.exchanges] == ["callboard.events.changes"]


def test_the_initializer_waits_for_no_master_account_without_kazoo(world, servers, settings):
    made = world.settings(modules=settings.modules, kazoo=KazooSettings(modules=()))
    role = world.start(Initializer, "initializer", made)
    world.pass_time(5)
    assert world.actor(role.address) is None
    assert servers.broker.connections == []


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_the_table_has_what_the_actors_declare(declared, settings, queue_type):
    amqp = AmqpSettings(queue_type=queue_type)
    table = topologies(evolve(settings, amqp=amqp))
    assert {path: declared(actor_class, amqp=amqp) for path, actor_class in ACTORS.items()} == table
    assert not any(map(is_deprecated, queues(evolve(settings, amqp=amqp))))


@pytest.mark.parametrize(("queue_type", "is_quorum"), [("classic", False), ("quorum", True)])
def test_the_queue_of_requests_goes_away_with_the_last_node(declared, queue_type, is_quorum):
    topology = declared(Maintenance, amqp=AmqpSettings(queue_type=queue_type))
    arguments = LINGERS | (QUORUM if is_quorum else {})
    assert queue_of(topology) == (
        "callboard.events.requests",
        True,
        False,
        not is_quorum,
        arguments,
    )
    assert topology.obsolete == ("callboard.events.doc_type_update",)


@pytest.mark.parametrize("declare", [True, False])
def test_an_exchange_of_others_is_looked_for_and_not_made(settings, declare):
    """Without it, the other modules still work."""
    theirs = evolve(settings.modules[0], exchange="theirs", declare=declare)
    made = evolve(settings, modules=(theirs,))
    found = {exchange.name: exchange for exchange in topologies(made)[EVENT_BRIDGE].exchanges}
    assert (found["theirs"].passive, found["theirs"].optional) == (not declare, True)


@pytest.mark.parametrize("path", [EVENT_BRIDGE, HOOK_LISTENER, MAINTENANCE, RETRY_QUEUE, ZONE])
def test_each_actor_logs_that_its_broker_is_away_and_is_back(path):
    with World(log_level=logging.INFO) as world:
        broker = Broker(world)
        world.ports = Ports(broker.connect, Store().connect)
        settings = world.settings(api=ApiSettings(events=False))
        actor_class = ZoneListener if path == ZONE else ACTORS[path]
        actor = world.start(actor_class, path, settings, zone="amqp://zone")
        world.pass_time(2)
        world.logged.clear()
        broker.stop(5)
        world.pass_time(30)
        logged = [line for line in world.logged if line["event"].startswith("broker_")]
        *down, up = [line["event"] for line in logged]
        assert (set(down), up) == ({"broker_down"}, "broker_up")
        assert logged[0]["actor"] == path
        assert logged[0].keys() >= {"reason", "retry_in_s"}
        assert actor.actor.stats()["broker"] == "up"


def test_redelivery_only_publishes(declared):
    topology = declared(Redelivery)
    assert (topology.exchanges, topology.queue, topology.bindings) == ((), None, ())


@pytest.mark.parametrize(
    ("options", "queue", "priority"),
    [
        ({}, durable("callboard.events"), 0),
        ({"queue": "mine", "consumer_priority": 7}, durable("mine"), 7),
        (
            {"single_active_consumer": True},
            durable("callboard.events", x_single_active_consumer=True),
            0,
        ),
        ({"queue_type": "quorum"}, (*durable("callboard.events")[:4], QUORUM), 0),
        ({"join_kazoo": True}, KAZOO, 0),
    ],
)
def test_the_queue_of_events(declared, options, queue, priority):
    topology = declared(EventBridge, amqp=AmqpSettings(prefetch=77, **options))
    assert queue_of(topology) == queue
    assert (topology.prefetch, topology.priority) == (77, priority)
    assert ("shop", "order.#") in bindings_of(topology)
    exchanges = [exchange.name for exchange in topology.exchanges]
    assert exchanges == sorted(exchanges)
    assert {"shop", "configuration"} <= set(exchanges)


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_the_queues_of_retries(declared, queue_type):
    topology = declared(
        RetryQueue,
        amqp=AmqpSettings(queue="mine", queue_type=queue_type, consumer_priority=3),
        delivery=DeliverySettings(retry_prefetch=55),
    )
    arguments = QUORUM if queue_type == "quorum" else {}
    assert queue_of(topology) == (*durable("mine.retries")[:4], arguments)
    assert (topology.prefetch, topology.priority) == (55, 3)
    assert [(delay.name, delay.delay_ms, delay.to, delay.quorum) for delay in topology.delays] == [
        (f"mine.retry.{name}", delay_ms, "mine.retries", queue_type == "quorum")
        for name, delay_ms in DELAYS_MS.items()
    ]


@pytest.mark.logs("broker_down")
def test_changes_in_another_zone_reach_the_hook_listener(world, servers, settings):
    listener = world.peer(HOOK_LISTENER)
    zone = world.start(ZoneListener, "zone_listener-1", settings, listener, zone="amqp://zone")
    assert zone.actor.stats() == {"broker": "down", "changes": 0}
    world.pass_time(1)
    (up,) = listener.take(ZoneChanges)
    assert up.messages is None  # changes may have been missed: load all
    servers.broker.publish("configuration", "doc_edited.webhooks.webhook.h", b"{}", Properties())
    world.pass_time(1)
    (changes,) = listener.take(ZoneChanges)
    assert [message.body for message in changes.messages] == [b"{}"]
    assert servers.broker.messages == 0
    assert zone.actor.stats() == {"broker": "up", "changes": 1}
    world.tell_peers(zone)
    servers.broker.publish("configuration", "doc_edited.webhooks.webhook.h", b"{}", Properties())
    servers.broker.stop(60)
    world.pass_time(1)
    assert zone.actor.stats()["broker"] == "down"


def test_the_table_of_queues_ends_with_that_of_an_ordered_hook(settings):
    *others, last = queues(settings)
    assert last.name == "callboard.events.ordered."
    assert {queue.name for queue in others} >= {"callboard.events", "callboard.events.retries"}
