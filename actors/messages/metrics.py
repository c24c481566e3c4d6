"""The figures of actors, and the metrics and health made of them."""

from attrs import field, frozen

from callboard.webhooks.dispatch.dispatcher import EndpointFigures
from callboard.webhooks.metrics.tally import FigureSet


@frozen
class Figures:
    """Any actor to Metrics: its figures since its start. `number`: counts its reports.

    `sender`: its path and incarnation. `endpoints`: a deliverer's endpoints to show to users.
    """

    sender: tuple[str, int]
    number: int
    figures: FigureSet = field(repr=False)
    endpoints: tuple[EndpointFigures, ...] = field(default=(), repr=False)


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
    """Whether the broker, the store and all actors are up; `problems`: those that are not."""

    ready: bool
    problems: tuple[str, ...] = ()
