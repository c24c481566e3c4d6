"""Answers of endpoints: whatever bytes come, and however slowly, a value in time."""

import itertools
import socket
import threading
import time
from contextlib import contextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.webhooks.retries.outcome import ClientError, Response
from support.fuzz import fuzzed
from support.http import TRANSPORTS
from support.patience import patient

TIMEOUT_S = 0.15
LATE_S = 10
"""Generous, as machines may be busy; an answer that is not bounded takes for ever."""
LIMIT = 1000

HEADS = (
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: ",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.0 204 No Content\r\n\r\n",
    b"HTTP/1.1 307 Go\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/0.9",
    b"",
)
TOKENS = (
    *(b"\r\n", b"\n", b"\r", b"\r\n\r\n", b":", b" ", b"\t", b"\0", b"\xff", b"0\r\n\r\n"),
    *(
        b"-1\r\n",
        b"5\r\nhello\r\n",
        b"ffffffffffffffff\r\n",
        b"1;x=y\r\nz\r\n",
        b"0x5\r\n",
        b"+5\r\n",
    ),
    *(b"Content-Length: -1\r\n", b"Content-Length: 1e9\r\n", b"Content-Length: 5, 5\r\n"),
    *(b"Content-Length: " + b"9" * 5000 + b"\r\n", b"Transfer-Encoding: gzip, chunked\r\n"),
    *(b"Transfer-Encoding: identity\r\n", b"Connection: close\r\n", b"Connection: upgrade\r\n"),
    *(b"Location: http://[\r\n", b"Location: //\r\n", b"Location: http://\xff\r\n", b"/x\r\n"),
    *(b"Location: http://a:b@127.0.0.1/\r\n", b"http://127.0.0.1:1/\r\n", b"Set-Cookie: a\r\n"),
    *(
        b"X: y\r\n" * 120,
        b"x" * 70_000,
        b" folded\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 999 \r\n",
    ),
)
pieces = st.lists(
    st.sampled_from(HEADS) | st.sampled_from(TOKENS) | st.binary(max_size=30),
    min_size=1,
    max_size=8,
)


class Speaker:
    """Gives the n-th connection the n-th answer, the last for ever: pieces, and whether to close.

    One request a connection is read; a connection that is not closed stays silent after that.
    """

    def __init__(self, *answers):
        self._answers = itertools.chain(answers, itertools.repeat(answers[-1]))
        self._open = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for connection in self._open:
            connection.close()

    def _serve(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            pieces, closes = next(self._answers)
            with suppress(OSError):
                connection.settimeout(1)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.recv(65536)
                for piece in pieces:
                    connection.sendall(piece)
                if closes:
                    connection.shutdown(socket.SHUT_WR)


@contextmanager
def speaking(*answers):
    speaker = Speaker(*answers)
    try:
        yield speaker
    finally:
        speaker.close()


@pytest.fixture(scope="module", params=[0, 3], ids=["redirects answer", "redirects followed"])
def redirects(request):
    return request.param


@pytest.fixture(scope="module", params=TRANSPORTS)
def transport(request, redirects):
    transport = TRANSPORTS[request.param](
        TIMEOUT_S,
        TIMEOUT_S,
        ["127.0.0.0/8"],
        max_response_bytes=LIMIT,
        follow_redirects=redirects,
    )
    yield transport
    transport.close()


@fuzzed(2)
@given(pieces, st.booleans())
def test_an_answer_is_a_value_in_time(transport, pieces, closes):
    with speaking((pieces, closes)) as speaker:
        start = time.monotonic()
        outcome = transport.send("POST", speaker.url, (), b"x")
        assert time.monotonic() - start < patient(LATE_S)
    assert isinstance(outcome, Response | ClientError)
    if isinstance(outcome, Response):
        assert 200 <= outcome.status <= 999
        assert len(outcome.body) <= LIMIT


@fuzzed()
@given(pieces)
def test_what_comes_along_with_an_answer_is_not_taken_for_the_next(transport, pieces):
    """An endpoint that says too much is heard no more, or not by its connection."""
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"
    rest = b"".join(pieces)[:16_000] + b"HTTP/1.1 201 X\r\nContent-Length: 0\r\n\r\n"
    following = b"HTTP/1.1 202 X\r\nContent-Length: 0\r\n\r\n"
    with speaking(([whole + rest], False), ([following], True)) as speaker:
        first = transport.send("POST", speaker.url, (), b"x")
        second = transport.send("POST", speaker.url, (), b"x")
    assert (first.status, first.body) == (200, b"a")
    if isinstance(second, ClientError):
        assert second.kind == "timeout"  # the rest was dropped, and the connection used again
    else:
        assert second.status == 202
