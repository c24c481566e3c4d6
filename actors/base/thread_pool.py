"""Threads that wait a lot, of which no more are awake than the work needs."""

import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
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
        self._calls: SimpleQueue[bool] = SimpleQueue()
        self._count = self._asleep = count
        self._looking = 0
        self._mine = threading.local()
        for number in range(count):
            RoomyThread(target=self._live, name=f"{name}-{number}", daemon=True).start()

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
        for _thread in range(self._count):
            self._calls.put(False)

    def _call(self) -> None:
        """Wake a thread, if there is work that none of those awake will take soon."""
        if self._work and self._asleep and self._looking < LOOKING:
            self._asleep -= 1
            self._looking += 1
            self._calls.put(True)

    def _live(self) -> None:
        while self._calls.get():
            self._mine.looks = True
            while (work := self._next()) is not None:
                self._do(work)

    def _next(self) -> W | None:
        """The next piece of work; with None the thread is asleep."""
        with self._lock:
            if not self._mine.looks:
                self._mine.looks = True
                self._looking += 1
            if self._work:
                return self._work.popleft()
            self._looking -= 1
            self._asleep += 1
            return None
