"""Two costs of Thespian's TCP transport that are paid for nothing, for each message.

**Texts for a log that is off.** It describes each message for its debug log before it asks whether
that is written. The description is made when it is written now.

**A selector for each turn of the loop.** It opens an epoll, registers each descriptor by a call of
the kernel, waits, and closes it. One poll(2) of all descriptors does the same.
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
    """What Thespian uses of a selector, for a single `select`."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._masks: dict[int, int] = {}

    def register(self, fd: int, events: int) -> None:
        """Wait for EVENT_READ or EVENT_WRITE of a descriptor."""
        mask = self._masks.get(fd, 0) | _POLL_EVENTS[events]
        self._masks[fd] = mask
        self._poll.register(fd, mask)

    def select(self, timeout_s: float | None) -> list[tuple[SimpleNamespace, int]]:
        """What is ready; `fd` of each key. Raises OSError (EBADF) as epoll does at registration."""
        ready = []
        timeout_ms = None if timeout_s is None else max(0, math.ceil(timeout_s * 1e3))
        for fd, found in self._poll.poll(timeout_ms):
            if found & select.POLLNVAL:
                raise OSError(errno.EBADF, f"descriptor {fd} is closed")
            mask = self._masks[fd]
            # An error or a hang-up makes readable and writable what is waited for, as in selectors.
            events = selectors.EVENT_READ if found & ~select.POLLOUT and mask & select.POLLIN else 0
            if found & ~select.POLLIN and mask & select.POLLOUT:
                events |= selectors.EVENT_WRITE
            ready.append((SimpleNamespace(fd=fd), events))
        return ready

    def close(self) -> None:
        """There is nothing to close."""


SELECTORS = SimpleNamespace(
    DefaultSelector=OneTurn,
    EVENT_READ=selectors.EVENT_READ,
    EVENT_WRITE=selectors.EVENT_WRITE,
)
"""In place of the module `selectors` where Thespian's transport uses it."""


class When:
    """A text that is made when it is read; pickled, it is plain text."""

    def __init__(self, make: Callable[[Any], str], of: Any) -> None:
        self._make, self._of = make, of

    def __str__(self) -> str:
        return self._make(self._of)

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)


def lean() -> None:
    """Spare both in this process and in those that are forked from it."""
    TCPTransport.selectors = SELECTORS
    TCPTransport.TCPTransport._check_fd = staticmethod(os.fstat)
    for kind in (ReceiveEnvelope, TransmitIntent):
        described_when_read(kind)


def described_when_read(kind: Any) -> None:
    """Have `identify` of a class of Thespian's make no text by itself."""
    identify = kind.identify
    if identify.__module__ != __name__:
        kind.identify = lambda self: When(identify, self)
        kind.__str__ = identify
