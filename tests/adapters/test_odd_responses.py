"""The table of docs/responses.md, against both transports."""

import re
from pathlib import Path

import pytest

import callboard
from callboard.adapters.http.address_guard import AddressGuard
from callboard.adapters.receiver.server import Raw
from callboard.webhooks.retries.outcome import Response
from support.http import LOOPBACK
from support.receiver import Receiver

PAGE = Path(callboard.__file__).parent / "docs" / "responses.md"
_ROW = re.compile(r"\| (.+) \| (its status|closed|bad_response) \| ")

CLOSED, BAD = "socket_closed_remotely", "bad_response"
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
LENGTH = b"Content-Length: 2\r\n"
OF_TWO = LENGTH + b"\r\nok"
INTERIM = b"HTTP/1.1 102 W\r\n\r\n"
IN_CHUNKS = b"2\r\nok\r\n0\r\n\r\n"


def headers(*lines):
    return tuple(OK + line + b"\r\n" + OF_TWO for line in lines)


def lengths(*values):
    return tuple(OK + b"Content-Length:" + value + b"\r\n\r\nok" for value in values)


def status_lines(*lines):
    return tuple(line + b"\r\n" + OF_TWO for line in lines)


def codings(*fields):
    return tuple(OK + field + b"\r\n\r\n" + IN_CHUNKS for field in fields)


ODD = (
    (),
    (b"HTTP/1.1 20", OK + b"Content-Le", OK + LENGTH),
    (OK + b"Content-Length: 5\r\n\r\nok",),
    (CHUNKED + b"2\r\nok\r\n", CHUNKED + b"2\r\nok\r\n0\r\n", CHUNKED + b"5\r\nok"),
    lengths(b" 999999999999999999"),
    lengths(b" 2, 2", b" 2\r\nContent-Length: 2"),
    lengths(b" -1", b" +2", b" 2x", b" abc", b""),
    lengths(b" 2, 3", b" 2\r\nContent-Length: 3"),
    lengths(b" 99999999999999999999"),
    status_lines(b"HTTP/1.1 200"),
    status_lines(b"HTTP/1.0 200 OK"),
    status_lines(b"HTTP/1.1 999 What"),
    status_lines(b"HTTP/1.1 2000 OK", b"HTTP/1.1 20 OK", b"HTTP/1.1 099 OK"),
    status_lines(
        *(v + b" 200 OK" for v in (b"HTTP/3", b"HTTP/2", b"HTTP/2.0", b"HTTP/0.9", b"ICY"))
    ),
    status_lines(b"HTTP/1.2 200 OK"),
    status_lines(b"http/1.1 200 OK", b"HTTP/1.1  200 OK", b"HTTP/1.1\t200 OK"),
    (b"\r\n" + OK + OF_TWO,),
    ((OK + OF_TWO).replace(b"\r\n", b"\n"),),
    headers(b"X: a\r\n b"),
    headers(b" b"),
    (*headers(b"X: a\0b", b"X: a\rb"), *status_lines(b"HTTP/1.1 200 O\0K")),
    headers(b"no colon", b": a", b"X : a", b"Content-Length : 2"),
    headers(b"X: y\r\n" * 100 + b"X: y", b"X: " + b"y" * 70_000),
    (INTERIM * 3000 + OK + OF_TWO,),
    (INTERIM * 10_000 + OK + OF_TWO,),
    (b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + OK + OF_TWO,),
    (b"HTTP/1.1 204 No\r\n" + OF_TWO, b"HTTP/1.1 304 No\r\nTransfer-Encoding: chunked\r\n\r\n"),
    (
        *codings(b"Transfer-Encoding: chunked\r\nContent-Length: 9"),
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + IN_CHUNKS,
    ),
    codings(
        b"Transfer-Encoding: identity\r\nContent-Length: 2",
        b"Transfer-Encoding: gzip",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    ),
    (CHUNKED + b"2;a=b\r\nok\r\n0\r\n\r\n", CHUNKED + b"2\r\nok\r\n0\r\nTrailer: 1\r\n\r\n"),
    (
        CHUNKED + b"2;" + b"a" * 100_000 + b"\r\nok\r\n0\r\n\r\n",
        CHUNKED + b"1;" + b"a" * 500 + b"\r\nx\r\n" + b"1;aaa\r\nx\r\n" * 20_000 + b"0\r\n\r\n",
        CHUNKED + b"2\r\nok\r\n0\r\n" + b"T: 1\r\n" * 20_000 + b"\r\n",
    ),
    tuple(
        CHUNKED + size + b"\r\nok\r\n0\r\n\r\n"
        for size in (b"-2", b"0x2", b"2 x", b"0" * 16 + b"2", b"f" * 16)
    ),
    (CHUNKED + b"2\nok\n0\n\n", CHUNKED + b"2\r\nokX\r\n0\r\n\r\n"),
)
"""The responses of each row of the table, in its order."""

ROWS = [(row[1], row[2]) for row in map(_ROW.match, PAGE.read_text("utf-8").splitlines()) if row]
CASES = [
    pytest.param(data, outcome, id=f"{row}-{number}")
    for row, ((_text, outcome), responses) in enumerate(zip(ROWS, ODD, strict=True))
    for number, data in enumerate(responses or (b"",))
]


@pytest.fixture(scope="module")
def transport(transport_class):
    transport = transport_class(30, 30, guard=AddressGuard(LOOPBACK))
    yield transport
    transport.close()


@pytest.fixture(scope="module")
def receiver():
    with Receiver() as receiver:
        yield receiver


@pytest.mark.parametrize(("data", "outcome"), CASES)
def test_both_transports_judge_as_the_table_says(transport, receiver, data, outcome):
    receiver.answer("/", Raw(data))
    judged = transport.send("POST", receiver.url, (), b"x")
    if outcome == "its status":
        assert isinstance(judged, Response), judged
        assert judged.status == int(re.search(rb"HTTP/1\.[01] (2..|304|999)", data)[1])
        assert judged.body == (b"" if judged.status in (204, 304) else b"ok")
    else:
        assert getattr(judged, "kind", judged) == (CLOSED if outcome == "closed" else BAD)
