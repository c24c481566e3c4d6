"""Runs functions in a chunk of the interpreter's stack that has enough room for their calls.

CPython (3.11 and later) keeps the frames of Python functions in chunks of 16 kB. A call that does
not fit into the last chunk maps a new one, and its return unmaps it. A loop that runs just below
the end of a chunk pays two system calls and a page fault for each such call (python/cpython issue
142183). Thespian forks an actor from within a handler of its parent, so the stack depth of an
actor's loop depends on its depth in the tree; such loops used half of the processor time.

`roomy` calls a function in a chunk with room for some thousand more frames. ADR 26 states when this
can be removed.
"""

import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

ROOM_BYTES = 256 * 1024
"""A frame of this size gets a chunk of twice the size, half of which is free. The frame is never
written to, so it takes addresses but no memory."""

_SLOT_BYTES = 8


def roomy(call: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Call it with `ROOM_BYTES` of stack for its own calls."""
    return call(*args, **kwargs)


# The code object declares the size of its frame; this one declares much and uses nothing.
roomy.__code__ = roomy.__code__.replace(co_stacksize=ROOM_BYTES // _SLOT_BYTES)


class RoomyThread(threading.Thread):
    """A thread whose target runs in `roomy`; for long loops."""

    def run(self) -> None:
        """Call the target."""
        roomy(super().run)
