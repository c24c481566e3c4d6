"""Runnable endpoints take turns, as far as there are slots for them.

Accounts share the turns, whatever the number of their endpoints: an endpoint comes after the one
served last, and after the others of its account (start-time fair queueing: Goyal, Vin and Cheng,
1996, here with packets of equal length). The account is that whose hook is next at the endpoint.
"""

import heapq
from collections.abc import Callable

from callboard.webhooks.dispatch.concurrency import ConcurrencyLimiter

NUMBER = 2**40
"""A place is a turn times this, plus a number: within a turn, the first to come is served first."""


class RoundRobin:
    """Endpoints in the order of their turns.

    Doubtful endpoints that have no room are kept apart when their turn comes, in their places. The
    cost of a turn does not depend on the number of endpoints kept apart.
    """

    def __init__(self, limiter: ConcurrencyLimiter) -> None:
        self._limiter = limiter
        self._in_turn = _Line()
        self._held = _Line()
        self._turn = self._number = 0
        # The last turn of each account that has one, and the account and turn of each endpoint.
        self._last: dict[str, int] = {}
        self._turns: dict[str, tuple[str, int]] = {}

    def put(self, endpoint: str, now: float, account: Callable[[], str]) -> None:
        """Add a runnable endpoint behind those of its account, unless it has a place already.

        To be called again when its number of requests in flight changes.
        """
        under_way = self._limiter.of(endpoint)
        if endpoint in self._held:
            if self._limiter.is_doubtful(endpoint, now):
                self._held.move(endpoint, under_way)
                return
            self._in_turn.put(endpoint, self._held.drop(endpoint), under_way)
        elif endpoint in self._in_turn:
            self._in_turn.move(endpoint, under_way)
        else:
            owner = account()
            last = self._last.get(owner, 0)
            turn = self._last[owner] = 1 + (last if last > self._turn else self._turn)
            self._turns[endpoint] = owner, turn
            self._number += 1
            self._in_turn.put(endpoint, turn * NUMBER + self._number, under_way)

    def drop(self, endpoint: str) -> None:
        """Remove an endpoint that is no longer runnable."""
        for line in (self._in_turn, self._held):
            if endpoint in line:
                line.drop(endpoint)
                self._leave(endpoint)

    def _leave(self, endpoint: str) -> int:
        """Forget the turn of an endpoint, and of its account if it is the last; returns it."""
        owner, turn = self._turns.pop(endpoint)
        if self._last.get(owner) == turn:
            del self._last[owner]
        return turn

    def next(self, now: float) -> str | None:
        """Take the endpoint whose turn it is; None if there is no slot for any."""
        limiter = self._limiter
        free = limiter.free
        if not free:
            return None
        held = self._held.first(self._room(now)) if len(self._held) else None
        while (first := self._in_turn.first(free)) and (held is None or first < held):
            place, endpoint = first
            self._in_turn.drop(endpoint)
            if limiter.is_doubtful(endpoint, now):
                under_way = limiter.of(endpoint)
                if under_way >= self._room(now):
                    self._held.put(endpoint, place, under_way)
                    continue
            turn = self._leave(endpoint)
            if turn > self._turn:
                self._turn = turn
            return endpoint
        if held is None:
            return None
        self._held.drop(held[1])
        self._leave(held[1])
        return held[1]

    def _room(self, now: float) -> int:
        return self._limiter.room_for_doubtful(self._limiter.doubtful(now))


class _Line:
    """Endpoints by their places, the lowest first, and the number of requests in flight to each."""

    def __init__(self) -> None:
        self._places: dict[str, tuple[int, int]] = {}
        # By the number in flight; entries that differ from `_places` are stale.
        self._heaps: dict[int, list[tuple[int, str]]] = {}

    def __contains__(self, endpoint: str) -> bool:
        return endpoint in self._places

    def __len__(self) -> int:
        return len(self._places)

    def put(self, endpoint: str, place: int, under_way: int) -> None:
        self._places[endpoint] = place, under_way
        heap = self._heaps.setdefault(under_way, [])
        heapq.heappush(heap, (place, endpoint))
        if len(heap) > 2 * len(self._places) + 16:
            self._heaps[under_way] = sorted(
                {entry for entry in heap if self._is_there(entry, under_way)}
            )

    def move(self, endpoint: str, under_way: int) -> None:
        """Record an endpoint's new number of requests in flight; it keeps its place."""
        place, before = self._places[endpoint]
        if under_way != before:
            self.put(endpoint, place, under_way)

    def drop(self, endpoint: str) -> int:
        """Remove an endpoint; returns its place."""
        return self._places.pop(endpoint)[0]

    def first(self, below: int) -> tuple[int, str] | None:
        """The first endpoint with fewer than `below` requests in flight, and its place."""
        found: tuple[int, str] | None = None
        for under_way, heap in list(self._heaps.items()):
            while heap and not self._is_there(heap[0], under_way):
                heapq.heappop(heap)
            if not heap:
                del self._heaps[under_way]
            elif under_way < below and (found is None or heap[0] < found):
                found = heap[0]
        return found

    def _is_there(self, entry: tuple[int, str], under_way: int) -> bool:
        return self._places.get(entry[1]) == (entry[0], under_way)
