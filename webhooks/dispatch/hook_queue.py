"""The items of one hook at its endpoint: one after the other if it is ordered, and at its rate."""

import math
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")

BURST_S = 0.1
"""A rate-limited hook may run a burst of this time's allowance at once, and at least one item."""


class HookQueue(Generic[T]):
    """A hook's waiting items, in the order of their arrival."""

    def __init__(self, id: str, account_id: str = "") -> None:
        self.id, self.account_id = id, account_id
        self.running = 0
        self.ordered = False
        self.rate_per_s: float | None = None
        self.apart = False
        """Whether its items wait in a queue of their own, as they may not run when others may."""
        self._waiting: deque[tuple[str, T]] = deque()
        # The rate (as in ITU-T I.371): one item each `_interval_s`. `_paid_until` is the time that
        # the items so far have used up; they may be `_ahead_s` ahead of it.
        self._interval_s = self._ahead_s = 0.0
        self._paid_until = -math.inf

    def __len__(self) -> int:
        """The number of waiting items."""
        return len(self._waiting)

    @property
    def common(self) -> int:
        """The number of its items that wait among those of other hooks."""
        return 0 if self.apart else len(self._waiting)

    def set_options(self, ordered: bool, rate_per_s: float | None) -> None:
        """Apply the hook's current options."""
        self.ordered = ordered
        self.rate_per_s = rate_per_s
        self.apart = ordered or rate_per_s is not None
        if rate_per_s is not None:
            before_s, self._interval_s = self._interval_s, 1 / rate_per_s
            self._ahead_s = max(BURST_S - self._interval_s, 0.0)
            # A hook whose rate was raised does not wait for the time that the slow rate has used
            # up.
            self._paid_until -= max(before_s - self._interval_s, 0.0)
        else:
            self._paid_until = -math.inf

    # Items

    def put(self, key: str, item: T) -> None:
        """Let an item wait, behind all others."""
        self._waiting.append((key, item))

    def take(self, now: float) -> tuple[str, T]:
        """Take the first item, now running, with its key."""
        self.running += 1
        if self.rate_per_s is not None:
            self._paid_until = max(self._paid_until, now) + self._interval_s
        return self._waiting.popleft()

    def end(self) -> None:
        """An item has stopped running."""
        self.running -= 1

    def take_last(self) -> T:
        """Take the latest item."""
        return self._waiting.pop()[1]

    def drain(self) -> list[T]:
        """Take all items."""
        items = [item for _key, item in self._waiting]
        self._waiting.clear()
        return items

    # Time

    def runs_at(self) -> float | None:
        """When its first item may run without any other change; None: only after another change."""
        if not self._waiting or (self.ordered and self.running):
            return None
        return self._paid_until - self._ahead_s

    def is_idle(self, now: float) -> bool:
        """Whether it has no state to keep."""
        return not (self._waiting or self.running or self._paid_until > now)

    def sweep_at(self) -> float | None:
        """When to check whether it has become idle; None while another change causes that."""
        return None if self._waiting or self.running else self._paid_until
