"""Human-readable figures, made from the metrics for Prometheus."""

import heapq
from collections.abc import Iterable, Mapping

from callboard.webhooks.dispatch.circuit_breaker import CLOSED, HALF_OPEN, OPEN
from callboard.webhooks.dispatch.dispatcher import EndpointFigures
from callboard.webhooks.metrics import catalog
from callboard.webhooks.metrics.catalog import Metric
from callboard.webhooks.metrics.snapshot import EndpointSeen, Snapshot
from callboard.webhooks.metrics.tally import Distribution, Key, nothing
from callboard.webhooks.metrics.trend import Sample, Trend
from callboard.webhooks.values.event_outcomes import FILTERED, FIRED, NO_ACCOUNT, NO_HOOK, POISON

MAX_ENDPOINTS = 50

_TOTALS: Mapping[str, tuple[Metric, str | None]] = {
    "messages": (catalog.MESSAGES_RECEIVED, None),
    "acknowledged": (catalog.MESSAGES_ACKNOWLEDGED, None),
    "events": (catalog.EVENTS, None),
    "fired": (catalog.EVENTS, FIRED),
    "no_hook": (catalog.EVENTS, NO_HOOK),
    "no_account": (catalog.EVENTS, NO_ACCOUNT),
    "filtered": (catalog.EVENTS, FILTERED),
    "poison": (catalog.EVENTS, POISON),
    "made": (catalog.DELIVERIES_MADE, None),
    "attempts": (catalog.ATTEMPTS, None),
    "failed_attempts": (catalog.ATTEMPTS_FAILED, None),
    "delivered": (catalog.DELIVERIES, catalog.DELIVERED),
    "given_up": (catalog.DELIVERIES, catalog.GIVEN_UP),
    "put_off": (catalog.DELIVERIES_PUT_OFF, None),
    "parked": (catalog.DELIVERIES_PARKED, None),
}
"""By the names of `Snapshot.totals`: the metric, and the last label to count (None: all)."""

_LEVELS: Mapping[str, tuple[Metric, str | None]] = {
    "in_hand": (catalog.EVENTS_IN_HAND, None),
    "in_flight": (catalog.IN_FLIGHT, None),
    "waiting": (catalog.WAITING, None),
    "retrying": (catalog.RETRYING, None),
    "retry_queue": (catalog.RETRY_QUEUE_MESSAGES, None),
    "attempts_waiting": (catalog.ATTEMPTS_WAITING, None),
    "hooks": (catalog.HOOKS, None),
    "circuits_open": (catalog.CIRCUITS, "open"),
    "circuits_half_open": (catalog.CIRCUITS, "half_open"),
}

_WORST_FIRST = (OPEN, HALF_OPEN, CLOSED)


def sample(
    counters: Mapping[Key, int],
    distributions: Mapping[Key, Distribution],
    gauges: Mapping[Key, float],
) -> Sample:
    """The values that the trend follows."""
    none = nothing(catalog.DURATIONS_S)
    return Sample(
        {n: int(_sum(counters, metric, label)) for n, (metric, label) in _TOTALS.items()},
        distributions.get((catalog.REQUEST_SECONDS.name, ()), none),
        distributions.get((catalog.DELIVERY_SECONDS.name, ()), none),
        {n: _sum(gauges, metric, label) for n, (metric, label) in _LEVELS.items()},
    )


def snapshot(
    counters: Mapping[Key, int],
    gauges: Mapping[Key, float],
    trend: Trend,
    endpoints: Iterable[EndpointFigures],
    *,
    now_unix_s: float,
    since_unix_s: float,
) -> Snapshot:
    """A snapshot of all figures."""
    latest = sample(counters, {}, gauges)
    rates, request_s, latency_s = trend.recent()
    return Snapshot(
        at_unix_s=now_unix_s,
        counting_since_unix_s=since_unix_s,
        window_s=trend.window_s,
        totals=latest.totals,
        rates=rates,
        levels=latest.levels,
        attempts=_by_label(counters, catalog.ATTEMPTS),
        events=_by_label(counters, catalog.EVENTS),
        retry_queue=_by_label(gauges, catalog.RETRY_QUEUE_MESSAGES),
        request_s=request_s,
        latency_s=latency_s,
        endpoints=merged(endpoints),
        restarts=_by_label(counters, catalog.CHILD_RESTARTS),
        series=trend.series(),
    )


def merged(endpoints: Iterable[EndpointFigures]) -> tuple[EndpointSeen, ...]:
    """Each endpoint once: those whose circuit is not closed, then the busiest."""
    seen: dict[str, EndpointSeen] = {}
    for one in endpoints:
        other = seen.get(one.endpoint)
        worst = other if other and other.failures >= one.failures else one
        seen[one.endpoint] = EndpointSeen(
            one.endpoint,
            one.in_flight + (other.in_flight if other else 0),
            one.waiting + (other.waiting if other else 0),
            min(one.circuit, other.circuit if other else CLOSED, key=_WORST_FIRST.index),
            worst.failures,
            worst.error,
            int(worst.failing_s),
        )
    order = (
        (e.circuit == CLOSED, -e.waiting - e.in_flight, -e.failures, e.endpoint)
        for e in seen.values()
    )
    return tuple(seen[key[-1]] for key in heapq.nsmallest(MAX_ENDPOINTS, order))


def _sum(values: Mapping[Key, float], metric: Metric, label: str | None) -> float:
    return sum(
        value
        for (name, labels), value in values.items()
        if name == metric.name and (label is None or labels[-1] == label)
    )


def _by_label(values: Mapping[Key, float], metric: Metric) -> dict[str, int]:
    """The sums by the first label."""
    sums: dict[str, int] = {}
    for (name, labels), value in values.items():
        if name == metric.name:
            sums[labels[0]] = sums.get(labels[0], 0) + int(value)
    return sums
