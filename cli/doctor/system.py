"""Checks of the running system."""

import time
from collections.abc import Iterator
from importlib.metadata import version

from callboard.actors.events.bridge import event_queue
from callboard.actors.messages import GetSettings, Health
from callboard.actors.messages.paths import EVENT_BRIDGE, RETRY_QUEUE
from callboard.actors.system.actor_system import SystemUnreachable, attach, owner_of
from callboard.actors.system.owner import with_api
from callboard.adapters.broker.rabbitmq.probe import ProbeFailed, look
from callboard.cli.doctor.finding import Finding, ok, problem, warning
from callboard.cli.system.metrics import health_of
from callboard.cli.system.waiting import not_running
from callboard.cli.terminal.output import counted
from callboard.config.options import sections
from callboard.config.server_urls import broker_url
from callboard.config.settings import Settings
from callboard.supervision import GetTree, TreeNode
from callboard.webhooks.metrics.health import EXCHANGE, MACHINE

TIMEOUT_S = 5.0
MANY_RESTARTS = 20
DEGRADATIONS = {
    MACHINE: "start `callboard join` there again, or stop it in order before you remove a machine; "
    "the node forgets a lost one when it is restarted",
    EXCHANGE: "correct the module's exchange as the result for the broker says",
}
SETTLED_S = 20.0
"""An actor's figures may be two heartbeats old; a new actor is not judged by them."""


def running_system(settings: Settings) -> Iterator[Finding]:
    """Checks the system that runs on this data directory, if any."""
    try:
        owner = owner_of(settings)
        if owner is None:
            yield ok("system", f"no system is running on {settings.data.dir}: `callboard start`")
            return
        yield same_version(owner.version, version("callboard"))
        client = attach(settings)
        top = client.ask(client.top, GetTree(), TreeNode, TIMEOUT_S)
        theirs = client.ask(client.top, GetSettings(), Settings, TIMEOUT_S)
        health = health_of(client)
    except SystemUnreachable as error:
        yield problem("system", str(error), "read its log, and run `callboard status`")
        return
    yield tree(top, time.time())
    yield readiness(health)
    yield unclaimed(top)
    hooks = ordered_hooks(top)
    yield order(hooks, nodes_taking(theirs) if hooks else 0)
    yield same_settings(theirs, settings)


def same_version(theirs: str, ours: str) -> Finding:
    """Checks that the running version is the installed one."""
    if theirs == ours:
        return ok("version", f"the running system is {ours}, like the installation")
    what = f"the running system is {theirs or 'an older one'}, installed is {ours}"
    return warning("version", what, "restart it: `callboard stop`, then start")


def tree(top: TreeNode, now_unix_s: float) -> Finding:
    """Checks that all actors run, and do not restart frequently."""
    nodes = list(top.below())
    broken = not_running(top)
    if broken:
        mend = "read its log for the reasons; see `callboard tree`"
        return problem("system", f"not running: {', '.join(broken)}", mend)
    down = [
        node.path
        for node in nodes
        if node.stats.get("broker") == "down" and now_unix_s - (node.started_at or 0) > SETTLED_S
    ]
    if down:
        return problem(
            "system", f"no broker for {', '.join(down)}", "see the result for the broker"
        )
    restarts = sum(node.restarts for node in nodes)
    if restarts > MANY_RESTARTS:
        what = f"complete, but actors were restarted {restarts} times"
        return warning("system", what, "read its log for the reasons; see `callboard tree`")
    return ok("system", f"running, {len(nodes)} actors, tree whole, {restarts} restarts")


def readiness(health: Health) -> Finding:
    """Checks that nothing prevents or delays deliveries."""
    if health.ready and health.degraded:
        mend = " ".join(DEGRADATIONS[kind] for kind in {each.kind for each in health.degraded})
        return warning("readiness", "ready, but degraded: " + "; ".join(health.losses), mend)
    if health.ready:
        return ok("readiness", "the running system is ready")
    mend = "read its log for the reasons; docs/metrics.md explains each of them"
    return problem("readiness", "not ready: " + "; ".join(health.described), mend)


def unclaimed(top: TreeNode) -> Finding:
    """Checks that this node has the modules of the events that reach it."""
    stats = [node.stats for node in top.below() if node.path == EVENT_BRIDGE]
    times, dead = (sum(int(s.get(name, 0)) for s in stats) for name in ("unclaimed", "no_module"))
    if not times:
        return ok("events", "each event so far had an event module")
    what = (
        f"no event module here claims some events: {times} arrived, {dead} of them became dead "
        "letters, and the others were offered to the other nodes"
    )
    mend = (
        "install or configure their module on all nodes, then `callboard dead-letters retry`; or "
        "remove their binding from the queue (docs/rabbitmq.md)"
    )
    return warning("events", what, mend)


def order(hooks: int, nodes: int) -> Finding:
    """Checks that ordered hooks receive events in order. `nodes`: those that take events."""
    if not hooks:
        return ok("order", "no hook is ordered or paused")
    those = f"{counted(hooks, 'hook')} ordered or paused"
    if nodes <= 1:
        return ok("order", f"{those}; one node at a time takes events")
    what = f"{those}, but {nodes} nodes take events: their order is kept by node only"
    mend = "set amqp.single_active_consumer on all nodes (docs/nodes.md)"
    return warning("order", what, mend)


def ordered_hooks(top: TreeNode) -> int:
    """The number of hooks that are ordered or paused."""
    stats = [node.stats for node in top.below() if node.path == RETRY_QUEUE]
    return sum(int(each.get("ordered_hooks", 0)) for each in stats)


def nodes_taking(settings: Settings) -> int:
    """The number of nodes that take events at the same time, 0 if the broker does not say it."""
    amqp = settings.amqp
    if amqp.url.startswith("memory:") or amqp.single_active_consumer:
        return 1
    try:
        return look(broker_url(settings), event_queue(settings).name, (), TIMEOUT_S).consumers
    except ProbeFailed:  # The check of the broker reports it.
        return 0


def same_settings(theirs: Settings, ours: Settings) -> Finding:
    """Checks that the system was started with this configuration."""
    ours = with_api(ours)  # as `callboard start` does
    other = [name for name in sections() if getattr(theirs, name) != getattr(ours, name)]
    if theirs.modules != ours.modules:
        other.append("modules")
    if not other:
        return ok("settings", "the running system uses these settings")
    what = f"the running system was started with different settings in {', '.join(other)}"
    return warning("settings", what, "restart it, or run the doctor with its configuration")
