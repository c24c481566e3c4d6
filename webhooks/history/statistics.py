"""How a hook has fared over a period, by its attempts."""

from collections.abc import Iterable, Sequence
from typing import Any

from attrs import define, field, frozen

MAX_STEPS = 200
"""The most parts of a period."""


@frozen
class Attempt:
    """An attempt's time in Gregorian seconds, result as stored, and duration if that is known."""

    at: int
    result: Any
    duration_ms: int | None


@define
class _Part:
    succeeded: int = 0
    failed: int = 0
    durations_ms: list[int] = field(factory=list)

    def add(self, attempt: Attempt) -> None:
        if attempt.result == "success":
            self.succeeded += 1
        elif attempt.result == "failure":
            self.failed += 1
        else:  # Cancelled, or a dry run's: nothing was sent.
            return
        if attempt.duration_ms is not None:
            self.durations_ms.append(attempt.duration_ms)

    def as_plain(self) -> dict[str, int | None]:
        ordered = sorted(self.durations_ms)
        return {
            "succeeded": self.succeeded,
            "failed": self.failed,
            **{f"p{percent}_ms": _percentile(ordered, percent) for percent in (50, 90, 99)},
        }


def newest(
    attempts: Iterable[tuple[Attempt, int]], since: int, most: int, most_bytes: int
) -> tuple[list[Attempt], int]:
    """The first of these attempts, and the time from which on they are all.

    `attempts`: the newest first, each with the bytes that it took to read; as many are read as are
    `most`, or exceed `most_bytes`. `since`: of which time they are.
    """
    read: list[Attempt] = []
    held = 0
    for attempt, size in attempts:
        if len(read) == most or held > most_bytes:
            # Of that second there may be more.
            return read, read[-1].at + 1
        held += size
        read.append(attempt)
    return read, since


def statistics(attempts: Iterable[Attempt], since: int, until: int, steps: int) -> dict[str, Any]:
    """Counts and percentiles of the whole period and of its equal parts, the earliest first.

    `since`, `until`: Gregorian seconds, both inclusive; attempts beyond them are left out. There
    are no more parts than seconds. Percentiles are by nearest rank; None without a known duration.
    """
    span = until - since + 1
    steps = max(1, min(steps, span))
    whole, parts = _Part(), [_Part() for _step in range(steps)]
    for attempt in attempts:
        if since <= attempt.at <= until:
            whole.add(attempt)
            parts[(attempt.at - since) * steps // span].add(attempt)
    return {
        **whole.as_plain(),
        "since": since,
        "until": until,
        "steps": [
            {"at": since + -(-step * span // steps), **part.as_plain()}
            for step, part in enumerate(parts)
        ],
    }


def _percentile(ordered: Sequence[int], percent: int) -> int | None:
    """The nearest-rank percentile: the smallest value that so many percent do not exceed."""
    return ordered[-(-percent * len(ordered) // 100) - 1] if ordered else None
