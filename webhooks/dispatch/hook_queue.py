"""The items of one hook at its endpoint: in strict order if it asks for that, and at its rate.

A hook has its own count of items. Each item has a *place* by it, which it keeps while it is away:
parked, or failed and to be tried again. An ordered hook runs one item at a time, and none while an
earlier one is away, until that is back or lost. When each is expected back is known, so that the
others come back soon after.
"""

import heapq
import math
from typing import Generic, TypeVar

from callboard.webhooks.retries.delay_classes import LEAST_MS, MAX_LATENESS
from callboard.webhooks.values.priority_map import PriorityMap

T = TypeVar("T")

BURST_S = 0.1
"""A limited hook may run at once what its rate allows in this time, and one item at least."""
LOST_AFTER_S = 3600.0
"""An item that has been away for so long after it should have been back is not waited for."""
OVERDUE_S = 30.0
"""An item that is late by so much is not expected soon any more."""
TURN_S = 0.25
"""What each item that is away before another delays it by: a waiting room of 20 in five seconds."""
MAX_AWAY = 10_000
"""Items of a hook that are remembered while they are away; more have no place."""


class HookQueue(Generic[T]):
    """What waits of a hook, and what it waits for."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.running = 0
        self.ordered = False
        self._limited = False
        self._waiting: list[tuple[int, str, T]] = []
        self._places = 0
        self._away: PriorityMap[str] = PriorityMap()
        self._due_at: dict[str, float] = {}
        # The rate (as ITU-T I.371 has it): one item each `_interval_s`. `_paid_until` is the time
        # that the items so far have used up; they may be `_ahead_s` ahead of it.
        self._interval_s = self._ahead_s = 0.0
        self._paid_until = -math.inf

    def __len__(self) -> int:
        """How many items wait."""
        return len(self._waiting)

    @property
    def apart(self) -> bool:
        """Whether its items wait by themselves, as they may not run when others may."""
        return self.ordered or self._limited

    @property
    def common(self) -> int:
        """How many items wait among those of other hooks."""
        return 0 if self.apart else len(self._waiting)

    def set_options(self, ordered: bool, rate_per_s: float | None) -> None:
        """Its options as they are now."""
        self.ordered = ordered
        if not ordered and self._due_at:
            self._away, self._due_at = PriorityMap(), {}
        self._limited = rate_per_s is not None
        before_s, self._interval_s, self._ahead_s = self._interval_s, 0.0, 0.0
        if rate_per_s is not None:
            self._interval_s = 1 / rate_per_s
            self._ahead_s = max(BURST_S - self._interval_s, 0.0)
            # One that has become faster is not to wait for what the slow rate has used up.
            self._paid_until -= max(before_s - self._interval_s, 0.0)
        else:
            self._paid_until = -math.inf

    # Items

    def put(self, key: str, item: T) -> None:
        """Let an item wait, at the place that it has kept or behind all others."""
        heapq.heappush(self._waiting, (self._take_place(key), key, item))

    def take(self, now: float) -> tuple[int, str, T]:
        """The first item, now running, with its place and key."""
        self.running += 1
        if self._limited:
            self._paid_until = max(self._paid_until, now) + self._interval_s
        return heapq.heappop(self._waiting)

    def end(self, key: str, place: int, now: float, back_in_s: float | None) -> None:
        """An item runs no longer; it is away for about `back_in_s`, or ended."""
        self.running -= 1
        if self.ordered and back_in_s is not None:
            self._set_away(key, place, _latest(now, back_in_s))

    def take_last(self, now: float) -> T:
        """Take the latest item, which is away from now on; `expect` says until when."""
        self._waiting.sort()
        place, key, item = self._waiting.pop()
        if self.ordered:
            self._set_away(key, place, now)
        return item

    def drain(self) -> list[T]:
        """Take all items, and forget those that are away."""
        items = [item for _place, _key, item in sorted(self._waiting, key=lambda w: w[0])]
        self._waiting, self._away, self._due_at = [], PriorityMap(), {}
        return items

    # Away

    def precedes(self, key: str) -> bool:
        """Whether an item has kept a place before one that waits."""
        return key in self._away and any(self._away.rank(key) < w[0] for w in self._waiting)

    def keep_place(self, key: str, now: float) -> None:
        """An item is parked instead of put; `expect` says until when."""
        if self.ordered:
            self._set_away(key, self._take_place(key), now)

    def expect(self, key: str, now: float, back_in_s: float) -> None:
        """An item that is away will be back after about so long."""
        if key in self._due_at:
            self._due_at[key] = _latest(now, back_in_s)

    def turn_in_s(self, key: str, now: float) -> float | None:
        """In about how many seconds it may be the turn of an item that is away; None: unknown.

        The first is back by then, and those between have run. Where the first is late, nobody
        knows when it will be back: as long from now as it is late.
        """
        first = self._away.first()
        if first is None or key not in self._away:
            return None
        if first[1] == key:
            return 0.0
        return abs(self._due_at[first[1]] - now) + (self._away.rank(key) - first[0]) * TURN_S

    def forget(self, key: str) -> None:
        """An item that is away will not be back."""
        self._away.drop(key)
        self._due_at.pop(key, None)

    def forget_lost(self, now: float) -> None:
        """No longer wait for items that should have been back long ago."""
        while (first := self._away.first()) is not None and self._lost_at(first[1]) <= now:
            self.forget(first[1])

    def _lost_at(self, key: str) -> float:
        return self._due_at[key] + LOST_AFTER_S

    def _take_place(self, key: str) -> int:
        if key in self._away:
            place = int(self._away.rank(key))
            self.forget(key)
            return place
        self._places += 1
        return self._places

    def _set_away(self, key: str, place: int, due_at: float) -> None:
        if key in self._due_at or len(self._due_at) < MAX_AWAY:
            self._away.set(key, place)
            self._due_at[key] = due_at

    def _first_away(self) -> tuple[float, str] | None:
        """The item that is away before all that wait."""
        first = self._away.first()
        if first is None or (self._waiting and self._waiting[0][0] < first[0]):
            return None
        return first

    # Time

    def runs_at(self) -> float | None:
        """When its first item may run if nothing else happens; None: not before something does."""
        if not self._waiting or (self.ordered and self.running):
            return None
        first = self._first_away()
        if first is not None:
            return self._lost_at(first[1])
        return self._paid_until - self._ahead_s

    def expected_at(self, now: float) -> float | None:
        """The same if what is away comes back when it is expected."""
        at, first = self.runs_at(), self._first_away()
        if at is None or first is None:
            return at
        due_at = self._due_at[first[1]]
        return due_at if now < due_at + OVERDUE_S else at

    def is_idle(self, now: float) -> bool:
        """Whether there is nothing to remember of it."""
        return not (self._waiting or self.running or self._due_at or self._paid_until > now)

    def sweep_at(self, now: float) -> float | None:
        """When to look whether it has become idle; None while something else will tell."""
        if self._waiting or self.running:
            return None
        first = self._away.first()
        return self._paid_until if first is None else self._lost_at(first[1])


def _latest(now: float, delay_s: float) -> float:
    """When something is back at the latest that is put off for so long (delay_classes.py)."""
    return now + delay_s + max(delay_s * MAX_LATENESS, LEAST_MS / 1000)
