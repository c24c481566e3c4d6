"""`metrics` alone: it adds up what actors report, also over restarts."""

import logging
import threading

import pytest
from prometheus_client.parser import text_string_to_metric_families

from callboard.actors.messages import (
    Figures,
    GetFigures,
    GetHealth,
    GetMetrics,
    Health,
    MetricsText,
)
from callboard.actors.messages.paths import ELSEWHERE, EVENT_BRIDGE, METRICS
from callboard.actors.metrics.metrics import Metrics
from callboard.config.settings import ActorsSettings, CouchdbSettings
from callboard.supervision import GetTree, TreeNode
from callboard.webhooks.dispatch.dispatcher import EndpointFigures
from callboard.webhooks.metrics import catalog
from callboard.webhooks.metrics.snapshot import Snapshot
from callboard.webhooks.metrics.tally import Tally
from support.world import World


class Watching:
    """The actor, with one that reports to it and one who asks."""

    def __init__(self, world, settings):
        self.world, self.node = world, settings.node
        self.bridge, self.user = world.peer(EVENT_BRIDGE), world.peer("user")
        self.actor = world.start(Metrics, METRICS, settings, self.bridge)
        self.numbers = iter(range(1, 1000))
        world.pass_time(0.5)

    def report(self, received, endpoints=()):
        tally = Tally()
        tally.set(catalog.MESSAGES_RECEIVED, received)
        sender = EVENT_BRIDGE, self.bridge.incarnation
        message = Figures(sender, next(self.numbers), tally.figures(), endpoints)
        self.bridge.say(self.actor, message)
        self.world.pass_time(0.1)

    def ask(self, request, kind):
        self.user.say(self.actor, request)
        self.world.pass_time(0.1)
        (answer,) = self.user.take(kind)
        return answer

    def samples(self, name):
        text = self.ask(GetMetrics(), MetricsText).text
        families = text_string_to_metric_families(text)
        return [(s.labels, s.value) for f in families for s in f.samples if s.name == name]


@pytest.fixture
def it(world, servers, settings):
    return Watching(world, settings)


def test_the_node_names_itself(it):
    ((labels, value),) = it.samples("callboard_node_info")
    assert (labels["node"], labels["zone"], value) == (it.node.name, it.node.zone, 1)
    assert labels["version"]


def test_counts_go_on_over_restarts(it):
    it.report(5)
    it.report(7)
    it.bridge.restart()
    it.world.tell_peers(it.actor, it.bridge)
    it.report(2)
    assert it.samples("callboard_messages_received_total") == [({}, 9)]


def test_the_restarts_of_the_tree_are_counted(it):
    def see(*children):
        it.user.say(
            it.actor, TreeNode("callboard", "", "S", "", "running", 1, 1.0, 0, {}, children)
        )
        it.world.pass_time(0.1)

    def tree(status, restarts):
        see(TreeNode(EVENT_BRIDGE, EVENT_BRIDGE, "EventBridge", "", status, 1, 1.0, restarts, {}))

    def of_bridge(name):
        return [value for labels, value in it.samples(name) if EVENT_BRIDGE in labels.values()]

    tree("running", 2)
    assert of_bridge("callboard_child_up") == [1]
    tree("restarting", 3)
    assert of_bridge("callboard_child_up") == [0]
    assert of_bridge("callboard_child_restarts_total") == [3]
    tree("running", 3)
    see()
    assert of_bridge("callboard_child_up") == [0], "it is gone"


def test_endpoints_are_shown_while_their_deliverer_is_up(it):
    assert it.ask(GetFigures(), Snapshot).endpoints == ()
    it.report(1, (EndpointFigures("https://a.example:443", 1, 2, "closed", 0),))
    (seen,) = it.ask(GetFigures(), Snapshot).endpoints
    assert seen.endpoint == "https://a.example:443"
    it.bridge.restart()
    it.world.tell_peers(it.actor, it.bridge)
    assert it.ask(GetFigures(), Snapshot).endpoints == ()


def child(path, status="running", *children):
    return TreeNode(path, path, "C", "", status, 1, 1.0, 0, {}, children)


class Judging:
    """The health of a node that is ready once its bridge runs, with hooks and a broker."""

    def __init__(self, world):
        self.world, self.it = world, Watching(world, world.settings())
        tally = Tally()
        tally.set(catalog.HOOKS_LOADED, 1, "hook_table")
        tally.set(catalog.BROKER_UP, 1, EVENT_BRIDGE)
        sender = EVENT_BRIDGE, self.it.bridge.incarnation
        self.it.bridge.say(self.it.actor, Figures(sender, 1, tally.figures(), ()))
        self.see(child(EVENT_BRIDGE, "restarting"))
        until = threading.Event()
        while "store" in self.kinds:  # A thread asks it.
            assert not until.wait(0.01)

    def see(self, *children, about="ready"):
        """The tree is so for ten seconds; the events of the log about that."""
        for _second in range(10):
            self.it.user.say(self.it.actor, child("callboard", "running", *children))
            self.world.pass_time(1)
        lines, self.world.logged[:] = list(self.world.logged), []
        return [line["event"] for line in lines if about in line["event"]]

    @property
    def found(self):
        return self.it.ask(GetHealth(), Health).found

    @property
    def kinds(self):
        return [problem.kind for problem in self.found]


@pytest.fixture
def health():
    with World(log_level=logging.INFO) as world:
        yield Judging(world)
        assert world.crashes == []


def test_the_log_has_each_change_of_readiness_once_although_nothing_asks(health):
    runs, restarts = child(EVENT_BRIDGE), child(EVENT_BRIDGE, "restarting")
    assert health.see(restarts) == []
    assert health.see(runs) == []
    assert health.see(restarts) == ["not_ready"]
    assert health.see(runs) == ["ready_again"]
    assert health.see(restarts) == ["not_ready"]
    assert health.kinds == ["tree"]


def test_each_actor_here_is_to_report_but_supervisors_and_those_of_other_machines(health):
    group = child("deliveries", "running", child("deliveries/deliverer-1"))
    far = child("deliveries/elsewhere/m1/deliverer-1")
    health.see(child(EVENT_BRIDGE), group, far)
    assert [(p.kind, p.what) for p in health.found] == [
        ("report", "no report yet of deliveries/deliverer-1")
    ]


def test_the_time_that_the_store_takes_is_measured(health):
    ((_labels, times),) = health.it.samples("callboard_store_probe_duration_seconds_count")
    assert times >= 1


def test_a_probe_of_the_metrics_sees_whether_the_node_is_ready(health):
    for status, expected in (("running", 1), ("restarting", 0)):
        health.see(child(EVENT_BRIDGE, status))
        assert health.it.samples("callboard_ready") == [({}, expected)]
    assert health.it.samples("callboard_machines") == [], "it is no node of several machines"


@pytest.mark.logs("degraded")
def test_the_machines_of_a_node_are_counted(world, servers):
    it = Watching(world, world.settings(actors=ActorsSettings(convention=True)))
    machines = (
        child(f"{ELSEWHERE}/m{n}", status)
        for n, status in enumerate(("running", "down", "running"))
    )
    it.user.say(it.actor, child("callboard", "running", *machines))
    world.pass_time(3)
    assert it.samples("callboard_machines") == [({"state": "joined"}, 2), ({"state": "lost"}, 1)]


def test_a_lost_machine_is_logged_when_it_is_lost_and_when_it_is_back(health):
    bridge, lost = child(EVENT_BRIDGE), child(f"{ELSEWHERE}/m1", "down")
    assert health.see(bridge, about="degraded") == []
    for expected in (["degraded"], []):
        assert health.see(bridge, lost, about="degraded") == expected
    back = child(f"{ELSEWHERE}/m1")
    for expected in (["degraded_no_more"], []):
        assert health.see(bridge, back, about="degraded") == expected


def test_for_how_long_the_node_has_not_been_ready_is_measured_by_the_kind_of_problem(health):
    def seconds():
        found = health.it.samples("callboard_not_ready_seconds")
        return {labels["kind"]: value for labels, value in found if value}

    health.see(child(EVENT_BRIDGE))
    assert seconds() == {}
    health.see(child(EVENT_BRIDGE, "restarting"))
    assert list(seconds()) == ["tree"]
    first = seconds()["tree"]
    assert 5 < first <= 10
    health.see(child(EVENT_BRIDGE, "restarting"))
    assert seconds() == {"tree": first + 10}


def test_the_actors_that_have_reported_are_counted(it):
    it.report(1)
    it.world.pass_time(4)
    assert it.actor.actor.stats() == {"actors": 2}, "the bridge and it itself"


@pytest.mark.logs("store_unavailable")
def test_that_the_store_is_away_is_logged_once_and_measured(world, servers):
    it = Watching(world, world.settings(couchdb=CouchdbSettings(url="http://127.0.0.1:1")))
    until = threading.Event()
    while it.samples("callboard_store_up") != [({}, 0)]:  # A thread asks it.
        assert not until.wait(0.01)
    it.world.pass_time(10)
    assert [line["event"] for line in world.logged] == ["store_unavailable"]
    assert it.samples("callboard_store_up") == [({}, 0)]


def test_the_tree_is_asked_for_every_two_seconds(world, servers, settings):
    supervisor = world.peer("supervisor")
    world._nobody = lambda: supervisor.address
    Watching(world, settings)
    world.pass_time(5)
    assert len(supervisor.take(GetTree)) == 3


def test_the_last_minutes_are_sampled_every_two_seconds(it):
    it.world.pass_time(20)
    it.report(100)
    it.world.pass_time(10)
    series = it.ask(GetFigures(), Snapshot).series
    assert len(series.at_unix_s) == pytest.approx(30 / series.step_s, abs=2)
    assert max(series.rates["messages"]) > 0
