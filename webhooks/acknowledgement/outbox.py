"""Items for another actor, sent in batches until it confirms them."""

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

BATCH_BYTES = 1_000_000
"""A batch ends with the item that reaches this size, so that no message exceeds it by more than its
largest item (adapters/local/sealed_transport.py limits a message)."""


def cut(
    items: Iterable[T],
    most_items: int,
    size: Callable[[T], int],
    most_bytes: int = BATCH_BYTES,
) -> Iterator[tuple[T, ...]]:
    """Batches of at most `most_items`, each ending with the item that reaches `most_bytes`."""
    batch: list[T] = []
    bytes_left = most_bytes
    for item in items:
        batch.append(item)
        bytes_left -= size(item)
        if len(batch) >= most_items or bytes_left <= 0:
            yield tuple(batch)
            batch, bytes_left = [], most_bytes
    if batch:
        yield tuple(batch)


class Outbox(Generic[T]):
    """Sends items in numbered batches, and keeps them until the batch is `confirmed`.

    At most `most_batches` are unconfirmed. A batch has at most `most_items`, and ends with the item
    that reaches `most_bytes`. `numbers`: those of the batches, if several outboxes share them.
    """

    def __init__(
        self,
        most_items: int,
        most_batches: float = math.inf,
        size: Callable[[T], int] = lambda _item: 0,
        most_bytes: int = BATCH_BYTES,
        numbers: Iterator[int] | None = None,
    ) -> None:
        self._most_items, self._most_batches = most_items, most_batches
        self._size, self._most_bytes = size, most_bytes
        self._waiting: deque[T] = deque()
        self._out: dict[int, tuple[list[T], float]] = {}
        self._repeats: dict[int, int] = {}
        self._taken_back = 0
        self._numbers = itertools.count(1) if numbers is None else numbers

    def __len__(self) -> int:
        """The number of unconfirmed and waiting items."""
        return len(self._waiting) + sum(len(batch) for batch, _since in self._out.values())

    @property
    def resent(self) -> int:
        """How often an unconfirmed batch was to be sent again, the most of all."""
        return max(self._repeats.values(), default=self._taken_back)

    @property
    def sent_at(self) -> float:
        """When the oldest unconfirmed batch was sent, the last time; infinite if there is none."""
        return min((since for _batch, since in self._out.values()), default=math.inf)

    @property
    def unconfirmed(self) -> Iterable[int]:
        """The numbers of the unconfirmed batches."""
        return self._out.keys()

    @property
    def waiting(self) -> int:
        """The number of items in no batch yet."""
        return len(self._waiting)

    def add(self, item: T) -> None:
        """Queue an item."""
        self._waiting.append(item)

    def next(self, now: float) -> tuple[int, list[T]] | None:
        """The next batch to send, with its number; None if there is none, or too many are
        unconfirmed."""
        if not self._waiting or len(self._out) >= self._most_batches:
            return None
        batch: list[T] = []
        waiting, size_of, bytes_left = self._waiting, self._size, self._most_bytes
        for _item in range(min(self._most_items, len(waiting))):
            item = waiting.popleft()
            batch.append(item)
            bytes_left -= size_of(item)
            if bytes_left <= 0:
                break
        number = next(self._numbers)
        self._out[number] = batch, now
        if self._taken_back:
            self._repeats[number], self._taken_back = self._taken_back, 0
        return number, batch

    def confirmed(self, number: int) -> list[T]:
        """The items of a confirmed batch; none if it was confirmed before."""
        self._repeats.pop(number, None)
        return self._out.pop(number)[0] if number in self._out else []

    def settled(self, number: int, is_settled: Callable[[T], bool]) -> list[T]:
        """Those items of a batch that are confirmed on their own; the others stay."""
        batch = self.sent(number)
        done = [item for item in batch if is_settled(item)]
        if len(done) == len(batch):
            self.confirmed(number)
        else:
            left = [item for item in batch if not is_settled(item)]
            self._out[number] = left, self._out[number][1]
        return done

    def sent(self, number: int) -> list[T]:
        """The unconfirmed items of a batch."""
        return self._out[number][0] if number in self._out else []

    def discard(self, unwanted: Callable[[T], bool]) -> None:
        """Remove waiting items; those of batches stay."""
        self._waiting = deque(item for item in self._waiting if not unwanted(item))

    def emptied(self) -> list[T]:
        """Remove all items, the unconfirmed ones first: the receiver is gone."""
        self.take_back()
        items, self._waiting, self._taken_back = list(self._waiting), deque(), 0
        return items

    def take_back(self) -> None:
        """Queue unconfirmed items again, before all others: the receiver was restarted."""
        if self._out:
            self._taken_back = self.resent + 1
        for batch, _since in reversed(self._out.values()):
            self._waiting.extendleft(reversed(batch))
        self._out.clear()
        self._repeats.clear()

    def overdue(self, before: float, now: float) -> list[tuple[int, list[T]]]:
        """The batches sent before `before`, to be sent again at `now`."""
        late = [(n, batch) for n, (batch, since) in self._out.items() if since < before]
        for number, batch in late:
            self._out[number] = batch, now
            self._repeats[number] = self._repeats.get(number, 0) + 1
        return late
