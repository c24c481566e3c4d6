"""Private instances of real servers, started for the tests on free ports in temporary folders."""

import os
import socket

import pytest


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def missing(what: str, install: str) -> None:
    """Skip for want of a server program, or fail where CALLBOARD_REQUIRE_SERVICES=1 says so."""
    text = f"{what} is not installed: {install}"
    if os.environ.get("CALLBOARD_REQUIRE_SERVICES") == "1":
        pytest.fail(text)
    pytest.skip(text)
