"""One connection between two actors: the proof of the key, frames, and acknowledgements.

**Proof.** Both sides show that they have the system's key before anything else is read or sent:

    connector: b"CBF2" | its nonce, 16 bytes
    listener:  b"CBF2" | its nonce, 16 | HMAC of both nonces, 32
    connector: HMAC of both nonces, 32 | frames

All HMACs are HMAC-SHA256 (RFC 2104); each is made for one purpose, so that none can be used as
another. A client without the key cannot make an actor buffer more than 36 bytes.

**Frames.** `length and flags, 4 bytes | messages taken so far, 8 | payload` (little-endian). The
payload is a pickle; the connector's first one is its own address, the others are messages.

**Trust.** A Unix socket whose peer is a process of the same user needs nothing more: no other
user can write to it. Frames over TCP have an HMAC between head and payload. It covers the
head, the payload and the number of the frame, and its key is made of the nonces: frames can neither
be changed nor sent again.

**Acknowledgements** are the numbers in the heads: each frame also acknowledges the messages that
were taken from the other side. A frame without a payload does nothing else.
"""

import hmac
import os
import pickle
import secrets
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from attrs import field, frozen
from thespian.system import utilis
from thespian.system.transport import SendStatus

MAGIC = b"CBF2"
NONCE_BYTES = 16
SEAL_BYTES = 32
HELLO_BYTES = len(MAGIC) + NONCE_BYTES
READ_BYTES = 256 * 1024
"""The most bytes to read at once, except of a larger frame."""
ACK_FRAMES, ACK_BYTES = 64, 128 * 1024
"""After so many messages or bytes they are acknowledged at once."""
WRITE_BYTES = 128 * 1024
"""Frames are made while fewer bytes than these wait to be written."""
JOINED_BYTES = 8 * 1024
"""A smaller payload is copied behind its head; a larger one is passed to the kernel as it is."""

_HEAD = struct.Struct("<IQ")
_ASKS = 1 << 31  # Acknowledge at once.
_REFUSES = 1 << 30  # The last frame that is acknowledged could not be unpickled.
_LENGTH = _REFUSES - 1
_CREDENTIALS = struct.Struct("3i")
_MADE, _READ = 0, 1
_NEVER = float("inf")

Ended = list[tuple[Any, Any]]
"""Messages that are sent or have failed: each a TransmitIntent with its SendStatus."""


UNREADABLE = object()
"""Takes the place of a message that cannot be unpickled."""


class StrangerError(Exception):
    """A connection sent data that was not sealed with our key."""


@frozen
class Limits:
    """The limits of a port.

    `max_frame_bytes`: the largest message, pickled; an actor that sends a larger one gets it back
    as a PoisonMessage, `ActorSystem.tell` and `ask` raise FrameTooLargeError. `first_header_s`: how
    long a connection may take to prove the key; longer than any handler, because an actor connects
    while it handles a message and proves it afterwards (if it is too late, it connects again).
    `strangers`: connections without a proof that one process keeps; beyond, the oldest is reset.
    `waiting`, `waiting_bytes`: messages that may wait for one peer; beyond, a sender waits, too,
    until that peer has read nothing for `stalled_s`; then sending fails.
    """

    max_frame_bytes: int = 64 * 2**20
    first_header_s: float = 30.0
    strangers: int = 64
    waiting: int = 10_000
    waiting_bytes: int = 256 * 2**20
    stalled_s: float = 5.0


@frozen
class Sealing:
    """How the ports of this process are sealed."""

    key: bytes = field(repr=False)
    bind: str
    limits: Limits

    def proof(self, side: bytes, nonces: bytes) -> bytes:
        """The proof of `b"listener"` or `b"connector"`."""
        return hmac.digest(self.key, b"callboard proof of the " + side + nonces, "sha256")


class Stream:
    """A connection to an actor, and the messages that wait for it or for its acknowledgements.

    `address`: the peer's; None until a peer that connected to us has said it. `key`: its host and
    port. `due`: when this stream has to be looked at (perf_counter, in seconds), for an
    acknowledgement, a missing proof, or another attempt to connect. `tries`:
    attempts to connect since an acknowledgement came. `own`: the pickled address of this process;
    `ended`: gets the messages that have ended.
    """

    def __init__(self, sealing: Sealing, own: bytes, ended: Ended, address: Any = None) -> None:
        self._sealing, self._own, self._ended = sealing, own, ended
        self.address = address
        self.key: Any = address and address.addressDetails.sockname
        self.is_stalled = self.polls_out = False
        self.progress = -1
        self.waiting: deque[Any] = deque()
        self.unacknowledged: deque[Any] = deque()
        self.waiting_bytes = 0
        self.socket: Any = None
        self.fd: int
        self.proven = self.connecting = self.is_listener = False
        self.since = time.perf_counter()
        self.due = _NEVER
        self.tries = 0
        self.acknowledged = 0
        self.arrived = self.taken = self.told = self.read_bytes = 0
        self.asks = self.has_asked = False
        self._nonce = secrets.token_bytes(NONCE_BYTES)
        self._nonces: bytes
        self._answered = False
        self._begun = bytearray()
        self._out: list[bytes | memoryview] = []
        self._out_bytes = 0
        self._rest = b""
        self._part: Any = None  # a memoryview, while a frame is read in parts
        self._filled: int
        self._keys: list[bytes] = []  # of the frames that are made, and of those that are read
        self._numbers = [0, 0]

    @property
    def is_stranger(self) -> bool:
        """Whether a peer that connected to us has not proved the key."""
        return self.is_listener and not self.proven

    @property
    def outstanding(self) -> bool:
        """Whether messages wait to be sent or acknowledged."""
        return bool(self.waiting or self.unacknowledged)

    @property
    def blocked(self) -> bool:
        """Whether it can go on only when the connection can be written to."""
        return self.connecting or bool(self._out)

    @property
    def in_use(self) -> bool:
        """Whether anything is in progress on the connection."""
        unread = self._rest or self._part is not None or self.arrived != self.told
        return bool(self.outstanding or self._out or unread)

    @property
    def owes(self) -> bool:
        """Whether the peer should be sent an acknowledgement now."""
        untold = self.taken - self.told
        if not untold:
            return False
        if untold >= ACK_FRAMES or self.read_bytes >= ACK_BYTES:
            return True
        return self.asks and self.taken == self.arrived

    def open(self, connection: socket.socket) -> None:
        """Use this connection, which is being made."""
        self.socket, self.fd, self.connecting = connection, connection.fileno(), True
        self._write(MAGIC + self._nonce)

    def accept(self, connection: socket.socket) -> None:
        """Use this connection, which a peer has made."""
        self.socket, self.fd, self.is_listener = connection, connection.fileno(), True
        self.due = self.since + self._sealing.limits.first_header_s

    # Sending

    def send(self, intent: Any) -> None:
        """Queue a message, which `flush` sends."""
        self.waiting.append(intent)
        self.waiting_bytes += len(intent.serMsg)

    def flush(self) -> None:
        """Write as much as the connection takes. Raises OSError."""
        if self.connecting:
            return
        while True:
            if self.proven:
                while self.waiting and self._out_bytes < WRITE_BYTES:
                    self._frame(self.waiting.popleft())
            if not self._out:
                return
            try:
                written = self.socket.sendmsg(self._out[:1000])
            except BlockingIOError:
                return
            self._out_bytes -= written
            whole = 0
            for data in self._out:
                if written < len(data):
                    break
                written -= len(data)
                whole += 1
            del self._out[:whole]
            if written:
                self._out[0] = memoryview(self._out[0])[written:]

    def drop(self, late: set[Any]) -> None:
        """Forget messages whose time is over. Those that are sent end this connection."""
        self.unacknowledged = deque(each for each in self.unacknowledged if each not in late)
        self.waiting = deque(each for each in self.waiting if each not in late)
        self.waiting_bytes = sum(len(each.serMsg) for each in self.waiting)

    def acknowledge(self, *, asks: bool = False, refuses: bool = False) -> None:
        """Queue a frame without a message. `asks`: for the peer's acknowledgement."""
        self._write(self._head(0, _ASKS * asks | _REFUSES * refuses))
        self.has_asked |= asks

    def _frame(self, intent: Any) -> None:
        payload = intent.serMsg
        self.waiting_bytes -= len(payload)
        self.has_asked = False
        self.unacknowledged.append(intent)
        callback = intent._callbackTo
        waits = callback._successTo is not None or callback._thenTo is not None
        self._write_payload(payload, _ASKS * waits)

    def _write_payload(self, payload: bytes, flags: int) -> None:
        head = self._head(len(payload), flags, payload)
        if len(payload) < JOINED_BYTES:
            self._write(head + payload)
        else:
            self._write(head)
            self._write(payload)

    def _head(self, length: int, flags: int, payload: bytes = b"") -> bytes:
        self.told, self.read_bytes = self.taken, 0
        self.asks = self.asks and self.taken != self.arrived
        self.due = _NEVER
        head = _HEAD.pack(length | flags, self.taken)
        return head + self._seal(_MADE, head, payload) if self._keys else head

    def _write(self, data: bytes) -> None:
        self._out.append(data)
        self._out_bytes += len(data)

    def _acknowledged(self, count: int, refused: int) -> None:
        done = count - self.acknowledged
        if not 0 < done <= len(self.unacknowledged):
            raise StrangerError("wrong acknowledgement")
        self.acknowledged, self.tries = count, 0
        for left in range(done - 1, -1, -1):
            status = SendStatus.BadPacket if refused and not left else SendStatus.Sent
            self._ended.append((self.unacknowledged.popleft(), status))

    # Receiving

    def read(self, scratch: bytearray, arrived: Callable[["Stream", Any], None]) -> bool:
        """Read once without waiting. `arrived`: called with this stream for each message.

        Returns whether there may be more. Raises EOFError, OSError or StrangerError: this
        connection has ended, or must.
        """
        try:
            if not self.proven:
                self._read_proof()
            elif self._part is not None:
                self._read_part(arrived)
            else:
                self._read_new(scratch, arrived)
        except BlockingIOError:
            return False
        return True

    def _read_new(self, scratch: bytearray, arrived: Callable[["Stream", Any], None]) -> None:
        count = self.socket.recv_into(scratch)
        if not count:
            raise EOFError
        data = memoryview(scratch)[:count]
        if self._rest:
            data = memoryview(self._rest + bytes(data))
        self._rest = self._read_frames(data, arrived)

    def _read_proof(self) -> None:
        if self.is_listener and not self._answered:
            wanted = HELLO_BYTES
        else:
            wanted = SEAL_BYTES + (0 if self.is_listener else HELLO_BYTES)
        data = self.socket.recv(wanted - len(self._begun))
        if not data:
            raise EOFError
        self._begun += data
        if wanted != SEAL_BYTES and not self._begun.startswith(MAGIC[: len(self._begun)]):
            raise StrangerError("not a sealed frame")
        if len(self._begun) < wanted:
            return
        begun, self._begun = bytes(self._begun), bytearray()
        nonce, proof = begun[len(MAGIC) : HELLO_BYTES], begun[-SEAL_BYTES:]
        if not self.is_listener:
            self._check(b"listener", self._nonce + nonce, proof)
            self._write(self._sealing.proof(b"connector", self._nonces))
            self._begin()
            self._write_payload(self._own, 0)
        elif not self._answered:
            self._nonces, self._answered = nonce + self._nonce, True
            answer = self._sealing.proof(b"listener", self._nonces)
            self._write(MAGIC + self._nonce + answer)
        else:
            self._check(b"connector", self._nonces, begun)
            self._begin()

    def _check(self, side: bytes, nonces: bytes, proof: bytes) -> None:
        self._nonces = nonces
        if not hmac.compare_digest(proof, self._sealing.proof(side, nonces)):
            raise StrangerError("wrong seal")

    def _begin(self) -> None:
        self.proven, self.due = True, _NEVER
        if not trusted(self.socket):
            keys = [
                self._sealing.proof(side + b"'s frames", self._nonces)
                for side in (b"connector", b"listener")
            ]
            self._keys = keys[::-1] if self.is_listener else keys

    def _seal(self, way: int, head: bytes | memoryview, payload: bytes | memoryview) -> bytes:
        number = self._numbers[way]
        self._numbers[way] += 1
        data = b"".join((number.to_bytes(8, "little"), head, payload))
        return hmac.digest(self._keys[way], data, "sha256")

    def _read_frames(self, data: memoryview, arrived: Callable[["Stream", Any], None]) -> bytes:
        """Returns the beginning of a head that is not complete."""
        at, end = 0, len(data)
        extra = SEAL_BYTES if self._keys else 0
        while end - at >= _HEAD.size:
            length = _HEAD.unpack_from(data, at)[0] & _LENGTH
            if length > self._sealing.limits.max_frame_bytes:
                raise StrangerError("frame too large")
            size = _HEAD.size + extra + length
            if end - at < size:
                self._part, self._filled = memoryview(bytearray(size)), end - at
                self._part[: self._filled] = data[at:]
                return b""
            self._take(data[at : at + size], arrived)
            at += size
        return bytes(data[at:])

    def _read_part(self, arrived: Callable[["Stream", Any], None]) -> None:
        part = self._part
        count = self.socket.recv_into(part[self._filled :])
        if not count:
            raise EOFError
        self._filled += count
        if self._filled == len(part):
            self._part = None
            self._take(part, arrived)

    def _take(self, frame: memoryview, arrived: Callable[["Stream", Any], None]) -> None:
        begin, count = _HEAD.unpack_from(frame)
        if self._keys:
            payload = frame[_HEAD.size + SEAL_BYTES :]
            seal = frame[_HEAD.size : _HEAD.size + SEAL_BYTES]
            if not hmac.compare_digest(seal, self._seal(_READ, frame[: _HEAD.size], payload)):
                raise StrangerError("wrong seal")
        else:
            payload = frame[_HEAD.size :]
        if count != self.acknowledged:
            self._acknowledged(count, begin & _REFUSES)
        if begin & _ASKS:
            self.asks = True
        if not payload:
            return
        try:
            message = pickle.loads(payload)  # noqa: S301 - of a peer that has the key
        except Exception as error:  # noqa: BLE001 - unpickling may raise anything
            log("actor_message_undecodable", error=repr(error))
            message = UNREADABLE
        if self.address is None:
            self.address = message
            self.key = getattr(getattr(message, "addressDetails", None), "sockname", None)
            if self.key is None:
                raise StrangerError("no address")
            return
        self.read_bytes += len(payload)
        self.arrived += 1
        arrived(self, message)


def trusted(connection: Any) -> bool:
    """Whether both sides are processes of one user, and no other user can write to it."""
    if connection.family != getattr(socket, "AF_UNIX", None):
        return False
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return bool(_CREDENTIALS.unpack(credentials)[1] == os.geteuid())


# Log lines about refused connections

COMPLAINT_EVERY_S = 10.0
"""The least seconds between a process's log lines about refused connections.

Each line contains the number of connections not logged.
"""

_last_complaint = float("-inf")
_unmentioned = 0


def peer_of(connection: Any) -> str:
    """The other side of a connection, for the log."""
    try:
        host, port = connection.getpeername()
    except (OSError, ValueError) as error:
        return f"unknown ({error})"
    return f"{host}:{port}"


def complain(reason: str, peer: str) -> None:
    """Log that a connection was refused, at most every `COMPLAINT_EVERY_S`."""
    global _last_complaint, _unmentioned
    now = time.monotonic()
    if now - _last_complaint < COMPLAINT_EVERY_S:
        _unmentioned += 1
        return
    log("stranger_refused", reason=reason, peer=peer, unmentioned=_unmentioned)
    _last_complaint, _unmentioned = now, 0


def forget_complaints() -> None:
    """Begin again, as a child process does."""
    global _last_complaint, _unmentioned
    _last_complaint, _unmentioned = float("-inf"), 0


os.register_at_fork(after_in_child=forget_complaints)


def log(event: str, **fields: Any) -> None:
    """Log from inside the transport, where an exception would end the actor."""
    try:
        import structlog  # Commands import this module, too, and most of them log nothing.

        structlog.get_logger("callboard").warning(event, **fields)
    except (OSError, ValueError) as error:  # standard output is closed
        utilis.thesplog("%s %s (log: %s)", event, fields, error, level=30)
