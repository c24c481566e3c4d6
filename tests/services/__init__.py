"""Private instances of real servers, started for the tests on free ports in temporary folders."""

import contextlib
import itertools
import os
import secrets
import socket
from collections.abc import Iterator

import pytest

MONGODB = 27_017
"""The one port of `PORTS` that Callboard does not call (OTHER_PROTOCOLS)."""
PORTS = [port for port in range(15_000, 32_000) if port != MONGODB]
WORKERS = 16
"""So many can run at once."""
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % WORKERS


def _in_turn(ports: list[int]) -> Iterator[int]:
    """All of them again and again, from one that another run would hardly begin with."""
    first = secrets.randbelow(len(ports))
    return itertools.cycle(ports[first:] + ports[:first])


_ports = _in_turn(PORTS[WORKER::WORKERS])


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago.

    Below the range that the kernel takes ports for connections from (Linux: from 32768), so that
    it stays free while its server is stopped. Each worker of pytest-xdist has ports of its own, and
    takes one again as late as it can: what is left of a test may still call those it had.
    """
    while True:
        port = next(_ports)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def missing(what: str, install: str) -> None:
    """Skip for want of a server program, or fail where CALLBOARD_REQUIRE_SERVICES=1 says so."""
    text = f"{what} is not installed: {install}"
    if os.environ.get("CALLBOARD_REQUIRE_SERVICES") == "1":
        pytest.fail(text)
    pytest.skip(text)
