"""What people look at: totals, rates, percentiles, busy endpoints, and the last ten minutes.

`as_plain` makes the plain form that the command line and others show; its shape is that of these
classes, field by field. Fields are added, and neither renamed nor given another meaning.
"""

from collections.abc import Mapping
from typing import Any

from attrs import asdict, frozen

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


@frozen
class Percentiles:
    """Seconds; None where nothing was measured."""

    p50: float | None = None
    p90: float | None = None
    p99: float | None = None


@frozen
class EndpointSeen:
    """An endpoint over all deliverers: scheme, host and port. `circuit`: the worst of them.

    `failures`: errors in a row, in the deliverer with most.
    """

    endpoint: str
    in_flight: int
    waiting: int
    circuit: str
    failures: int


@frozen
class Series:
    """The last ten minutes, the oldest first, all of the same length.

    `at_unix_s`: when each was taken. `rates`: per second, by the names of `Snapshot.totals`;
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
    """The system at one time.

    `counting_since_unix_s`: when the totals began; `window_s`: the time that rates and
    percentiles are over. `totals`, `rates` (per second): `messages`, `acknowledged`, `events`,
    `fired`, `no_hook`, `poison`, `made`, `attempts`, `failed_attempts`, `delivered`, `given_up`,
    `put_off`, `parked`. `levels`: `in_hand`, `in_flight`, `waiting`, `retrying`, `retry_queue`,
    `attempts_waiting`, `hooks`, `circuits_open`, `circuits_half_open`. `attempts`: totals by
    result; `events`: totals by event module; `retry_queue`: messages by queue. `request_s`: how
    long requests took; `latency_s`: from an event's arrival to the answer. `restarts`: by path.
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
    """The snapshot in what JSON has."""
    return asdict(snapshot)
