"""Counting: what an actor keeps of its own figures, and how a distribution is read.

Figures travel as totals since the actor's start, so that a lost message loses nothing.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence

from attrs import Factory, define, frozen

from callboard.webhooks.metrics.catalog import COUNTER, Metric

Key = tuple[str, tuple[str, ...]]
"""A metric's name and the values of its labels."""


@frozen
class Distribution:
    """How many values fell into each bucket, the last one for what is beyond; and their sum."""

    counts: tuple[int, ...]
    sum: float = 0.0

    @property
    def count(self) -> int:
        """How many values."""
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
    """About the value that this part of all values does not exceed; None where there are none.

    As Prometheus' `histogram_quantile`: values are taken to lie evenly in their bucket, and what
    is beyond the last bucket counts as its bound.
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
    """Values by bucket. `buckets`: their upper bounds, ascending, which belong to them."""

    buckets: tuple[float, ...]
    _counts: list[int] = Factory(lambda self: [0] * (len(self.buckets) + 1), takes_self=True)
    _sum: float = 0.0

    def observe(self, value: float) -> None:
        """Take a value in."""
        self._counts[bisect_left(self.buckets, value)] += 1
        self._sum += value

    def distribution(self) -> Distribution:
        """What was taken in so far."""
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
        """Set a gauge; or a counter to what somebody else has counted."""
        if metric.kind == COUNTER:
            self._counters[metric.name, labels] = int(value)
        else:
            self._gauges[metric.name, labels] = value

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """Take a value into a histogram."""
        key = metric.name, labels
        histogram = self._histograms.get(key)
        if histogram is None:
            histogram = self._histograms[key] = Histogram(metric.buckets)
        histogram.observe(value)

    def figures(self) -> FigureSet:
        """All of it, as it is now."""
        return FigureSet(
            dict(self._counters),
            dict(self._gauges),
            {key: histogram.distribution() for key, histogram in self._histograms.items()},
        )
