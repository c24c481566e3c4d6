"""Figures in Prometheus' text format, through its official client.

Imported only by the actor that needs it; other processes do not load the client.
"""

from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from typing import TypeVar

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from callboard.webhooks.metrics import catalog
from callboard.webhooks.metrics.tally import Distribution, Key, nothing

V = TypeVar("V")

CONTENT_TYPE: str = CONTENT_TYPE_LATEST
"""The text's content type for HTTP."""


def exposition(
    counters: Mapping[Key, int],
    distributions: Mapping[Key, Distribution],
    gauges: Mapping[Key, float],
) -> str:
    """The text of every metric of the catalog; counters without labels start at 0."""
    registry = CollectorRegistry()
    registry.register(_Figures(counters, distributions, gauges))
    return generate_latest(registry).decode()


class _Figures(Collector):
    """The client's source of figures."""

    def __init__(
        self,
        counters: Mapping[Key, int],
        distributions: Mapping[Key, Distribution],
        gauges: Mapping[Key, float],
    ) -> None:
        self._counters, self._distributions, self._gauges = counters, distributions, gauges

    def describe(self) -> Iterable[Metric]:
        """Nothing: names cannot clash, as there is no other collector."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Every metric with its values."""
        for metric in catalog.METRICS:
            if metric.kind == catalog.COUNTER:
                counter = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
                for labels, count in _of(metric, self._counters, 0):
                    counter.add_metric(labels, count)
                yield counter
            elif metric.kind == catalog.GAUGE:
                gauge = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
                for labels, value in _of(metric, self._gauges, None):
                    gauge.add_metric(labels, value)
                yield gauge
            else:
                histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
                for labels, values in _of(metric, self._distributions, nothing(metric.buckets)):
                    histogram.add_metric(labels, _buckets(metric, values), values.sum)
                yield histogram


def _of(
    metric: catalog.Metric, values: Mapping[Key, V], missing: V | None
) -> Iterator[tuple[tuple[str, ...], V]]:
    found = sorted(
        ((labels, v) for (name, labels), v in values.items() if name == metric.name),
        key=itemgetter(0),
    )
    if not found and not metric.labels and missing is not None:
        found = [((), missing)]
    yield from found


def _buckets(metric: catalog.Metric, values: Distribution) -> list[tuple[str, float]]:
    """Cumulative counts by upper bound, as Prometheus requires."""
    seen, cumulative = 0, []
    bounds = [*map(str, metric.buckets), "+Inf"]
    for bound, count in zip(bounds, values.counts, strict=True):
        seen += count
        cumulative.append((bound, float(seen)))
    return cumulative
