"""The transport of actors whose ports are sealed: one lasting stream to each peer (stream.py).

Thespian's TCP transport gives each actor an address, `host:port`, and so does this one. In addition
each actor listens on a Unix socket of an abstract name that is made of its address and the key;
peers on the same machine connect there. Where there is none, or its owner is another user, they
connect by TCP.

**The loop** waits for all descriptors in one table, reads messages, and passes them to the actor.
The messages that a handler sends are written when it returns.

**Loss.** A message is sent when the peer begins to handle it. The peer's next frame says so, or one
that it sends for the purpose: after `ACK_FRAMES` messages, `ACK_BYTES` or `ACK_S`, at once if the
sender waits for that. If the connection ends before, it is made again, and the messages that were
not acknowledged are sent again. If no process listens at the address any more, they are dead
letters, also those that the peer handled in the last moments before it was killed.

**Back-pressure.** If too many messages wait for a peer (`Limits`), a sender waits until there is
room. If the peer reads nothing meanwhile, sending to it fails, as with Thespian's transport.

**Threads.** The thread that runs the loop sends directly; others leave their messages to it.
"""

import errno
import math
import os
import pickle
import select
import socket
import struct
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Any
from weakref import WeakSet

from thespian.actors import ActorExitRequest, WatchMessage
from thespian.system.messages.multiproc import ChildMayHaveDied
from thespian.system.timing import currentTime
from thespian.system.transport import (
    ForwardMessage,
    ReceiveEnvelope,
    SendStatus,
    TCPTransport,
    Thespian__Run_HandlerResult,
    Thespian__Run_Terminated,
    Thespian__UpdateWork,
    TransmitOnly,
)

from callboard.adapters.local.stream import (
    READ_BYTES,
    UNREADABLE,
    WRITE_BYTES,
    Sealing,
    StrangerError,
    Stream,
    complain,
    peer_of,
    trusted,
)

ACK_S = 0.1
"""How long an acknowledgement may wait for a message to go with."""

TURN_S = 0.005
"""The time to handle messages before the loop looks at its descriptors again."""

MOST_READ = 200
"""While more messages than these wait to be handled, none are read."""

LOOK_S = 10.0
"""How often it is looked for messages whose time is over."""

RETRY_S, LONGEST_RETRY_S = 0.05, 5.0
"""The pause before another attempt to connect, which doubles each time; and the longest."""

MESSAGES_PER_S = 50_000
"""Thespian lets an actor that sends more wait. (Its own limit is meant for a network of 100 Mb/s.)
"""

_IN, _OUT = select.POLLIN, select.POLLOUT
_NEVER = float("inf")


class FrameTooLargeError(ValueError):
    """A message exceeds the system's maximum frame size."""


_transports: WeakSet["StreamTransport"] = WeakSet()


def _close_inherited() -> None:
    """Close the descriptors of transports that this process inherited from its parent.

    Otherwise peers would not detect that the parent was killed, and if it was the admin, no system
    could start on its port.
    """
    for transport in list(_transports):
        if transport.pid != os.getpid():
            transport.abandon()


class StreamTransport(TCPTransport.TCPTransport):  # type: ignore[misc]
    """Thespian's TCP transport with streams; unusable in a process that is not sealed."""

    sealing: Sealing | None = None
    """How new transports of this process are sealed."""
    _closed = True  # until it is open
    _watches: list[int]  # These three are Thespian's.
    _checkChildren: bool  # noqa: N815
    _shutdownSignalled: bool  # noqa: N815

    def __init__(self, *args: Any) -> None:
        if self.sealing is None:
            raise RuntimeError("seal() was not called in this process, nor in its parent")
        self._sealing = self.sealing
        self.pid = os.getpid()
        _close_inherited()
        super().__init__(*args)
        _transports.add(self)
        self.socket.setblocking(False)
        self._own = pickle.dumps(self.myAddress)
        self._key = self.myAddress.addressDetails.sockname
        self._streams: dict[int, Stream] = {}  # those with a connection, by its descriptor
        self._peers: dict[Any, Stream] = {}  # those to send on, by the peer's host and port
        self._retrying: list[Stream] = []  # those without a connection
        self._dirty: dict[Stream, None] = {}  # those with something to write
        self._incomingEnvelopes: deque[Any] = deque()
        self._from_threads: deque[Any] = deque()
        self._runner: int | None = None
        self._look_at = currentTime() + LOOK_S
        self._scratch = bytearray(READ_BYTES)
        self._bell = os.pipe()
        for end in self._bell:
            os.set_blocking(end, False)
        self._local = self._listen_locally()
        self._poll = select.poll()
        self._listening: dict[int, Any] = {self.socket.fileno(): self.socket}
        if self._local:
            self._listening[self._local.fileno()] = self._local
        for descriptor in (*self._listening, self._bell[0]):
            self._poll.register(descriptor, _IN)
        self._closed = False

    def _name(self, key: Any) -> bytes:
        """The abstract Unix name of the actor with this host and port."""
        address = f"{key[0]}:{key[1]}".encode()
        return b"\0callboard-" + self._sealing.proof(b"address ", address)[:16].hex().encode()

    def _listen_locally(self) -> socket.socket | None:
        if sys.platform != "linux":
            return None
        try:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(self._name(self._key))
        except OSError:  # not permitted, or another process has the name: peers connect by TCP
            return None
        listener.listen(1024)
        listener.setblocking(False)
        return listener

    def external_transport_clone(self) -> "StreamTransport":
        """Like Thespian's method, which names its own class."""
        routed = isinstance(self.myAddress.addressDetails, TCPTransport.RoutedTCPv4ActorAddress)
        copy = TCPTransport.ExternalTransportCopy()
        return type(self)(copy, self._adminAddr, self.txOnly, routed)

    def childResetFileNumList(self) -> list[int]:  # noqa: N802
        """None: a child closes them when it makes its own transport."""
        return []

    def abandon(self) -> None:
        """Close its descriptors, once, without a word to anyone."""
        if self._closed:
            return
        self._closed = True
        for each in (*self._listening.values(), *[each.socket for each in self._streams.values()]):
            each.close()
        for end in self._bell:
            os.close(end)

    def close(self) -> None:
        """Close all connections; messages that were not written have failed."""
        if self._closed:
            return
        self.abandon()
        for stream in self._peers.values():
            for intent in stream.unacknowledged:  # It may have been answered by another actor.
                intent.tx_done(SendStatus.Sent)
            for intent in stream.waiting:
                intent.tx_done(SendStatus.Failed)

    # Sending

    def serializer(self, intent: Any) -> bytes:
        """The payload of a message. Raises FrameTooLargeError."""
        payload = pickle.dumps(intent.message, pickle.HIGHEST_PROTOCOL)
        most = self._sealing.limits.max_frame_bytes
        if len(payload) > most:
            raise FrameTooLargeError(
                f"a message of {len(payload)} bytes; at most {most} can be sent"
            )
        return payload

    def _schedulePreparedIntent(self, intent: Any, has_exclusive_flag: bool = False) -> None:  # noqa: N802
        if isinstance(intent.message, Thespian__UpdateWork):
            intent.tx_done(SendStatus.Sent)
        elif self._runner == threading.get_ident():
            self._submit(intent)
        else:
            self._from_threads.append(intent)
            self._ring()

    def _submit(self, intent: Any) -> None:
        details = intent.targetAddr.addressDetails
        if isinstance(details, TCPTransport.RoutedTCPv4ActorAddress):
            if not (intent := self._forwardIfNeeded(intent)):
                return
            details = intent.targetAddr.addressDetails
        key = details.sockname
        if key == self._key:
            self._incomingEnvelopes.append(ReceiveEnvelope(intent.targetAddr, intent.message))
            self._finished_intents.append((intent, SendStatus.Sent))
            return
        if not self._has_room(key):
            self._finished_intents.append((intent, SendStatus.Failed))
            return
        stream = self._peers.get(key)
        if stream is None:
            stream = self._peers[key] = self._stream(intent.targetAddr)
            stream.send(intent)
            self._connect(stream)
            return
        stream.send(intent)
        self._dirty[stream] = None
        if stream.waiting_bytes >= WRITE_BYTES and not stream.blocked:
            self._flush(stream)

    def _stream(self, address: Any = None) -> Stream:
        return Stream(self._sealing, self._own, self._finished_intents, address)

    def _has_room(self, key: Any) -> bool:
        """Whether another message may wait for this peer; if it reads, wait until it may."""
        limits, since = self._sealing.limits, currentTime()
        while stream := self._peers.get(key):
            if len(stream.waiting) < limits.waiting and stream.waiting_bytes < limits.waiting_bytes:
                break
            if stream.progress != stream.acknowledged:
                stream.progress, since = stream.acknowledged, currentTime()
                stream.is_stalled = False
            elif currentTime() > since + limits.stalled_s:
                stream.is_stalled = True
            if stream.is_stalled or not self._aTB_rx_pause_enabled:
                return False
            self._turn(since + limits.stalled_s, handling=False)
        return True

    def _flush(self, *streams: Stream) -> None:
        for stream in streams:
            if stream.socket is None:
                continue
            try:
                stream.flush()
            except OSError:
                self._read(stream, all_of_it=True)  # first: what it has sent before it ended
                self._lost(stream)
            else:
                if stream.blocked != stream.polls_out:
                    stream.polls_out = stream.blocked
                    self._poll.modify(stream.fd, _IN | _OUT if stream.blocked else _IN)

    def _flush_all(self) -> None:
        dirty, self._dirty = self._dirty, {}
        self._flush(*dirty)

    # Connections

    def _connect(self, stream: Stream) -> None:
        """Connect, or have it tried again later; without a listener, its messages are dead."""
        key = stream.key
        places: list[tuple[int, Any]] = [(socket.AF_INET, key)]
        if self._local and stream.tries % 2 == 0:
            places.insert(0, (socket.AF_UNIX, self._name(key)))
        for family, place in places:
            try:
                connection = self._with_room(socket.socket, family)
            except OSError:
                break
            connection.setblocking(False)
            failure = connection.connect_ex(place)
            by_tcp = family == socket.AF_INET
            if failure == errno.EINPROGRESS or (not failure and (by_tcp or trusted(connection))):
                return self._begin(stream, connection)
            connection.close()
            if failure == errno.ECONNREFUSED and by_tcp:
                return self._dead(stream)
        self._retry(stream)
        return None

    def _retry(self, stream: Stream) -> None:
        pause_s = min(LONGEST_RETRY_S, RETRY_S * 2**stream.tries) if stream.tries else 0.0
        stream.due = currentTime() + pause_s
        stream.tries += 1
        self._retrying.append(stream)

    def _begin(self, stream: Stream, connection: socket.socket) -> None:
        if connection.family == socket.AF_INET:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream.open(connection)
        self._add(stream)

    def _add(self, stream: Stream) -> None:
        self._streams[stream.fd] = stream
        stream.polls_out = stream.blocked
        self._poll.register(stream.fd, _IN | _OUT if stream.blocked else _IN)

    def _with_room(self, make: Any, *args: Any) -> Any:
        """Make a descriptor; if there are too many, close connections that are not in use."""
        try:
            return make(*args)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
        idle = [s for s in self._streams.values() if s.proven and not s.in_use]
        for stream in idle[:3]:
            self._lost(stream)
        if not idle:
            time.sleep(0.01)
        return make(*args)

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _peer = self._with_room(listener.accept)
        except OSError:  # gone again, or no descriptor is left
            return
        connection.setblocking(False)
        if listener is self._local:
            if not trusted(connection):
                complain("another user", "a local process")
                connection.close()
                return
        else:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = self._stream()
        stream.accept(connection)
        self._add(stream)
        strangers = [each for each in self._streams.values() if each.is_stranger]
        if len(strangers) > self._sealing.limits.strangers:
            oldest = min(strangers, key=lambda each: each.since)
            self._refuse(oldest, "too many connections without a proof of the key", reset=True)

    def _refuse(self, stream: Stream, reason: str, *, reset: bool = False) -> None:
        """Close it. `reset`: with a TCP reset, so that a prober with our key tries again."""
        complain(reason, peer_of(stream.socket))
        if reset:
            linger = struct.pack("ii", 1, 0)
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._lost(stream)

    def _lost(self, stream: Stream) -> None:
        """Its connection has ended; connect again if messages are outstanding."""
        if stream.socket is None:
            return
        del self._streams[stream.fd]
        self._poll.unregister(stream.fd)
        stream.socket.close()
        stream.socket = None
        if self._peers.get(stream.key) is not stream:
            return
        del self._peers[stream.key]
        if not stream.outstanding:
            return
        again = self._peers[stream.key] = self._stream(stream.address)
        for intent in (*stream.unacknowledged, *stream.waiting):
            again.send(intent)
        again.tries = stream.tries
        self._retry(again)

    def _dead(self, stream: Stream) -> None:
        """No process listens there."""
        self._peers.pop(stream.key, None)
        for intent in (*stream.unacknowledged, *stream.waiting):
            self._finished_intents.append((intent, SendStatus.DeadTarget))

    def deadAddress(self, _manager: Any, address: Any) -> None:  # noqa: N802
        """This actor has ended; its last messages may still be there."""
        key = getattr(address.addressDetails, "sockname", None)
        stream = self._peers.get(key)
        if stream is None:
            return
        self._read(stream, all_of_it=True)
        stream.acknowledge()  # It may be about to end, and wait for this.
        self._flush(stream)
        stream = self._peers.get(key)
        if stream is not None:
            if stream in self._retrying:
                self._retrying.remove(stream)
            self._dead(stream)
            self._lost(stream)

    # Receiving

    def _serve(self, stream: Stream, events: int, reads: bool) -> None:
        if events & _OUT or stream.connecting:
            if stream.connecting:
                failure = stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if failure == errno.ECONNREFUSED:
                    self._dead(stream)
                if failure:
                    return self._lost(stream)
                stream.connecting = False
            self._flush(stream)
        if events & ~_OUT and reads:
            self._read(stream)
        return None

    def _read(self, stream: Stream, *, all_of_it: bool = False) -> None:
        if stream.socket is None:
            return None
        was_known = stream.key is not None
        try:
            while stream.read(self._scratch, self._arrived) and all_of_it:
                pass
        except StrangerError as refusal:
            return self._refuse(stream, str(refusal))
        except (EOFError, OSError):
            return self._lost(stream)
        if stream.key is not None and not was_known:
            self._greet(stream)
        if stream.owes:
            stream.acknowledge()
        if stream.blocked and not all_of_it:  # It may be here because writing failed.
            self._flush(stream)
        return None

    def _greet(self, stream: Stream) -> None:
        """Send on this stream, too, now that its peer has said its address."""
        known = self._peers.get(stream.key)
        if known is None or known in self._retrying:
            self._peers[stream.key] = stream
            if known is not None:
                self._retrying.remove(known)
                for intent in known.waiting:
                    stream.send(intent)
                self._dirty[stream] = None

    def _arrived(self, stream: Stream, message: Any) -> None:
        envelope = ReceiveEnvelope(stream.address, message)
        envelope.stream = stream
        self._incomingEnvelopes.append(envelope)

    def _take(self, envelope: Any) -> Stream | None:
        """Count a message as received. Returns the stream that it came on, if any."""
        stream: Stream | None = envelope.__dict__.pop("stream", None)
        if stream is not None:
            stream.taken += 1
            if stream.due == _NEVER:
                stream.due = currentTime() + ACK_S
        return stream

    def _acknowledge(self, stream: Stream, *, refuses: bool = False) -> None:
        stream.acknowledge(refuses=refuses)
        self._dirty[stream] = None

    # The loop

    def run(self, incomingHandler: Any, maximumDuration: Any = None) -> Any:  # noqa: N803
        """Receive, handle and send messages, and wake up, until the time is over or a result."""
        outer, self._runner = self._runner, threading.get_ident()
        result = None
        try:
            result = super().run(incomingHandler, maximumDuration)
            return result
        finally:
            if incomingHandler is None or result is not None:  # It may be the last run.
                self._acknowledge_all()
            self._runner = outer

    def _runWithExpiry(self, handler: Any) -> Any:  # noqa: N802
        if hasattr(self, "_aborting_run"):
            del self._aborting_run
        if handler is TransmitOnly or isinstance(handler, TransmitOnly):
            return self._send_all()
        return self._loop(handler)

    def _loop(self, handler: Any) -> Any:
        while True:
            result = self._handle(handler)
            if result is not None:
                return result
            self._settle()
            if hasattr(self, "_aborting_run"):
                if not (self._aborting_run and self._outstanding):
                    return Thespian__Run_Terminated()
                self._ask()
            end = self.run_time._time_to_quit
            if end is not None and end <= currentTime():
                return None
            self._turn(end, handling=True)

    def _send_all(self) -> Any:
        """Send all messages, until they are acknowledged or the time is over."""
        while True:
            self._settle()
            if not self._outstanding:
                return 0
            end = self.run_time._time_to_quit
            if end is not None and end <= currentTime():
                return None
            self._ask()
            self._turn(end, handling=False)

    def _handle(self, handler: Any) -> Any:
        """Have received messages handled. Returns a result that ends the loop."""
        inbox = self._incomingEnvelopes
        end = currentTime() + TURN_S
        while inbox:
            envelope = inbox.popleft()
            stream = self._take(envelope)
            if stream and (envelope.message is UNREADABLE or (stream.asks and stream.owes)):
                self._acknowledge(stream, refuses=envelope.message is UNREADABLE)
                self._flush_all()
            if envelope.message is UNREADABLE:
                continue
            if isinstance(envelope.message, ForwardMessage):
                self._processReceivedEnvelope(envelope)
                continue
            if handler is None:
                return envelope
            result = handler(envelope)
            if stream and stream.owes:
                self._acknowledge(stream)
            if self._dirty:
                self._flush_all()
            if not result:
                return Thespian__Run_HandlerResult(result)
            now = currentTime()
            if isinstance(envelope.message, WatchMessage):
                end = now + TURN_S
            elif now > end:
                break
        return None

    def _settle(self) -> None:
        """Submit what other threads send, and notify the senders of messages that have ended."""
        while self._from_threads or self._finished_intents:
            while self._from_threads:
                self._submit(self._from_threads.popleft())
            finished = self._finished_intents[:]
            self._finished_intents.clear()
            for intent, status in finished:
                intent.tx_done(status)
        self._flush_all()

    @property
    def _outstanding(self) -> bool:
        return any(stream.outstanding for stream in self._peers.values())

    def _ask(self) -> None:
        """Have peers acknowledge what they have read."""
        for stream in self._peers.values():
            if stream.unacknowledged and not stream.has_asked:
                stream.acknowledge(asks=True)
                self._dirty[stream] = None
        self._flush_all()

    def _acknowledge_all(self) -> None:
        for stream in self._streams.values():
            if stream.taken != stream.told:
                self._acknowledge(stream)
        self._flush_all()

    def _turn(self, end: float | None, *, handling: bool) -> None:
        """Wait until something is ready or due, at the latest until `end`, and attend to it.

        `handling`: received messages are handled after this. If they are not, they count as taken,
        as two actors might wait for each other's acknowledgements.
        """
        if not handling:
            for envelope in self._incomingEnvelopes:
                self._take(envelope)
            self._acknowledge_all()
        now = currentTime()
        until = self._look_at if end is None else min(end, self._look_at)
        for stream in (*self._streams.values(), *self._retrying):
            until = min(until, stream.due)
        reads = not handling or len(self._incomingEnvelopes) < MOST_READ
        if self._finished_intents or (handling and self._incomingEnvelopes):
            until = now
        watched = []
        for descriptor, events in self._poll.poll(math.ceil(max(0.0, until - now) * 1e3)):
            if served := self._streams.get(descriptor):
                self._serve(served, events, reads)
            elif descriptor == self._bell[0]:
                self._rung()
            elif listener := self._listening.get(descriptor):
                if events & select.POLLNVAL:
                    raise RuntimeError("the socket that listens is closed")
                self._accept(listener)
            elif events & select.POLLNVAL:
                self.set_watch([each for each in self._watches if each != descriptor])
            elif descriptor in self._watches:
                watched.append(descriptor)
        if watched:
            message = WatchMessage(watched)
            self._incomingEnvelopes.appendleft(ReceiveEnvelope(self.myAddress, message))
        self._tend(currentTime())

    def _tend(self, now: float) -> None:
        for stream in [each for each in self._streams.values() if each.due <= now]:
            if stream.is_stranger:
                self._refuse(stream, "no proof of the key in time", reset=True)
            elif stream.taken != stream.told:
                stream.acknowledge()
                self._flush(stream)
            else:
                stream.due = _NEVER
        for stream in [each for each in self._retrying if each.due <= now]:
            self._retrying.remove(stream)
            self._connect(stream)
        if now >= self._look_at:
            self._look_at = now + LOOK_S
            for stream in list(self._peers.values()):
                self._expire(stream)

    def _expire(self, stream: Stream) -> None:
        """Messages whose time is over have failed; the others are sent on another connection."""
        late = {each for each in (*stream.unacknowledged, *stream.waiting) if each.expired()}
        if not late:
            return
        self._finished_intents += [(intent, SendStatus.Failed) for intent in late]
        stream.drop(late)
        self._lost(stream)

    def _ring(self) -> None:
        """Wake the loop."""
        if not self._closed:
            with suppress(BlockingIOError):  # It has been rung.
                os.write(self._bell[1], b"x")

    def _rung(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._bell[0], 4096)
        if self._checkChildren:
            self._checkChildren = False
            self._incomingEnvelopes.append(ReceiveEnvelope(self.myAddress, ChildMayHaveDied()))
        if self._shutdownSignalled:
            self._shutdownSignalled = False
            self._incomingEnvelopes.append(ReceiveEnvelope(self.myAddress, ActorExitRequest()))

    def interrupt_wait(self, signal_shutdown: bool = False, check_children: bool = False) -> None:
        """Wake the loop, from a signal handler or another thread."""
        self._shutdownSignalled |= signal_shutdown
        self._checkChildren |= check_children
        self._ring()

    def set_watch(self, descriptors: list[int]) -> None:
        """Watch these descriptors, and no others, for data to read."""
        if descriptors == self._watches:
            return
        for descriptor in {*self._watches} - {*descriptors}:
            if descriptor not in self._streams:  # It may have been closed, and used for one.
                with suppress(KeyError):
                    self._poll.unregister(descriptor)
        for descriptor in {*descriptors} - {*self._watches}:
            if descriptor not in self._streams:
                self._poll.register(descriptor, _IN)
        self._watches = descriptors
