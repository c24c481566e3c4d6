"""Is this machine fit for it: ports, names, limits, texts?"""

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
"""Descriptors of an actor that are no requests: files, the broker, the store, other actors."""


@frozen
class Port:
    """A TCP port that a key names."""

    key: str
    bind: str
    number: int


def limits(settings: Settings) -> Finding:
    """Open files against the requests that a worker may have under way."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if settings.delivery.transport == CURL:
        soft = hard  # A worker raises its own limit.
    return open_files(soft, hard, slots(settings.delivery))


def open_files(soft: int, hard: int, requests: int) -> Finding:
    """Whether so many requests have descriptors enough: a connection each, kept for the next."""
    needed = 2 * requests + BESIDE_REQUESTS
    files = "unlimited" if soft == resource.RLIM_INFINITY else soft
    what = f"{files} open files, {requests} requests under way"
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return ok("open files", what)
    more = f"`ulimit -n {needed}`" if hard == resource.RLIM_INFINITY or hard >= needed else "root"
    mend = f"allow {needed}: {more}, or LimitNOFILE={needed} in the systemd unit"
    return problem("open files", what, mend)


def texts() -> Finding:
    """The encoding of names of files, and of what is printed."""
    files, printed = sys.getfilesystemencoding(), locale.getpreferredencoding(False)
    what = f"files {files}, texts {printed}"
    if {files.lower().replace("-", ""), printed.lower().replace("-", "")} == {"utf8"}:
        return ok("locale", what)
    return warning("locale", what, "set LANG=C.UTF-8, or PYTHONUTF8=1")


def hostname(settings: Settings) -> Finding:
    """Whether this machine's own name means something, and the node is called by it."""
    name = socket.gethostname()
    try:
        address = socket.getaddrinfo(name, None)[0][4][0]
    except OSError as error:
        mend = f"let {name} stand in /etc/hosts"
        return warning("hostname", f"{name} is not known: {error.strerror or error}", mend)
    return ok("hostname", f"{name} is {address}; this node is {settings.node.name}")


def listening(settings: Settings) -> tuple[Port, ...]:
    """Every port that a section with an address to bind names, unless it is switched off."""
    return tuple(
        Port(f"{section}.{name}", part.bind, number)
        for section in sections()
        if hasattr(part := getattr(settings, section), "bind")
        and getattr(part, "enabled", None) is not False
        for name in ("port", "admin_port")
        if (number := getattr(part, name, 0))
    )


def ports(settings: Settings) -> Iterator[Finding]:
    """Whether the ports are free; those of a running system are in use, as they should be."""
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
            yield ok(name, f"in use, as a system is running ({port.key})")
        elif hidden:
            mend = "run this as the user who runs Callboard"
            yield warning(name, f"in use, and by whom may not be seen ({port.key})", mend)
        else:
            yield problem(name, f"{port.bind} cannot be bound: {taken}", f"set another {port.key}")


def _taken(port: Port) -> str | None:
    """Why it cannot be bound; None if it can."""
    family = socket.AF_INET6 if ":" in port.bind else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((port.bind, port.number))
        except OSError as error:
            return error.strerror or str(error)
    return None
