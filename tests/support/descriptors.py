"""The file descriptors of this process, and writes to them."""

import fcntl
import os
import select
import socket
from contextlib import contextmanager
from pathlib import Path


def open_descriptors():
    """Their numbers."""
    return {int(entry.name) for entry in Path("/proc/self/fd").iterdir() if entry.exists()}


@contextmanager
def opening():
    """The set of what the block opens, complete at its end; their numbers are free once closed.

    Another thread of the tests may open something at any time. It gets the lowest free number, and
    some lower ones become free at the end of the block.
    """
    lower = [os.open("/dev/null", os.O_RDONLY) for _number in range(20)]
    opened, before = set(), open_descriptors()
    try:
        yield opened
        opened |= open_descriptors() - before
    finally:
        for number in lower:
            os.close(number)


@contextmanager
def freed_by(close):
    """Reuse the descriptors that `close` frees, and assert that nothing is written to them.

    Only those that no other thread has got before.
    """
    ours, theirs = socket.socketpair()
    before = open_descriptors()
    close()
    freed = before - open_descriptors()
    reused = {number: fcntl.fcntl(theirs, fcntl.F_DUPFD, number) for number in sorted(freed)}
    assert any(number == wanted for wanted, number in reused.items())
    yield
    assert not select.select([ours], (), (), 0)[0]
    for number in (*reused.values(), ours.detach(), theirs.detach()):
        os.close(number)
