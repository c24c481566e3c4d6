"""Actor ports that accept only peers with the system's key.

Thespian's `multiprocTCPBase` gives every actor a TCP port on all interfaces and unpickles all data
that arrives there, which lets any client that can connect run code. After `seal` the ports listen
on one address, and actors exchange frames that are checked before anything is unpickled:

    b"CBF1" | payload length, 8 bytes | seal of the payload, 32 | seal of these 44, 32 | payload

Both seals are HMAC-SHA256 with the system's key (RFC 2104); the payload is Thespian's pickle.
Because of the second seal, a client without the key cannot make an actor buffer more than 100
bytes, whatever length it announces: data read in one step is checked at once. Acknowledgements are
frames, too.

The seal neither encrypts nor prevents replay. An observer of the traffic (on loopback only root;
across hosts of a Thespian convention, anyone on the path) sees the messages and can send recorded
ones again, acknowledgements included. So can a local process that binds a port an actor has just
left, with the data still sent there. Conventions belong on a private network or a tunnel. A local
user can also still fill the backlog of a port while its actor is busy.

Actor processes inherit the seal because Thespian forks them from the process that called `seal`.
supervision/thespian_patches.py lists the internals of Thespian that this module replaces.
"""

import hmac
import ipaddress
import os
import pickle
import secrets
import select
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal
from weakref import WeakKeyDictionary

from attrs import field, frozen
from thespian.system import multiprocTCPBase, utilis
from thespian.system.timing import ExpirationTimer
from thespian.system.transport import IPBase, TCPTransport, streamBuffer

from callboard.adapters.keys.key_file import KeyFileError, put_if_missing, read_private

KEY_BYTES = 32
COMPLAINT_EVERY_S = 10.0
"""The least seconds between a process's log lines about refused connections.

Each line contains the number of connections not logged.
"""

Verdict = Literal["absent", "ours", "stranger", "silent"]

_MAGIC = b"CBF1"
_CLAIM = struct.Struct(">4sQ32s")
_HEADER_BYTES = _CLAIM.size + 32
FIRST_READ_BYTES = 32 * 1024
"""The most bytes to read at once from a frame with an unknown header: most frames are smaller."""
# An acknowledgement is the smallest frame; it is read at once, and nothing beyond it.
_SMALLEST_FRAME_BYTES = _HEADER_BYTES + len(pickle.dumps(streamBuffer.ackPacket))
# A pickle starts with b"\x80", so neither of these nor a header can be mistaken for a message.
_PROBE = b"callboard probe "
_ANSWER = b"callboard answer "


class FrameTooLargeError(ValueError):
    """A message exceeds the system's maximum frame size."""


class StrangerError(Exception):
    """A connection sent data that was not sealed with our key."""


@frozen
class Limits:
    """The limits of a port.

    `max_frame_bytes`: the largest message, pickled; an actor that sends a larger one gets it back
    as a PoisonMessage, `ActorSystem.tell` and `ask` raise FrameTooLargeError. `first_header_s`: how
    long a connection may take until its first sealed header has arrived; longer than any handler,
    because an actor connects while it handles a message and sends afterwards (if it is too late,
    Thespian sends again after 35 s). `strangers`: connections without a sealed header that one
    process keeps; beyond, the oldest is reset.
    """

    max_frame_bytes: int = 64 * 2**20
    first_header_s: float = 30.0
    strangers: int = 64


@frozen
class _Sealing:
    key: bytes = field(repr=False)
    bind: str
    limits: Limits


_sealing: _Sealing | None = None
_replaced: list[tuple[Any, str, Any]] = []


def seal(key: bytes, bind: str = "127.0.0.1", limits: Limits | None = None) -> None:
    """Seal all actor systems that this process starts or attaches to from now on.

    Call it before `ActorSystem("multiprocTCPBase", …)`, with the same key in every process that
    attaches. `bind` is the one IPv4 address to listen on and to be reached at. Calling it again
    with the same arguments changes nothing. Raises ValueError for a short key or an address that
    is not one ("0.0.0.0").
    """
    global _sealing
    if len(key) < KEY_BYTES:
        raise ValueError(f"the key has {len(key)} bytes, at least {KEY_BYTES} are needed")
    if ipaddress.IPv4Address(bind).is_unspecified:
        raise ValueError(f"bind is {bind}; name the one address to listen on")
    wanted = _Sealing(key, bind, limits or Limits())
    if wanted == _sealing:
        return
    unseal()
    _sealing = wanted
    for place, name, value in (
        (multiprocTCPBase.ActorSystemBase, "transportType", _SealedTransport),
        (TCPTransport, "toSendBuffer", _to_frame),
        (TCPTransport, "ReceiveBuffer", _FrameReader),
        (TCPTransport, "TCPIncomingPersistent", _SealedIncoming),
        (TCPTransport, "ackMsg", _to_frame(streamBuffer.ackPacket)),
        (TCPTransport, "ackDataErrMsg", _to_frame(streamBuffer.ackDataErrPacket)),
        (IPBase.IPActorAddress, "bindArgs", property(lambda self: ((bind, self.bindname[1]),))),
    ):
        _replaced.append((place, name, getattr(place, name)))
        setattr(place, name, value)
    os.environ["THESPIAN_BASE_IPADDR"] = bind
    IPBase.thisSystem.add_local_addr(bind)


def unseal() -> None:
    """Undo `seal` in this process (for tests), when it has left its sealed systems."""
    global _sealing
    _sealing = None
    while _replaced:
        setattr(*_replaced.pop())
    os.environ.pop("THESPIAN_BASE_IPADDR", None)


def probe(bind: str, port: int, key: bytes, timeout_s: float = 1.0) -> Verdict:
    """The kind of process that listens on the admin port: none, a system with this key, or another.

    Needs no `seal` and starts nothing. `"stranger"`: the listener ended the connection or answered
    without proving that it has the key (another key, another program). `"silent"`: it did not
    answer within the time, or reset the connection. A system that is busy or hangs does so, and one
    to which others keep so many connections that it drops some (`Limits.strangers`).
    """
    end = time.monotonic() + timeout_s
    nonce = secrets.token_bytes(16)
    wanted = _frame(key, _ANSWER + nonce)
    got = b""
    try:
        with socket.create_connection((bind, port), timeout_s) as connection:
            connection.sendall(_frame(key, _PROBE + nonce))
            while len(got) < len(wanted) and (left := end - time.monotonic()) > 0:
                connection.settimeout(left)
                received = connection.recv(len(wanted) - len(got))
                if not received:
                    break
                got += received
    except ConnectionRefusedError:
        return "absent"
    except (TimeoutError, ConnectionError):
        return "silent"
    if hmac.compare_digest(got, wanted):
        return "ours"
    return "silent" if time.monotonic() >= end else "stranger"


# The key file


def load_or_make_key(path: Path) -> bytes:
    """The key in this file; a new one is created (mode 0600) if it is missing.

    Processes that do so at once agree on one key. Raises KeyFileError as `read_key` does.
    """
    if not os.path.lexists(path):
        _make_key(path)
    return read_key(path)


_WHO = (
    "Run as the user who started the system and with the same data directory, or give the key in "
    "the settings"
)


def read_key(path: Path) -> bytes:
    """The key of a running system, to attach to it. KeyFileError: missing, exposed or no key."""
    try:
        text = read_private(path, alone=True)
    except OSError as error:
        reason = f"the key file {path} cannot be read: {error.strerror}"
        raise KeyFileError(f"{reason}. {_WHO}") from error
    except KeyFileError as error:
        raise KeyFileError(f"the key file {error}. {_WHO}") from None
    try:
        key = bytes.fromhex(text.decode("ascii"))
    except ValueError as error:
        raise KeyFileError(f"the key file {path} does not hold a key in hex") from error
    if len(key) != KEY_BYTES:
        raise KeyFileError(f"the key file {path} does not hold {KEY_BYTES} bytes in hex")
    return key


def _make_key(path: Path) -> None:
    try:
        put_if_missing(path, secrets.token_hex(KEY_BYTES))
    except OSError as error:
        raise KeyFileError(f"the key file {path} cannot be made: {error}") from error


# Frames


def _frame(key: bytes, payload: bytes) -> bytes:
    claim = _CLAIM.pack(_MAGIC, len(payload), hmac.digest(key, payload, "sha256"))
    return claim + hmac.digest(key, claim, "sha256") + payload


def _in_force() -> _Sealing:
    if _sealing is None:
        raise RuntimeError("seal() was not called in this process, nor in the one it comes from")
    return _sealing


def _to_frame(message: Any, dumps: Callable[[Any], bytes] = pickle.dumps) -> bytes:
    """Replaces Thespian's `toSendBuffer`."""
    sealing, payload = _in_force(), dumps(message)
    if len(payload) > sealing.limits.max_frame_bytes:
        most = sealing.limits.max_frame_bytes
        raise FrameTooLargeError(f"a message of {len(payload)} bytes; at most {most} can be sent")
    return _frame(sealing.key, payload)


class _FrameReader:
    """Replaces Thespian's `ReceiveBuffer`: one frame, all parts of which are checked before use.

    Thespian never reads more than `remainingAmount`, so our own frames never have surplus data; a
    frame that has some does not match its seal.
    """

    def __init__(self, deserialize: Callable[[Any], Any]) -> None:
        self._sealing = _in_force()
        self._deserialize = deserialize
        self._received = bytearray()
        self._length: int  # These two once the header has come.
        self._payload_seal: bytes
        self._message: tuple[Any, bytes] | None = None
        self.header_seen = False
        self.payload = b""
        self.fault = ""

    def addMore(self, data: bytes) -> None:  # noqa: N802
        self._received += data
        if not self.header_seen and not self.fault:
            self._read_header()
        if self._complete:
            if self._sealed(self._payload_seal, self._received):
                self.payload = bytes(self._received)
            else:
                self.fault = "wrong seal"

    def _read_header(self) -> None:
        if not self._received.startswith(_MAGIC[: len(self._received)]):
            self.fault = "not a sealed frame"
        elif len(self._received) >= _HEADER_BYTES:
            claim = self._received[: _CLAIM.size]
            claim_seal = self._received[_CLAIM.size : _HEADER_BYTES]
            _, self._length, self._payload_seal = _CLAIM.unpack(claim)
            if not self._sealed(claim_seal, claim):
                self.fault = "wrong seal"
            elif self._length > self._sealing.limits.max_frame_bytes:
                self.fault = "frame too large"
            else:
                self.header_seen = True
                del self._received[:_HEADER_BYTES]

    def _sealed(self, seal: bytes | bytearray, data: bytes | bytearray) -> bool:
        return hmac.compare_digest(seal, hmac.digest(self._sealing.key, data, "sha256"))

    @property
    def _complete(self) -> bool:
        return self.header_seen and len(self._received) >= self._length

    def remainingAmount(self) -> int:  # noqa: N802
        return (self._length if self.header_seen else _SMALLEST_FRAME_BYTES) - len(self._received)

    def isDone(self) -> bool:  # noqa: N802
        return self._complete or bool(self.fault)

    def completed(self) -> tuple[Any, bytes] | None:
        """The message and no surplus, or None, which makes Thespian drop the connection.

        (While Thespian waits for an acknowledgement, an exception here would lose the message that
        it was sending, and its place in the actor's queue, for ever.)
        """
        if self._message is None and self.payload and not self.payload.startswith(_PROBE):
            try:
                self._message = (self._deserialize(self.payload), b"")
            except Exception as error:  # noqa: BLE001 - unpickling may raise anything
                _log("actor_message_undecodable", error=repr(error))
        return self._message

    def removeExtra(self) -> None:  # noqa: N802
        """There never is any."""


# Connections


class _SealedIncoming(TCPTransport.TCPIncomingPersistent):  # type: ignore[misc]
    """A connection being read, untrusted until its first sealed header has arrived."""

    _openSock: Any  # noqa: N815 - Thespian's

    def __init__(self, address: Any, connection: Any, reader: _FrameReader | None = None) -> None:
        super().__init__(address, connection, reader)
        self.since = time.monotonic()
        if self.is_stranger:
            self._expires = ExpirationTimer(timedelta(seconds=_in_force().limits.first_header_s))

    @property
    def is_stranger(self) -> bool:
        return self.fromAddress.addressDetails is None and not self.header_seen

    @property
    def payload(self) -> bytes:
        """The frame, once it is complete and its seal valid; otherwise empty."""
        payload: bytes = self._rData.payload
        return payload

    @property
    def header_seen(self) -> bool:
        """Whether its frame starts with a header that is sealed with our key."""
        seen: bool = self._rData.header_seen
        return seen

    def remainingSize(self) -> int:  # noqa: N802
        """The bytes to read: the rest of the frame, after which the peer waits for a reply."""
        left: int = self._rData.remainingAmount()
        return left if self.header_seen else max(left, FIRST_READ_BYTES)

    def addData(self, data: bytes) -> None:  # noqa: N802
        """Raises StrangerError, which makes Thespian close the connection."""
        was_stranger = self.is_stranger
        super().addData(data)
        if self._rData.fault:
            _complain(self._rData.fault, _peer(self.socket))
            raise StrangerError(self._rData.fault)
        if was_stranger and not self.is_stranger:
            self._expires = ExpirationTimer(TCPTransport.MAX_INCOMING_SOCKET_PERIOD)

    def reset(self, reason: str) -> None:
        """Close with a TCP reset: a peer with our key would then send again.

        (After an orderly close its next write would be a broken pipe, which Thespian interprets as
        a dead actor.)
        """
        _complain(reason, _peer(self.socket))
        self._openSock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._openSock.close()
        self._openSock = None


def _readable(connection: socket.socket) -> bool:
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))


_listeners: WeakKeyDictionary[socket.socket, int] = WeakKeyDictionary()


def _close_inherited() -> None:
    """Close the listening sockets that this process inherited from its parent.

    Thespian leaves the admin's to its logger process. If the admin were killed, the logger would
    keep the port, and no system could start on it.
    """
    for listener, owner in list(_listeners.items()):
        if owner != os.getpid():
            del _listeners[listener]
            with suppress(OSError):  # its number is closed already, as Thespian does in actors
                listener.close()


class _SealedTransport(TCPTransport.TCPTransport):  # type: ignore[misc]
    """Thespian's TCP transport with the seal's checks; unusable in a process that is not sealed."""

    def __init__(self, *args: Any) -> None:
        self._limits = _in_force().limits
        _close_inherited()
        super().__init__(*args)
        _listeners[self.socket] = os.getpid()

    def external_transport_clone(self) -> "_SealedTransport":
        """Like Thespian's method, which names its own class."""
        routed = isinstance(self.myAddress.addressDetails, TCPTransport.RoutedTCPv4ActorAddress)
        copy = TCPTransport.ExternalTransportCopy()
        return _SealedTransport(copy, self._adminAddr, self.txOnly, routed)

    def _acceptNewIncoming(self) -> None:  # noqa: N802
        super()._acceptNewIncoming()
        strangers = [each for each in self._incomingSockets.values() if each.is_stranger]
        if len(strangers) > self._limits.strangers:
            oldest = min(strangers, key=lambda each: each.since)
            del self._incomingSockets[oldest.socket.fileno()]
            oldest.reset("too many connections without a sealed frame")

    def _handlePossibleIncoming(self, incoming: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N802
        if incoming.is_stranger and incoming._expires.view().expired():
            incoming.reset("no sealed frame in time")
            return None
        return super()._handlePossibleIncoming(incoming, *args, **kwargs)

    def _handleReadableIncoming(self, incoming: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N802
        """Like Thespian's method, which reads once; here all available data of a frame is read."""
        going_on = super()._handleReadableIncoming(incoming, *args, **kwargs)
        while going_on is incoming and incoming.header_seen and _readable(incoming.socket):
            going_on = super()._handleReadableIncoming(incoming, *args, **kwargs)
        return going_on

    def _addedDataToIncoming(self, incoming: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N802
        if incoming.payload.startswith(_PROBE):
            nonce = incoming.payload.removeprefix(_PROBE)
            with suppress(ConnectionError):  # it did not wait for the response
                incoming.socket.send(_frame(_in_force().key, _ANSWER + nonce))
            incoming.close()
            return None
        return super()._addedDataToIncoming(incoming, *args, **kwargs)

    def _check_XMIT_4_done(self, intent: Any, received: bytes) -> Any:  # noqa: N802
        reader = intent.ackbuf
        waiting = super()._check_XMIT_4_done(intent, received)
        if reader.fault:
            _complain(reader.fault, str(intent.targetAddr))
        return waiting


# Log lines about refused connections

_last_complaint = float("-inf")
_unmentioned = 0


def _peer(connection: Any) -> str:
    try:
        host, port = connection.getpeername()[:2]
    except OSError as error:
        return f"unknown ({error.strerror})"
    return f"{host}:{port}"


def _complain(reason: str, peer: str) -> None:
    global _last_complaint, _unmentioned
    now = time.monotonic()
    if now - _last_complaint < COMPLAINT_EVERY_S:
        _unmentioned += 1
        return
    _log("stranger_refused", reason=reason, peer=peer, unmentioned=_unmentioned)
    _last_complaint, _unmentioned = now, 0


def _forget_complaints() -> None:
    global _last_complaint, _unmentioned
    _last_complaint, _unmentioned = float("-inf"), 0


os.register_at_fork(after_in_child=_forget_complaints)


def _log(event: str, **fields: Any) -> None:
    """Log from inside the transport, where an exception would end the actor."""
    try:
        import structlog  # Commands import this module, too, and most of them log nothing.

        structlog.get_logger("callboard").warning(event, **fields)
    except (OSError, ValueError) as error:  # standard output is closed
        utilis.thesplog("%s %s (log: %s)", event, fields, error, level=30)
