"""Checks of this machine: ports, names, limits, encodings."""

import locale
import resource
import socket
import sys
from collections.abc import Iterator

from attrs import frozen

from callboard.actors.delivery.transports import CURL, slots
from callboard.actors.system.actor_system import SystemUnreachable, owner_of
from callboard.cli.doctor.finding import Finding, ok, problem, warning
from callboard.config.options import sections
from callboard.config.settings import Settings

BESIDE_REQUESTS = 256
"""An actor's descriptors besides requests: files, the broker, the store, other actors."""


@frozen
class Port:
    """A TCP port from the settings."""

    key: str
    bind: str
    number: int


def limits(settings: Settings) -> Finding:
    """Checks the open-file limit against a worker's concurrent requests."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if settings.delivery.transport == CURL:
        soft = hard  # A worker raises its own limit.
    return open_files(soft, hard, slots(settings.delivery))


def open_files(soft: int, hard: int, requests: int) -> Finding:
    """Checks that the limit covers this many requests: a kept connection for each."""
    needed = 2 * requests + BESIDE_REQUESTS
    files = "unlimited" if soft == resource.RLIM_INFINITY else soft
    what = f"{files} open files, {requests} requests in flight"
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return ok("open files", what)
    more = f"`ulimit -n {needed}`" if hard == resource.RLIM_INFINITY or hard >= needed else "root"
    mend = f"allow {needed}: {more}, or LimitNOFILE={needed} in the systemd unit"
    return problem("open files", what, mend)


def texts() -> Finding:
    """Checks the encoding of file names and output."""
    files, printed = sys.getfilesystemencoding(), locale.getpreferredencoding(False)
    what = f"files {files}, texts {printed}"
    if {files.lower().replace("-", ""), printed.lower().replace("-", "")} == {"utf8"}:
        return ok("locale", what)
    return warning("locale", what, "set LANG=C.UTF-8, or PYTHONUTF8=1")


def hostname(settings: Settings) -> Finding:
    """Checks that this machine's name resolves and is the node's host name."""
    name = socket.gethostname()
    try:
        address = socket.getaddrinfo(name, None)[0][4][0]
    except OSError as error:
        mend = f"let {name} be in /etc/hosts"
        return warning("hostname", f"{name} does not resolve: {error.strerror or error}", mend)
    return ok("hostname", f"{name} is {address}; this node is {settings.node.name}")


def listening(settings: Settings) -> tuple[Port, ...]:
    """The port of every enabled section that has an address to bind."""
    return tuple(
        Port(f"{section}.{name}", part.bind, number)
        for section in sections()
        if hasattr(part := getattr(settings, section), "bind")
        and getattr(part, "enabled", None) is not False
        for name in ("port", "admin_port")
        if (number := getattr(part, name, 0))
    )


def ports(settings: Settings) -> Iterator[Finding]:
    """Checks that the ports are free, or in use by the running system."""
    try:
        owner = owner_of(settings)
        hidden = False
    except SystemUnreachable:
        owner, hidden = None, True
    for port in listening(settings):
        name, taken = f"port {port.number}", _taken(port)
        if taken is None:
            yield ok(name, f"free at {port.bind} ({port.key})")
        elif owner is not None:
            yield ok(name, f"in use by the running system ({port.key})")
        elif hidden:
            mend = "run the doctor as the user who runs Callboard"
            yield warning(name, f"in use; the user is not visible ({port.key})", mend)
        else:
            yield problem(name, f"{port.bind} cannot be bound: {taken}", f"set another {port.key}")


def _taken(port: Port) -> str | None:
    """The reason why the port cannot be bound, or None."""
    family = socket.AF_INET6 if ":" in port.bind else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((port.bind, port.number))
        except OSError as error:
            return error.strerror or str(error)
    return None
