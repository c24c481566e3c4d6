"""A thread pool for work that mostly waits; wakes no more threads than necessary."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from callboard.supervision import RoomyThread

W = TypeVar("W")

LOOKING = 2
"""The number of threads that look for work at a time."""


class ThreadPool(Generic[W]):
    """At most `count` threads that `do` one item of work after the other.

    A thread starts when it is needed for the first time, and stays; each takes some 30 kB. Waking
    one takes as long as a quick request. So only `LOOKING` of them look for work, and take the next
    item when they finish one. A thread that is about to block calls `waits`, and another one looks
    in its place. While threads are left, work waits only for the processor.

    `do` must not raise.
    """

    def __init__(self, count: int, do: Callable[[W], None], name: str) -> None:
        self._do = do
        self._work: deque[W] = deque()
        self._lock = threading.Lock()
        self._name = name
        self._to_start = count
        self._asleep: list[threading.Lock] = []
        self._looking = 0
        self._closed = False
        self._mine = threading.local()

    def __len__(self) -> int:
        """The number of items that no thread has begun."""
        return len(self._work)

    def add(self, work: W) -> None:
        """Queue an item."""
        with self._lock:
            self._work.append(work)
            self._call()

    def waits(self) -> None:
        """The calling thread is about to block, and does not look until its item is done."""
        if getattr(self._mine, "looks", False):
            self._mine.looks = False
            with self._lock:
                self._looking -= 1
                self._call()

    def close(self) -> None:
        """Drop queued items and end the threads, each after its current item."""
        with self._lock:
            self._work.clear()
            self._closed = True
            self._to_start = 0
            while self._asleep:
                self._asleep.pop().release()

    def _call(self) -> None:
        """Wake or start a thread if there is work and fewer than `LOOKING` threads look for it.

        Each thread has a lock of its own: `SimpleQueue.get` would wake a second thread for nothing.
        """
        if not self._work or self._looking >= LOOKING:
            return
        if self._asleep:
            self._looking += 1
            self._asleep.pop().release()
        elif self._to_start:
            self._looking += 1
            self._to_start -= 1
            name = f"{self._name}-{self._to_start}"
            bell = threading.Lock()
            RoomyThread(target=self._live, args=(bell,), name=name, daemon=True).start()

    def _live(self, bell: threading.Lock) -> None:
        """Releasing `bell` wakes this thread."""
        while bell.acquire() and not self._closed:
            self._mine.looks = True
            while (work := self._next(bell)) is not None:
                self._do(work)

    def _next(self, bell: threading.Lock) -> W | None:
        """The next item; None: the thread goes to sleep."""
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
