"""Ends of streams in the test's process, which is sealed."""

from types import SimpleNamespace

import pytest

from callboard.adapters.local import sealed_transport, stream, stream_transport
from support.streams import KEY, LIMITS, made_ends, stranger


@pytest.fixture(autouse=True)
def sealed():
    stream.forget_complaints()
    sealed_transport.seal(KEY, limits=LIMITS)
    yield
    sealed_transport.unseal()


@pytest.fixture
def ends():
    with made_ends() as ends:
        yield ends


@pytest.fixture
def by_tcp(monkeypatch):
    """As where there are no abstract Unix sockets."""
    monkeypatch.setattr(stream_transport, "sys", SimpleNamespace(platform="other"))


@pytest.fixture(params=["Unix", "TCP"])
def ways(request, ends):
    """`ends` by either kind of socket."""
    if request.param == "TCP":
        request.getfixturevalue("by_tcp")
    return ends


@pytest.fixture
def strange():
    with stranger() as strange:
        yield strange
