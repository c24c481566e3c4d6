"""Thespian's TCP transport with less work for each message.

The protocol is unchanged: frames, an acknowledgement for each message, retries, time-outs, order.

**The loop** (`_run`). In each turn, Thespian computes the remaining time of each connection, opens
an epoll, registers each descriptor by a system call, and closes it again. It also reads from
connections without data, and then pauses them for 34 ms: this happens when two actors send to each
other at the same time. Here, poll(2) gets a table that changes only with the connections, the clock
is compared with the next deadline, and only connections with data are read.

**Acknowledgements** (`_sent`, `_read`). Thespian spends a turn between sending the last byte and
waiting for the acknowledgement, and decodes each one. Here there is no such turn, and the bytes are
compared.

**Message types** (`_handle`). Thespian checks for each message whether it is one of its own types.
Here this is remembered for each type.

**Texts for a disabled log** (`described_when_read`). Thespian formats each message for its debug
log before it checks whether the log is enabled.
"""

import math
import select
import time
from collections.abc import Callable
from functools import cache
from logging import LogRecord
from typing import Any

from thespian.actors import ThespianWatch, WakeupMessage, WatchMessage
from thespian.system.actorManager import ActorManager
from thespian.system.timing import currentTime
from thespian.system.transport import (
    ReceiveEnvelope,
    SendStatus,
    TCPTransport,
    Thespian__Run_Expired,
    Thespian__Run_HandlerResult,
    Thespian__Run_Terminated,
    TransmitIntent,
    TransmitOnly,
)

LOOK_S = 0.25
"""How often the deadlines of active connections are checked."""

_PAUSES = "_pauseUntil", "_retryTime"
"""The attributes of a connection that contain the end of a pause."""

_Transport = TCPTransport.TCPTransport
_handle_any = ActorManager.handleMessages
_run_any, _send_some, _read_reply = (
    _Transport._runWithExpiry,
    _Transport._next_XMIT_2,
    _Transport._check_XMIT_4_done,
)


def lean() -> None:
    """Patch the transport in this process and in those that are forked from it."""
    TCPTransport.IdleSocket = _Idle
    TCPTransport.opsKey = _peer_key
    _Transport._runWithExpiry = _run
    _Transport._next_XMIT_2 = _sent
    _Transport._check_XMIT_4_done = _read
    ActorManager.handleMessages = _handle
    for kind in (ReceiveEnvelope, TransmitIntent):
        described_when_read(kind)


# The loop


class Readiness:
    """poll(2) with a table of descriptors that rarely changes.

    `listening`: the descriptor of the actor's port.
    """

    def __init__(self, listening: int) -> None:
        self.listening = listening
        self._poll = select.poll()
        self._wanted: dict[int, int] = {}

    def wait(self, wanted: dict[int, int], timeout_s: float | None) -> list[tuple[int, int]]:
        """The ready descriptors with their events. `wanted`: the events to wait for."""
        if wanted != self._wanted:
            for fd in self._wanted.keys() - wanted.keys():
                self._poll.unregister(fd)
            for fd, events in wanted.items() - self._wanted.items():
                self._poll.register(fd, events)
            self._wanted = wanted
        return self._poll.poll(None if timeout_s is None else max(0, math.ceil(timeout_s * 1e3)))


def _run(self: Any, handler: Any) -> Any:
    """Receive, handle and send messages until the loop is aborted or its time is over."""
    if handler is None or handler == TransmitOnly or isinstance(handler, TransmitOnly):
        return _run_any(self, handler)  # A waiting client, or the last messages of an actor.
    vars(self).pop("_aborting_run", None)
    if not hasattr(self, "readiness"):
        self.readiness, self.looked_at_s = Readiness(self.socket.fileno()), currentTime()
    while not _is_over(self):
        while self._incomingEnvelopes:
            result = Thespian__Run_HandlerResult(handler(self._incomingEnvelopes.pop(0)))
            if not result:
                return result
        if self.run_time.view().expired():
            break
        _exclude(self)
        wanted, timeout_s = _wanted(self), _timeout_s(self)
        self._not_processing()
        ready = self.readiness.wait(wanted, timeout_s)
        _exclude(self)
        _take(self, ready)
        _go_on(self)
        self._not_processing()
        finished, self._finished_intents = self._finished_intents, []
        for intent, status in finished:
            intent.tx_done(status)
    return Thespian__Run_Terminated() if _is_aborted(self) else Thespian__Run_Expired()


def _exclude(self: Any) -> None:
    """Prevent other threads from sending until `_not_processing`."""
    while not self._exclusively_processing():
        time.sleep(1e-6)


def _is_aborted(self: Any) -> bool:
    return hasattr(self, "_aborting_run")


def _is_over(self: Any) -> bool:
    unsent = self._transmitIntents or self._waitingTransmits
    return _is_aborted(self) and not (self._aborting_run and unsent)


def _wanted(self: Any) -> dict[int, int]:
    """The events to wait for, by descriptor."""
    wanted = {self.readiness.listening: select.POLLIN}
    for fd in self._watches:
        wanted[fd] = select.POLLIN
    for idle in self._openSockets.values():
        wanted[idle.fd] = select.POLLIN
    for fd, incoming in self._incomingSockets.items():
        if not incoming.backoffPause():
            wanted[fd] = select.POLLIN
    for fd, intent in self._transmitIntents.items():
        if not intent.backoffPause():
            wanted[fd] = select.POLLOUT if self._waitForSendable(intent) else select.POLLIN
    return wanted


def _timeout_s(self: Any) -> float | None:
    """The time until the next deadline: of the run, a pause, a retry, or the next check."""
    now, end = currentTime(), self.run_time._time_to_quit
    ends = [] if end is None else [end]
    connections = (
        *self._transmitIntents.values(),
        *self._incomingSockets.values(),
        *self._waitingTransmits,
    )
    if connections:
        ends.append(self.looked_at_s + LOOK_S)
    for timers in map(vars, connections):
        pauses = (timers[name]._time_to_quit for name in _PAUSES if name in timers)
        # A message that waits for another one to the same peer keeps the pause it had before.
        ends += [end for end in pauses if end > now]
    return min(ends) - now if ends else None


def _take(self: Any, ready: list[tuple[int, int]]) -> None:
    """Read from the readable connections, then write to the writable ones."""
    idle = {each.fd: each for each in self._openSockets.values()}
    writable = []
    for fd, events in ready:
        if events & select.POLLNVAL:
            _forget(self, fd, idle.get(fd))
        elif fd == self.readiness.listening:
            self._acceptNewIncoming()
        elif fd in self._incomingSockets:
            _read_from(self, fd, self._incomingSockets.pop(fd))
        elif fd in self._transmitIntents:
            if self._waitForSendable(self._transmitIntents[fd]):
                writable.append(fd)
            else:
                self._processIntents(fd)
        elif fd in idle:
            _begin_to_read(self, fd, idle[fd])
    for fd in writable:
        self._processIntents(fd)
    watched = [fd for fd, _events in ready if fd in self._watches]
    if watched:
        self._incomingEnvelopes.append(ReceiveEnvelope(self.myAddress, WatchMessage(watched)))


def _forget(self: Any, fd: int, idle: Any) -> None:
    """Stop waiting for a descriptor that is closed."""
    if fd in self._watches:
        self._watches = [each for each in self._watches if each != fd]
    elif idle is not None:
        self._openSockets.pop(TCPTransport.opsKey(idle.rmtaddr), None)
    else:
        self._cancel_fd_ops(fd)


def _begin_to_read(self: Any, fd: int, idle: Any) -> None:
    peer = TCPTransport.opsKey(idle.rmtaddr)
    if self._openSockets.get(peer) is idle:  # It may have been replaced in this turn.
        del self._openSockets[peer]
        _read_from(self, fd, TCPTransport.TCPIncomingPersistent(idle.rmtaddr, idle.socket))


def _read_from(self: Any, fd: int, incoming: Any) -> None:
    if incoming := self._handlePossibleIncoming(incoming, fd, has_exclusive_flag=True):
        self._incomingSockets[incoming.socket.fileno()] = incoming


def _go_on(self: Any) -> None:
    """Send messages that waited for a connection or a retry; regularly, check the deadlines."""
    waiting, self._waitingTransmits = self._waitingTransmits, []
    now = currentTime()
    if now - self.looked_at_s >= LOOK_S:
        self.looked_at_s = now
        for fd, incoming in list(self._incomingSockets.items()):
            del self._incomingSockets[fd]
            _read_from(self, -1, incoming)
        for fd, intent in list(self._transmitIntents.items()):
            if intent.expired():
                del self._transmitIntents[fd]
                waiting.append(intent)
        for peer, idle in list(self._openSockets.items()):
            if idle.expired():
                del self._openSockets[peer]
                TCPTransport._safeSocketShutdown(idle)
    for intent in waiting:
        if self._nextTransmitStepCheck(intent, -1):
            if hasattr(intent, "socket"):
                self._transmitIntents[intent.socket.fileno()] = intent
            else:
                self._waitingTransmits.append(intent)


class _Idle(TCPTransport.IdleSocket):  # type: ignore[misc]
    """A kept connection without a message in transit, with its descriptor."""

    def __init__(self, connection: Any, peer: Any) -> None:
        super().__init__(connection, peer)
        self.fd = connection.fileno()


def _peer_key(address: Any) -> Any:
    """The key of a connection: the peer's host and port, a tuple, which is compared natively."""
    details = address.addressDetails
    return getattr(details, "sockname", details)


# A message and its acknowledgement


def _sent(self: Any, intent: Any) -> Any:
    """Send; after the last byte, expect the acknowledgement."""
    going_on = _send_some(self, intent)
    if going_on and intent.stage == self._XMITStepShutdownWrite:
        going_on = self._next_XMIT_3(intent)
        intent.unread = intent.ackbuf
    return going_on


def _read(self: Any, intent: Any, received: bytes) -> Any:
    """Accept data from the peer: usually the acknowledgement, possibly a message."""
    untouched = vars(intent).pop("unread", None) is intent.ackbuf
    if untouched and received == TCPTransport.ackMsg:
        return self._finishIntent(intent, SendStatus.Sent)
    return _read_reply(self, intent, received)


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
