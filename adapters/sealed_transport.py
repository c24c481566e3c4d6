"""Safe ports for Thespian's TCP base: loopback only, and every frame sealed.

Thespian listens on all addresses and unpickles whatever anybody sends, which lets a stranger run
code. `seal` makes this process, and all actor processes forked from it, listen on one address and
check an HMAC-SHA256 of every frame before anything of it is unpickled. The seal tells who may
speak; it does not hide what is said, and does not tell a frame from its replay: across hosts, put
a tunnel underneath.
"""

import contextlib
import hashlib
import hmac
import os
import pickle
import secrets
import socket
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog
import thespian.system.transport.TCPTransport as tcp
import thespian.system.utilis as thespian_utilities
from thespian.actors import ActorAddress
from thespian.system.transport.IPBase import IPActorAddress, TCPv4ActorAddress
from thespian.system.transport.streamBuffer import (
    ReceiveBuffer,
    ackDataErrPacket,
    ackPacket,
    toSendBuffer,
)

MAX_FRAME_BYTES = 64 * 1024 * 1024
"""A larger frame is refused before it is read; our batches stay far below."""
UNFINISHED_FRAME_S = 10
"""How long a peer may take to send a frame it has begun."""
PROBE_S = 1.0

_SEAL_BYTES = hashlib.sha256().digest_size
_ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - compared with, not bound to


class KeyFileError(Exception):
    """The key file cannot be used; the text says why and what to do."""


class _Sealer:
    """Takes the place of `pickle` in Thespian's transport."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def dumps(self, value: Any) -> bytes:
        """Pickle, behind its seal."""
        pickled = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
        return self._seal(pickled) + pickled

    def loads(self, frame: bytes) -> Any:
        """Unpickle what is sealed with our key; None for anything else, which nobody expects."""
        seal, pickled = frame[:_SEAL_BYTES], frame[_SEAL_BYTES:]
        if not hmac.compare_digest(seal, self._seal(pickled)):
            structlog.get_logger("callboard").warning("frame_refused", frame_bytes=len(frame))
            return None
        return pickle.loads(pickled)  # noqa: S301 - the seal says that it is ours

    def _seal(self, pickled: bytes) -> bytes:
        return hmac.digest(self._key, pickled, "sha256")


class _BoundedBuffer(ReceiveBuffer):  # type: ignore[misc]
    """Refuses frames whose announced size is absurd."""

    def addMore(self, data: bytes) -> None:  # noqa: N802 - Thespian's name
        """Take more of a frame."""
        super().addMore(data)
        if self._size is not None and not 0 <= self._size <= MAX_FRAME_BYTES:
            raise ValueError(f"a frame of {self._size} bytes")


def seal(key: bytes, bind: str = "127.0.0.1") -> None:
    """Listen on `bind` only, and seal and check every frame with `key`, from now on.

    Called before an ActorSystem is made or attached to; again to change the key or the address.
    """
    if bind != _ANY_ADDRESS:
        os.environ["THESPIAN_BASE_IPADDR"] = bind
        IPActorAddress.bindArgs = property(lambda self: ((bind, self.bindname[1]),))
    sealer = _Sealer(key)
    tcp.serializer = sealer
    tcp.ReceiveBuffer = _BoundedBuffer
    tcp.ackMsg = toSendBuffer(ackPacket, sealer.dumps)
    tcp.ackDataErrMsg = toSendBuffer(ackDataErrPacket, sealer.dumps)
    tcp.MAX_INCOMING_SOCKET_PERIOD = timedelta(seconds=UNFINISHED_FRAME_S)


def thespian_log(path: Path) -> None:
    """Have Thespian's own log written there, and not into a folder that all users share."""
    os.environ["THESPLOG_FILE"] = str(path)
    thespian_utilities._thesplog_file = str(path)
    thespian_utilities._thesplog_old_file = f"{path}.old"


def probe(bind: str, port: int, key: bytes) -> str:
    """Who listens there: `absent` (nobody), `ours` (an actor system with this key) or `stranger`.

    A sealed frame is sent; only who has the key can answer with a sealed acknowledgement.
    """
    sealer = _Sealer(key)
    try:
        with socket.create_connection((_reachable(bind), port), timeout=PROBE_S) as connection:
            sender = ActorAddress(TCPv4ActorAddress(_reachable(bind), port))
            connection.sendall(toSendBuffer((sender, "callboard: probe"), sealer.dumps))
            expected = toSendBuffer(ackPacket, sealer.dumps)
            return "ours" if _receive(connection, len(expected)) == expected else "stranger"
    except ConnectionRefusedError:
        return "absent"
    except OSError:
        return "stranger"


def _reachable(bind: str) -> str:
    return "127.0.0.1" if bind == _ANY_ADDRESS else bind


def _receive(connection: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size and (more := connection.recv(size - len(received))):
        received += more
    return received


def load_or_make_key(path: Path) -> bytes:
    """The key in that file, made with mode 0600 if there is none. Raises KeyFileError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Written aside and linked: two processes that start at once agree on one key.
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)
    except OSError as problem:
        raise KeyFileError(f"the key file {path} cannot be made: {problem.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)
    return read_key(path)


def read_key(path: Path) -> bytes:
    """The key in that file. Raises KeyFileError if it is missing, unreadable or not private."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise KeyFileError(
            f"there is no key file {path}: start the system first, or set actors.key_file"
        ) from None
    except OSError as problem:
        raise KeyFileError(
            f"the key file {path} cannot be read ({problem.strerror}): run this as the user who "
            f"started the system, or give the key by actors.key"
        ) from None
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode) or stat.S_IMODE(facts.st_mode) & 0o077:
            raise KeyFileError(f"the key file {path} is open to others: chmod 600 it")
        if facts.st_uid != os.geteuid():
            raise KeyFileError(f"the key file {path} belongs to another user")
        key = file.read().strip()
    if len(key) < 32:
        raise KeyFileError(f"the key file {path} holds no key: remove it to have a new one made")
    return key
