"""Long jobs on the store, done in slices so that the actor handles messages in between."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from attrs import Factory, define

from callboard.adapters.repositories.maintenance import Step
from callboard.admin import AccountHooks, Cursor

PAGE_SIZE = 1000
"""A page ends with this number of items,"""
PAGE_S = 2.0
"""or after this time."""
PROBLEMS_KEPT = 10

Done = Callable[[tuple[Any, ...], Cursor | None, str], None]
"""Called with the results, the cursor if there are more, and the problem that ended it or ""."""


@define
class Page:
    """A job that returns its results page by page."""

    steps: Iterator[Step]
    done: Done
    found: list[Any] = Factory(list)
    after: Cursor = ()
    _size: int = 0
    _ends_at: float = Factory(lambda: time.monotonic() + PAGE_S)

    def take(self, step: Step) -> bool:
        """Add the results of a step; whether the page ends with it."""
        self.found += step.found
        self._size += sum(1 + len(getattr(thing, "enabled", ())) for thing in step.found)
        if not step.after:
            return False  # there is no cursor to continue from
        self.after = step.after
        return step.page_ends or self._size >= PAGE_SIZE or time.monotonic() >= self._ends_at


@define
class SlicedJob:
    """A job that runs to its end; of its results only the first failures are kept."""

    steps: Iterator[Step]
    done: Done
    found: list[AccountHooks] = Factory(list)
    after: Cursor = ()

    def take(self, step: Step) -> bool:
        """Keep the failures of a step; it never ends the job."""
        failures = [account for account in step.found if account.problem or account.failed]
        self.found += failures[: PROBLEMS_KEPT - len(self.found)]
        return False
