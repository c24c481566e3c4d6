"""What a machine that has joined a node keeps to itself: its own secrets, for its own actors.

Its actors inherit them, as they do the seal: Thespian forks them from the process that called
`keep`. So they are in no message. That process also learns here whether there are such actors.
"""

import mmap

from attrs import field, frozen

from callboard.config.redacted import with_own
from callboard.config.settings import Settings


@frozen
class _Own:
    """`begun`: one byte of memory that is shared with the actors; not 0 once one has begun."""

    settings: Settings
    begun: mmap.mmap = field(factory=lambda: mmap.mmap(-1, 1))


_own: _Own | None = None


def keep(settings: Settings | None) -> None:
    """These are the settings of this machine; None: it has not joined a node."""
    global _own
    _own = None if settings is None else _Own(settings)


def completed(received: Settings) -> Settings:
    """What an actor was started with, with the machine's own secrets where it is a node's."""
    if _own is None:
        return received
    _own.begun[0] = 1
    return with_own(received, _own.settings)


def have_begun() -> bool:
    """Whether the node has started actors here since `keep`."""
    return _own is not None and _own.begun[0] != 0
