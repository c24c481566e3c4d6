"""Counting: an actor's own figures, and reading values from a distribution.

Figures are sent as totals since the actor's start, so that a lost message loses no counts.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence

from attrs import Factory, define, frozen

from callboard.webhooks.metrics.catalog import COUNTER, Metric

Key = tuple[str, tuple[str, ...]]
"""A metric's name and the values of its labels."""


@frozen
class Distribution:
    """The number of values in each bucket, the last one for all larger values; and their sum."""

    counts: tuple[int, ...]
    sum: float = 0.0

    @property
    def count(self) -> int:
        """The number of values."""
        return sum(self.counts)

    def __add__(self, other: "Distribution") -> "Distribution":
        pairs = zip(self.counts, other.counts, strict=True)
        return Distribution(tuple(a + b for a, b in pairs), self.sum + other.sum)

    def __sub__(self, other: "Distribution") -> "Distribution":
        pairs = zip(self.counts, other.counts, strict=True)
        return Distribution(tuple(a - b for a, b in pairs), self.sum - other.sum)


def nothing(buckets: Sequence[float]) -> Distribution:
    """The distribution of no values."""
    return Distribution((0,) * (len(buckets) + 1))


def quantile(buckets: Sequence[float], values: Distribution, part: float) -> float | None:
    """An estimate of the quantile `part` (0 to 1) of the values; None without values.

    Like Prometheus' `histogram_quantile`: values are assumed to be evenly distributed in their
    bucket, and values beyond the last bucket count as its bound.
    """
    rank = part * values.count
    if not values.count:
        return None
    below, seen = 0.0, 0
    for bound, count in zip(buckets, values.counts, strict=False):
        if count and seen + count >= rank:
            return below + (bound - below) * max(0.0, rank - seen) / count
        below, seen = bound, seen + count
    return buckets[-1]


@define
class Histogram:
    """Values by bucket. `buckets`: their upper bounds, ascending and inclusive."""

    buckets: tuple[float, ...]
    _counts: list[int] = Factory(lambda self: [0] * (len(self.buckets) + 1), takes_self=True)
    _sum: float = 0.0

    def observe(self, value: float) -> None:
        """Add a value."""
        self._counts[bisect_left(self.buckets, value)] += 1
        self._sum += value

    def distribution(self) -> Distribution:
        """The values so far."""
        return Distribution(tuple(self._counts), self._sum)


@frozen
class FigureSet:
    """The figures of one actor at one time."""

    counters: Mapping[Key, int] = Factory(dict)
    gauges: Mapping[Key, float] = Factory(dict)
    distributions: Mapping[Key, Distribution] = Factory(dict)


class Tally:
    """What one actor counts; cheap enough for every event."""

    def __init__(self) -> None:
        self._counters: dict[Key, int] = {}
        self._gauges: dict[Key, float] = {}
        self._histograms: dict[Key, Histogram] = {}

    def count(self, metric: Metric, *labels: str, by: int = 1) -> None:
        """Add to a counter."""
        key = metric.name, labels
        self._counters[key] = self._counters.get(key, 0) + by

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        """Set a gauge, or a counter to a count made elsewhere."""
        if metric.kind == COUNTER:
            self._counters[metric.name, labels] = int(value)
        else:
            self._gauges[metric.name, labels] = value

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """Add a value to a histogram."""
        key = metric.name, labels
        histogram = self._histograms.get(key)
        if histogram is None:
            histogram = self._histograms[key] = Histogram(metric.buckets)
        histogram.observe(value)

    def figures(self) -> FigureSet:
        """All present figures."""
        return FigureSet(
            dict(self._counters),
            dict(self._gauges),
            {key: histogram.distribution() for key, histogram in self._histograms.items()},
        )
