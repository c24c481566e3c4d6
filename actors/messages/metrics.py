"""The figures of actors, and the metrics and health made of them."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from callboard.webhooks.metrics.health import Problem

if TYPE_CHECKING:  # commands ask for the health alone
    from callboard.webhooks.dispatch.dispatcher import EndpointFigures
    from callboard.webhooks.metrics.tally import FigureSet


@frozen
class Figures:
    """Any actor to Metrics: its figures since its start. `number`: counts its reports.

    `sender`: its path and incarnation. `endpoints`: a deliverer's endpoints to show to users.
    """

    sender: tuple[str, int]
    number: int
    figures: "FigureSet" = field(repr=False)
    endpoints: "tuple[EndpointFigures, ...]" = field(default=(), repr=False)


@frozen
class GetMetrics:
    """To Metrics: all metrics for Prometheus. -> `MetricsText`."""


@frozen
class MetricsText:
    """The metrics in Prometheus' text format; `content_type`: for HTTP."""

    text: str = field(repr=False)
    content_type: str


@frozen
class GetFigures:
    """To Metrics: the figures for users. -> `Snapshot` (webhooks/metrics/snapshot.py)."""


@frozen
class GetHealth:
    """To Metrics: can the system do its work? -> `Health`."""


@frozen
class Health:
    """Whether the node is ready: `found` are the reasons why it is not.

    `degraded`: failures of machines that have joined; the node delivers by itself.
    """

    found: tuple[Problem, ...] = ()
    degraded: tuple[Problem, ...] = ()

    @property
    def ready(self) -> bool:
        """Whether there is no problem."""
        return not self.found

    @property
    def problems(self) -> tuple[str, ...]:
        """The problems in words."""
        return tuple(problem.what for problem in self.found)

    @property
    def described(self) -> tuple[str, ...]:
        """The problems in words, each with the time since when it exists, in UTC."""
        return tuple(map(_described, self.found))

    @property
    def losses(self) -> tuple[str, ...]:
        """The degradations, in the same form."""
        return tuple(map(_described, self.degraded))

    def as_plain(self) -> dict[str, Any]:
        """In JSON's types."""
        return {
            "ready": self.ready,
            "problems": list(self.problems),
            "details": [_plain(one) for one in self.found],
            "degraded": [_plain(one) for one in self.degraded],
        }


def _plain(problem: Problem) -> dict[str, str]:
    since = _time(problem.since_unix_s)
    return {"kind": problem.kind, "what": problem.what, "since": since}


def _described(problem: Problem) -> str:
    return f"{problem.what} (since {_time(problem.since_unix_s)})"


def _time(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
