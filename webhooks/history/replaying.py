"""Which stored attempts a replay sends once more."""

from collections.abc import Iterable
from typing import Protocol, TypeVar


class Attempt(Protocol):
    """An attempt in short, as `callboard.admin.StoredAttempt`."""

    @property
    def id(self) -> str:
        """What names it: `month/id`."""

    @property
    def event_id(self) -> str:
        """What all attempts of one delivery share."""

    @property
    def failed(self) -> bool:
        """Whether it did."""


AnyAttempt = TypeVar("AnyAttempt", bound=Attempt)


def one_of_each(
    attempts: Iterable[AnyAttempt],
    event_id: str | None = None,
    attempt_id: str | None = None,
    *,
    failed: bool = False,
) -> list[AnyAttempt]:
    """One attempt of each delivery, the oldest first: one that succeeded, else the last.

    `event_id`: only of this delivery; `attempt_id`: only of the delivery of this attempt, with or
    without its month; `failed`: only of deliveries of which no attempt succeeded.
    """
    latest: dict[str, AnyAttempt] = {}
    wanted = event_id if attempt_id is None else None
    for attempt in attempts:
        known = latest.get(attempt.event_id)
        if known is None or known.failed:
            latest[attempt.event_id] = attempt
        if attempt_id is not None and attempt_id in (attempt.id, attempt.id.partition("/")[2]):
            wanted = attempt.event_id
    chosen = list(latest.values())
    if event_id is not None or attempt_id is not None:
        chosen = [latest[wanted]] if wanted in latest else []
    return [attempt for attempt in chosen if attempt.failed or not failed]
