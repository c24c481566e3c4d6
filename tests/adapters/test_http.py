"""The transports against real sockets on loopback."""

import errno
import gzip
import os
import re
import resource
import select
import socket
import ssl
import struct
import threading
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from requests import Request

import callboard
from callboard.adapters.http import tls_errors
from callboard.adapters.http.address_guard import AddressGuard
from callboard.adapters.http.connection import (
    EXCHANGE,
    Exchange,
    ExchangeError,
    GuardedAdapter,
    TimedSocket,
    connect_error,
    exchange_error,
    tls_context,
)
from callboard.adapters.http.curl import CurlTransport
from callboard.adapters.http.descriptors import RESERVED
from callboard.adapters.http.resolver import THREADS
from callboard.adapters.http.threaded import RequestsTransport
from callboard.adapters.receiver.server import Answer, Close, Drip, Raw
from callboard.webhooks.retries.outcome import ClientError, Response
from services import free_port
from support.fuzz import examples
from support.http import LOOPBACK, answer, resolves_to, server_context
from support.patience import patient
from support.receiver import Receiver

LOCALHOST = ip_address("127.0.0.1")
DEADLINE_S = 0.3
LATE_S = 5
"""A deadline was not kept; generous, as machines may be busy."""
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def fails_with(error):
    def resolve(*_args):
        raise error

    return resolve


@pytest.fixture(scope="module")
def unresolving(transport_class):
    """A transport that knows no name."""
    unknown = socket.gaierror(socket.EAI_NONAME, "unknown")
    return transport_class(1, 1, guard=AddressGuard(resolve=fails_with(unknown)))


@pytest.fixture
def transport(make):
    return make()


@contextmanager
def listening(address="127.0.0.1", port=0, backlog=16):
    """A socket that listens; whoever connects finds nobody at home."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(backlog)
        yield listener


@contextmanager
def silent(address="127.0.0.1", port=0):
    """A port that answers no SYN: its queue is full."""
    with listening(address, port, backlog=0) as listener:
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
        for filler in fillers:
            filler.close()


@contextmanager
def shaking_hands(context):
    """The port of a server that shakes hands once, as far as it goes, and reads to the end."""

    def serve():
        connection, _ = listener.accept()
        tls = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        with tls, suppress(OSError):
            with suppress(ssl.SSLError):
                tls.do_handshake()
            # Closing with data unread would reset the connection before its alert is read.
            while os.read(tls.fileno(), 65536):
                pass

    with listening() as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


@contextmanager
def replying(reply):
    """The port of a server that reads once, lets `reply(connection)` do the rest, and closes."""

    def serve():
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            reply(connection)

    with listening() as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def reset_at_close(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def post(transport, url, body=b"x"):
    return transport.send("POST", url, (), body)


def kind(outcome):
    assert isinstance(outcome, ClientError), outcome
    return outcome.kind


# What goes out


def test_a_request_arrives_as_it_was_given(transport, receiver):
    headers = (("X-Hook-ID", "h1"), ("Content-Type", "application/json"), ("X-Two", "a"))
    outcome = transport.send(
        "PUT", f"{receiver.url}/ok/a?b=c", (*headers, ("X-Two", "b")), b'{"a": 1}'
    )
    (request,) = receiver.requests
    assert outcome == Response(200, {"Content-Length": "0"}, b"")
    assert (request.method, request.path, request.query) == ("PUT", "/ok/a", "b=c")
    assert request.body == b'{"a": 1}'
    assert request.headers["content-type"] == "application/json"
    assert request.headers["content-length"] == "8"
    assert request.headers["x-two"] == "a, b"
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["user-agent"] == f"Callboard/{version('callboard')}"


def test_a_large_body_is_sent_without_asking_first(transport, receiver):
    """libcurl would send `Expect: 100-continue` (RFC 9110, 10.1.1), and wait for a second."""
    assert post(transport, receiver.url, bytes(1024 * 1024 + 1)).status == 200
    assert "expect" not in receiver.requests[0].headers


def test_the_user_agent_may_be_chosen(transport, receiver):
    transport.send("GET", receiver.url, [("user-agent", "stage/1")], None)
    assert receiver.requests[0].headers["user-agent"] == "stage/1"


@pytest.mark.parametrize("name", ["Accept-Encoding", "accept-encoding"])
def test_the_encodings_that_a_caller_accepts_are_sent_once(transport, receiver, name):
    transport.send("POST", receiver.url, [(name, "gzip")], b"x")
    (request,) = receiver.requests
    assert request.headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize("body", [None, b""])
def test_a_get_has_no_body_and_a_post_tells_that_it_is_empty(transport, receiver, body):
    transport.send("GET", receiver.url, (), body)
    transport.send("POST", receiver.url, (), body)
    get, posted = receiver.requests
    assert "content-length" not in get.headers
    assert posted.headers["content-length"] == "0"


@pytest.mark.parametrize(
    ("method", "length"),
    [
        *((name, None) for name in ("GET", "HEAD", "DELETE", "TRACE", "OPTIONS", "CONNECT")),
        *((name, "0") for name in ("POST", "PUT", "PATCH")),
    ],
)
def test_a_missing_body_is_declared_by_methods_that_have_one(transport, receiver, method, length):
    """RFC 9110, 8.6: content is anticipated, or not defined."""
    transport.send(method, receiver.url, (), None)
    (request,) = receiver.requests
    assert (request.method, request.headers.get("content-length")) == (method, length)


@pytest.mark.parametrize(
    ("rest", "path", "query"),
    [
        ("", "/", ""),
        ("?a=b", "/", "a=b"),
        ("/größe?q=ü", "/gr%C3%B6%C3%9Fe", "q=%C3%BC"),
        ("/a b?c d", "/a%20b", "c%20d"),
        ("/%7Ea?%41", "/~a", "%41"),
        ("/%zz?%zz", "/%25zz", "%25zz"),
        ("/a#b?c", "/a", ""),
        ("/a?b#c", "/a", "b"),
        ("/a?b=http://x/?c", "/a", "b=http://x/?c"),
    ],
)
def test_urls_are_encoded(transport, receiver, rest, path, query):
    assert post(transport, receiver.url + rest) == Response(200, {"Content-Length": "0"})
    assert (receiver.requests[0].path, receiver.requests[0].query) == (path, query)


def test_names_that_are_not_ascii_are_looked_up_in_idna(make):
    asked = []

    def resolve(host, *_args):
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    post(make(resolve=resolve), "http://Bücher.example/")
    assert asked == ["xn--bcher-kva.example"]


def test_ipv6(transport):
    with Receiver("::1") as receiver:
        assert post(transport, receiver.url).status == 200
        assert receiver.requests[0].headers["host"] == f"[::1]:{receiver.port}"


def test_the_environment_has_no_say(transport, receiver, monkeypatch, tmp_path):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b")
    monkeypatch.setenv("NETRC", str(netrc))
    assert post(transport, receiver.url).status == 200
    assert "authorization" not in receiver.requests[0].headers


# What is not sent at all


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://127.0.0.1/", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("httpx://127.0.0.1/", "scheme"),
        ("127.0.0.1/hook", "scheme"),
        ("", "scheme"),
        ("http://user:password@127.0.0.1/", "credentials"),
        ("http://user@127.0.0.1/", "credentials"),
        ("http://127.0.0.1/a\r\nX-Injected: 1", "url"),
        ("http://127.0.0.1/?a\nb", "url"),
        ("http://127.0.0.1\t/", "url"),
        ("http://", "url"),
        ("http:///path", "url"),
        ("http://127.0.0.1:99999/", "url"),
        ("http://127.0.0.1:port/", "url"),
        ("http://[::1/", "url"),
        ("http://*.example/", "url"),
        ("http://\u2024\u2024/", "url"),
    ],
)
def test_urls_that_are_refused(transport, url, reason):
    assert kind(post(transport, url)) == f"refused: {reason}"


@pytest.mark.parametrize(
    "header",
    [
        ("X-Hook-ID", "a\r\nX-Injected: 1"),
        ("X-Hook-ID", "a\nb"),
        ("X-Hook-ID", "a\r\n folded"),
        ("X-Hook-ID", "a\0b"),
        ("X-Hook-ID", "\u20ac"),
        ("X-Injected: 1\r\nX-Hook-ID", "a"),
        ("X Hook", "a"),
        ("", "a"),
        ("Host", "other.example"),
        ("Content-Length", "0"),
        ("Transfer-Encoding", "chunked"),
    ],
)
def test_headers_that_are_refused(transport, receiver, header):
    outcome = transport.send("POST", receiver.url, [header], b"x")
    assert kind(outcome) == "refused: header"
    assert receiver.count == 0


@pytest.mark.parametrize("method", ["", "GET /", "GET\r\nX: 1", "G\u00cbT"])
def test_methods_that_are_refused(transport, receiver, method):
    assert transport.send(method, receiver.url, (), None) == ClientError("refused: method")
    assert receiver.count == 0


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "2130706433", "0x7f.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"]
)
def test_addresses_that_are_refused(transport_class, receiver, host):
    outcome = post(transport_class(1, 1), f"http://{host}:{receiver.port}/")
    assert kind(outcome) == "refused: address"
    assert receiver.connections == 0


def test_allowed_networks_are_called(transport_class, receiver):
    assert post(transport_class(1, 1, ["127.0.0.1/32"]), receiver.url).status == 200


def test_a_name_is_checked_and_called_at_the_same_address(transport_class, receiver):
    """Rebinding: the second answer of the resolver must not be the one that is called."""
    with Receiver("127.0.0.2", receiver.port) as allowed:
        guard = AddressGuard(["127.0.0.2/32"], resolves_to(["127.0.0.2"], ["127.0.0.1"]))
        transport = transport_class(1, 1, guard=guard)
        url = f"http://hooks.example:{receiver.port}/"
        assert post(transport, url).status == 200
        assert allowed.requests[0].headers["host"] == f"hooks.example:{receiver.port}"
        allowed.close_connections()
        outcome = post(transport, url)
    assert outcome == ClientError("refused: address", "127.0.0.1 (loopback)")
    assert receiver.connections == 0


# Connecting


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (socket.gaierror(socket.EAI_NONAME, "unknown"), "nxdomain"),
        (socket.gaierror(socket.EAI_NODATA, "no address"), "nxdomain"),
        (socket.gaierror(socket.EAI_AGAIN, "try again"), "eai_again"),
    ],
)
def test_names_that_do_not_resolve(make, error, name):
    outcome = post(make(resolve=fails_with(error)), "http://hooks.example/")
    assert kind(outcome) == f"failed_connect: {name}"


def test_a_name_that_no_resolver_can_take_is_refused(transport):
    assert kind(post(transport, f"http://{'a' * 64}.example/")) == "refused: url"


def test_a_closed_port(transport):
    assert kind(post(transport, f"http://127.0.0.1:{free_port()}/")) == (
        "failed_connect: econnrefused"
    )


def test_an_address_that_does_not_answer(make):
    transport = make(connect_timeout_s=DEADLINE_S)
    with silent() as port:
        start = time.monotonic()
        assert kind(post(transport, f"http://127.0.0.1:{port}/")) == "failed_connect: timeout"
        assert DEADLINE_S <= time.monotonic() - start < patient(LATE_S)


def test_names_that_hang_take_no_longer_than_the_request_may():
    """Nor do names that find no thread; what is found later ends no call again."""
    go = threading.Event()

    def resolve(_host, port, *_args):
        go.wait(patient(20))
        return [answer("127.0.0.1", port)]

    transport = CurlTransport(patient(5), DEADLINE_S, guard=AddressGuard(LOOPBACK, resolve))
    count, outcomes = THREADS + 3, []
    for number in range(count):
        transport.begin(number, "POST", f"http://host-{number}.example/", (), b"x")
    until = time.monotonic() + patient(LATE_S)
    while len(outcomes) < count and time.monotonic() < until:
        select.select([transport], (), (), until - time.monotonic())
        outcomes += transport.ended()
    assert sorted(number for number, _ in outcomes) == list(range(count))
    assert {kind(outcome) for _, outcome in outcomes} == {"failed_connect: timeout"}
    go.set()
    assert select.select([transport], (), (), patient(5))[0]
    assert list(transport.ended()) == []
    transport.close()


def test_connecting_takes_no_longer_than_the_request_may(make):
    transport = make(request_timeout_s=DEADLINE_S)
    with silent() as port:
        start = time.monotonic()
        assert kind(post(transport, f"http://127.0.0.1:{port}/")) == "failed_connect: timeout"
        assert time.monotonic() - start < patient(LATE_S)


def test_a_request_leaves_descriptors_to_its_process(transport, receiver):
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as probe:
        next_one = probe.fileno()
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (next_one + RESERVED, limits[1]))
        outcome = transport.send("POST", f"{receiver.url}/", (), b"")
        resource.setrlimit(resource.RLIMIT_NOFILE, (next_one + RESERVED + 2, limits[1]))
        then = transport.send("POST", f"{receiver.url}/", (), b"")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert outcome.kind == "failed_connect: emfile"
    assert then.status == 200


def test_an_address_that_refuses_is_tried_once(make):
    asked = []

    def resolve(_host, port, *_args):
        asked.append(port)
        return [answer("127.0.0.1", port)]

    outcome = post(make(resolve=resolve), f"http://hooks.example:{free_port()}/")
    assert (kind(outcome), len(asked)) == ("failed_connect: econnrefused", 1)


@pytest.mark.parametrize("open_one", [0, 1, 2])
def test_any_of_the_addresses_may_be_the_one_that_accepts(make, receiver, open_one):
    addresses = ["127.0.0.2", "127.0.0.3"]
    addresses.insert(open_one, "127.0.0.1")
    transport = make(resolve=resolves_to(addresses))
    assert post(transport, f"http://hooks.example:{receiver.port}/").status == 200


def test_the_next_address_is_tried_when_one_refuses_or_stays_silent(make, receiver):
    addresses = ["127.0.0.2", "127.0.0.3", "127.0.0.1"]
    transport = make(connect_timeout_s=1, resolve=resolves_to(addresses))
    with silent("127.0.0.3", receiver.port):
        assert post(transport, f"http://hooks.example:{receiver.port}/").status == 200


# Answers


@pytest.mark.parametrize("status", [200, 201, 204, 301, 404, 500, 599])
def test_every_status_is_an_answer(transport, receiver, status):
    receiver.answer("/", Answer(status))
    assert post(transport, receiver.url).status == status


def test_headers_and_body_come_back(transport, receiver):
    receiver.answer("/", Answer(503, b"later", {"Retry-After": "120"}))
    outcome = post(transport, receiver.url)
    assert outcome.headers["Retry-After"] == "120"
    assert outcome.body == b"later"


def test_redirects_are_not_followed(transport, receiver):
    receiver.answer("/", Answer(302, headers={"Location": f"{receiver.url}/elsewhere"}))
    assert post(transport, receiver.url).status == 302
    assert receiver.count == 1


def test_cookies_are_not_kept(transport, receiver):
    receiver.answer("/", Answer(headers={"Set-Cookie": "a=b; Path=/"}))
    post(transport, receiver.url)
    post(transport, receiver.url)
    assert "cookie" not in receiver.requests[1].headers


@pytest.mark.parametrize(("method", "body"), [("GET", b"text"), ("DELETE", b"text"), ("HEAD", b"")])
def test_a_request_without_a_body_may_have_a_response_with_one(make, receiver, method, body):
    """RFC 9110, 9.3.2: the response to HEAD has the length of a body, and none."""
    receiver.answer("/", Answer(body=b"text"))
    transport = make(request_timeout_s=patient(LATE_S))
    for _time in range(2):
        outcome = transport.send(method, receiver.url, (), None)
        assert outcome == Response(200, {"Content-Length": "4"}, body)
    assert receiver.connections == 1


def test_a_body_is_not_inflated(transport, receiver):
    bomb = gzip.compress(bytes(10_000_000))
    receiver.answer("/", Answer(body=bomb, headers={"Content-Encoding": "gzip"}))
    assert post(transport, receiver.url).body == bomb


@pytest.mark.parametrize(
    "data",
    [
        CHUNKED + b"2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nTrailer: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\n\r\nhello",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ],
)
def test_a_body_ends_in_several_ways(transport, receiver, data):
    receiver.answer("/", Raw(data))
    outcome = post(transport, receiver.url)
    assert (outcome.status, outcome.body) == (200, b"hello")


def test_a_long_body_is_cut_and_its_connection_not_used_again(make, receiver):
    transport = make(max_response_bytes=1000)
    receiver.answer("/exact", Answer(body=b"x" * 1000))
    receiver.answer("/long", Answer(body=b"x" * 2000))
    assert post(transport, f"{receiver.url}/exact").body == b"x" * 1000
    assert post(transport, f"{receiver.url}/long").body == b"x" * 1000
    assert post(transport, f"{receiver.url}/exact").body == b"x" * 1000
    assert [request.connection for request in receiver.requests] == [1, 1, 2]


@pytest.mark.parametrize(
    "begin",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n", CHUNKED + b"fa0\r\n"],
    ids=["length", "chunk"],
)
def test_a_body_that_is_long_enough_is_not_waited_for(make, begin):
    """A single byte beyond the limit ends it, though the connection stays open."""
    transport = make(request_timeout_s=30, max_response_bytes=1000)
    over, in_time = threading.Event(), []

    def reply(connection):
        connection.sendall(begin + 1001 * b"x")
        in_time.append(over.wait(patient(5)))

    with replying(reply) as port:
        outcome = post(transport, f"http://127.0.0.1:{port}/")
        assert (outcome.body, outcome.cut) == (1000 * b"x", True)
        over.set()
    assert in_time == [True]


def test_a_body_of_tiny_chunks_is_read(transport, receiver):
    receiver.answer("/", Raw(CHUNKED + b"1\r\nx\r\n" * 65_536 + b"0\r\n\r\n"))
    assert len(post(transport, receiver.url).body) == 65_536


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 101 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nx\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        CHUNKED + b"-5\r\nhello",
    ],
)
def test_what_is_not_http_is_a_bad_response(transport, receiver, data):
    receiver.answer("/", Raw(data))
    assert kind(post(transport, receiver.url)) == "bad_response"


@pytest.mark.parametrize("status", [100, 102, 103, 199])
def test_an_interim_status_is_no_answer(transport, receiver, status):
    """RFC 9110, 15.2: what follows it is, even after several."""
    interim = f"HTTP/1.1 {status} Wait\r\nLink: a\r\n\r\n".encode()
    final = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok"
    receiver.answer("/", Raw(interim + interim + final))
    assert post(transport, receiver.url) == Response(202, {"Content-Length": "2"}, b"ok")


def test_nobody_asked_to_switch_protocols(transport, receiver):
    receiver.answer("/", Raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"))
    assert kind(post(transport, receiver.url)) == "bad_response"


@pytest.mark.parametrize(
    "head",
    [
        CHUNKED + b"-1\r\n",
        CHUNKED + b"0\r\n",
        b"HTTP/1.1 100 Continue\r\n",
        b"HTTP/1.1 103 Early Hints\r\n",
    ],
    ids=["negative chunk", "trailers", "interim", "early hints"],
)
def test_a_flood_ends_long_before_the_deadline(make, receiver, head):
    transport = make(request_timeout_s=30, max_response_bytes=10_000)
    receiver.answer("/", Drip(head, b"X: y\r\n" * 2000 + b"\r\nHTTP/1.1 100 C\r\n", pause_s=0))
    start = time.monotonic()
    outcome = post(transport, receiver.url)
    assert time.monotonic() - start < patient(LATE_S)
    assert isinstance(outcome, Response) or outcome.kind == "bad_response"


@pytest.mark.parametrize(
    "parts", [(CHUNKED, b"x", b"\n"), (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",)]
)
def test_a_fault_ends_the_request_though_the_connection_stays_open(transport, parts):
    """Also one that comes in a single byte."""
    over = threading.Event()

    def reply(connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            connection.sendall(part)
            time.sleep(0.02)
        over.wait(patient(20))

    with replying(reply) as port:
        assert kind(post(transport, f"http://127.0.0.1:{port}/")) == "bad_response"
        over.set()


@pytest.mark.parametrize(
    "data", [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", CHUNKED + b"5\r\nab", CHUNKED]
)
def test_an_answer_that_breaks_off(transport, receiver, data):
    receiver.answer("/", Raw(data))
    assert kind(post(transport, receiver.url)) == "socket_closed_remotely"


def test_a_connection_closed_without_an_answer(transport, receiver):
    assert kind(post(transport, f"{receiver.url}/close")) == "socket_closed_remotely"
    assert receiver.count == 1


def test_a_connection_that_is_reset(transport):
    with replying(reset_at_close) as port:
        assert kind(post(transport, f"http://127.0.0.1:{port}/")) == "socket_closed_remotely"


@settings(
    max_examples=examples(2),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.sampled_from((b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nSet-Cookie:", CHUNKED)),
    st.binary() | st.text("0123456789-abcdefxX:;,= \t\r\n").map(str.encode),
)
def test_whatever_an_endpoint_sends_is_a_value(transport, receiver, head, data):
    receiver.answer("/", Raw(head + data))
    assert isinstance(post(transport, receiver.url), Response | ClientError)


@given(
    st.text(st.characters(exclude_categories=()))
    | st.text(":/?#[]@%.\\ *-_0123456789abcdefxüß\u2024")
)
def test_whatever_the_url_is_the_outcome_is_a_value(unresolving, url):
    assert isinstance(post(unresolving, f"http://{url}"), ClientError)
    assert isinstance(post(unresolving, url), ClientError)


# The deadline


@pytest.mark.parametrize(
    "behaviour",
    [
        Drip(pause_s=0.02),
        Drip(b"HTTP/1.1 200 OK\r\nX-Slow: ", pause_s=0.02),
        Drip(b"HTTP/1.1 200 ", pause_s=0.02),
        Drip(CHUNKED + b"10000\r\n", pause_s=0.02),
        Answer(delay_s=60),
    ],
    ids=["body", "headers", "status line", "chunk", "nothing"],
)
def test_the_deadline_is_one_for_the_whole_request(make, receiver, behaviour):
    transport = make(request_timeout_s=DEADLINE_S)
    receiver.answer("/", behaviour)
    start = time.monotonic()
    assert kind(post(transport, receiver.url)) == "timeout"
    assert DEADLINE_S <= time.monotonic() - start < patient(LATE_S)


def test_a_connection_that_was_too_slow_is_not_used_again(make, receiver):
    transport = make(request_timeout_s=1)
    receiver.answer("/", Drip(pause_s=0.02))
    assert kind(post(transport, receiver.url)) == "timeout"
    receiver.answer("/", Answer(202))
    assert post(transport, receiver.url).status == 202
    assert receiver.connections == 2


def test_the_deadline_holds_while_sending(make):
    transport = make(request_timeout_s=DEADLINE_S)
    with listening() as listener:
        start = time.monotonic()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        assert kind(post(transport, url, bytes(20_000_000))) == "timeout"
        assert time.monotonic() - start < patient(LATE_S)


def test_an_exchange_says_once_that_it_waits_however_soon_each_of_its_bytes_comes():
    said = []
    begun = time.monotonic()
    exchange = Exchange(
        AddressGuard(), 5, begun + 60, 1000, on_wait=lambda: said.append("waits"), begun=begun + 60
    )
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"abc")
        assert exchange.patiently(ours, lambda: ours.recv(1)) == b"a"
        assert said == []
        exchange.begun = begun - 0.006  # beyond 5 ms
        for byte in (b"b", b"c"):
            assert exchange.patiently(ours, lambda: ours.recv(1)) == byte
            assert said == ["waits"]


def test_an_exchange_says_that_it_waits_after_a_millisecond_without_a_byte():
    said, limits = [], []
    begun = time.monotonic()
    exchange = Exchange(
        AddressGuard(), 5, begun + 60, 1000, on_wait=lambda: said.append("waits"), begun=begun + 60
    )
    ours, theirs = socket.socketpair()

    def receive():
        limits.append((ours.gettimeout(), list(said)))
        if len(limits) == 1:
            raise TimeoutError
        return b"x"

    with ours, theirs:
        assert exchange.patiently(ours, receive) == b"x"
    (first, before), (second, after) = limits
    assert (first, before, after) == (0.001, [], ["waits"])
    assert 60 - patient(LATE_S) < second <= 60


def test_a_request_that_connects_says_before_that_it_waits(receiver):
    order = []

    def resolve(*arguments):
        order.append("looks up")
        return socket.getaddrinfo(*arguments)

    transport = RequestsTransport(5, 5, guard=AddressGuard(LOOPBACK, resolve))
    transport.on_wait = lambda: order.append("waits")
    assert transport.send("GET", receiver.url, [], None).status == 200
    transport.close()
    assert order == ["waits", "looks up"]


def test_what_is_sent_at_once_and_a_handshake_have_the_time_that_is_left(ca_bundle):
    exchange = Exchange(AddressGuard(), 5, time.monotonic() + 0.02, 1000)
    token = EXCHANGE.set(exchange)
    ours, theirs = socket.socketpair()
    with theirs, TimedSocket(fileno=ours.detach()) as plain:
        plain.settimeout(60)
        plain.sendall(b"x")
        assert plain.gettimeout() <= 0.02
        context = tls_context(ca_bundle)
        with context.wrap_socket(
            plain, server_hostname="localhost", do_handshake_on_connect=False
        ) as secure:
            secure.settimeout(60)
            with pytest.raises(TimeoutError):
                secure.do_handshake()
            assert secure.gettimeout() <= 0.02
    EXCHANGE.reset(token)


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (OSError(errno.EHOSTUNREACH, "x"), "ehostunreach"),
        (OSError(99_999, "x"), "unknown"),
        (OSError(), "unknown"),
        (TimeoutError(), "timeout"),
    ],
)
def test_an_error_of_the_system_has_its_name(error, name):
    assert exchange_error(error) == name
    assert connect_error(error) == f"failed_connect: {name}"


def test_an_exchange_takes_as_many_bytes_as_it_may():
    exchange = Exchange(AddressGuard(LOOPBACK), 5, time.monotonic() + 5, 10_000)
    exchange.count(9_000)
    exchange.count(1_000)
    with pytest.raises(ExchangeError):
        exchange.count(1)


def test_a_name_is_looked_up_for_new_connections_only(make, receiver):
    asked = []

    def resolve(host, port, *_args):
        asked.append(host)
        return [answer("127.0.0.1", port)]

    transport = make(resolve=resolve)
    for _request in range(2):
        assert post(transport, f"http://hooks.example:{receiver.port}/").status == 200
    assert asked == ["hooks.example"]


def test_a_slow_answer_within_the_deadline_is_one(make, receiver):
    assert post(make(request_timeout_s=2), f"{receiver.url}/slow/100").status == 200


# Kept connections


def test_a_connection_is_used_again(transport, receiver):
    for path in ("/ok", "/status/500", "/other?a=b"):
        post(transport, receiver.url + path)
    assert receiver.connections == 1


def test_threads_share_a_transport(make, receiver):
    transport = make(pool_size=32)
    receiver.answer("/", lambda request: Answer(body=request.body))
    wrong = []

    def work(number):
        for turn in range(10):
            body = f"{number}/{turn}".encode()
            outcome = post(transport, receiver.url, body)
            if not isinstance(outcome, Response) or outcome.body != body:
                wrong.append(outcome)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert receiver.count == 320
    assert receiver.connections <= 32


def test_a_connection_closed_while_idle_is_replaced(transport, receiver):
    for _ in range(2):
        assert post(transport, receiver.url).status == 200
        receiver.close_connections()
    assert post(transport, receiver.url).status == 200
    assert (receiver.count, receiver.connections) == (3, 3)


def test_a_connection_the_server_ends_is_not_used_again(transport, receiver):
    receiver.answer("/", Answer(headers={"Connection": "close"}))
    assert post(transport, receiver.url).status == 200
    receiver.answer("/", Close())
    assert kind(post(transport, receiver.url)) == "socket_closed_remotely"
    assert [request.connection for request in receiver.requests] == [1, 2]


def in_turn(*behaviours):
    """The first request gets the first behaviour, and so on."""
    turns = iter(behaviours)
    return lambda _request: next(turns)


def test_a_connection_that_turns_out_stale_costs_nothing(transport, receiver):
    receiver.answer("/", in_turn(Answer(), Close(), Answer(202)))
    assert post(transport, receiver.url).status == 200
    assert post(transport, receiver.url, b"again").status == 202
    assert [request.connection for request in receiver.requests] == [1, 1, 2]
    assert receiver.requests[2].body == b"again"


def test_after_a_repeat_a_redirect_may_take_a_kept_connection(make, receiver):
    transport = make(follow_redirects=1)
    moved = Answer(307, headers={"Location": "/there"})
    receiver.answer("/", in_turn(Answer(), Close(), moved, Answer(202)))
    assert post(transport, receiver.url).status == 200
    assert post(transport, receiver.url).status == 202
    assert [request.connection for request in receiver.requests] == [1, 1, 2, 2]


def test_a_repeat_does_not_take_another_kept_connection(receiver, ca_bundle):
    adapter = GuardedAdapter(tls_context(ca_bundle), endpoints=1, connections_per_endpoint=1)
    request = Request("GET", receiver.url).prepare()
    for afresh in (False, False, True, True):
        exchange = Exchange(AddressGuard(LOOPBACK), 5, time.monotonic() + 5, 10_000)
        exchange.afresh = afresh
        token = EXCHANGE.set(exchange)
        adapter.exchange(request, limit=1000)
        EXCHANGE.reset(token)
    adapter.close()
    assert [request.connection for request in receiver.requests] == [1, 1, 2, 3]


def test_a_request_that_is_not_taken_ends_in_time():
    """Its peer reads nothing, and the buffers of the kernel are full."""
    ours, peer = socket.socketpair()
    timed = TimedSocket(fileno=ours.detach())
    exchange = Exchange(AddressGuard(LOOPBACK), 5, time.monotonic() + 0.1, 10_000)
    token = EXCHANGE.set(exchange)
    try:
        with pytest.raises(TimeoutError):
            timed.sendall(bytes(50_000_000))
        assert time.monotonic() >= exchange.deadline
        with pytest.raises(TimeoutError, match="the deadline has passed"):
            timed.sendall(b"more")
    finally:
        EXCHANGE.reset(token)
        timed.close()
        peer.close()


def test_an_endpoint_whose_connections_were_given_up_is_called_again(ca_bundle):
    """With more endpoints than are kept, each pool is made anew when its turn comes again."""
    few = RequestsTransport(5, 5, LOOPBACK, endpoints=1, ca_bundle=ca_bundle)
    with Receiver() as one, Receiver() as other:
        for receiver in (one, other, one, other):
            assert post(few, receiver.url).status == 200
    few.close()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
UNASKED = OK.replace(b"200", b"500")


@contextmanager
def speaking_twice(unasked, asked_for=OK, tls=None):
    """The port of a server that answers, with 200 at first and 202 on a second connection.

    It calls `unasked(connection)` after the first answer, in which `asked_for` may hold more.
    """

    def serve():
        for text in (asked_for, OK.replace(b"200", b"202")):
            connection, _ = listener.accept()
            connection.settimeout(LATE_S)
            if tls is not None:
                connection = tls.wrap_socket(connection, server_side=True)
            open_ones.append(connection)
            connection.recv(65536)
            connection.sendall(text)
            if text is asked_for:
                unasked(connection)

    open_ones = []
    with listening() as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()
        for connection in open_ones:
            connection.close()


def test_what_an_endpoint_says_unasked_is_not_taken_for_the_next_answer():
    answered, said = threading.Event(), threading.Event()

    def unasked(connection):
        answered.wait(LATE_S)
        connection.sendall(UNASKED)
        said.set()

    transport = RequestsTransport(1, LATE_S, LOOPBACK)
    with speaking_twice(unasked) as port:
        assert post(transport, f"http://127.0.0.1:{port}/").status == 200
        answered.set()
        assert said.wait(LATE_S)
        assert post(transport, f"http://127.0.0.1:{port}/").status == 202
    transport.close()


def test_what_tls_holds_back_is_not_taken_for_the_next_answer(authority, ca_bundle):
    """http.client reads 8 kB at a time; the rest of the record stays with TLS."""
    head = OK.replace(b"\r\n\r\n", b"\r\nX: " + b"x" * (8192 - len(OK) - 5) + b"\r\n\r\n")
    tls = server_context(authority, "127.0.0.1")
    transport = RequestsTransport(1, LATE_S, LOOPBACK, ca_bundle=ca_bundle)
    with speaking_twice(lambda _connection: None, head + UNASKED, tls) as port:
        for status in (200, 202):
            outcome = transport.send("HEAD", f"https://127.0.0.1:{port}/", (), None)
            assert outcome.status == status
    transport.close()


def test_a_request_is_repeated_once_only(transport, receiver):
    receiver.answer("/", in_turn(Answer(), Close(), Close()))
    post(transport, receiver.url)
    assert kind(post(transport, receiver.url)) == "socket_closed_remotely"
    assert receiver.count == 3


def test_a_request_is_repeated_once_however_many_kept_connections_are_stale(make, receiver):
    transport = make(pool_size=4)
    receiver.answer("/", Answer(delay_s=0.3))
    threads = [threading.Thread(target=post, args=(transport, receiver.url)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert receiver.connections == 4
    receiver.answer("/", Close())
    assert kind(post(transport, receiver.url)) == "socket_closed_remotely"
    assert receiver.count == 6
    assert receiver.requests[5].connection == 5


def test_a_request_whose_answer_began_is_not_repeated(transport, receiver):
    receiver.answer("/", in_turn(Answer(), Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")))
    post(transport, receiver.url)
    assert kind(post(transport, receiver.url)) == "socket_closed_remotely"
    assert receiver.count == 2


def test_a_request_whose_answer_began_before_a_reset_is_not_repeated(make):
    def answer_then_reset(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nX:")
        reset_at_close(connection)

    transport = make(request_timeout_s=2)
    with replying(answer_then_reset) as port:
        assert post(transport, f"http://127.0.0.1:{port}/").status == 200
        outcome = post(transport, f"http://127.0.0.1:{port}/")  # a repeat would time out
    assert kind(outcome) == "socket_closed_remotely"


def test_a_repeat_shares_the_deadline(make, receiver):
    transport = make(request_timeout_s=DEADLINE_S)
    receiver.answer("/", in_turn(Answer(), Close(), Answer(delay_s=60)))
    post(transport, receiver.url)
    start = time.monotonic()
    assert kind(post(transport, receiver.url)) == "timeout"
    assert time.monotonic() - start < patient(LATE_S)


# TLS


@pytest.fixture
def secure(authority):
    with Receiver(tls=server_context(authority, "127.0.0.1", "hooks.example")) as receiver:
        yield receiver


def test_tls_with_a_certificate_we_trust(make, secure):
    transport = make()
    for _ in range(3):
        assert post(transport, f"{secure.url}/ok").status == 200
    assert secure.connections == 1


def test_the_certificate_is_that_of_the_name_not_of_the_address(make, authority):
    transport = make(resolve=resolves_to(["127.0.0.1"]))
    with Receiver(tls=server_context(authority, "hooks.example")) as secure:
        assert post(transport, f"https://hooks.example:{secure.port}/").status == 200
        other = post(transport, f"https://other.example:{secure.port}/")
        by_address = post(transport, secure.url)
    assert kind(other) == kind(by_address) == "tls: certificate of another name"
    assert "other.example" in other.detail


def test_a_certificate_of_an_unknown_authority(make, secure, monkeypatch, ca_bundle):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", ca_bundle)
    monkeypatch.setenv("SSL_CERT_FILE", ca_bundle)
    outcome = post(make(ca_bundle=None), secure.url)
    assert kind(outcome) == "tls: certificate of an unknown authority"
    assert secure.count == 0


def test_a_certificate_that_signs_itself(make, tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hooks.example")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(LOCALHOST)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(Encoding.PEM)
    pem += key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "own.pem").write_bytes(pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "own.pem")
    with Receiver(tls=context) as secure:
        assert kind(post(make(), secure.url)) == "tls: certificate self-signed"


@pytest.mark.parametrize(
    ("version", "ciphers", "reason"),
    [
        (ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0", "no common version"),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-RSA-NULL-SHA:@SECLEVEL=0", "handshake failure"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_server_with_which_nothing_can_be_agreed(make, authority, version, ciphers, reason):
    context = server_context(authority, "127.0.0.1")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.MINIMUM_SUPPORTED, version
    context.set_ciphers(ciphers)
    with shaking_hands(context) as port:
        assert kind(post(make(), f"https://127.0.0.1:{port}/")) == f"tls: {reason}"


def test_a_certificate_that_has_expired(make, authority):
    past = datetime.now(UTC) - timedelta(days=1)
    context = server_context(
        authority, "127.0.0.1", not_before=past - timedelta(days=1), not_after=past
    )
    with Receiver(tls=context) as secure:
        outcome = post(make(), secure.url)
    assert kind(outcome) == "tls: certificate expired"
    assert "expired" in outcome.detail


def test_a_certificate_that_is_not_valid_yet(make, authority):
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    context = server_context(
        authority, "127.0.0.1", not_before=tomorrow, not_after=tomorrow + timedelta(days=1)
    )
    with Receiver(tls=context) as secure:
        assert kind(post(make(), secure.url)) == "tls: certificate not yet valid"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_server_that_demands_a_client_certificate(make, authority, version):
    context = server_context(authority, "127.0.0.1")
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = version
    authority.configure_trust(context)
    # TLS 1.2 has no alert of its own for it (RFC 5246, 7.4.6).
    no_alert = version == ssl.TLSVersion.TLSv1_2
    reason = "handshake failure" if no_alert else "client certificate required"
    with shaking_hands(context) as port:
        assert kind(post(make(), f"https://127.0.0.1:{port}/")) == f"tls: {reason}"


def test_the_documentation_lists_every_reason_of_tls():
    page = (Path(callboard.__file__).parent / "docs" / "security.md").read_text("utf-8")
    assert set(re.findall(r"`tls: ([^`]+)`", page)) == set(tls_errors.ALL)


def test_a_port_that_does_not_speak_tls(transport):
    with replying(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad\r\n\r\n")) as port:
        assert kind(post(transport, f"https://127.0.0.1:{port}/")) == "tls: not TLS"


def test_a_port_that_hangs_up_on_tls(transport):
    with replying(lambda _connection: None) as port:
        assert kind(post(transport, f"https://127.0.0.1:{port}/")) == "failed_connect: closed"


def test_the_handshake_is_part_of_connecting(make):
    transport = make(connect_timeout_s=DEADLINE_S)
    with listening() as listener:
        start = time.monotonic()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        assert kind(post(transport, url)) == "failed_connect: timeout"
        assert time.monotonic() - start < patient(LATE_S)


def test_the_deadline_over_tls(make, secure):
    transport = make(request_timeout_s=2 * DEADLINE_S)
    secure.answer("/", Drip(pause_s=0.02))
    start = time.monotonic()
    assert kind(post(transport, secure.url)) == "timeout"
    assert time.monotonic() - start < patient(LATE_S)


def test_a_stale_connection_over_tls(make, secure):
    transport = make()
    secure.answer("/", in_turn(Answer(), Close(), Answer(202)))
    post(transport, secure.url)
    assert post(transport, secure.url, b"x" * 100_000).status == 202
    assert [request.connection for request in secure.requests] == [1, 1, 2]


def test_a_ca_bundle_that_is_missing_is_told_at_once(transport_class):
    with pytest.raises(OSError, match="No such file"):
        transport_class(1, 1, ca_bundle="/nonexistent/ca.pem")
