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
        self._signalled = False
        self._pipe_out, self._pipe_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def fileno(self) -> int:
        """The descriptor to watch."""
        return self._pipe_out

    def put(self, thing: T) -> None:
        """Add an item, and signal the actor unless it has a signal to take."""
        self._things.append(thing)
        if not self._signalled:
            self._signalled = True
            with suppress(BlockingIOError):  # The pipe is full of signals already.
                os.write(self._pipe_in, b"!")

    def taken(self) -> Iterator[T]:
        """Take all items, in order."""
        with suppress(BlockingIOError):  # The descriptor that woke the actor was another one.
            os.read(self._pipe_out, 65536)
        self._signalled = False  # Before the first is taken: what is added from now on signals.
        while self._things:
            yield self._things.popleft()

    def close(self) -> None:
        """Close the descriptors."""
        os.close(self._pipe_out)
        os.close(self._pipe_in)
