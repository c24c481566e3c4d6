"""Selects the stored attempts that a replay sends again."""

from collections.abc import Iterable
from typing import Protocol, TypeVar


class Attempt(Protocol):
    """The parts of `callboard.admin.StoredAttempt` needed here."""

    @property
    def id(self) -> str:
        """The attempt's name: `month/id`."""

    @property
    def event_id(self) -> str:
        """The id that all attempts of one delivery share."""

    @property
    def failed(self) -> bool:
        """Whether the attempt failed."""


AnyAttempt = TypeVar("AnyAttempt", bound=Attempt)


def one_of_each(
    attempts: Iterable[AnyAttempt],
    event_id: str | None = None,
    attempt_id: str | None = None,
    *,
    failed: bool = False,
) -> list[AnyAttempt]:
    """One attempt of each delivery, the oldest delivery first: a successful one, else the last.

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
