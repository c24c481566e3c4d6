"""Messages of a stream in the order they were sent, though Thespian may change it."""

from typing import Generic, TypeVar

T = TypeVar("T")


class Resequencer(Generic[T]):
    """Holds back what came too early. Streams and numbers grow; a new stream ends the old one."""

    def __init__(self) -> None:
        self.stream = 0
        self._next = 0
        self._early: dict[int, T] = {}

    def take(self, stream: int, number: int, message: T) -> list[T]:
        """The messages that are due now. Those of earlier streams, and repeats, are dropped."""
        if stream > self.stream:
            self.stream, self._next, self._early = stream, 0, {}
        if stream == self.stream and number >= self._next:
            self._early[number] = message
        due = []
        while self._next in self._early:
            due.append(self._early.pop(self._next))
            self._next += 1
        return due
