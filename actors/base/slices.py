"""Long work on the store, done in slices, so that its actor hears everything else in between."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from attrs import Factory, define

from callboard.adapters.repositories.maintenance import Step
from callboard.admin import AccountHooks, Cursor

PAGE_SIZE = 1000
"""A page ends when it names so many things,"""
PAGE_S = 2.0
"""or after so long."""
PROBLEMS_KEPT = 10

Done = Callable[[tuple[Any, ...], Cursor | None, str], None]
"""Hears what was found, where to go on if there is more, and the problem that ended it, if any."""


@define
class Page:
    """Work whose findings somebody wants, page by page."""

    steps: Iterator[Step]
    done: Done
    found: list[Any] = Factory(list)
    after: Cursor = ()
    _size: int = 0
    _ends_at: float = Factory(lambda: time.monotonic() + PAGE_S)

    def take(self, step: Step) -> bool:
        """Add what a step found; whether the page ends with it."""
        self.found += step.found
        self._size += sum(1 + len(getattr(thing, "enabled", ())) for thing in step.found)
        if not step.after:
            return False  # nobody could go on from here
        self.after = step.after
        return step.page_ends or self._size >= PAGE_SIZE or time.monotonic() >= self._ends_at


@define
class SlicedJob:
    """Work that is done to its end; of its findings only the first failures are kept."""

    steps: Iterator[Step]
    done: Done
    found: list[AccountHooks] = Factory(list)
    after: Cursor = ()

    def take(self, step: Step) -> bool:
        """Look at what a step found; it goes on in any case."""
        failures = [account for account in step.found if account.problem or account.failed]
        self.found += failures[: PROBLEMS_KEPT - len(self.found)]
        return False
