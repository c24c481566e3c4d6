"""A timer that may be set to an earlier time."""

import time
from collections.abc import Callable
from typing import Any

from attrs import define

After = Callable[[float, Any], None]
"""Set a timer: after so many seconds this payload comes back."""


@define
class Timer:
    """The earliest of the times that it was set to; `name` is what its timers are known by.

    Thespian cannot cancel a timer, so those that an earlier one has overtaken come, too, and are
    let pass. If each of them counted, and led to a new one, all there ever were would go on for
    ever.
    """

    name: str
    _at: float | None = None
    _set: int = 0

    def set(self, at: float, after: After) -> None:
        """Ring at this time (monotonic), unless it rings before."""
        if self._at is None or at < self._at:
            self._at = at
            self._set += 1
            after(at - time.monotonic(), (self.name, self._set))

    def rings(self, payload: Any) -> bool:
        """Whether a timer that came is this alarm; it has to be set anew then."""
        if payload != (self.name, self._set):
            return False
        self._at = None
        return True
