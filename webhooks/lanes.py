"""Fair turns for endpoints: a slow one fills its own lane, and nobody else's."""

from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Lanes(Generic[T]):
    """Items wait in the lane of their endpoint; lanes take turns, `limit` items under way each."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: OrderedDict[str, deque[T]] = OrderedDict()
        self._under_way: dict[str, int] = {}
        self._size = 0

    def __len__(self) -> int:
        """How many items wait."""
        return self._size

    def add(self, lane: str, item: T) -> None:
        """Let an item wait behind the others of its lane."""
        self._waiting.setdefault(lane, deque()).append(item)
        self._size += 1

    def next(self) -> T | None:
        """The item whose turn it is, now under way; None if all lanes are empty or full."""
        for lane in list(self._waiting):
            if self._under_way.get(lane, 0) < self._limit:
                item = self._waiting[lane].popleft()
                self._size -= 1
                self._under_way[lane] = self._under_way.get(lane, 0) + 1
                self._waiting.move_to_end(lane)
                if not self._waiting[lane]:
                    del self._waiting[lane]
                return item
        return None

    def done(self, lane: str) -> None:
        """An item of this lane is no longer under way."""
        left = self._under_way.get(lane, 0) - 1
        if left > 0:
            self._under_way[lane] = left
        else:
            self._under_way.pop(lane, None)
