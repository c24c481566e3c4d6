"""A timer that calls a function once, and may be set to an earlier time."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

Call = Callable[[], Any]
"""The function that a timer calls."""


class Timer:
    """Calls a function once, at the earliest of the times set since the last call.

    Thespian cannot cancel a wakeup, so obsolete ones arrive and are ignored. If each of them called
    the function, which may set the timer again, they would never end.
    """

    __slots__ = ("_after", "_at", "_call", "_settings")

    def __init__(self, after: Callable[[float, Call], None], call: Call) -> None:
        self._after, self._call = after, call
        self._at: float | None = None
        self._settings = 0

    @property
    def is_set(self) -> bool:
        """Whether a call is scheduled."""
        return self._at is not None

    def at(self, when: float) -> None:
        """Call the function at this time (monotonic seconds), unless it is called earlier."""
        if self._at is None or when < self._at:
            self._set(when, when - time.monotonic())

    def within(self, seconds: float) -> None:
        """Call the function after `seconds`, unless it is called earlier."""
        when = time.monotonic() + seconds
        if self._at is None or when < self._at:
            self._set(when, seconds)

    def clear(self) -> None:
        """Do not call the function until the timer is set again."""
        self._at = None

    def _set(self, when: float, seconds: float) -> None:
        self._at = when
        self._settings += 1
        self._after(seconds, partial(self._due, self._settings))

    def _due(self, setting: int) -> None:
        if setting == self._settings and self._at is not None:
            self._at = None
            self._call()
