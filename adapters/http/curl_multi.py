"""Hundreds of libcurl's transfers in one thread, which may do other work besides.

libcurl names the sockets to wait for, and the time; this waits with epoll, whose descriptor its
owner may watch along with others. Nothing here blocks.
"""

import os
import select
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pycurl

_EVENTS = {
    pycurl.POLL_IN: select.EPOLLIN,
    pycurl.POLL_OUT: select.EPOLLOUT,
    pycurl.POLL_INOUT: select.EPOLLIN | select.EPOLLOUT,
}
_AT_ONCE = 32
"""The most sockets that one `run` looks at: meanwhile its owner does nothing else."""
_MOST_TIMES = 5


class CurlMulti:
    """`fileno()` is readable when `run` has work to do.

    `connections`: the most connections kept for further requests. For use in one thread; only
    `wake` may be called from any.
    """

    def __init__(self, connections: int) -> None:
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._wait_for)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._due_in)
        self._multi.setopt(pycurl.M_MAXCONNECTS, connections)
        self._epoll = select.epoll()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._bell, select.EPOLLIN)
        self._ringing = threading.Lock()
        self._closed = False
        self._due: float | None = None
        self._timer = _Timer(self.wake)

    def fileno(self) -> int:
        """The descriptor to watch."""
        return self._epoll.fileno()

    def wake(self) -> None:
        """Make `fileno()` readable; no effect after `close`."""
        with self._ringing:
            if not self._closed:
                os.eventfd_write(self._bell, 1)

    def wake_at(self, at: float) -> None:
        """Make `fileno()` readable at that time.monotonic(), or before."""
        self._timer.ring_at(at)

    def begin(self, easy: pycurl.Curl) -> None:
        """Start a transfer, without waiting. It may have ended on return."""
        self._multi.add_handle(easy)
        self._catch_up()

    def run(self) -> None:
        """Continue all transfers that need not wait."""
        for descriptor, events in self._epoll.poll(0, _AT_ONCE):
            if descriptor == self._bell:
                with suppress(BlockingIOError):
                    os.eventfd_read(self._bell)
                continue
            ready = 0
            if events & select.EPOLLIN:
                ready |= pycurl.CSELECT_IN
            if events & select.EPOLLOUT:
                ready |= pycurl.CSELECT_OUT
            self._multi.socket_action(descriptor, ready)
        self._catch_up()

    def ended(self) -> list[tuple[pycurl.Curl, int, str]]:
        """Transfers that have ended, with libcurl's code (0: success) and text."""
        ended = []
        more = 1
        while more:
            more, well, badly = self._multi.info_read()
            ended += [(easy, 0, "") for easy in well]
            ended += badly
        for easy, _code, _text in ended:
            self._multi.remove_handle(easy)
        return ended

    def close(self) -> None:
        """Close all connections."""
        self._timer.close()
        self._multi.close()
        self._epoll.close()
        with self._ringing:
            self._closed = True
            os.close(self._bell)

    def _wait_for(self, what: int, descriptor: int, _multi: object, _data: object) -> None:
        if what == pycurl.POLL_REMOVE:
            self._epoll.unregister(descriptor)
            return
        try:
            self._epoll.register(descriptor, _EVENTS[what])
        except FileExistsError:
            self._epoll.modify(descriptor, _EVENTS[what])

    def _due_in(self, timeout_ms: int) -> None:
        if timeout_ms < 0:
            self._due = None
        else:
            self._due = time.monotonic() + timeout_ms / 1000

    def _catch_up(self) -> None:
        """Do all due work, including work that becomes due by it; set the timer for the rest."""
        for _time in range(_MOST_TIMES):
            if self._due is None:
                return
            if self._due > time.monotonic():
                self._timer.ring_at(self._due)
                return
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        self.wake()


class _Timer:
    """A thread that calls `ring` at a set time; it may ring too often, never too late."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._at: float | None = None
        self._open = True
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="curl-alarm", daemon=True).start()

    def ring_at(self, at: float) -> None:
        """Ring at this time, or before."""
        if self._at is None or at < self._at:
            with self._changed:
                self._at = at
                self._changed.notify()

    def close(self) -> None:
        """Stop ringing."""
        with self._changed:
            self._open = False
            self._changed.notify()

    def _run(self) -> None:
        with self._changed:
            while self._open:
                left = None if self._at is None else self._at - time.monotonic()
                if left is not None and left <= 0:
                    self._at = None
                    self._ring()
                else:
                    self._changed.wait(left)
