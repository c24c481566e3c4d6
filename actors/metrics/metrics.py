"""The figures of the whole system, for Prometheus, users and health checks."""

import itertools
import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from thespian.actors import ActorAddress

from callboard.actors.base.role import Role, Setup
from callboard.actors.messages import (
    Figures,
    GetFigures,
    GetHealth,
    GetMetrics,
    Health,
    MetricsText,
)
from callboard.actors.messages.paths import ELSEWHERE
from callboard.adapters.store import stores
from callboard.adapters.store.health_check import StoreProbe
from callboard.adapters.store.protocol import DocumentStore
from callboard.config.server_urls import store_url
from callboard.config.time_limits import CLOSE_S, store_probe_s
from callboard.supervision import GetTree, TreeNode
from callboard.webhooks.dispatch.dispatcher import EndpointFigures
from callboard.webhooks.metrics import catalog
from callboard.webhooks.metrics.health import (
    KINDS,
    RUNNING,
    Child,
    Problem,
    State,
    Watch,
    machines,
)
from callboard.webhooks.metrics.overview import sample, snapshot
from callboard.webhooks.metrics.tally import Key
from callboard.webhooks.metrics.totals import Totals, grown
from callboard.webhooks.metrics.trend import STEP_S, Trend

PROBE_S = 5.0


class Metrics(Role):
    """Adds up the reports of the other actors, also over restarts; monitors the tree and the store.

    If it is restarted itself, counters restart at the counts of the running actors, which
    Prometheus handles as a counter reset.
    """

    def begin(self, setup: Setup) -> None:
        """Start to monitor the tree and the store."""
        self._since = time.time()
        self._totals = Totals()
        self._trend = Trend(catalog.DURATIONS_S)
        self._endpoints: dict[str, tuple[int, tuple[EndpointFigures, ...]]] = {}
        self._children: dict[str, Child] = {}
        self._watch = Watch()
        self._was_ready: bool | None = None
        self._was_degraded = False
        self._restarts: dict[str, int] = {}
        self._tree_at = time.monotonic()
        self._store_problem: str | None = None
        self._own_numbers = itertools.count(1)
        node = self.settings.node
        self.tally.set(catalog.NODE, 1, version("callboard"), node.name, node.zone)
        self._probe = self.own(StoreProbe(self._connect, PROBE_S, CLOSE_S))
        self._look()

    def _connect(self) -> DocumentStore:
        url, timeout_s = store_url(self.settings), store_probe_s(self.settings)
        return stores.connect(url, self.settings.data.dir, timeout_s=timeout_s)

    def stats(self) -> Mapping[str, Any]:
        """The number of actors that have reported."""
        return {"actors": len(self._totals)}

    # Reports

    def receiveMsg_Figures(self, message: Figures, _sender: ActorAddress) -> None:
        """Add an actor's figures since its start."""
        path, incarnation = message.sender
        self._totals.forget(self._alive())
        if self._totals.take(message.sender, message.number, message.figures):
            self._endpoints[path] = incarnation, message.endpoints

    def receiveMsg_TreeNode(self, message: TreeNode, _sender: ActorAddress) -> None:
        """Count restarts and actors that are up."""
        self._tree_at = time.monotonic()
        nodes = {node.path: node for node in message.below()}
        for gone in self._children.keys() - nodes.keys():
            self.tally.set(catalog.CHILD_UP, 0, gone)
        self._children = {
            path: Child(
                node.status, node.restarts, not (node.children or path.startswith(ELSEWHERE))
            )
            for path, node in nodes.items()
        }
        for path, node in nodes.items():
            restarts = grown(self._restarts.get(path, 0), node.restarts)
            self.tally.count(catalog.CHILD_RESTARTS, path, by=restarts)
            self.tally.set(catalog.CHILD_UP, int(node.status == RUNNING), path)
            self._restarts[path] = node.restarts

    def _look(self) -> None:
        """Check the tree and the store, every `STEP_S`."""
        self.after(STEP_S, self._look)
        self.send(self.supervisor, GetTree())
        self._judge()
        self._add_own()
        now = sample(*self._totals.since_begin(), self._gauges())
        self._trend.take(time.monotonic(), time.time(), now)

    def _read_probe(self) -> None:
        for probed in self._probe.results():
            if probed.problem and not self._store_problem:
                self.log.warning("store_unavailable", reason=probed.problem)
            self._store_problem = probed.problem
            self.tally.set(catalog.STORE_UP, int(not probed.problem))
            self.tally.observe(catalog.STORE_SECONDS, probed.took_s)

    def _add_own(self) -> None:
        """Add this actor's own figures."""
        me = self.path, self.incarnation
        self._totals.take(me, next(self._own_numbers), self.tally.figures())

    def report_figures(self) -> None:
        """Do nothing; see `_add_own`."""

    def _alive(self) -> dict[str, int]:
        peers = {path: peer.incarnation for path, peer in self.peers.items()}
        return {**peers, self.path: self.incarnation}

    def _gauges(self) -> dict[Key, float]:
        return self._totals.gauges(self._alive())

    # Requests

    def receiveMsg_GetMetrics(self, _message: GetMetrics, sender: ActorAddress) -> None:
        """Send the metrics for Prometheus; imports its client at the first request."""
        from callboard.adapters.telemetry.prometheus import CONTENT_TYPE, exposition

        self._add_own()
        totals = self._totals
        text = exposition(totals.counters, totals.distributions, self._gauges())
        self.send(sender, MetricsText(text, CONTENT_TYPE))

    def receiveMsg_GetFigures(self, _message: GetFigures, sender: ActorAddress) -> None:
        """Send the figures for users."""
        alive = self._alive()
        endpoints = itertools.chain.from_iterable(
            reported
            for path, (incarnation, reported) in self._endpoints.items()
            if alive.get(path) == incarnation
        )
        self.send(
            sender,
            snapshot(
                self._totals.counters,
                self._gauges(),
                self._trend,
                endpoints,
                now_unix_s=time.time(),
                since_unix_s=self._since,
            ),
        )

    def receiveMsg_GetHealth(self, _message: GetHealth, sender: ActorAddress) -> None:
        """Send the health, for load balancers and probes."""
        self.send(sender, Health(self._judge(), self._watch.degraded))

    # Health

    def _judge(self) -> tuple[Problem, ...]:
        """The reasons why the node is not ready; they are measured and, when it changes, logged."""
        self._read_probe()
        now, alive = time.time(), self._alive()
        state = State(
            self._children,
            time.monotonic() - self._tree_at,
            self._totals.reported(alive),
            self._totals.gauges(alive),
            self._totals.counters,
            self._store_problem,
        )
        found = self._watch.update(state, now)
        self.tally.set(catalog.READY, int(not found))
        if self.settings.actors.convention:
            joined, lost = machines(self._children)
            self.tally.set(catalog.MACHINES, joined, "joined")
            self.tally.set(catalog.MACHINES, lost, "lost")
        degraded = bool(self._watch.degraded)
        if degraded != self._was_degraded:
            self._was_degraded = degraded
            if degraded:
                what = [one.what for one in self._watch.degraded]
                self.log.warning("degraded", problems=what)
            else:
                self.log.info("degraded_no_more")
        for kind in KINDS:
            seconds = (now - one.since_unix_s for one in found if one.kind == kind)
            self.tally.set(catalog.NOT_READY_SECONDS, round(max(seconds, default=0)), kind)
        if self._was_ready and found:
            self.log.warning("not_ready", problems=[one.what for one in found])
        elif self._was_ready is False and not found:
            self.log.info("ready_again")
        if not found or self._was_ready:
            self._was_ready = not found
        return found
