"""Less work for each message in Thespian's actors.

**Message types** (`_handle`). Thespian checks for each message whether it is one of its own types.
Here this is remembered for each type.

**Texts for a disabled log** (`described_when_read`). Thespian formats each message for its debug
log before it checks whether the log is enabled.
"""

from collections.abc import Callable
from functools import cache
from logging import LogRecord
from typing import Any

from thespian.actors import ThespianWatch, WakeupMessage, WatchMessage
from thespian.system.actorManager import ActorManager
from thespian.system.transport import ReceiveEnvelope, TransmitIntent

_handle_any = ActorManager.handleMessages


def lean() -> None:
    """Patch Thespian in this process and in those that are forked from it."""
    ActorManager.handleMessages = _handle
    for kind in (ReceiveEnvelope, TransmitIntent):
        described_when_read(kind)


# Message types


def _handle(self: Any, envelope: Any) -> Any:
    """Pass a message to an actor whose handlers never raise; Thespian handles all others."""
    message, actor = envelope.message, self.actorInst
    kind: Any = type(message)
    ready = self.asLogger is not None and not getattr(self, "_exiting", False)
    if not (ready and _is_of_actors(kind) and hasattr(actor, "ends_where_it_fails")):
        return _handle_any(self, envelope)
    self._sCBStats.inc("Actor.Message Received.Total")
    self._sCBStats.inc("Actor.Message Received.To Actor")
    self._addrManager.importAddr(envelope.sender)
    watched = actor.receiveMessage(message, envelope.sender)
    self.transport.set_watch(watched.filenos if isinstance(watched, ThespianWatch) else [])
    going_on = True
    while going_on and self._receiveQueue:
        going_on = self._handleOneMessage(self._receiveQueue.pop(0))
    return going_on


@cache
def _is_of_actors(kind: Any) -> bool:
    """Whether Thespian only passes messages of this type to the actor."""
    own = kind.__module__.partition(".")[0] != "thespian" and not issubclass(kind, LogRecord)
    return own or kind in (WakeupMessage, WatchMessage)


# Texts for a disabled log


class When:
    """A text that is formatted when it is read; it is pickled as a str."""

    def __init__(self, make: Callable[[Any], str], of: Any) -> None:
        self._make, self._of = make, of

    def __str__(self) -> str:
        return self._make(self._of)

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)


def described_when_read(kind: Any) -> None:
    """Make `identify` of a Thespian class return a `When`."""
    identify = kind.identify
    if identify.__module__ != __name__:
        kind.identify = lambda self: When(identify, self)
        kind.__str__ = identify
