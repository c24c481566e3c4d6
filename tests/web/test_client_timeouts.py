"""Clients that are silent, and readers that take nothing, at the server itself."""

import queue
import socket
import threading
import time
from http.client import HTTPConnection

import psutil
import pytest
from fastapi.responses import Response

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
