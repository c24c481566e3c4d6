"""Removes two unnecessary costs of each message in Thespian's TCP transport.

**Texts for a disabled log.** Thespian formats each message for its debug log before it checks
whether the log is enabled. Now the text is formatted only when it is written.

**A selector for each turn of the loop.** Thespian opens an epoll, registers each descriptor by a
system call, waits, and closes it. A single poll(2) of all descriptors does the same.
"""

import errno
import math
import os
import select
import selectors
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from thespian.system.transport import ReceiveEnvelope, TCPTransport, TransmitIntent

_POLL_EVENTS = {
    selectors.EVENT_READ: select.POLLIN,
    selectors.EVENT_WRITE: select.POLLOUT,
}


class OneTurn:
    """The methods of a selector that Thespian uses, for a single `select`."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._masks: dict[int, int] = {}

    def register(self, fd: int, events: int) -> None:
        """Wait for EVENT_READ or EVENT_WRITE of a descriptor."""
        mask = self._masks.get(fd, 0) | _POLL_EVENTS[events]
        self._masks[fd] = mask
        self._poll.register(fd, mask)

    def select(self, timeout_s: float | None) -> list[tuple[SimpleNamespace, int]]:
        """The ready descriptors, as `fd` of each key, and their events.

        Raises OSError (EBADF) for a closed descriptor, as epoll does at registration.
        """
        ready = []
        timeout_ms = None if timeout_s is None else max(0, math.ceil(timeout_s * 1e3))
        for fd, found in self._poll.poll(timeout_ms):
            if found & select.POLLNVAL:
                raise OSError(errno.EBADF, f"descriptor {fd} is closed")
            mask = self._masks[fd]
            # As in selectors, an error or a hang-up counts as each event that is waited for.
            events = selectors.EVENT_READ if found & ~select.POLLOUT and mask & select.POLLIN else 0
            if found & ~select.POLLIN and mask & select.POLLOUT:
                events |= selectors.EVENT_WRITE
            ready.append((SimpleNamespace(fd=fd), events))
        return ready

    def close(self) -> None:
        """Do nothing."""


SELECTORS = SimpleNamespace(
    DefaultSelector=OneTurn,
    EVENT_READ=selectors.EVENT_READ,
    EVENT_WRITE=selectors.EVENT_WRITE,
)
"""Replaces the module `selectors` in Thespian's transport."""


class When:
    """A text that is formatted when it is read; pickles as a string."""

    def __init__(self, make: Callable[[Any], str], of: Any) -> None:
        self._make, self._of = make, of

    def __str__(self) -> str:
        return self._make(self._of)

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)


def lean() -> None:
    """Apply both changes in this process and in those forked from it."""
    TCPTransport.selectors = SELECTORS
    TCPTransport.TCPTransport._check_fd = staticmethod(os.fstat)
    for kind in (ReceiveEnvelope, TransmitIntent):
        described_when_read(kind)


def described_when_read(kind: Any) -> None:
    """Make `identify` of a Thespian class return a `When`."""
    identify = kind.identify
    if identify.__module__ != __name__:
        kind.identify = lambda self: When(identify, self)
        kind.__str__ = identify
