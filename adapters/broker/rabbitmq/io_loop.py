"""An event loop for pika that never waits: its owner waits, on a single descriptor."""

import os
import sched
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

TURNS = 16
"""How many times `run_ready` checks for more work before it returns to its caller."""

Handler = Callable[[int, int], None]


class PollableLoop:
    """The I/O loop that pika's `SelectorIOServicesAdapter` expects, driven from outside.

    The owner waits until `fileno()` is readable or `deadline()` has passed, and calls `run_ready`.
    The descriptor is that of an epoll (or kqueue): it is readable when any descriptor within is
    ready, and stays the same across connections.
    """

    READ = selectors.EVENT_READ
    WRITE = selectors.EVENT_WRITE
    ERROR = 0  # selectors report errors as readable and writable

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        # The default delay function is called with 0 after each timer: a system call, and a turn
        # for all other threads.
        self._timers = sched.scheduler(time.monotonic, delayfunc=lambda _seconds: None)
        self._callbacks: deque[Callable[[], object]] = deque()
        # pika resolves host names in a thread; its callback arrives through this pipe.
        self._wake_read, self._wake_write = os.pipe()
        for end in (self._wake_read, self._wake_write):
            os.set_blocking(end, False)
        self._waking = threading.Lock()
        self._is_open = True
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._run_callbacks)

    def fileno(self) -> int:
        """Readable whenever `run_ready` has work to do before the deadline."""
        return self._selector.fileno()

    def deadline(self) -> float | None:
        """When the next timer is due, on `time.monotonic`'s scale."""
        return None if self._timers.empty() else self._timers.queue[0].time

    def run_ready(self) -> None:
        """Run all due timers and ready handlers, without waiting."""
        for _ in range(TURNS):
            self._timers.run(blocking=False)
            ready = self._selector.select(timeout=0)
            if not ready:
                return
            for key, events in ready:
                # An earlier handler may have removed this one.
                if self._selector.get_map().get(key.fd) is not None:
                    key.data(key.fd, events)

    def write_now(self) -> None:
        """Run the handlers that wait to write without asking whether they can: mostly they can.

        Only while no connection is being opened.
        """
        for key in [*self._selector.get_map().values()]:
            if key.events & self.WRITE:
                key.data(key.fd, self.WRITE)

    def wait(self, timeout_s: float) -> None:
        """Wait until `fileno()` is readable, for an owner without other work."""
        self._selector.select(timeout_s)

    def wake(self) -> None:
        """Make `fileno()` readable; no effect after `close`. Any thread may call it."""
        with self._waking, suppress(BlockingIOError):  # a full pipe is readable already
            if self._is_open:
                os.write(self._wake_write, b"\0")

    def close(self) -> None:
        """Close the descriptors; the loop cannot be used afterwards."""
        self._selector.close()
        with self._waking:
            self._is_open = False
            os.close(self._wake_read)
            os.close(self._wake_write)

    def call_later(self, delay: float, callback: Callable[[], object]) -> sched.Event:
        """Call once after `delay` seconds; the result can be given to `remove_timeout`."""
        return self._timers.enter(delay, 0, callback)

    def remove_timeout(self, timeout_handle: sched.Event) -> None:
        """Cancel a timer; it may have run already."""
        with suppress(ValueError):
            self._timers.cancel(timeout_handle)

    def add_callback(self, callback: Callable[[], object]) -> None:
        """Call in the next `run_ready`. Any thread may call it."""
        self._callbacks.append(callback)
        self.wake()

    def add_handler(self, fd: int, handler: Handler, events: int) -> None:
        """Call `handler(fd, events)` each time one of the events occurs."""
        self._selector.register(fd, events, handler)

    def update_handler(self, fd: int, events: int) -> None:
        """Watch the descriptor for these events instead."""
        self._selector.modify(fd, events, self._selector.get_key(fd).data)

    def remove_handler(self, fd: int) -> None:
        """Watch the descriptor no longer."""
        self._selector.unregister(fd)

    def start(self) -> None:
        """Not supported: the loop has no thread of its own."""
        raise NotImplementedError("driven by run_ready")

    def stop(self) -> None:
        """Not supported: the loop never keeps running."""
        raise NotImplementedError("driven by run_ready")

    def _run_callbacks(self, _fd: int, _events: int) -> None:
        os.read(self._wake_read, 65536)
        for _ in range(len(self._callbacks)):  # callbacks added meanwhile run after the sockets
            self._callbacks.popleft()()
