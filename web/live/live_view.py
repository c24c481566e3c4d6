"""The dashboard's data, sent about once a second, in JSON's types."""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from callboard.supervision import TreeNode
from callboard.web.backend import NodeFacts
from callboard.webhooks.dispatch.circuit_breaker import OPEN
from callboard.webhooks.metrics.snapshot import Series, Snapshot

_RATES = {"events": "events", "deliveries": "delivered", "failures": "failed_attempts"}
"""Columns of the charts, and the rates they show."""
_LEVELS = {
    "in_flight": "in_flight",
    "waiting": "retry_queue",
    "hooks": "hooks",
}
"""Figures, and the levels they show."""
_PERCENTILES = ("p50", "p90", "p99")
TOP = "callboard"
"""The name of the top supervisor, which has none as a child."""


def tick(
    node: NodeFacts,
    at_unix_s: float,
    tree: TreeNode | None,
    snapshot: Snapshot | None,
    problems: Sequence[str],
) -> dict[str, Any]:
    """The state of the whole node; unavailable parts are None, with the reasons in `problems`.

    `point`: the charts' new values, by the names of `history`, times in Unix seconds and durations
    in milliseconds. `figures`: rates per second over the last steps, percentiles in milliseconds
    over the last minute, present levels.
    """
    return {
        "at": at_unix_s,
        "node": node.name,
        "version": node.version,
        "problems": list(problems),
        "tree": None if tree is None else _actor(tree),
        "figures": None if snapshot is None else _figures(snapshot),
        "point": None if snapshot is None else _point(snapshot.series),
        "endpoints": [attrs.asdict(one) for one in snapshot.endpoints] if snapshot else [],
    }


def history(snapshot: Snapshot) -> dict[str, list[float | None]]:
    """The charts' columns, the oldest first, all of the same length."""
    series = snapshot.series
    return {
        "at": list(series.at_unix_s),
        **{name: list(series.rates.get(rate, ())) for name, rate in _RATES.items()},
        **{name: [_ms(s) for s in series.latency_s.get(name, ())] for name in _PERCENTILES},
    }


def _point(series: Series) -> dict[str, float | None] | None:
    if not series.at_unix_s:
        return None
    return {
        "at": series.at_unix_s[-1],
        **{name: _last(series.rates, rate) for name, rate in _RATES.items()},
        **{name: _ms(_last(series.latency_s, name)) for name in _PERCENTILES},
    }


def _figures(snapshot: Snapshot) -> dict[str, float | None]:
    percentiles = snapshot.latency_s
    # Endpoints, whereas the level counts each circuit in each deliverer.
    circuits = sum(one.circuit == OPEN for one in snapshot.endpoints)
    return {
        **{name: _last(snapshot.series.rates, rate) for name, rate in _RATES.items()},
        **{name: _ms(getattr(percentiles, name)) for name in _PERCENTILES},
        **{name: snapshot.levels.get(level) for name, level in _LEVELS.items()},
        "circuits": circuits,
    }


def _actor(node: TreeNode) -> dict[str, Any]:
    return {
        "id": node.id or TOP,
        "path": node.path,
        "actor": node.actor,
        "status": node.status,
        "pid": node.pid,
        "started_at": node.started_at,
        "restarts": node.restarts,
        "stats": dict(node.stats),
        "children": [_actor(child) for child in node.children],
    }


def _last(columns: Mapping[str, Sequence[float | None]], name: str) -> float | None:
    column = columns.get(name)
    return column[-1] if column else None


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
