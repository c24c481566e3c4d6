"""The local receiver: a server that tests and the demo can trust."""

import http.client
import socket
import ssl
import threading
import time

import pytest
import trustme

from callboard.adapters.receiver import Receiver
from callboard.adapters.receiver.server import (
    Answer,
    Close,
    Drip,
    Hang,
    Raw,
    ReceivedRequest,
    behaviour_of_path,
)
from services import free_port
from support.descriptors import open_descriptors, opening
from support.patience import patient


@pytest.fixture
def connect(receiver):
    """connect() -> a plain socket to the receiver."""
    sockets = []

    def connect():
        sockets.append(socket.create_connection(("127.0.0.1", receiver.port), timeout=patient(5)))
        return sockets[-1]

    yield connect
    for connection in sockets:
        connection.close()


@pytest.fixture
def client(receiver):
    client = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=patient(5))
    yield client
    client.close()


def ask(client, method, path, body=None, headers=()):
    client.request(method, path, body, dict(headers))
    response = client.getresponse()
    return response.status, response.read()


def read_all(connection):
    data = b""
    while part := connection.recv(65536):
        data += part
    return data


def test_a_request_is_recorded_whole(receiver, client):
    before = time.time()
    ask(client, "POST", "/ok/a?b=c&d", b"body", {"X-Hook-ID": "h1"})
    (request,) = receiver.requests
    assert (request.method, request.path, request.query) == ("POST", "/ok/a", "b=c&d")
    assert request.headers["x-hook-id"] == "h1"
    assert request.body == b"body"
    assert before <= request.time <= time.time()


def test_a_connection_is_kept_and_numbered(receiver, client):
    for _ in range(3):
        assert ask(client, "POST", "/ok", b"x") == (200, b"")
    client.close()
    ask(client, "GET", "/ok")
    assert [request.connection for request in receiver.requests] == [1, 1, 1, 2]
    assert receiver.connections == 2


@pytest.mark.parametrize(
    ("path", "status"), [("/", 200), ("/ok", 200), ("/status/503", 503), ("/status/299", 299)]
)
def test_the_path_says_the_status(client, path, status):
    assert ask(client, "POST", path, b"x")[0] == status


@pytest.mark.parametrize(
    ("path", "behaviour"),
    [
        ("/status/410/x", Answer(410)),
        ("/status/up", Answer(200)),
        ("/slow/1500", Answer(200, delay_s=1.5)),
        ("/slow/long", Answer(200)),
        ("/hang/x", Hang()),
        ("/drip", Drip(byte=b".", pause_s=0.05)),
        ("/close", Close()),
        ("/else", Answer(200)),
    ],
)
def test_the_path_selects_the_behaviour(path, behaviour):
    assert behaviour_of_path(ReceivedRequest("POST", path, "", {}, b"", 0.0, 1)) == behaviour


def test_slow_answers_after_its_time(client):
    start = time.monotonic()
    assert ask(client, "POST", "/slow/100")[0] == 200
    assert time.monotonic() - start >= 0.1


def test_hang_takes_the_request_and_stays_silent(receiver, connect):
    connection = connect()
    connection.sendall(b"POST /hang HTTP/1.1\r\nContent-Length: 1\r\n\r\nx")
    receiver.wait_for(1)
    connection.settimeout(0.1)
    with pytest.raises(TimeoutError):
        connection.recv(1)


def test_close_answers_nothing(receiver, connect):
    connection = connect()
    connection.sendall(b"GET /close HTTP/1.1\r\n\r\n")
    assert read_all(connection) == b""
    assert receiver.count == 1


def test_drip_sends_byte_after_byte(receiver, connect):
    receiver.answer("/drip", Drip(b"HTTP/1.1 200 OK\r\n\r\n", b"#", pause_s=0.01))
    connection = connect()
    connection.sendall(b"GET /drip HTTP/1.1\r\n\r\n")
    data = b""
    while data.count(b"#") < 3:
        data += connection.recv(100)
    assert data.startswith(b"HTTP/1.1 200 OK\r\n\r\n#")


def test_by_itself_it_drips_points(connect):
    connection = connect()
    connection.sendall(b"GET /drip HTTP/1.1\r\n\r\n")
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
    data = b""
    while len(data) < len(head) + 2:
        data += connection.recv(100)
    assert data == head + b"." * 2


def test_dripping_ends_with_its_client(receiver, connect, caplog):
    """asyncio warns of writes to a connection that is gone."""
    receiver.answer("/drip", Drip(pause_s=0.001))
    connection = connect()
    connection.sendall(b"GET /drip HTTP/1.1\r\n\r\n")
    connection.recv(100)
    connection.close()
    time.sleep(0.05)
    assert [record for record in caplog.records if record.name == "asyncio"] == []


def test_a_request_in_pieces_is_put_together(receiver, connect):
    connection = connect()
    for byte in b"PUT /ok HTTP/1.1\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc":
        connection.sendall(bytes([byte]))
    assert read_all(connection).startswith(b"HTTP/1.1 200 OK\r\n")
    assert receiver.requests[0].body == b"abc"


def test_requests_sent_at_once_are_answered_in_order(receiver, connect):
    connection = connect()
    connection.sendall(
        b"GET /slow/50 HTTP/1.1\r\n\r\nGET /status/404 HTTP/1.1\r\nConnection: close\r\n\r\n"
    )
    answers = read_all(connection)
    assert answers.index(b" 200 OK") < answers.index(b" 404 Not Found")


def test_a_request_that_comes_before_the_answer_to_the_last_one_waits_for_it(receiver, connect):
    connection = connect()
    connection.sendall(b"GET /slow/50 HTTP/1.1\r\n\r\n")
    receiver.wait_for(1)
    connection.sendall(b"GET /status/404 HTTP/1.1\r\nConnection: close\r\n\r\n")
    answers = read_all(connection)
    assert answers.index(b" 200 OK") < answers.index(b" 404 Not Found")


def test_an_old_client_is_answered_and_left(connect):
    connection = connect()
    connection.sendall(b"GET /ok HTTP/1.0\r\n\r\n")
    assert b"Connection: close" in read_all(connection)


def test_head_and_no_content_have_no_body(receiver, client):
    receiver.answer("/", Answer(body=b"text"))
    assert ask(client, "HEAD", "/") == (200, b"")
    assert ask(client, "GET", "/") == (200, b"text")
    assert ask(client, "GET", "/status/204") == (200, b"text")
    receiver.answer("/status", Answer(204))
    assert ask(client, "GET", "/status/204") == (204, b"")
    assert receiver.connections == 1


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\r\n\r\n", 400),
        (b"\r\n\r\n" + b"x" * 70_000, 400),
        (b"GET\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nName : x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nContent-Length: 0000000000001\r\n\r\nx", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000, 431),
    ],
)
def test_a_request_it_cannot_read_is_refused_and_not_recorded(
    receiver, connect, request_bytes, status
):
    connection = connect()
    connection.sendall(request_bytes)
    assert connection.recv(100).startswith(b"HTTP/1.1 %d " % status)
    assert receiver.count == 0


@pytest.mark.parametrize(("length", "status"), [(65_536, 200), (65_537, 431)])
def test_a_head_has_at_most_64_kilobytes(connect, length, status):
    begin = b"GET /ok HTTP/1.1\r\nX: "
    connection = connect()
    connection.sendall(begin.ljust(length, b"x") + b"\r\n\r\n")
    assert connection.recv(100).startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.parametrize(
    ("request_bytes", "response"),
    [
        (b"GET /ok HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        (
            b"POST /ok HTTP/1.1\r\nContent-Length: 000000000001\r\n\r\nx",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ),
        (b"HEAD /b HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"),
        (
            b"GET /b HTTP/1.1\r\nConnection: Close\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody",
        ),
        (b"GET /status/304 HTTP/1.1\r\n\r\n", b"HTTP/1.1 304 Not Modified\r\n\r\n"),
        (b"GET /status/299 HTTP/1.1\r\n\r\n", b"HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n"),
        (
            b"GET /own HTTP/1.1\r\n\r\n",
            b"HTTP/1.1 202 Accepted\r\nContent-Length: 9\r\nX: y\r\n\r\nbody",
        ),
        (
            b"POST /ok HTTP/1.1\r\nContent-Length: 16777217\r\n\r\n",
            b"HTTP/1.1 413 Request Entity Too Large\r\nContent-Length: 0\r\n"
            b"Connection: close\r\n\r\n",
        ),
    ],
)
def test_a_response_byte_by_byte(receiver, connect, request_bytes, response):
    receiver.answer("/b", Answer(body=b"body"))
    receiver.answer("/own", Answer(202, b"body", {"Content-Length": "9", "X": "y"}))
    connection = connect()
    connection.sendall(request_bytes)
    got = b""
    while len(got) < len(response):
        got += connection.recv(1000)
    assert got == response


def test_a_body_has_at_most_16_mebibytes(receiver, connect):
    connection = connect()
    connection.sendall(b"POST /ok HTTP/1.1\r\nContent-Length: 16777216\r\n\r\n")
    connection.sendall(bytes(2**24))
    assert connection.recv(100).startswith(b"HTTP/1.1 200 OK")
    assert len(receiver.requests[0].body) == 2**24


def test_headers_of_a_name_are_joined_and_blanks_around_them_dropped(receiver, client):
    client.putrequest("GET", "/ok")
    for value in (" a \t", "\tb"):
        client.putheader("X-Two", value)
    client.endheaders()
    client.getresponse().read()
    assert receiver.requests[0].headers["x-two"] == "a, b"


def test_behaviour_changes_while_it_runs_and_the_longest_prefix_wins(receiver, client):
    receiver.answer("/a", Answer(500))
    receiver.answer("/a/b", Answer(202, b"yes", {"Retry-After": "5"}))
    assert ask(client, "GET", "/a/c") == (500, b"")
    assert ask(client, "GET", "/a/b/c") == (202, b"yes")
    receiver.answer("/a", Answer(204))
    assert ask(client, "GET", "/a") == (204, b"")


def test_a_function_may_answer_by_the_request(receiver, client):
    receiver.answer("/echo", lambda request: Answer(body=request.body[::-1]))
    assert ask(client, "POST", "/echo", b"abc") == (200, b"cba")


def test_raw_bytes_go_out_as_they_are(receiver, connect):
    receiver.answer("/", Raw(b"nonsense"))
    connection = connect()
    connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert read_all(connection) == b"nonsense"


def test_wait_for_a_number_of_requests(receiver, client):
    later = threading.Thread(target=ask, args=(client, "GET", "/later"))
    later.start()
    assert [request.path for request in receiver.wait_for(1)] == ["/later"]
    later.join()


def test_wait_for_a_condition(receiver, client):
    ask(client, "GET", "/one")
    requests = receiver.wait_for(lambda all: any(request.path == "/one" for request in all))
    assert len(requests) == 1


def test_waiting_in_vain_tells_how_many_came(receiver, client):
    ask(client, "GET", "/one")
    with pytest.raises(TimeoutError, match="only 1 requests"):
        receiver.wait_for(2, timeout_s=0.01)


def test_only_so_many_are_remembered_but_all_are_counted():
    with Receiver(keep=2) as receiver:
        client = http.client.HTTPConnection("127.0.0.1", receiver.port)
        for path in ("/1", "/2", "/3"):
            ask(client, "GET", path)
        client.close()
        assert [request.path for request in receiver.requests] == ["/2", "/3"]
        assert receiver.count == 3
        receiver.wait_for(3, timeout_s=0.01)


def test_the_callback_sees_each_request():
    seen = []
    with Receiver(on_request=seen.append) as receiver:
        client = http.client.HTTPConnection("127.0.0.1", receiver.port)
        ask(client, "GET", "/seen")
        client.close()
    assert [request.path for request in seen] == ["/seen"]


def test_closing_connections_leaves_the_port_open(receiver, client, connect):
    idle = connect()
    idle.sendall(b"GET /ok HTTP/1.1\r\n\r\n")
    receiver.wait_for(1)
    receiver.close_connections()
    assert read_all(idle).startswith(b"HTTP/1.1 200")
    assert ask(client, "GET", "/ok") == (200, b"")


@pytest.mark.parametrize("behaviour", [Answer(delay_s=60), Hang(), Drip(pause_s=0.001), Close()])
def test_stopping_frees_the_port_whatever_is_under_way(behaviour):
    receiver = Receiver(port=free_port()).start()
    receiver.answer("/", behaviour)
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=patient(5)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        receiver.wait_for(1)
        receiver.stop()
        read_all(connection)
    with Receiver(port=receiver.port) as next_one:
        assert next_one.port == receiver.port


def test_a_stopped_receiver_leaves_no_descriptor_open():
    with opening() as opened:
        receiver = Receiver().start()
    assert opened
    for _time in range(2):
        receiver.stop()
        assert opened.isdisjoint(open_descriptors())


def test_a_port_in_use_is_an_error(receiver):
    with pytest.raises(OSError, match="in use"):
        Receiver(port=receiver.port).start()


def test_one_that_cannot_start_leaves_no_descriptor_open(receiver):
    with opening() as opened, pytest.raises(OSError, match="in use"):
        Receiver(port=receiver.port).start()
    assert not opened


def test_it_speaks_ipv6_and_tls():
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("::1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with Receiver("::1", tls=context) as receiver:
        assert receiver.url == f"https://[::1]:{receiver.port}"
        client = http.client.HTTPSConnection(
            "::1", receiver.port, context=trusting, timeout=patient(5)
        )
        assert ask(client, "POST", "/ok", b"x") == (200, b"")
        client.close()
