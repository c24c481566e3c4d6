"""Clients that are silent, and readers that take nothing, at the server itself."""

import asyncio
import contextlib
import queue
import socket
import threading
import time
from http.client import HTTPConnection, HTTPResponse
from types import SimpleNamespace

import psutil
import pytest
import uvicorn
from fastapi.responses import Response
from uvicorn.server import ServerState

from callboard.actors.api.client_timeouts import TimedProtocol
from callboard.actors.api.connections import Connections
from callboard.actors.api.thread import ApiThread
from services.rabbitmq import wait_until
from support.patience import patient

LARGE = 30_000_000
"""Bytes, more than the buffers of two sockets hold."""


@pytest.fixture
def place(api):
    """Where the API is served, by a server of little patience."""
    api.app.get("/large")(lambda: Response(b"x" * LARGE))
    ports, ended = queue.Queue(), queue.Queue()
    server = ApiThread(
        "127.0.0.1",
        0,
        lambda: api.app,
        ports.put,
        ended.put,
        Connections(64),
        head_s=0.3,
        takes_s=1.0,
    )
    server.start()
    yield "127.0.0.1", ports.get(timeout=patient(20))
    server.stop()
    assert ended.get(timeout=patient(20)) is None
    assert api.app.state.sampler.watch() is None, "no stream begins any more"


def is_left(client):
    """Whether the server ends the connection, whatever it has sent before."""
    client.settimeout(20)
    try:
        while client.recv(1 << 20):
            pass
    except ConnectionResetError:
        pass
    except TimeoutError:
        return False
    return True


def is_served(client):
    """Whether the server, which is in this process, has its end of the connection open."""
    ends = (client.getpeername(), client.getsockname())
    return any((one.laddr, one.raddr) == ends for one in psutil.Process().net_connections())


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nHost: a\r\n"])
def test_a_head_that_does_not_come_is_not_waited_for(place, sent):
    with socket.create_connection(place) as client:
        client.sendall(sent)
        assert is_left(client)


def test_single_bytes_of_a_head_win_no_time(place):
    gone = threading.Event()

    def drip(client):
        while not gone.wait(0.05):
            try:
                client.send(b"G")
            except OSError:
                return

    with socket.create_connection(place) as client:
        dripping = threading.Thread(target=drip, args=(client,))
        dripping.start()
        assert is_left(client)
        gone.set()
        dripping.join()


@pytest.mark.parametrize("connection", ["close", "keep-alive"])
def test_a_reader_that_takes_nothing_is_left(place, connection):
    request = f"GET /large HTTP/1.1\r\nHost: a\r\nConnection: {connection}\r\n\r\n".encode()
    with socket.create_connection(place) as client:
        client.sendall(request)
        wait_until(lambda: is_served(client), "connection", 20)
        wait_until(lambda: not is_served(client), "end of the connection", 20)
        client.settimeout(20)
        received = 0
        while data := client.recv(1 << 20):
            received += len(data)
        assert 0 < received < LARGE


def test_a_reader_that_takes_its_time_gets_it_all(place):
    request = b"GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    with socket.create_connection(place) as client:
        client.settimeout(20)
        client.sendall(request)
        received = 0
        while data := client.recv(1 << 20):
            received += len(data)
            time.sleep(0.05)
        assert received > LARGE


def test_a_connection_serves_several_requests(place):
    client = HTTPConnection(*place, timeout=patient(20))
    for method in ("GET", "HEAD", "GET"):
        client.request(method, "/healthz")
        answer = client.getresponse()
        assert int(answer.headers["content-length"]) > 0
        assert bool(answer.read()) == (method == "GET")
        client.auto_open = False
        with socket.create_connection(place) as silent:
            assert is_left(silent), "the time for a head is over"
    client.close()


def test_a_connection_with_an_ambiguous_body_ends(place):
    """What follows may be a part of the body for a proxy before us (request smuggling)."""
    smuggled = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    head = b"POST /v2/events HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
    with socket.create_connection(place) as client:
        client.sendall(head + b"Content-Length: 5\r\n\r\n0\r\n\r\n" + smuggled)
        client.settimeout(20)
        received = b"".join(iter(lambda: client.recv(65536), b""))
    assert received.startswith(b"HTTP/1.1 400 ")
    assert received.count(b"HTTP/1.1") == 1


def answers_to(place, *parts):
    """What the server sends for these bytes, until it ends the connection."""
    with socket.create_connection(place) as client:
        client.settimeout(patient(20))
        for part in parts:
            try:
                client.sendall(part)
            except (BrokenPipeError, ConnectionResetError):
                break
        with contextlib.suppress(ConnectionResetError):
            return b"".join(iter(lambda: client.recv(65536), b""))
        return b""


def first_response(place, asked):
    """The response to this request, whose connection stays open after it."""
    with socket.create_connection(place) as client:
        client.settimeout(patient(20))
        client.sendall(asked)
        response = HTTPResponse(client)
        response.begin()
        return response


CHUNKED = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
POST = b"POST /v2/events HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\n", b"a: b\r\n"),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Long: ", b"x"),
        (b"GET /", b"x"),
        (POST + b"1;", b"x"),
        (POST + b"0\r\n", b"a: b\r\n"),
        (POST + b"0\r\nX-Trailer: ", b"x"),
    ],
)
def test_what_has_no_end_is_refused_before_it_fills_the_memory(place, begin, more):
    """Heads, a header's value, a path, a chunk's extension, trailers, a trailer's value."""
    part = more * (50_000 // len(more))
    with socket.create_connection(place) as client, pytest.raises(OSError, match=r"reset|pipe"):
        client.settimeout(patient(20))
        client.sendall(begin)
        for _time in range(1000):
            client.sendall(part)


def test_a_trailer_is_no_header(place):
    """It comes after the token was looked at, and may name whatever it likes."""
    trailer = b"X-Request-ID: smuggled\r\nConnection: close\r\n"
    head = POST.replace(b"Host: a\r\n", b"Host: a\r\nX-Request-ID: own\r\n")
    response = first_response(place, head + b"0\r\n" + trailer + b"\r\n")
    assert response.headers.get_all("x-request-id") == ["own"]


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET http://[::1 HTTP/1.1",
        b"GET \xff HTTP/1.1",
        b"GET * HTTP/1.1",
        b"CONNECT a:1 HTTP/1.1",
        b"GET / HTTP/1.1 x",
        b"G\x00T / HTTP/1.1",
        b"",
    ],
)
def test_what_is_no_request_ends_its_connection_alone(place, request_line):
    head = b"\r\nHost: a\r\nConnection: close\r\n\r\n"
    answer = answers_to(place, request_line + head)
    assert answer == b"" or answer.startswith(
        (b"HTTP/1.1 400 ", b"HTTP/1.1 404 ", b"HTTP/1.1 405 ")
    )
    assert answers_to(place, b"GET /healthz HTTP/1.1" + head).startswith(b"HTTP/1.1 200 ")


def test_a_request_for_another_protocol_is_served_in_this_one(place):
    asked = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    assert first_response(place, asked).status == 200


def test_requests_that_come_together_are_answered_in_turn(place):
    one = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    answer = answers_to(place, one * 3 + one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert answer.count(b"HTTP/1.1 200 ") == 4


# On a clock that the test moves


class Loop(asyncio.SelectorEventLoop):
    """A loop whose time passes when the test says so."""

    now = 0.0

    def time(self):
        return self.now

    def pass_time(self, seconds):
        self.now += seconds
        for _turn in range(5):
            self.run_until_complete(asyncio.sleep(0))


class Transport:
    """The server's end of a connection; `unread`: bytes of responses that its client left."""

    def __init__(self):
        self.unread, self.written, self.ends = 0, b"", []

    def get_extra_info(self, name):
        return {"peername": ("192.0.2.1", 5000), "sockname": ("192.0.2.2", 80)}.get(name)

    def write(self, data):
        self.written += data

    def get_write_buffer_size(self):
        return self.unread

    def is_closing(self):
        return bool(self.ends)

    def close(self):
        self.ends.append("closed")

    def abort(self):
        self.ends.append("aborted")

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass


async def respond(scope, receive, send):
    name = dict(scope["headers"]).get(b"x-name", b"")
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 204, "headers": [(b"x-name", name)]})
    await send({"type": "http.response.body"})


@pytest.fixture
def client():
    """A client that has connected, with the time-outs of the product."""
    config = uvicorn.Config(respond, log_config=None, ws="none", lifespan="off")
    with contextlib.closing(Loop()) as loop:
        protocol = TimedProtocol(config, ServerState(), {}, loop, connections=Connections(64))
        transport = Transport()
        protocol.connection_made(transport)
        yield SimpleNamespace(loop=loop, protocol=protocol, transport=transport)
        protocol.connection_lost(None)
        loop.pass_time(0)


def test_a_head_has_ten_seconds(client):
    client.loop.pass_time(9.9)
    client.protocol.data_received(b"GET /")
    assert client.transport.ends == []
    client.loop.pass_time(0.1)
    assert client.transport.ends == ["aborted"]


def test_the_time_of_a_head_ends_with_it_however_many_parts_it_has(client):
    for part in (b"GET / HT", b"TP/1.1\r\nHo", b"st: a\r\n\r\n"):
        client.loop.pass_time(1)
        client.protocol.data_received(part)
    client.loop.pass_time(4)
    assert client.transport.ends == []
    client.protocol.data_received(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    client.loop.pass_time(4)
    assert client.transport.ends == []


@pytest.mark.parametrize("closing", [False, True])
def test_a_reader_has_ten_seconds_for_each_64_kib(client, closing):
    client.protocol.data_received(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    client.loop.pass_time(0)
    client.transport.unread = 4 * 65_536
    if closing:
        client.transport.close()
        client.protocol.timeout_keep_alive_handler()
    else:
        client.protocol.pause_writing()
    for left in (3 * 65_536, 2 * 65_536):
        client.transport.unread = left
        client.loop.pass_time(10)
        assert "aborted" not in client.transport.ends
    client.transport.unread = 65_537
    client.loop.pass_time(9.9)
    assert "aborted" not in client.transport.ends
    client.loop.pass_time(0.1)
    assert "aborted" in client.transport.ends


def test_a_reader_that_leaves_one_byte_is_left(client):
    client.protocol.data_received(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    client.transport.unread = 1
    client.protocol.pause_writing()
    client.loop.pass_time(10)
    assert client.transport.ends == ["aborted"]


def test_a_connection_that_makes_room_is_closed_at_once(client):
    client.protocol.close_now()
    assert client.transport.ends == ["aborted"]


def test_a_connection_of_a_socket_without_an_address_has_none():
    """uvicorn knows none of a Unix socket's client."""
    opened = []
    connections = SimpleNamespace(
        opened=lambda _connection, address: opened.append(address), closed=opened.append
    )
    config = uvicorn.Config(respond, log_config=None, ws="none", lifespan="off")
    with contextlib.closing(Loop()) as loop:
        protocol = TimedProtocol(config, ServerState(), {}, loop, connections=connections)
        transport = Transport()
        transport.get_extra_info = {"peername": "", "sockname": "/run/api"}.get
        protocol.connection_made(transport)
        protocol.connection_lost(None)
        loop.pass_time(0)
    assert opened == ["", protocol]


def test_a_reader_that_has_all_is_not_looked_after(client):
    client.protocol.data_received(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    client.transport.unread = 1
    client.protocol.pause_writing()
    client.transport.unread = 0
    client.loop.pass_time(10)
    assert client.transport.ends == []


@pytest.mark.parametrize(
    ("before", "begin"),
    [
        (b"", b"GET / HTTP/1.1\r\nX: "),
        (CHUNKED, b"1;"),
        (CHUNKED + b"1\r\nx\r\n", b"1;"),
        (CHUNKED + b"0\r\nX: ".ljust(60_000, b"x") + b"\r\n\r\n", b"GET / HTTP/1.1\r\nX: "),
    ],
)
def test_no_part_may_be_longer_than_64_kib_whatever_came_before(client, before, begin):
    """A head, the line of the first and of a later chunk, and a head after a trailer."""
    for part in (before[:60], before[60:], begin.ljust(65_536, b"x")):
        client.protocol.data_received(part)
    assert client.transport.written == b""
    client.protocol.data_received(b"x")
    assert client.transport.written.startswith(b"HTTP/1.1 400 ")


def test_each_request_of_a_connection_has_its_own_headers(client):
    for name in (b"one", b"two"):
        client.protocol.data_received(b"GET / HTTP/1.1\r\nHost: a\r\nX-Name: " + name + b"\r\n\r\n")
        client.loop.pass_time(0)
        assert client.transport.written.endswith(b"x-name: " + name + b"\r\n\r\n")
