"""A place on the interpreter's stack where no call crosses an edge.

CPython (3.11 on) keeps the frames of Python functions in chunks of 16 kB. A call that finds no room
in the last chunk maps a new one, and its return unmaps it: a loop that happens to run just below
the end of a chunk pays two system calls and a page fault for each such call (python/cpython issue
142183). Thespian forks an actor from within a handler of its parent, so where an actor's loop runs
depends on how deep it stands in the tree, and half of the processor's time went there.

`roomy` calls a function in a chunk that has room for some thousand frames more. ADR 26 says when
this can go.
"""

import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

ROOM_BYTES = 256 * 1024
"""A frame of this size gets a chunk of twice as much, of which the other half is free. It is never
written to, so that it takes addresses and no memory."""

_SLOT_BYTES = 8


def roomy(call: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Call it, with `ROOM_BYTES` of stack for the calls that it makes in turn."""
    return call(*args, **kwargs)


# Frames are as large as their code says that they need: this one says much, and uses nothing.
roomy.__code__ = roomy.__code__.replace(co_stacksize=ROOM_BYTES // _SLOT_BYTES)


class RoomyThread(threading.Thread):
    """A thread, for what runs on for long: its calls cross no edge either."""

    def run(self) -> None:
        """Call the target, as any thread does."""
        roomy(super().run)
