"""The file descriptors of this process, and writes to them."""

import os
import select
import socket
from contextlib import contextmanager
from pathlib import Path


def open_descriptors():
    """Their numbers."""
    return {int(entry.name) for entry in Path("/proc/self/fd").iterdir() if entry.exists()}


@contextmanager
def freed_by(close):
    """Reuse the descriptors that `close` frees, and assert that nothing is written to them."""
    ours, theirs = socket.socketpair()
    before = open_descriptors()
    close()
    freed = before - open_descriptors()
    assert freed
    for number in freed:
        os.dup2(theirs.fileno(), number)
    yield
    assert not select.select([ours], (), (), 0)[0]
    for number in (*freed, ours.detach(), theirs.detach()):
        os.close(number)
