"""Keys by rank, the lowest first: timers by their time, items by their number."""

import heapq
import itertools
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K")

_SPARE = 64


class PriorityMap(Generic[K]):
    """Each key has one rank, which may change; the key with the lowest rank is found at once.

    Stale heap entries are cleared when they exceed half of the heap, so that its size is at most
    twice the number of keys, and a change costs O(log n) on average.
    """

    def __init__(self) -> None:
        self._ranks: dict[K, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._changes = itertools.count()

    def __len__(self) -> int:
        return len(self._ranks)

    def __contains__(self, key: K) -> bool:
        return key in self._ranks

    def rank(self, key: K) -> float:
        """The rank of a key. Raises KeyError."""
        return self._ranks[key][0]

    def set(self, key: K, rank: float) -> None:
        """Set a key's rank; of equal ranks the earlier one is first."""
        held = self._ranks.get(key)
        if held is not None and held[0] == rank:
            return
        change = next(self._changes)
        self._ranks[key] = rank, change
        heapq.heappush(self._heap, (rank, change, key))
        if len(self._heap) > 2 * len(self._ranks) + _SPARE:
            self._heap = [(rank, change, key) for key, (rank, change) in self._ranks.items()]
            heapq.heapify(self._heap)

    def drop(self, key: K) -> None:
        """Remove a key, if it is present."""
        self._ranks.pop(key, None)

    def first(self) -> tuple[float, K] | None:
        """The lowest rank and its key."""
        while self._heap:
            rank, change, key = self._heap[0]
            if self._ranks.get(key) == (rank, change):
                return rank, key
            heapq.heappop(self._heap)
        return None

    def pop_until(self, rank: float) -> Iterable[K]:
        """The keys up to and including this rank, in order, each removed as it is taken."""
        if not self._heap or self._heap[0][0] > rank:
            return ()  # As nearly always.
        return self._pop_until(rank)

    def _pop_until(self, rank: float) -> Iterator[K]:
        while (first := self.first()) is not None and first[0] <= rank:
            del self._ranks[first[1]]
            yield first[1]
