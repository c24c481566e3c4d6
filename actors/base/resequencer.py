"""Restores the order of the messages of a stream, which Thespian does not keep."""

from typing import Generic, TypeVar

T = TypeVar("T")


class Resequencer(Generic[T]):
    """Holds back early messages. Streams and numbers increase; a new stream ends the old one."""

    def __init__(self) -> None:
        self.stream = 0
        self._next = 0
        self._early: dict[int, T] = {}

    @property
    def has_gap(self) -> bool:
        """Whether messages wait for an earlier one, which may be lost."""
        return bool(self._early)

    def take(self, stream: int, number: int, message: T) -> list[T]:
        """The messages that are due now. Repeats and messages of earlier streams are dropped."""
        if stream > self.stream:
            self.stream, self._next, self._early = stream, 0, {}
        if stream == self.stream and number >= self._next:
            self._early[number] = message
        due = []
        while self._next in self._early:
            due.append(self._early.pop(self._next))
            self._next += 1
        return due
