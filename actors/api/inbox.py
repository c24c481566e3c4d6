"""An inbox for an actor, filled by other threads of its process and signalled by a descriptor."""

import os
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Inbox(Generic[T]):
    """Items added by any thread and taken by the actor. `fileno()` is readable if there are any."""

    def __init__(self) -> None:
        self._things: deque[T] = deque()
        self._pipe_out, self._pipe_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def fileno(self) -> int:
        """The descriptor to watch."""
        return self._pipe_out

    def put(self, thing: T) -> None:
        """Add an item and signal the actor."""
        self._things.append(thing)
        try:
            os.write(self._pipe_in, b"!")
        except BlockingIOError:
            return  # The pipe is full of signals already.

    def taken(self) -> Iterator[T]:
        """Take all items, in order."""
        with suppress(BlockingIOError):  # The descriptor that woke the actor was another one.
            os.read(self._pipe_out, 65536)
        while self._things:
            yield self._things.popleft()

    def close(self) -> None:
        """Close the descriptors."""
        os.close(self._pipe_out)
        os.close(self._pipe_in)
