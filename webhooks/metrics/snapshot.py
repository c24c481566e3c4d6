"""Figures for display: totals, rates, percentiles, busy endpoints, and the last ten minutes.

`as_plain` makes the plain form that the command line and others show; its shape is that of these
classes, field by field. Fields may be added, but neither renamed nor redefined.
"""

from collections.abc import Mapping
from typing import Any

from attrs import asdict, frozen

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


@frozen
class Percentiles:
    """Seconds; None without measurements."""

    p50: float | None = None
    p90: float | None = None
    p99: float | None = None


@frozen
class EndpointSeen:
    """An endpoint over all deliverers: scheme, host and port. `circuit`: the worst state of them.

    `failures`: consecutive errors, in the deliverer with the most; there `error` is the latest, and
    `failing_s` the seconds since the first.
    """

    endpoint: str
    in_flight: int
    waiting: int
    circuit: str
    failures: int
    error: str = ""
    failing_s: int = 0


@frozen
class Series:
    """The last ten minutes, the oldest first, all lists of the same length.

    `at_unix_s`: the times of the samples. `rates`: per second, by the names of `Snapshot.totals`;
    `levels`: by the names of `Snapshot.levels`; the rest: percentiles in seconds.
    """

    step_s: float
    at_unix_s: tuple[float, ...]
    rates: Mapping[str, tuple[float, ...]]
    levels: Mapping[str, tuple[float, ...]]
    request_s: Mapping[str, tuple[float | None, ...]]
    latency_s: Mapping[str, tuple[float | None, ...]]


@frozen
class Snapshot:
    """The system's figures at one time.

    `counting_since_unix_s`: when the totals began; `window_s`: the period of the rates and
    percentiles. `totals`, `rates` (per second): `messages`, `acknowledged`, `events`, `fired`,
    `no_hook`, `poison`, `made`, `attempts`, `failed_attempts`, `delivered`, `given_up`, `put_off`,
    `parked`. `levels`: `in_hand`, `in_flight`, `waiting`, `retrying`, `retry_queue`,
    `attempts_waiting`, `hooks`, `circuits_open`, `circuits_half_open`. `attempts`: totals by
    result; `events`: totals by event module; `retry_queue`: messages by queue. `request_s`: the
    duration of requests; `latency_s`: from an event's arrival to the response. `restarts`: by path.
    """

    at_unix_s: float
    counting_since_unix_s: float
    window_s: float
    totals: Mapping[str, int]
    rates: Mapping[str, float]
    levels: Mapping[str, float]
    attempts: Mapping[str, int]
    events: Mapping[str, int]
    retry_queue: Mapping[str, int]
    request_s: Percentiles
    latency_s: Percentiles
    endpoints: tuple[EndpointSeen, ...]
    restarts: Mapping[str, int]
    series: Series


def as_plain(snapshot: Snapshot) -> dict[str, Any]:
    """The snapshot in JSON's types."""
    return asdict(snapshot)
