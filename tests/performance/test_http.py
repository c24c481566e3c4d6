"""What a request costs whose connection is there already, by either transport."""

import select

import pytest

from callboard.adapters.http.curl import CurlTransport
from callboard.adapters.http.threaded import RequestsTransport
from performance.counting import c_calls, instructions

REQUESTS = 20
HEADERS = (("Content-Type", "application/json"), ("webhook-id", "ab" * 16))


@pytest.fixture
def send(receiver):
    transport = RequestsTransport(1.0, 5.0, ("127.0.0.0/8",))

    def send(times=1):
        for _ in range(times):
            answer = transport.send("POST", f"{receiver.url}/a", HEADERS, b"x" * 2_000)
            assert answer.status == 200

    send()
    yield send
    transport.close()


def test_calls_of_the_system_for_a_request(within, send):
    with c_calls() as calls:
        send(REQUESTS)
    counted = {
        "sent": ("send", "sendall", "sendmsg"),
        "received": ("recv", "recv_into"),
        "set": ("setsockopt", "settimeout", "setblocking"),
    }
    figures = {
        f"request: times {what}": sum(calls["socket", name] for name in names) / REQUESTS
        for what, names in counted.items()
    }
    waited = calls["poll", "poll"] + calls["epoll", "poll"] + calls["select", "select"]
    within("http", figures | {"request: times waited": waited / REQUESTS})
    assert not calls["socket", "connect"] + calls["socket", "connect_ex"]


def test_instructions_for_a_request(within, send):
    instructions(send)
    cost = instructions(lambda: send(REQUESTS)) / REQUESTS
    within("http", {"request: instructions": cost})


def test_instructions_for_a_request_by_libcurl(within, receiver):
    transport = CurlTransport(1.0, 5.0, ("127.0.0.0/8",))

    def send(times=1):
        for number in range(times):
            transport.begin(number, "POST", f"{receiver.url}/a", HEADERS, b"x" * 2_000)
            ended = []
            while not ended:
                select.select((transport,), (), ())
                ended = list(transport.ended())
            assert ended[0][1].status == 200

    send(2)
    cost = instructions(lambda: send(REQUESTS)) / REQUESTS
    assert receiver.connections == 1
    transport.close()
    within("http", {"request by libcurl: instructions": cost})
