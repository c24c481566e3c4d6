"""The top of the tree alone, with actors below it that keep what they receive."""

import shutil

import pytest
from thespian.actors import WatchMessage

from callboard import admin
from callboard.actors.messages import GetSettings, Quiesce, Quiesced, Refused
from callboard.actors.messages.metrics import GetHealth
from callboard.actors.messages.operations import Ask
from callboard.actors.system.embedded import Callboard
from callboard.actors.system.tree import Top, WebhooksSupervisor, tree
from callboard.config.settings import (
    ActorsSettings,
    AmqpSettings,
    ApiSettings,
    CouchdbSettings,
    DeliverySettings,
    KazooSettings,
)
from callboard.supervision import GetTree, Start, Stop, SupervisedActor, Supervisor, TreeNode
from callboard.supervision.messages import Finished, GaveUp
from support.world import World

RESPONDER_PEERS = (
    "metrics event_bridge hook_listener hook_table deliveries/*deliverer-* deliveries/retry_queue"
)
DELIVERER_PEERS = (
    "metrics event_bridge responders/* failure_cache hook_listener hook_table "
    "deliveries/attempt_log deliveries/retry_queue subscribers/delivery_failed/*"
)

TREE = [
    # path, actor, restart, seconds to stop, seconds of waiting, Kazoo's name, peers
    ("metrics", "Metrics", "permanent", 5, 0, "", "*"),
    ("failure_cache", "FailureCache", "permanent", 5, 0, "webhooks_cache", "metrics"),
    (
        *("hook_table", "HookTable", "permanent", 5, 0, "kazoo_etsmgr_srv"),
        "metrics responders/* deliveries/*deliverer-* deliveries/retry_queue",
    ),
    (
        *("disabler", "Disabler", "permanent", 5, 6, "webhooks_disabler"),
        "metrics failure_cache hook_listener",
    ),
    (
        *("hook_listener", "HookListener", "permanent", 5, 6, "webhooks_listener"),
        "metrics hook_table failure_cache disabler maintenance redelivery responders/* "
        "deliveries/attempt_log deliveries/retry_queue subscribers/hook_disabled/*",
    ),
    ("zone_listener-1", "ZoneListener", "permanent", 5, 0, "", "metrics hook_listener"),
    ("zone_listener-2", "ZoneListener", "permanent", 5, 0, "", "metrics hook_listener"),
    (
        *("event_bridge", "EventBridge", "permanent", 5, 0, "webhooks_shared_listener"),
        "metrics responders/* deliveries/*deliverer-* deliveries/retry_queue api",
    ),
    (
        *("maintenance", "Maintenance", "permanent", 5, 6, "webhooks_maintenance"),
        "metrics hook_table failure_cache",
    ),
    ("redelivery", "Redelivery", "permanent", 5, 6, "", "metrics"),
    ("responders", "Supervisor", "permanent", 15, 0, "", ""),
    ("responders/shop", "Responder", "permanent", 5, 6, "", RESPONDER_PEERS),
    ("deliveries", "Supervisor", "permanent", 25, 0, "", ""),
    (
        *("deliveries/attempt_log", "AttemptLog", "permanent", 5, 6, ""),
        "metrics hook_listener deliveries/*deliverer-*",
    ),
    (
        *("deliveries/retry_queue", "RetryQueue", "permanent", 5, 6, ""),
        "metrics hook_listener hook_table event_bridge deliveries/*deliverer-*",
    ),
    ("deliveries/deliverer-1", "Deliverer", "permanent", 12, 0, "", DELIVERER_PEERS),
    ("deliveries/deliverer-2", "Deliverer", "permanent", 12, 0, "", DELIVERER_PEERS),
    ("deliveries/elsewhere", "RemoteSupervisors", "permanent", 18, 0, "", ""),
    ("api", "ApiServer", "permanent", 5, 0, "", "*"),
    ("initializer", "Initializer", "temporary", 5, 6, "webhooks_init", "metrics"),
]
"""What docs/tree.md says in its table, and which actors know which."""


def rows(spec, above=""):
    for child in spec.children:
        path = above + child.id
        yield (
            *(path, child.actor.__name__, child.restart, child.shutdown_s, child.waits_s),
            *(child.label, " ".join(child.peers)),
        )
        if hasattr(child.args, "children"):
            yield from rows(child.args, f"{path}/")


def specs(spec):
    yield spec
    for child in spec.children:
        if hasattr(child.args, "children"):
            yield from specs(child.args)


@pytest.fixture
def whole(settings, world):
    return lambda **options: world.settings(modules=settings.modules, **options)


def of_the_test(spec):
    """Those of the rows that are not of Kazoo's own modules."""
    found = list(rows(spec))
    return [row for row in found if "/" not in row[0] or not row[0].startswith("responders/")] + [
        row for row in found if row[0] == "responders/shop"
    ]


def test_the_whole_tree(whole):
    settings = whole(
        amqp=AmqpSettings(zones=("amqp://one", "amqp://two")),
        actors=ActorsSettings(convention=True),
        couchdb=CouchdbSettings(timeout_ms=3000),
        delivery=DeliverySettings(workers=2),
        api=ApiSettings(enabled=True),
    )
    assert sorted(of_the_test(tree(settings))) == sorted(TREE)
    order = [row[0] for row in TREE if row[0] != "responders/shop"]
    assert [row[0] for row in of_the_test(tree(settings))][:-1] == order


def test_without_what_is_not_configured(whole):
    paths = {row[0] for row in rows(tree(whole(api=ApiSettings(enabled=False))))}
    assert "api" not in paths
    assert "deliveries/elsewhere" not in paths
    assert "zone_listener-1" not in paths


def test_times_and_restarts_are_as_configured_everywhere(whole):
    settings = whole(actors=ActorsSettings(heartbeat_ms=1500, hang_timeout_ms=7000, max_restarts=3))
    found = list(specs(tree(settings)))
    assert len(found) == 3
    assert {(s.heartbeat_s, s.hang_s, s.max_restarts, s.within_s, s.strategy) for s in found} == {
        (1.5, 7.0, 3, 10.0, "one_for_one")
    }


# The top at work


class Quiet(SupervisedActor):
    """Stands for each actor of the tree: keeps what it receives, and says nothing."""

    def __init__(self, capabilities, *_more):
        super().__init__(capabilities)
        self.kept = []

    def receiveMessage(self, message, sender):
        if isinstance(message, Quiesce | GetHealth | admin.AdminRequest | Ask):
            self.kept.append((message, sender))
            return None
        return super().receiveMessage(message, sender)

    def receiveMsg_Forwarded(self, message, _sender):
        self.kept.append((message.message, message.asker))


class Running:
    def __init__(self, world, settings):
        self.world, self.owner = world, world.peer("owner")
        self.address = world.create(WebhooksSupervisor)
        self.settings = settings

    def start(self):
        self.say(Start(args=Top(self.settings), heartbeat_s=0))
        self.world.pass_time(3)
        return self

    def say(self, message):
        self.world.deliver(self.address, message, self.owner.address)
        self.world.pass_time(0.05)

    def ask(self, message, kind):
        self.say(message)
        (answer,) = self.owner.take(kind)
        return answer

    def at(self, path):
        node = self.ask(GetTree(), TreeNode).at(path)
        assert node.status == "running"
        return self.world.found[path]


class Whole(World):
    """Each actor but the supervisors is a `Quiet`; `found`: these, by path."""

    def create(self, actor_class, parent=None, *more):
        if not issubclass(actor_class, Supervisor):
            actor_class = Quiet
        return super().create(actor_class, parent, *more)

    @property
    def found(self):
        made = [self.actor(address) for address in self.actors_but(Supervisor)]
        return {actor.path: actor for actor in made if isinstance(actor, Quiet)}


@pytest.fixture
def running(settings):
    with Whole() as world:
        settings = world.settings(modules=settings.modules, api=ApiSettings(enabled=False))
        yield Running(world, settings)
        assert world.crashes == []


def test_settings_are_sent_once_there_are_any(running):
    starting = running.ask(GetSettings(), Refused)
    assert starting.reason == "the system is starting: try again"
    running.start()
    running.say(GetSettings())
    assert running.owner.received[-1] == running.settings


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        (admin.ShowDeadLetter("x", ref="r"), "redelivery"),
        (admin.HooksConfigured(ref="r"), "maintenance"),
    ],
)
def test_requests_go_to_the_actor_that_handles_them(running, request_, path):
    down = running.ask(request_, Refused | admin.Refused)
    assert (down.reason, down.ref) == (f"{path} is being restarted: try again", "r")
    running.start()
    running.say(request_)
    assert running.at(path).kept == [(request_, running.owner.address)]


def test_a_message_for_an_actor_is_passed_on(running):
    running.start()
    running.say(Ask("metrics", GetHealth()))
    assert running.at("metrics").kept == [(GetHealth(), running.owner.address)]
    refused = running.ask(Ask("nobody", GetHealth()), Refused)
    assert refused.reason == "nobody is down, or there is no such actor"


def test_events_are_settled_before_it_stops(running):
    running.start()
    running.say(Stop())
    bridge = running.at("event_bridge")
    assert [message for message, _sender in bridge.kept] == [Quiesce()]
    assert running.ask(GetTree(), TreeNode).status == "running"
    running.world.pass_time(9)
    assert running.ask(GetTree(), TreeNode).status == "running"
    running.say(Quiesced())
    running.world.pass_time(1)
    assert running.owner.take(Finished) == [Finished("", 0)]


def test_what_does_not_settle_is_given_up_after_ten_seconds(running):
    running.start()
    running.say(Stop())
    running.world.pass_time(9.8)
    assert running.owner.take(Finished) == []
    running.world.pass_time(1)
    assert running.owner.take(Finished) == [Finished("", 0)]


def test_asked_twice_it_stops_at_once(running):
    running.start()
    running.say(Stop())
    running.say(Stop())
    running.world.pass_time(0.5)
    assert running.owner.take(Finished) == [Finished("", 0)]


@pytest.mark.parametrize(("top", "owned"), [(WebhooksSupervisor, True), (Callboard, False)])
def test_without_its_owners_process_it_settles_and_ends_the_system_if_that_is_its_own(
    running, top, owned
):
    running.address = running.world.create(top)
    running.start()
    running.say(WatchMessage([]))
    assert [message for message, _sender in running.at("event_bridge").kept] == [Quiesce()]
    assert not running.world.is_shut_down
    running.say(Quiesced())
    running.world.pass_time(1)
    assert running.owner.take(Finished) == [Finished("", 0)]
    assert running.world.is_shut_down is owned


def test_without_a_bridge_there_is_nothing_to_settle(running):
    world, owner = running.world, running.owner.address
    world.deliver(running.address, Start(args=Top(running.settings), heartbeat_s=0), owner)
    world.deliver(running.address, Stop(), owner)  # the first actor is starting
    world.pass_time(0.5)
    assert running.owner.take(Finished) == [Finished("", 0)]


def test_an_embedded_system_ends_with_its_data_directory(running):
    """Another might run in the place of that, and both would have the same name at the broker."""
    running.address = running.world.create(Callboard)
    running.start()
    running.world.pass_time(5)
    assert running.owner.take(GaveUp) == []
    folder = running.settings.data.dir
    folder.rename(folder.with_name(f"{folder.name}.moved"))
    folder.mkdir()
    running.world.pass_time(1.5)
    shutil.rmtree(folder.with_name(f"{folder.name}.moved"))
    (gave_up,) = running.owner.take(GaveUp)
    assert "data" in gave_up.reason


def test_without_kazoo_no_actor_has_the_name_of_kazoos(whole):
    spec = tree(whole(kazoo=KazooSettings(modules=())))
    assert {label for *_row, label, _peers in rows(spec)} == {""}
