"""The figures of actors, and what is made of them."""

from attrs import field, frozen

from callboard.webhooks.dispatch.dispatcher import EndpointFigures
from callboard.webhooks.metrics.tally import FigureSet


@frozen
class Figures:
    """Any actor to Metrics: its figures since its start, for the `number`th time.

    `sender`: its path and incarnation. `endpoints`: of a deliverer, those that people should see.
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
    """To Metrics: the figures for people. -> `Snapshot` (webhooks/metrics/snapshot.py)."""


@frozen
class GetHealth:
    """To Metrics: can the system do its work? -> `Health`."""


@frozen
class Health:
    """Whether broker and store are up and the tree is whole; `problems`: what is not."""

    ready: bool
    problems: tuple[str, ...] = ()
