"""The base of supervised actors: start, heartbeats, timers, and crashes.

Thespian keeps an actor whose handler raised (it retries the message, then returns
`PoisonMessage`). A supervised actor ends instead, so that its supervisor starts a clean one.
"""

import ctypes
import gc
import logging
import multiprocessing
import os
import select
import signal
import time
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from typing import Any, Protocol, TypeVar

from thespian.actors import (
    ActorAddress,
    ActorExitRequest,
    ActorTypeDispatcher,
    ThespianWatch,
    WakeupMessage,
    WatchMessage,
)

from callboard.supervision import last_words
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
"""The interval for polling descriptors if the system base cannot watch them."""

EXIT_S = 5
"""The time in which an actor that is to exit ends, with its children."""

BREATH_S = 0.002
"""The shortest timer. Thespian does not poll its sockets while a timer is due, so consecutive
timers of zero seconds would block all messages."""

PARENT_CHECK_S = 2.0
"""The interval for checking the parent process if there are no heartbeats."""

TELL_S = 10.0
"""The interval of heartbeats that tell nothing new: the one before may have been lost."""

SLEPT_S = 2.0
"""An actor that handles nothing for so much longer than the interval of its heartbeats stood still,
because its process or its machine was suspended, or in a long call."""

_PR_SET_PDEATHSIG = 1
_RUNNING = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


C = TypeVar("C", bound="_Closable")


class _Closable(Protocol):
    def close(self) -> None: ...


apply()


class SupervisedActor(ActorTypeDispatcher):  # type: ignore[misc]
    """An actor that a `Supervisor` can start, watch and stop.

    Subclasses override `on_start`, and if needed `on_peers`, `on_stop` and `stats`. Timers call
    their functions, and messages arrive at `receiveMsg_{class name}(message, sender)` as in
    Thespian. An exception in any of these ends the actor.

    `closing`: resources to release when the actor ends. An actor that is killed releases none.
    """

    ends_where_it_fails = True
    """Marks that `receiveMessage` never raises (lean_messages.py)."""

    def __init__(self, capabilities: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        capabilities = capabilities or {}
        self.own_process = capabilities.get("Thespian ActorSystem Name") != "simpleSystem"
        if self.own_process:
            # Not at `Start`, which never comes if the supervisor has died meanwhile.
            die_with_parent()
            _die_if_orphaned()
            # A collection would write to the objects from before the fork, and unshare their pages.
            self.freeze()
        self._can_watch = bool(capabilities.get("Thespian Watch Supported"))
        self._poll_due = self.timer(self._poll_descriptors)
        self._ended = False
        self._last_words = last_words.own()
        self.closing = ExitStack()
        self._parent_pid: int | None = None
        self._started = False
        self._fds: tuple[int, ...] = ()
        self.path = ""
        self.incarnation = 0
        self.heartbeat_s = 2.0
        self._told: Mapping[str, Any] | None = None
        self._tell_at: float
        self.supervisor: ActorAddress | None = None
        self.peers: Mapping[str, Peer] = {}
        self._peers_version = 0
        self.log: Any = _logger()

    # Overridden by subclasses

    def on_start(self, args: Any) -> None:
        """Begin; `self.peers`, `self.path` and `self.log` are set. Raising here is a crash."""

    def on_peers(self, before: Mapping[str, Peer]) -> None:
        """`self.peers` has changed; `before`: its previous value."""

    def on_wake(self) -> None:
        """This actor stood still; what it knows of others is as old as that. By default nothing."""

    def on_stop(self) -> None:
        """Finish the work in progress, then call `finish`; by default at once."""
        self.finish()

    def stats(self) -> Mapping[str, Any]:
        """Figures shown in the tree; cheap, small and of simple types."""
        return {}

    # Used by subclasses

    def after(self, seconds: float, call: Call) -> None:
        """Call it after `seconds`, from `BREATH_S` to `LONGEST_S`, unless the actor has ended.

        Thespian neither copies nor pickles the payload of a wakeup, so it may be a function.
        """
        seconds = min(max(BREATH_S, seconds), LONGEST_S)
        self.wakeupAfter(timedelta(seconds=seconds), call)

    def every(self, seconds: float, call: Call) -> None:
        """Call it repeatedly, each time `seconds` after the last call has returned."""
        self.after(seconds, partial(self._call_and_repeat, seconds, call))

    def timer(self, call: Call) -> Timer:
        """A timer that calls it once each time it is set."""
        return Timer(self.after, call)

    def own(self, thing: C) -> C:
        """Close it when the actor ends, in reverse order of these calls; returns it."""
        self.closing.callback(thing.close)
        return thing

    def watch(self, *fds: int) -> None:
        """Call `receiveMsg_WatchMessage` while any of these descriptors is readable."""
        self._fds = fds

    def freeze(self) -> None:
        """Exclude all current objects from garbage collection: they are many, and stay."""
        if self.own_process:
            gc.freeze()

    def finish(self) -> None:
        """End normally, and report this to the supervisor."""
        if not self._ended:
            if self.supervisor is not None:
                self.send(self.supervisor, Finished(self.path, self.incarnation))
            self._end()

    def alive(self) -> None:
        """Say that a handler goes on, which waits for servers again and again.

        The supervisor gets no heartbeat before its end; one wait must be shorter than `waits_s`.
        """
        if self._last_words is not None:
            self._last_words.alive(time.monotonic())

    def peer(self, path: str) -> ActorAddress | None:
        """The address of that peer; None while it is down."""
        peer = self.peers.get(path)
        return peer.address if peer else None

    def send(self, target: ActorAddress | AskedBy, message: Any) -> None:
        """Send a message; to the sender of a `Question`, as its `Answer`."""
        if isinstance(target, AskedBy):
            target, message = target.address, Answer(target.ref, message)
        super().send(target, message)

    # Messages

    def receiveMessage(self, message: Any, sender: ActorAddress) -> Any:
        """Handle one message; an exception ends the actor (let it crash)."""
        if self._ended and not isinstance(message, ActorExitRequest):
            return None
        try:
            if self._started:
                self._notice_sleep()
            super().receiveMessage(message, sender)
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends the actor
            self._crash(message, error)
        return self._watches()

    def receiveMsg_Start(self, message: Start, sender: ActorAddress) -> None:
        """Begin under this supervisor, and report `Ready`."""
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
        self._awake_at = running_s()
        self.announce_ready()
        self._beat()

    def announce_ready(self) -> None:
        """Report to the supervisor that the next child may start; supervisors do so later."""
        if not self._ended:
            self.send(self.supervisor, Ready(self.path, self.incarnation, os.getpid()))

    def receiveMsg_PeersChanged(self, message: PeersChanged, _sender: ActorAddress) -> None:
        """Update the peers."""
        if message.version <= self._peers_version:
            return
        self._peers_version = message.version
        before, self.peers = self.peers, message.peers
        if self._started:
            self.on_peers(before)

    def receiveMsg_Forwarded(self, message: Forwarded, _sender: ActorAddress) -> None:
        """Handle a message forwarded by another actor; responses go directly to its sender."""
        ActorTypeDispatcher.receiveMessage(self, message.message, message.asker)

    def receiveMsg_Question(self, message: Question, sender: ActorAddress) -> None:
        """Handle a message whose responses must have its number."""
        ActorTypeDispatcher.receiveMessage(self, message.message, AskedBy(sender, message.ref))

    def receiveMsg_Stop(self, _message: Stop, _sender: ActorAddress) -> None:
        """Stop at the supervisor's request."""
        self.on_stop()

    def receiveMsg_WakeupMessage(self, message: WakeupMessage, _sender: ActorAddress) -> None:
        """Call the function of a timer."""
        message.payload()

    def receiveMsg_ActorExitRequest(self, _message: ActorExitRequest, _sender: Any) -> None:
        """Release the resources; Thespian ends this actor after its children."""
        self._ended = True
        if self.own_process:
            _die_after(EXIT_S)
        self.closing.close()

    def heartbeat(self) -> None:
        """Send the supervisor a heartbeat with the current figures.

        If it has had the same ones lately, the memory shared with it says as much.
        """
        if not self.heartbeat_s or self._ended:
            return
        figures, now = self.stats(), time.monotonic()
        if self._last_words is not None and self._told == figures and now < self._tell_at:
            self._last_words.alive(now)
            return
        self._told, self._tell_at = figures, now + TELL_S
        self.send(self.supervisor, Heartbeat(self.path, self.incarnation, figures))

    def is_heartbeat(self, message: Any) -> bool:
        """Whether this message only triggers a heartbeat."""
        return isinstance(message, WakeupMessage) and message.payload == self._beat

    def _notice_sleep(self) -> None:
        """Heartbeats make an actor handle something in each of their intervals."""
        now = running_s()
        slept = now - self._awake_at > (self.heartbeat_s or PARENT_CHECK_S) + SLEPT_S
        self._awake_at = now
        if slept:
            self.on_wake()

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

    def _crash(self, message: Any, error: Exception) -> None:
        while isinstance(message, Forwarded | Question):
            message = message.message
        self.log.exception("actor_crashed", message=type(message).__name__)
        if self._last_words is not None:
            self._last_words.write(error)
        if self.own_process:
            os._exit(CRASH_EXIT_STATUS)
        self._end()

    def _end(self) -> None:
        self._ended = True
        self.send(self.myAddress, ActorExitRequest())


def running_s() -> float:
    """Seconds of a clock that also runs while the machine is suspended, where there is one."""
    return time.clock_gettime(_RUNNING)


def _logger() -> Any:
    """A logger as structlog is configured in this process, else through `logging`.

    The latter applies in a host's process, where the host configures the logs.
    """
    import structlog  # Clients import this module, too, and most of them log nothing.

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
    """End this process if its parent died before `die_with_parent`."""
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid != os.getppid():
        os._exit(CRASH_EXIT_STATUS)


def _die_after(seconds: int) -> None:
    """Make the kernel end this process then, and with it its children.

    Thespian would wait for a child that was being started and has missed the request to exit.
    """
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(seconds)


def die_with_parent() -> None:
    """Make the kernel kill this process when its supervisor's process dies (Linux; prctl(2)).

    On other systems, or if the supervisor died before, the heartbeat detects it.
    """
    try:
        prctl = ctypes.CDLL(None).prctl
    except (AttributeError, OSError):
        return
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
