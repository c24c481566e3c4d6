"""Actor ports that accept only peers with the system's key.

Thespian's `multiprocTCPBase` gives every actor a TCP port on all interfaces and unpickles all data
that arrives there, which lets any client that can connect run code. After `seal` the ports listen
on one address, both sides of a connection prove that they have the system's key before anything
else is read or sent, and nothing that another process could have written is unpickled (stream.py).

Messages are not encrypted: an observer of the traffic (on loopback only root; across hosts of a
Thespian convention, anyone on the path) sees those that go by TCP. Conventions belong on a private
network or a tunnel. A local user can also still fill the backlog of a port while its actor is busy.

Actor processes inherit the seal because Thespian forks them from the process that called `seal`.
supervision/thespian_patches.py lists the internals of Thespian that this module replaces.
"""

import hmac
import ipaddress
import os
import secrets
import socket
import time
from pathlib import Path
from typing import Any, Literal

from thespian.system import multiprocTCPBase, systemCommon
from thespian.system.transport import IPBase

from callboard.adapters.keys.key_file import KeyFileError, put_if_missing, read_private
from callboard.adapters.local.stream import (
    HELLO_BYTES,
    MAGIC,
    NONCE_BYTES,
    SEAL_BYTES,
    Limits,
    Sealing,
)
from callboard.adapters.local.stream_transport import (
    MESSAGES_PER_S,
    FrameTooLargeError,
    StreamTransport,
)

__all__ = [
    "KEY_BYTES",
    "FrameTooLargeError",
    "Limits",
    "Verdict",
    "load_or_make_key",
    "probe",
    "read_key",
    "seal",
    "unseal",
]

KEY_BYTES = 32

Verdict = Literal["absent", "ours", "stranger", "silent"]

_replaced: list[tuple[Any, str, Any]] = []


def seal(key: bytes, bind: str = "127.0.0.1", limits: Limits | None = None) -> None:
    """Seal all actor systems that this process starts or attaches to from now on.

    Call it before `ActorSystem("multiprocTCPBase", …)`, with the same key in every process that
    attaches. `bind` is the one IPv4 address to listen on and to be reached at. Calling it again
    with the same arguments changes nothing. Raises ValueError for a short key or an address that
    is not one ("0.0.0.0").
    """
    if len(key) < KEY_BYTES:
        raise ValueError(f"the key has {len(key)} bytes, at least {KEY_BYTES} are needed")
    if ipaddress.IPv4Address(bind).is_unspecified:
        raise ValueError(f"bind is {bind}; name the one address to listen on")
    wanted = Sealing(key, bind, limits or Limits())
    if wanted == StreamTransport.sealing:
        return
    for place, name, value in (
        (StreamTransport, "sealing", wanted),
        (multiprocTCPBase.ActorSystemBase, "transportType", StreamTransport),
        (systemCommon, "RATE_THROTTLE", MESSAGES_PER_S),
        (IPBase.IPActorAddress, "bindArgs", property(lambda self: ((bind, self.bindname[1]),))),
    ):
        _replaced.append((place, name, getattr(place, name)))
        setattr(place, name, value)
    os.environ["THESPIAN_BASE_IPADDR"] = bind
    IPBase.thisSystem.add_local_addr(bind)


def unseal() -> None:
    """Undo `seal` in this process (for tests), when it has left its sealed systems."""
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
    nonce = secrets.token_bytes(NONCE_BYTES)
    got = b""
    try:
        with socket.create_connection((bind, port), timeout_s) as connection:
            connection.sendall(MAGIC + nonce)
            while (missing := HELLO_BYTES + SEAL_BYTES - len(got)) and (
                left := end - time.monotonic()
            ) > 0:
                connection.settimeout(left)
                received = connection.recv(missing)
                if not received:
                    break
                got += received
    except ConnectionRefusedError:
        return "absent"
    except (TimeoutError, ConnectionError):
        return "silent"
    nonces = nonce + got[len(MAGIC) : HELLO_BYTES]
    proof = Sealing(key, bind, Limits()).proof(b"listener", nonces)
    if hmac.compare_digest(got[HELLO_BYTES:], proof):
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
