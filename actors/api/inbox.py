"""What other threads of an actor's process have for it, who hears of it by a descriptor."""

import os
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Inbox(Generic[T]):
    """Things put in by any thread, taken out by the actor. `fileno()` is readable meanwhile."""

    def __init__(self) -> None:
        self._things: deque[T] = deque()
        self._pipe_out, self._pipe_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def fileno(self) -> int:
        """The descriptor to watch."""
        return self._pipe_out

    def put(self, thing: T) -> None:
        """Have the actor take it."""
        self._things.append(thing)
        try:
            os.write(self._pipe_in, b"!")
        except BlockingIOError:
            return  # The pipe is full of wake-ups already.

    def taken(self) -> Iterator[T]:
        """All that is there now, in order."""
        with suppress(BlockingIOError):  # The descriptor that woke the actor was another one.
            os.read(self._pipe_out, 65536)
        while self._things:
            yield self._things.popleft()

    def close(self) -> None:
        """Nothing is taken any more."""
        os.close(self._pipe_out)
        os.close(self._pipe_in)
