"""Rates, percentiles and the last ten minutes, from totals sampled every few seconds."""

from collections import deque
from collections.abc import Mapping

from attrs import frozen

from callboard.webhooks.metrics.snapshot import PERCENTILES, Percentiles, Series
from callboard.webhooks.metrics.tally import Distribution, quantile

STEP_S = 2.0
KEPT_S = 600.0
WINDOW_S = 60.0
SMOOTHED = 2
"""The number of steps that a point of a series covers.

Actors report their figures about once a second each, and not at the same time.
"""


@frozen
class Sample:
    """The sampled values: totals, the distributions of durations, and levels."""

    totals: Mapping[str, int]
    request: Distribution
    latency: Distribution
    levels: Mapping[str, float]


@frozen
class _Point:
    at_unix_s: float
    rates: Mapping[str, float]
    levels: Mapping[str, float]
    request_s: Percentiles
    latency_s: Percentiles


class Trend:
    """Computes rates from samples. `now` is of any clock that does not jump.

    `buckets`: of both distributions.
    """

    def __init__(self, buckets: tuple[float, ...]) -> None:
        self._buckets = buckets
        self._samples: deque[tuple[float, Sample]] = deque(maxlen=int(WINDOW_S / STEP_S) + 1)
        self._points: deque[_Point] = deque(maxlen=int(KEPT_S / STEP_S))

    def take(self, now: float, at_unix_s: float, sample: Sample) -> None:
        """Add a sample, about `STEP_S` after the previous one."""
        self._samples.append((now, sample))
        before = self._samples[max(0, len(self._samples) - 1 - SMOOTHED)]
        rates, request_s, latency_s = self._between(before, self._samples[-1])
        self._points.append(_Point(at_unix_s, rates, sample.levels, request_s, latency_s))

    @property
    def window_s(self) -> float:
        """The time between the first and the last sample that `recent` compares."""
        return self._samples[-1][0] - self._samples[0][0] if self._samples else 0.0

    def recent(self) -> tuple[dict[str, float], Percentiles, Percentiles]:
        """Over the last minute: rates per second, and the percentiles of both durations."""
        if not self._samples:
            return {}, Percentiles(), Percentiles()
        return self._between(self._samples[0], self._samples[-1])

    def series(self) -> Series:
        """The last ten minutes."""
        points = tuple(self._points)
        last = points[-1] if points else None
        return Series(
            STEP_S,
            tuple(point.at_unix_s for point in points),
            {n: tuple(p.rates.get(n, 0.0) for p in points) for n in (last.rates if last else ())},
            {n: tuple(p.levels.get(n, 0.0) for p in points) for n in (last.levels if last else ())},
            {n: tuple(getattr(p.request_s, n) for p in points) for n in PERCENTILES},
            {n: tuple(getattr(p.latency_s, n) for p in points) for n in PERCENTILES},
        )

    def _between(
        self, first: tuple[float, Sample], last: tuple[float, Sample]
    ) -> tuple[dict[str, float], Percentiles, Percentiles]:
        (began, before), (ended, after) = first, last
        seconds = ended - began
        rates = {
            name: (total - before.totals.get(name, 0)) / seconds if seconds > 0 else 0.0
            for name, total in after.totals.items()
        }
        return (
            rates,
            self._percentiles(after.request - before.request),
            self._percentiles(after.latency - before.latency),
        )

    def _percentiles(self, values: Distribution) -> Percentiles:
        return Percentiles(
            **{name: quantile(self._buckets, values, part) for name, part in PERCENTILES.items()}
        )
