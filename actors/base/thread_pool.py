"""Threads that wait a lot, of which no more are awake than the work needs."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from callboard.supervision import RoomyThread

W = TypeVar("W")

LOOKING = 2
"""So many threads look for work at a time."""


class ThreadPool(Generic[W]):
    """A fixed number of threads that `do` one piece of work after the other.

    To wake a thread takes as long as a quick request. So only `LOOKING` of them look for work, and
    take the next piece when they are done with one. Whoever must wait for something in between says
    so by `waits`; then another one looks in its place. While there are threads left, work waits for
    nothing but the processor.

    `do` must not raise.
    """

    def __init__(self, count: int, do: Callable[[W], None], name: str) -> None:
        self._do = do
        self._work: deque[W] = deque()
        self._lock = threading.Lock()
        self._asleep = [threading.Lock() for _thread in range(count)]
        self._looking = 0
        self._closed = False
        self._mine = threading.local()
        for number, bell in enumerate([*self._asleep]):
            bell.acquire()
            RoomyThread(
                target=self._live, args=(bell,), name=f"{name}-{number}", daemon=True
            ).start()

    def __len__(self) -> int:
        """How many pieces of work nobody has begun."""
        return len(self._work)

    def add(self, work: W) -> None:
        """Have it done."""
        with self._lock:
            self._work.append(work)
            self._call()

    def waits(self) -> None:
        """The thread that calls this is going to wait, until it is done with its work."""
        if getattr(self._mine, "looks", False):
            self._mine.looks = False
            with self._lock:
                self._looking -= 1
                self._call()

    def close(self) -> None:
        """Drop what nobody has begun, and end the threads, each when it is done with its work."""
        with self._lock:
            self._work.clear()
            self._closed = True
            while self._asleep:
                self._asleep.pop().release()

    def _call(self) -> None:
        """Wake a thread, if there is work that none of those awake will take soon.

        The one that fell asleep last, and no other: `SimpleQueue.get` wakes a second one in vain.
        """
        if self._work and self._asleep and self._looking < LOOKING:
            self._looking += 1
            self._asleep.pop().release()

    def _live(self, bell: threading.Lock) -> None:
        """`bell` is released to wake this thread."""
        while bell.acquire() and not self._closed:
            self._mine.looks = True
            while (work := self._next(bell)) is not None:
                self._do(work)

    def _next(self, bell: threading.Lock) -> W | None:
        """The next piece of work; with None the thread is asleep."""
        with self._lock:
            if not self._mine.looks:
                self._mine.looks = True
                self._looking += 1
            if self._work:
                return self._work.popleft()
            self._looking -= 1
            if self._closed:
                bell.release()
            else:
                self._asleep.append(bell)
            return None
