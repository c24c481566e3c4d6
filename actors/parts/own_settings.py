"""What a machine that has joined a node keeps to itself: its own secrets, for its own actors.

Its actors inherit them, as they do the seal: Thespian forks them from the process that called
`keep`. So they are in no message.
"""

from callboard.config.settings import Settings
from callboard.config.told import with_own

_own: Settings | None = None


def keep(settings: Settings | None) -> None:
    """These are the settings of this machine; None: it has not joined a node."""
    global _own
    _own = settings


def completed(told: Settings) -> Settings:
    """What an actor was started with, with the machine's own secrets where it is a node's."""
    return told if _own is None else with_own(told, _own)
