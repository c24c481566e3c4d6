"""The items of one hook at its endpoint: in strict order if the hook requires it, and at its rate.

A hook counts its own items. Each item has a *place* by this count, which it keeps while it is away:
deferred, or failed and to be retried. An ordered hook runs one item at a time, and none while an
earlier one is away, until that returns or is lost. The expected return of each is known, so that
the others return soon after.
"""

import heapq
import math
from typing import Generic, TypeVar

from callboard.webhooks.retries.delay_classes import LEAST_MS, MAX_LATENESS
from callboard.webhooks.values.priority_map import PriorityMap

T = TypeVar("T")

BURST_S = 0.1
"""A rate-limited hook may run a burst of this time's allowance at once, and at least one item."""
LOST_AFTER_S = 3600.0
"""An item this long overdue is considered lost; its hook stops waiting for it."""
OVERDUE_S = 30.0
"""An item this late is no longer expected soon."""
TURN_S = 0.25
"""The delay that an item which is away causes for each later one: 20 waiting items in 5 seconds."""
MAX_AWAY = 10_000
"""The most items of a hook to remember while they are away; more have no place."""


class HookQueue(Generic[T]):
    """A hook's waiting items, and the items that it waits for."""

    def __init__(self, id: str, account_id: str = "") -> None:
        self.id, self.account_id = id, account_id
        self.running = 0
        self.ordered = False
        self.rate_per_s: float | None = None
        self.apart = False
        """Whether its items wait in a queue of their own, as they may not run when others may."""
        self._waiting: list[tuple[int, str, T]] = []
        self._places = 0
        self._away: PriorityMap[str] = PriorityMap()
        self._due_at: dict[str, float] = {}
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
        if not ordered and self._due_at:
            self._away, self._due_at = PriorityMap(), {}
        self.rate_per_s = rate_per_s
        self.apart = ordered or rate_per_s is not None
        before_s, self._interval_s, self._ahead_s = self._interval_s, 0.0, 0.0
        if rate_per_s is not None:
            self._interval_s = 1 / rate_per_s
            self._ahead_s = max(BURST_S - self._interval_s, 0.0)
            # A hook whose rate was raised does not wait for the time that the slow rate has used
            # up.
            self._paid_until -= max(before_s - self._interval_s, 0.0)
        else:
            self._paid_until = -math.inf

    # Items

    def put(self, key: str, item: T) -> None:
        """Let an item wait, at the place that it has kept or behind all others."""
        heapq.heappush(self._waiting, (self._take_place(key), key, item))

    def take(self, now: float) -> tuple[int, str, T]:
        """Take the first item, now running, with its place and key."""
        self.running += 1
        if self.rate_per_s is not None:
            self._paid_until = max(self._paid_until, now) + self._interval_s
        return heapq.heappop(self._waiting)

    def end(self, key: str, place: int, now: float, back_in_s: float | None) -> None:
        """An item has stopped running; it returns in about `back_in_s` seconds, or is finished."""
        self.running -= 1
        if self.ordered and back_in_s is not None:
            self._set_away(key, place, _latest(now, back_in_s))

    def take_last(self, now: float) -> T:
        """Take the latest item, which is away from now on; `expect` sets its expected return."""
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
        """Keep the place of an item deferred instead of put; `expect` sets its expected return."""
        if self.ordered:
            self._set_away(key, self._take_place(key), now)

    def expect(self, key: str, now: float, back_in_s: float) -> None:
        """Set the expected return of an item that is away."""
        if key in self._due_at:
            self._due_at[key] = _latest(now, back_in_s)

    def turn_in_s(self, key: str, now: float) -> float | None:
        """The expected seconds until the turn of an item that is away; None: unknown.

        By then the first item has returned and those between have run. If the first is overdue, its
        return is unknown, and is estimated as its lateness from now.
        """
        first = self._away.first()
        if first is None or key not in self._away:
            return None
        if first[1] == key:
            return 0.0
        return abs(self._due_at[first[1]] - now) + (self._away.rank(key) - first[0]) * TURN_S

    def forget(self, key: str) -> None:
        """Forget an item that will not return."""
        self._away.drop(key)
        self._due_at.pop(key, None)

    def forget_lost(self, now: float) -> None:
        """Stop waiting for items that are overdue by LOST_AFTER_S."""
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
        """When its first item may run without any other change; None: only after another change."""
        if not self._waiting or (self.ordered and self.running):
            return None
        first = self._first_away()
        if first is not None:
            return self._lost_at(first[1])
        return self._paid_until - self._ahead_s

    def expected_at(self, now: float) -> float | None:
        """The same, assuming that the items that are away return when expected."""
        at, first = self.runs_at(), self._first_away()
        if at is None or first is None:
            return at
        due_at = self._due_at[first[1]]
        return due_at if now < due_at + OVERDUE_S else at

    def is_idle(self, now: float) -> bool:
        """Whether it has no state to keep."""
        return not (self._waiting or self.running or self._due_at or self._paid_until > now)

    def sweep_at(self, now: float) -> float | None:
        """When to check whether it has become idle; None while another change causes that."""
        if self._waiting or self.running:
            return None
        first = self._away.first()
        return self._paid_until if first is None else self._lost_at(first[1])


def _latest(now: float, delay_s: float) -> float:
    """The latest return of an item delayed by `delay_s` seconds (delay_classes.py)."""
    return now + delay_s + max(delay_s * MAX_LATENESS, LEAST_MS / 1000)
