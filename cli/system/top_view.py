"""The view of `callboard top`."""

import time
from collections.abc import Iterable, Mapping

from attrs import frozen
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from callboard.actors.messages import Health
from callboard.cli.system.tree_text import age, branches
from callboard.cli.terminal.output import full_width, visible
from callboard.supervision import TreeNode
from callboard.webhooks.dispatch.circuit_breaker import CLOSED
from callboard.webhooks.metrics.snapshot import Percentiles, Snapshot

FRESH_S = 10.0
"""How long a restart is highlighted."""

_RATES = {
    "events": "events",
    "fired": "  with hooks",
    "poison": "  quarantined",
    "attempts": "requests",
    "failed_attempts": "  failed",
    "delivered": "delivered",
    "given_up": "exhausted",
    "put_off": "deferred",
}
_LEVELS = {
    "in_hand": "events in progress",
    "in_flight": "requests in flight",
    "waiting": "waiting",
    "retry_queue": "in the retry queue",
    "hooks": "hooks",
}


@frozen
class View:
    """The last known state of the system; `problem`: why there is no newer one."""

    tree: TreeNode | None = None
    figures: Snapshot | None = None
    health: Health | None = None
    problem: str = ""
    now_unix_s: float = 0.0


def view(seen: View) -> RenderableType:
    """The whole view, for a terminal: the tree beside the figures, or below them if that is too
    wide."""
    return _Fitting(seen)


@frozen
class _Fitting:
    seen: View

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """As rich asks for it, for the present width of the terminal."""
        seen, figures = self.seen, self.seen.figures
        tree = _tree(seen.tree, seen.now_unix_s) if seen.tree else Text("no tree")
        if figures is None:
            yield from (_headline(seen), _beside(tree, Text("no figures")))
            return
        wide = _beside(tree, Group(*_figures(figures)))
        yield _headline(seen)
        if full_width(console, wide) <= options.max_width:
            yield wide
            return
        yield _beside(_rates(figures), Group(_levels(figures), _waiting(figures.retry_queue)))
        for part in (_times(figures), *_endpoints(figures), tree):
            yield Text()
            yield part


def _beside(*parts: RenderableType) -> Table:
    columns = Table.grid(padding=(0, 3))
    columns.add_row(*parts)
    return columns


def _headline(seen: View) -> Text:
    if seen.problem:
        return Text(visible(seen.problem), style="bold red")
    line = Text(time.strftime("%H:%M:%S  ", time.localtime(seen.now_unix_s)))
    if seen.health is None:
        return line
    if seen.health.ready and seen.health.degraded:
        losses = visible("; ".join(seen.health.losses))
        return line.append(f"ready, but degraded: {losses}", style="bold yellow")
    if seen.health.ready:
        return line.append("ready", style="bold green")
    problems = visible("; ".join(seen.health.described))
    return line.append(f"not ready: {problems}", style="bold red")


def _tree(top: TreeNode, now_unix_s: float) -> Table:
    table = _table("actor", "pid", "up", "restarts", "status")
    for branch, node in branches(top, ""):
        up_s = now_unix_s - node.started_at if node.started_at else None
        style = "" if node.status in ("running", "ended") else "bold red"
        if node.restarts and up_s is not None and up_s < FRESH_S:
            style = "reverse"
        table.add_row(
            branch + node.id,
            "" if node.pid is None else str(node.pid),
            "" if up_s is None else age(max(0.0, up_s)),
            str(node.restarts or ""),
            node.status,
            style=style,
        )
    return table


def _figures(figures: Snapshot) -> Iterable[RenderableType]:
    yield _rates(figures)
    yield Text()
    yield _times(figures)
    yield Text()
    yield _levels(figures)
    yield _waiting(figures.retry_queue)
    yield Text()
    yield from _endpoints(figures)


def _rates(figures: Snapshot) -> Table:
    rates = _table(f"over {figures.window_s:.0f} s", "per second", "in all")
    for name, words in _RATES.items():
        rate = figures.rates.get(name, 0.0)
        rates.add_row(words, f"{rate:.1f}", f"{figures.totals[name]:,}")
    return rates


def _times(figures: Snapshot) -> Table:
    times = _table("milliseconds", *Percentiles.__annotations__)
    times.add_row("request", *_milliseconds(figures.request_s))
    times.add_row("event to delivery", *_milliseconds(figures.latency_s))
    return times


def _levels(figures: Snapshot) -> Table:
    levels = _table("now", "")
    for name, words in _LEVELS.items():
        levels.add_row(words, f"{figures.levels[name]:,.0f}")
    return levels


def _endpoints(figures: Snapshot) -> Iterable[Table]:
    endpoints = _table("endpoint", "in flight", "waiting", "circuit", "failures")
    for one in figures.endpoints[:15]:
        style = "" if one.circuit == CLOSED else "red"
        cells = one.in_flight, one.waiting, one.circuit, one.failures
        endpoints.add_row(Text(visible(one.endpoint)), *map(str, cells), style=style)
    if figures.endpoints:
        yield endpoints


def _waiting(queues: Mapping[str, int]) -> Text:
    return Text("  ".join(f"{queue}: {count}" for queue, count in queues.items() if count))


def _milliseconds(values: Percentiles) -> list[str]:
    seconds = values.p50, values.p90, values.p99
    return ["-" if value is None else f"{value * 1000:,.1f}" for value in seconds]


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first, overflow="ellipsis", no_wrap=True)
    for header in others:
        text = header in ("status", "circuit")
        table.add_column(header, justify="left" if text else "right", no_wrap=True)
    return table
