"""`metrics` alone: it adds up what actors report, also over restarts."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from callboard.actors.messages import Figures, GetFigures, GetMetrics, MetricsText
from callboard.actors.messages.paths import EVENT_BRIDGE, METRICS
from callboard.actors.metrics.metrics import Metrics
from callboard.supervision import TreeNode
from callboard.webhooks.dispatch.dispatcher import EndpointFigures
from callboard.webhooks.metrics import catalog
from callboard.webhooks.metrics.snapshot import Snapshot
from callboard.webhooks.metrics.tally import Tally


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
    def tree(status, restarts):
        child = TreeNode(
            EVENT_BRIDGE, EVENT_BRIDGE, "EventBridge", "", status, 1, 1.0, restarts, {}
        )
        it.user.say(
            it.actor, TreeNode("callboard", "", "S", "", "running", 1, 1.0, 0, {}, (child,))
        )
        it.world.pass_time(0.1)

    def of_bridge(name):
        return [value for labels, value in it.samples(name) if EVENT_BRIDGE in labels.values()]

    tree("running", 2)
    assert of_bridge("callboard_child_up") == [1]
    tree("restarting", 3)
    assert of_bridge("callboard_child_up") == [0]
    assert of_bridge("callboard_child_restarts_total") == [3]


def test_endpoints_are_shown_while_their_deliverer_is_up(it):
    assert it.ask(GetFigures(), Snapshot).endpoints == ()
    it.report(1, (EndpointFigures("https://a.example:443", 1, 2, "closed", 0),))
    (seen,) = it.ask(GetFigures(), Snapshot).endpoints
    assert seen.endpoint == "https://a.example:443"
    it.bridge.restart()
    it.world.tell_peers(it.actor, it.bridge)
    assert it.ask(GetFigures(), Snapshot).endpoints == ()
