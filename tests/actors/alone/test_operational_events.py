"""Operational events of a whole node: they fire hooks on `callboard`, and never go round."""

import json

import pytest
from attrs import evolve

from callboard.actors.delivery.attempt_log import AttemptLog
from callboard.actors.failures.disabler import Disabler
from callboard.actors.messages import (
    Attempts,
    AttemptsPersisted,
    DisableHook,
    FailuresSeen,
    GetFailures,
)
from callboard.actors.messages.operational import EventsReported, ReportEvents
from callboard.actors.messages.paths import (
    ATTEMPT_LOG,
    DELIVERIES,
    DISABLER,
    EVENT_BRIDGE,
    FAILURE_CACHE,
    HOOK_LISTENER,
    HOOK_TABLE,
    RESPONDERS,
)
from callboard.actors.system.tree import tree
from callboard.adapters.broker.protocol import Properties
from callboard.config.settings import (
    ActorsSettings,
    ApiSettings,
    DeliverySettings,
    DisablerSettings,
    ModuleSettings,
    NodeSettings,
)
from callboard.supervision import Start, Supervisor
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.history.dead_letters import DATABASE, dead_letter
from callboard.webhooks.hooks.hook import new_hook
from callboard.webhooks.modules.hops import HOPS_HEADER
from callboard.webhooks.modules.operational import EXCHANGE
from callboard.webhooks.retries.outcome import ClientError, Response
from support.world.parts import only

PARTS = (
    *(FAILURE_CACHE, HOOK_TABLE, DISABLER, HOOK_LISTENER, EVENT_BRIDGE),
    *(RESPONDERS, DELIVERIES),
)
REFUSED = ClientError("failed_connect: econnrefused")
OPERATOR = "operator"


class Node:
    """A node with a module `shop`, whose events belong to account `a`."""

    def __init__(self, world, servers, **parts):
        self.world, self.servers, self.received = world, servers, []
        self.fates = {}
        servers.endpoints.answer = self._answer
        shop = ModuleSettings(id="shop", exchange="shop", bindings=("order.#",), account_id="a")
        self.settings = world.settings(
            api=ApiSettings(events=False),
            node=NodeSettings(operators=(OPERATOR,)),
            actors=ActorsSettings(heartbeat_ms=600_000, hang_timeout_ms=3_600_000, max_restarts=9),
            delivery=DeliverySettings(workers=2, circuit_failures=3),
            modules=(shop,),
            **parts,
        )
        servers.store.ensure_database("webhooks")

    def hook(self, id, event, account="a", fate=None, **fields):
        """A stored hook. `fate`: what its endpoint answers, a function of the time."""
        document = new_hook(
            {
                "name": id,
                "uri": f"https://{id}.example/hook",
                "hook": event,
                "format": "json",
                "retries": 1,
                "pvt_account_id": account,
                **fields,
            },
            0,
            id,
            "node",
        )
        self.fates[id] = fate or (lambda: Response(200))
        self.servers.store.save("webhooks", document)

    def start(self):
        self.top = self.world.create(Supervisor)
        spec = only(tree(self.settings), PARTS, ("shop", "callboard"))
        self.world.deliver(self.top, Start(args=spec, heartbeat_s=600.0), self.top)
        self.world.pass_time(10)

    def publish(self, *numbers):
        """Some events, one after the other: failures at the same time count once."""
        for number in numbers:
            body = json.dumps({"n": number}).encode()
            properties = Properties(content_type="application/json", message_id=f"m{number}")
            self.servers.broker.publish("shop", "order.made", body, properties)
            self.world.pass_time(0.1)
        self.world.pass_time(5)

    def events(self, hook_id, type=None):
        """The bodies that a hook received, of one type of event."""
        found = [json.loads(d.body) for d in self.received if d.hook_id == hook_id]
        return [body for body in found if type in (None, body.get("type"))]

    def _answer(self, delivery, _attempts):
        outcome = self.fates[delivery.hook_id]()
        if isinstance(outcome, Response):
            self.received.append(delivery)
        return 0.01, outcome, isinstance(outcome, Response)


@pytest.fixture
def node(world, servers):
    return Node(world, servers)


def test_an_exhausted_delivery_fires_the_accounts_hook_and_the_operators(node, world):
    node.hook("broken", "shop", fate=lambda: Response(500))
    node.hook("mine", "callboard", custom_data={"type": "delivery.exhausted"})
    node.hook("other", "callboard", account="b")
    node.hook("plain", "callboard", account=OPERATOR)
    node.hook("operator", "callboard", account=OPERATOR, include_subaccounts=True)
    node.hook("everything", "all")
    node.start()
    node.publish(1)
    (event,) = node.events("mine")
    assert node.events("operator") == [event]
    assert node.events("other") == node.events("plain") == []
    assert node.events("everything") == [{"n": 1}]
    assert (event["type"], event["account_id"]) == ("delivery.exhausted", "a")
    data = event["data"]
    (letter,) = node.servers.store.all(DATABASE)
    assert data["dead_letter_id"] == letter["_id"]
    assert (data["hook_id"], data["reason"], data["tries"]) == ("broken", "status 500", 1)


@pytest.mark.logs("broker_down", "hook_disabled", "messages_overdue")
def test_failures_of_hooks_on_callboard_make_no_further_events(node, world):
    """Each would report the other's failures to the other, for ever."""
    node.hook("broken", "shop", fate=lambda: Response(500))
    for name in ("one", "two"):
        node.hook(name, "callboard", fate=lambda: Response(500))
    node.start()
    node.publish(*range(7))
    world.pass_time(300)
    types = [event["type"] for name in ("one", "two") for event in node.events(name)]
    assert "delivery.exhausted" in types
    about = {event["data"].get("hook_id") for name in ("one", "two") for event in node.events(name)}
    reported = [
        event
        for name in ("one", "two")
        for event in node.events(name)
        if event["data"].get("hook_id") in ("one", "two")
    ]
    assert about >= {"broken"}
    assert {event["type"] for event in reported} <= {"hook.disabled"}
    assert len(reported) <= 2
    for name in ("one", "two"):
        assert name not in [event["data"].get("hook_id") for event in node.events(name)]
    world.pass_time(3600)
    assert len(types) == len([1 for name in ("one", "two") for _event in node.events(name)])


@pytest.mark.logs("hook_disabled")
def test_a_hook_is_failing_before_it_is_disabled(node, world):
    node.hook("broken", "shop", fate=lambda: Response(500))
    node.hook("mine", "callboard")
    node.start()
    node.publish(1, 2, 3)
    world.pass_time(20)
    (failing,) = node.events("mine", "hook.failing")
    assert failing["data"] == {
        "hook_id": "broken",
        "hook_event": "shop",
        "name": "broken",
        "uri": "https://broken.example/hook",
        "failures": 3,
        "limit": 6,
        "window_s": 60.0,
    }
    node.publish(4, 5, 6)
    world.pass_time(20)
    (disabled,) = node.events("mine", "hook.disabled")
    assert disabled["data"]["hook_id"] == "broken"
    assert disabled["data"]["reason"] == "too many failed attempts"
    assert len(node.events("mine", "hook.failing")) == 1
    assert len(node.events("mine", "delivery.exhausted")) == 6


def test_an_endpoint_is_down_once_and_up_again(node, world):
    node.settings = evolve(node.settings, disabler=DisablerSettings(enabled=False))
    state = {"outcome": REFUSED}
    node.hook("away", "shop", fate=lambda: state["outcome"], retry_policy="standard")
    node.hook("mine", "callboard")
    node.hook("there", "callboard", uri="https://away.example/other")
    node.hook("operator", "callboard", account=OPERATOR, include_subaccounts=True)
    node.start()
    node.publish(*range(12))
    world.pass_time(60)
    (down,) = node.events("mine", "endpoint.down")
    assert down["data"]["endpoint"] == "https://away.example:443"
    assert node.events("operator", "endpoint.down")[0]["account_id"] == OPERATOR
    state["outcome"] = Response(200)
    world.pass_time(1200)
    (up,) = node.events("mine", "endpoint.up")
    assert up["data"]["since_ms"] == down["data"]["since_ms"]
    assert up["data"]["down_s"] > 50
    for type in ("endpoint.down", "endpoint.up"):
        assert len(node.events("operator", type)) == 1
        assert len(node.events("mine", type)) == 1
        assert node.events("there", type) == []


@pytest.mark.logs("broker_blocked", "child_ended")
def test_a_dead_node_reports_after_its_restart(node, world, servers):
    """The fact was on disk as it died, and the broker away."""
    node.hook("broken", "shop", fate=lambda: Response(500))
    node.hook("mine", "callboard")
    node.start()
    servers.broker.publish("shop", "order.made", b'{"n": 1}', Properties("application/json"))
    world.run(lambda: servers.store.all(DATABASE) != [], 60)
    servers.broker.block()
    world.pass_time(5)
    for address in world.actors_but(Supervisor):
        world.kill(address)
    servers.broker.unblock()
    world.pass_time(60)
    assert [event["type"] for event in node.events("mine")] == ["delivery.exhausted"]


# The attempt log alone


def letter(n, event="shop", **more):
    headers = more.pop("headers", ())
    url = "http://x/"
    delivery = Delivery(f"d{n}", "e", "h", "a", event, url, "POST", url, headers, b"")
    return DATABASE, dead_letter(delivery, "status 500", 1, (), 1_790_000_000.0, "node")


@pytest.fixture
def log(world, servers, settings):
    deliverer, listener = world.peer(f"{DELIVERIES}/deliverer-1"), world.peer(HOOK_LISTENER)
    actor = world.start(AttemptLog, ATTEMPT_LOG, settings, deliverer, listener)
    world.pass_time(1)
    return deliverer, listener, actor


def test_a_dead_letter_stays_on_disk_until_its_event_does(world, servers, log):
    deliverer, listener, actor = log
    deliverer.say(actor, Attempts(1, (letter(1), letter(2, "callboard"))))
    world.pass_time(2)
    assert deliverer.take(AttemptsPersisted)
    assert len(servers.store.all(DATABASE)) == 2
    (first,) = listener.take(ReportEvents)
    assert [event.data["delivery_id"] for event in first.events] == ["d1"]
    assert actor.actor.stats()["letters_waiting"] == 2
    world.pass_time(6)
    (again,) = listener.take(ReportEvents)
    assert [e.id for e in again.events] == [e.id for e in first.events]
    listener.say(actor, EventsReported(first.number))  # Late: it has asked again since.
    assert actor.actor.stats()["letters_waiting"] == 2
    listener.say(actor, EventsReported(again.number))
    assert actor.actor.stats()["letters_waiting"] == 0
    world.pass_time(60)
    assert listener.take(ReportEvents) == []


def test_a_dead_letter_without_an_event_is_written_and_forgotten(world, log):
    deliverer, listener, actor = log
    deliverer.say(actor, Attempts(1, (letter(1, "callboard"),)))
    world.pass_time(2)
    assert actor.actor.stats()["letters_waiting"] == 0
    assert listener.take(ReportEvents) == []


def test_an_exhausted_delivery_passes_its_hops_on(world, log):
    deliverer, listener, actor = log
    deliverer.say(actor, Attempts(1, (letter(1, headers=((HOPS_HEADER, "4"),)),)))
    world.pass_time(2)
    ((event,),) = [report.events for report in listener.take(ReportEvents)]
    assert event.message("node")["Hops"] == 4


# The disabler alone


@pytest.fixture
def disabler(world, servers, settings):
    cache, listener = world.peer(FAILURE_CACHE), world.peer(HOOK_LISTENER)
    servers.store.ensure_database("webhooks")
    for id, event in (("h", "shop"), ("own", "callboard")):
        document = new_hook(
            {"name": id, "uri": "https://x.example/", "hook": event, "pvt_account_id": "a"},
            0,
            id,
            "node",
        )
        servers.store.save("webhooks", document)
    off = evolve(settings, disabler=DisablerSettings(enabled=False))
    actor = world.start(Disabler, DISABLER, off, cache, listener)
    world.pass_time(2)
    return cache, listener, actor


def fail(world, disabler, count, hook="h", here=True):
    cache, listener, actor = disabler
    cache.take(GetFailures)
    now_ms = int((world.unix_s + world.now + 62167219200) * 1000)
    times = tuple(now_ms - 1000 - n for n in range(count))
    key = "a", hook
    cache.say(actor, FailuresSeen({key: times}, frozenset({key} if here else ())))
    world.pass_time(0.1)
    assert listener.take(DisableHook) == []
    return [event.name for report in listener.take(ReportEvents) for event in report.events]


def test_half_of_the_failures_are_reported_once_until_there_are_fewer(world, disabler):
    assert fail(world, disabler, 2) == []
    assert fail(world, disabler, 3) == ["hook.failing"]
    assert fail(world, disabler, 9) == []
    assert fail(world, disabler, 2) == []
    assert fail(world, disabler, 3) == ["hook.failing"]


def test_another_nodes_failures_are_reported_there(world, disabler):
    assert fail(world, disabler, 3, here=False) == []
    assert fail(world, disabler, 3, hook="own") == []


@pytest.mark.logs("store_unavailable")
def test_while_the_store_is_away_the_report_waits(world, servers, disabler):
    fail(world, disabler, 1)
    servers.store.away = True
    assert fail(world, disabler, 3) == []
    servers.store.away = False
    assert fail(world, disabler, 3) == ["hook.failing"]


def test_the_exchange_is_durable_and_its_messages_persistent(world, servers, node):
    sent = []
    real = servers.broker.publish

    def publish(exchange, key, body, properties):
        sent.append((exchange, key, properties.delivery_mode))
        return real(exchange, key, body, properties)

    servers.broker.publish = publish
    node.hook("broken", "shop", fate=lambda: Response(500))
    node.start()
    node.publish(1)
    assert (EXCHANGE.name, "delivery.exhausted", 2) in sent
    assert EXCHANGE.durable


def test_in_a_trial_nothing_is_published(world, servers, node):
    dry_run = evolve(node.settings.delivery, dry_run=True)
    node.settings = evolve(node.settings, delivery=dry_run)
    node.start()
    assert EXCHANGE.name not in servers.broker.exchanges
    assert "shop" in servers.broker.exchanges
