"""The base of every supervised actor: it starts when told to, shows that it lives, and crashes.

Thespian keeps an actor whose handler raised (it retries the message, then answers
`PoisonMessage`). A supervised actor ends instead, so that its supervisor starts a clean one.
"""

import ctypes
import gc
import logging
import multiprocessing
import os
import select
import signal
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from typing import Any, Protocol, TypeVar

import structlog
from thespian.actors import (
    ActorAddress,
    ActorExitRequest,
    ActorTypeDispatcher,
    ThespianWatch,
    WakeupMessage,
    WatchMessage,
)

from callboard.supervision.messages import (
    Answer,
    AskedBy,
    Finished,
    Forwarded,
    Heartbeat,
    Peer,
    PeersChanged,
    Question,
    Ready,
    Start,
    Stop,
)
from callboard.supervision.thespian_patches import apply
from callboard.supervision.timer import Call, Timer

CRASH_EXIT_STATUS = 70
"""Exit status of the process of an actor that crashed (sysexits.h: EX_SOFTWARE)."""

LONGEST_S = 30 * 86400.0
"""The longest timer."""

POLL_S = 0.02
"""How often descriptors are polled where the system base cannot watch them."""

BREATH_S = 0.002
"""The shortest timer. Thespian does not look at its sockets while one is due, so that a row of
timers of no duration would keep every message out."""

PARENT_CHECK_S = 2.0
"""How often the parent process is looked for where no heartbeats are wanted."""

_PR_SET_PDEATHSIG = 1


C = TypeVar("C", bound="_Closable")


class _Closable(Protocol):
    def close(self) -> None: ...


apply()


class SupervisedActor(ActorTypeDispatcher):  # type: ignore[misc]
    """An actor that a `Supervisor` can start, watch and stop.

    Subclasses override `on_start`, and where needed `on_peers`, `on_stop` and `stats`; timers call
    the functions that they were set with; messages arrive at `receiveMsg_{class name}(message,
    sender)` as in Thespian. An exception in any of these ends the actor.

    `closing`: what is to be released when the actor ends, registered where it is made. An actor
    that is killed releases nothing.
    """

    ends_where_it_fails = True
    """Its handlers raise nothing (lean_transport.py)."""

    def __init__(self, capabilities: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        capabilities = capabilities or {}
        self.own_process = capabilities.get("Thespian ActorSystem Name") != "simpleSystem"
        if self.own_process:
            # Now, not at `Start`: nobody would send it if the supervisor died meanwhile.
            die_with_parent()
            _die_if_orphaned()
            # A collection would write to all that was there at the fork, and so unshare it.
            self.freeze()
        self._can_watch = bool(capabilities.get("Thespian Watch Supported"))
        self._poll_due = self.timer(self._poll_descriptors)
        self._ended = False
        self.closing = ExitStack()
        self._parent_pid: int | None = None
        self._started = False
        self._fds: tuple[int, ...] = ()
        self.path = ""
        self.incarnation = 0
        self.heartbeat_s = 2.0
        self.supervisor: ActorAddress | None = None
        self.peers: Mapping[str, Peer] = {}
        self._peers_version = 0
        self.log: Any = _logger()

    # What subclasses say

    def on_start(self, args: Any) -> None:
        """Begin; `self.peers`, `self.path` and `self.log` are set. Raising here is a crash."""

    def on_peers(self, before: Mapping[str, Peer]) -> None:
        """`self.peers` has changed; `before` is what it was."""

    def on_stop(self) -> None:
        """Finish what has begun, then call `finish`; at once unless overridden."""
        self.finish()

    def stats(self) -> Mapping[str, Any]:
        """Figures shown in the tree; cheap, small and of simple types."""
        return {}

    # What subclasses use

    def after(self, seconds: float, call: Call) -> None:
        """Call it in so many seconds, from `BREATH_S` to `LONGEST_S`, unless the actor has ended.

        Thespian hands the payload of a wakeup to the actor as it is: it is neither copied nor
        pickled, so that it may be a function.
        """
        seconds = min(max(BREATH_S, seconds), LONGEST_S)
        self.wakeupAfter(timedelta(seconds=seconds), call)

    def every(self, seconds: float, call: Call) -> None:
        """Call it again and again, each time so many seconds after the last call has returned."""
        self.after(seconds, partial(self._call_and_repeat, seconds, call))

    def timer(self, call: Call) -> Timer:
        """A timer that calls it once each time it was set."""
        return Timer(self.after, call)

    def own(self, thing: C) -> C:
        """That thing; it is closed when the actor ends, the last one of several first."""
        self.closing.callback(thing.close)
        return thing

    def watch(self, *fds: int) -> None:
        """Have `receiveMsg_WatchMessage` called while any of these descriptors is readable."""
        self._fds = fds

    def freeze(self) -> None:
        """Have no garbage collection look at what there is now: it is large, and stays."""
        if self.own_process:
            gc.freeze()

    def finish(self) -> None:
        """End normally: the supervisor is told that this was meant."""
        if not self._ended:
            if self.supervisor is not None:
                self.send(self.supervisor, Finished(self.path, self.incarnation))
            self._end()

    def peer(self, path: str) -> ActorAddress | None:
        """Where to send messages for that peer now; None while it is down."""
        peer = self.peers.get(path)
        return peer.address if peer else None

    def send(self, target: ActorAddress | AskedBy, message: Any) -> None:
        """Send a message; to whoever asked a `Question`, as its `Answer`."""
        if isinstance(target, AskedBy):
            target, message = target.address, Answer(target.ref, message)
        super().send(target, message)

    # Thespian's side

    def receiveMessage(self, message: Any, sender: ActorAddress) -> Any:
        """Handle one message; an exception ends the actor (let it crash)."""
        if self._ended and not isinstance(message, ActorExitRequest):
            return None
        try:
            super().receiveMessage(message, sender)
        except Exception:  # noqa: BLE001 - whatever it is, it ends the actor
            self._crash(message)
        return self._watches()

    def receiveMsg_Start(self, message: Start, sender: ActorAddress) -> None:
        """Begin under this supervisor, and tell it when ready."""
        if self._started:
            return
        self._started = True
        self.path, self.incarnation = message.path, message.incarnation
        self.heartbeat_s, self.supervisor = message.heartbeat_s, sender
        if not self._peers_version:
            self.peers = message.peers
        self.log = self.log.bind(actor=self.path or type(self).__name__)
        if self.own_process:
            self._parent_pid = os.getppid()
        self.on_start(message.args)
        self.announce_ready()
        self._beat()

    def announce_ready(self) -> None:
        """Tell the supervisor that the next child may start; supervisors do so later."""
        if not self._ended:
            self.send(self.supervisor, Ready(self.path, self.incarnation, os.getpid()))

    def receiveMsg_PeersChanged(self, message: PeersChanged, _sender: ActorAddress) -> None:
        """Some peers went down or came up."""
        if message.version <= self._peers_version:
            return
        self._peers_version = message.version
        before, self.peers = self.peers, message.peers
        if self._started:
            self.on_peers(before)

    def receiveMsg_Forwarded(self, message: Forwarded, _sender: ActorAddress) -> None:
        """A message by way of another actor; the answer goes straight to whoever asked."""
        ActorTypeDispatcher.receiveMessage(self, message.message, message.asker)

    def receiveMsg_Question(self, message: Question, sender: ActorAddress) -> None:
        """A message whose answers are to carry its number."""
        ActorTypeDispatcher.receiveMessage(self, message.message, AskedBy(sender, message.ref))

    def receiveMsg_Stop(self, _message: Stop, _sender: ActorAddress) -> None:
        """The supervisor asks it to end."""
        self.on_stop()

    def receiveMsg_WakeupMessage(self, message: WakeupMessage, _sender: ActorAddress) -> None:
        """A timer is due."""
        message.payload()

    def receiveMsg_ActorExitRequest(self, _message: ActorExitRequest, _sender: Any) -> None:
        """Thespian ends this actor now."""
        self._ended = True
        self._fds = ()
        self.closing.close()

    def heartbeat(self) -> None:
        """Show the supervisor now that this actor lives, with its current figures."""
        if self.heartbeat_s and not self._ended:
            self.send(self.supervisor, Heartbeat(self.path, self.incarnation, self.stats()))

    def is_heartbeat(self, message: Any) -> bool:
        """Whether this message only lets the actor show that it lives."""
        return isinstance(message, WakeupMessage) and message.payload == self._beat

    def _beat(self) -> None:
        if self._parent_pid is not None and os.getppid() != self._parent_pid:
            os._exit(CRASH_EXIT_STATUS)
        if not self._ended:
            self.heartbeat()
            self.after(self.heartbeat_s or PARENT_CHECK_S, self._beat)

    def _call_and_repeat(self, seconds: float, call: Call) -> None:
        call()
        self.every(seconds, call)

    def _watches(self) -> ThespianWatch | None:
        if not self._fds or self._ended:
            return None
        if self._can_watch:
            return ThespianWatch(list(self._fds))
        self._poll_due.within(POLL_S)
        return None

    def _poll_descriptors(self) -> None:
        ready = select.select(self._fds, (), (), 0)[0] if self._fds else []
        if ready:
            ActorTypeDispatcher.receiveMessage(self, WatchMessage(ready), self.myAddress)

    def _crash(self, message: Any) -> None:
        while isinstance(message, Forwarded | Question):
            message = message.message
        self.log.exception("actor_crashed", message=type(message).__name__)
        if self.own_process:
            os._exit(CRASH_EXIT_STATUS)
        self._end()

    def _end(self) -> None:
        self._ended = True
        self.send(self.myAddress, ActorExitRequest())


def _logger() -> Any:
    """As structlog is configured in this process; where it is not, through `logging`.

    In a process that belongs to a host, what to do with our lines is the host's decision.
    """
    if structlog.is_configured():
        return structlog.get_logger("callboard")
    return structlog.wrap_logger(
        logging.getLogger("callboard"),
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def _die_if_orphaned() -> None:
    """End this process if its parent died before the kernel was told to watch for that."""
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid != os.getppid():
        os._exit(CRASH_EXIT_STATUS)


def die_with_parent() -> None:
    """Have the kernel kill this process when its supervisor's dies (Linux; prctl(2)).

    Elsewhere, and where the supervisor died before this, the heartbeat notices.
    """
    try:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
    except (AttributeError, OSError):
        return
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
