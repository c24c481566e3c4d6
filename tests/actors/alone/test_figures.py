"""What the actors of a node say of their work, after events of which each kind of end is known.

Three events fire two hooks: one whose endpoint answers, and one whose endpoint fails twice. A
fourth is no JSON. So there are three deliveries, six failed attempts, three deferrals, three dead
letters of deliveries and one quarantined event.
"""

import json

import pytest
from attrs import evolve

from callboard.actors.hooks.table import HookTable
from callboard.actors.messages import Figures, FindHooks, LoadHooks
from callboard.actors.messages.paths import HOOK_TABLE, METRICS
from callboard.actors.system.tree import tree
from callboard.adapters.broker.protocol import Properties
from callboard.config.settings import ApiSettings, DeliverySettings
from callboard.supervision import GetTree, Start, SupervisedActor, Supervisor, TreeNode
from callboard.webhooks.hooks.hook import new_hook
from callboard.webhooks.retries.outcome import Response

ACCOUNT = "a"
IDLE = {"in_flight": 0, "waiting": 0, "parked": 0, "retrying": 0, "leaving": 0, "circuits_open": 0}

STATS = {
    "event_bridge": {
        "broker": "up",
        "received": 7,  # Three operational events among them.
        "acknowledged": 7,
        "requeued": 0,
        "unclaimed": 0,
        "no_module": 0,
        "poison": 1,
        "in_hand": 0,
        "batches": 0,
        "parts": 0,
        "left_out": 0,
    },
    "responders/shop": {
        "events": 4,
        "deliveries": 6,
        "poison": 1,
        "hooks": 2,
        "held": 0,
        "fan_outs": 0,
        "unsettled": 0,
        "no_hook": 0,
        "no_account": 0,
        "filtered": 0,
    },
    "deliveries/deliverer-1": {
        "delivered": 3,
        "failed_tries": 6,
        "given_up": 3,
        "cancelled": 0,
        "unrecorded": 0,
        "repeats": 0,
        "put_off": 3,
        **IDLE,
    },
    "deliveries/retry_queue": {
        "broker": "up",
        "received": 3,
        "put_off": 3,
        "kept": 3,
        "rounds": 0,
        "handed_out": 3,
        "settled": 3,
        "held": 0,
        "outdated": 0,
        "poison": 0,
        "unconfirmed": 0,
        "in_hand": 0,
        "in_order": 0,
        "ordered_hooks": 0,
    },
    "deliveries/attempt_log": {
        "written": 6,  # of failures only, unless attempts.log_successful is set
        "refused": 0,
        "waiting": 0,
        "dropped": 0,
        "letters_waiting": 0,
    },
    "hook_table": {"hooks": 2, "loaded": True, "subscribers": 3},
    "hook_listener": {
        **{"broker": "up", "loaded": 2, "problems": 0, "loading": False},
        **{"missed": 0, "unpublished": 0, "unpublished_events": 0},
    },
}
"""What `callboard tree` shows (docs/operations.md)."""


class Collector(SupervisedActor):
    """Stands for `metrics`: the last report of each actor."""

    def __init__(self, capabilities, *_more):
        super().__init__(capabilities)
        self.reports = {}

    def receiveMsg_Figures(self, message, _sender):
        self.reports[message.sender[0]] = message.figures


def hook(id, host):
    public = {
        "name": id,
        "uri": f"https://{host}.example/",
        "hook": "shop",
        "format": "json",
        "retries": 2,
        "retry_policy": "standard",
        "pvt_account_id": ACCOUNT,
    }
    return new_hook(public, 0, id * 32, "node")


@pytest.fixture
def node(world, servers, settings):
    """The actors of a node after its work, by path; `metrics` is a `Collector`."""
    settings = world.settings(
        modules=settings.modules,
        api=ApiSettings(enabled=False, events=False),
        delivery=DeliverySettings(workers=1, retry_steps_s=(2.0,)),
    )
    servers.store.ensure_database("webhooks")
    for document in (hook("1", "good"), hook("2", "bad")):
        servers.store.save("webhooks", document)
    servers.endpoints.answer = lambda delivery, _made: (
        (0.01, Response(200), True) if "good" in delivery.uri else (0.01, Response(500), False)
    )
    owner = world.peer("owner")
    top = world.create(Supervisor)
    world.deliver(top, Start(args=_part_of(tree(settings)), heartbeat_s=0), owner.address)
    world.pass_time(5)
    for number in range(3):
        _publish(servers.broker, number, json.dumps({"n": number}).encode())
    _publish(servers.broker, 3, b"not JSON")
    world.pass_time(60)
    world.deliver(top, GetTree(), owner.address)
    world.pass_time(1)
    (found,) = owner.take(TreeNode)
    assert [line["event"] for line in world.logged] == ["event_set_aside"]
    world.logged.clear()
    actors = [world.actor(address) for address in world.actors_but(Supervisor)]
    by_path = {actor.path: actor for actor in actors if isinstance(actor, SupervisedActor)}
    return found, by_path


def _publish(broker, number, body):
    properties = Properties(content_type="application/json", message_id=f"m{number}")
    assert broker.publish("shop", f"order.n{number}", body, properties)


def _part_of(spec):
    """The tree without what needs servers of its own; `metrics` only collects."""
    left = ("metrics", "hook_table", "hook_listener", "event_bridge", "responders", "deliveries")
    children = []
    for child in spec.children:
        if child.id == "metrics":
            child = evolve(child, actor=Collector)
        elif child.id == "responders":
            known = ("shop", "object", "callboard")
            own = tuple(each for each in child.args.children if each.id in known)
            child = evolve(child, args=evolve(child.args, children=own))
        if child.id in left:
            children.append(child)
    return evolve(spec, children=tuple(children))


@pytest.mark.parametrize("path", STATS)
def test_the_tree_shows_what_was_done(node, path):
    tree, _actors = node
    shown = dict(tree.at(path).stats)
    if path == "deliveries/retry_queue":
        # A delay with its jitter may take more than one wait.
        shown["received"] -= shown["rounds"]
        shown["rounds"] = 0
    assert shown == STATS[path]


COUNTERS = {
    ("callboard_messages_received_total", ()): 7,
    ("callboard_messages_acknowledged_total", ()): 7,
    ("callboard_events_total", ("shop", "fired")): 3,
    ("callboard_events_total", ("shop", "poison")): 1,
    ("callboard_events_total", ("callboard", "no_hook")): 3,
    ("callboard_deliveries_made_total", ("shop",)): 6,
    ("callboard_deliveries_total", ("delivered",)): 3,
    ("callboard_deliveries_total", ("given_up",)): 3,
    ("callboard_attempts_failed_total", ()): 6,
    ("callboard_deliveries_put_off_total", ()): 3,
    ("callboard_attempts_total", ("2xx",)): 3,
    ("callboard_attempts_total", ("5xx",)): 6,
    ("callboard_attempts_written_total", ()): 6,
    ("callboard_retries_handed_out_total", ()): 3,
}


FROM_THE_START = {
    "callboard_attempts_total": {
        *(("2xx",), ("3xx",), ("4xx",), ("5xx",), ("timeout",), ("connection_error",)),
        *(("other",), ("refused",), ("error",)),
    },
}
"""Those with labels that are 0 before they first count: a rate needs a value before."""


@pytest.mark.parametrize("name", FROM_THE_START)
def test_what_has_not_happened_is_counted_as_zero(node, name):
    _tree, actors = node
    counters = [key for f in actors["metrics"].reports.values() for key in f.counters]
    assert {labels for metric, labels in counters if metric == name} == FROM_THE_START[name]


def test_figures_are_reported_again_if_they_change_or_to_a_new_metrics(world, settings):
    metrics = world.peer(METRICS)
    table = world.start(HookTable, HOOK_TABLE, settings, metrics)

    def reports(message=None):
        if message is not None:
            metrics.say(table, message)
        world.pass_time(5)
        return metrics.take(Figures)

    (first,) = reports()
    assert reports(FindHooks(1, ())) == []
    (changed,) = reports(LoadHooks(1, 0, (), last=True))
    assert changed.figures != first.figures
    metrics.restart()
    world.tell_peers(table, metrics)
    assert [report.figures for report in reports()] == [changed.figures]


def test_the_metrics_count_what_was_done(node):
    _tree, actors = node
    reports = actors["metrics"].reports
    found = {}
    for figures in reports.values():
        found |= {key: value for key, value in figures.counters.items() if value}
    assert found == COUNTERS


def test_the_metrics_measure_what_was_done(node):
    """Each event and delivery is in one batch, however many batches there are."""
    _tree, actors = node
    found = {}
    for figures in actors["metrics"].reports.values():
        found |= figures.distributions
    sizes = {labels: each.sum for (name, labels), each in found.items() if "size" in name}
    assert sizes == {("events",): 7, ("deliveries",): 6, ("attempts",): 6, ("put_off",): 3}
    requests = found["callboard_request_duration_seconds", ()]
    assert (requests.count, requests.sum) == (9, pytest.approx(9 * 0.01))
    # Of those at the first attempt: the others came from the retry queue, and were given up.
    assert found["callboard_delivery_latency_seconds", ()].count == 3


BROKER_USERS = ("deliveries/retry_queue", "event_bridge", "hook_listener")
RESPONDERS = ("responders/callboard", "responders/object", "responders/shop")
WAITS = ("1s", "2s", "5s", "10s", "20s", "1m", "2m", "5m", "10m", "20m", "1h", "2h", "5h", "10h")
GAUGES = {
    **{("callboard_broker_up", (path,)): 1 for path in BROKER_USERS},
    **{("callboard_hooks_loaded", (path,)): 1 for path in ("hook_table", *RESPONDERS)},
    **{("callboard_circuits", (state,)): 0 for state in ("open", "half_open")},
    **{
        ("callboard_batch_resends", (path,)): 0
        for path in ("deliveries/deliverer-1", "event_bridge")
    },
    # Nothing is held: no progress is expected.
    **{
        ("callboard_last_progress_timestamp_seconds", (path,)): 0
        for path in ("deliveries/deliverer-1", "event_bridge", "hook_listener", *RESPONDERS)
    },
    **{
        ("callboard_retry_queue_messages", (queue,)): 0
        for queue in (*WAITS, "due", "ordered", "paused")
    },
    **{
        (f"callboard_{name}", ()): 0
        for name in (
            *("attempts_waiting", "deliveries_leaving", "deliveries_retrying", "hook_problems"),
            *("deliveries_waiting", "events_in_hand", "requests_in_flight"),
        )
    },
    ("callboard_hooks", ()): 2,
}


def test_the_gauges_show_a_node_at_rest(node):
    _tree, actors = node
    found = {}
    for figures in actors["metrics"].reports.values():
        found |= figures.gauges
    assert found == GAUGES
