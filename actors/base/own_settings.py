"""The secrets of a machine that has joined a node, for the actors that the node starts there.

The actors inherit them, like the key of the sealed transport, because Thespian forks them from the
process that called `keep`. So the secrets are in no message. That process can also check whether
the node has started actors.
"""

import mmap

from attrs import field, frozen

from callboard.config.redacted import with_own
from callboard.config.settings import Settings


@frozen
class _Own:
    """`begun`: one byte of memory shared with the actors; not 0 once one has started."""

    settings: Settings
    begun: mmap.mmap = field(factory=lambda: mmap.mmap(-1, 1))


_own: _Own | None = None


def keep(settings: Settings | None) -> None:
    """Set the settings of this machine; None: it has not joined a node."""
    global _own
    _own = None if settings is None else _Own(settings)


def completed(received: Settings) -> Settings:
    """An actor's settings, with the machine's own secrets if a node has started it here."""
    if _own is None:
        return received
    _own.begun[0] = True
    return with_own(received, _own.settings)


def have_begun() -> bool:
    """Whether the node has started actors here since `keep`."""
    return _own is not None and _own.begun[0] != 0
