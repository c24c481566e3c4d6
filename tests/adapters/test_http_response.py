from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.adapters.http.response import (
    BadResponseError,
    ChunkedBody,
    HttpResponse,
    plain_head,
    read_response,
)
from callboard.webhooks.retries.outcome import Response
from performance.counting import instructions

LIMIT = 50
OK = b"HTTP/1.1 200 OK\r\n"

lines = st.sampled_from(
    [
        b"Server: nginx",
        b"X-Thing:a: b \t",
        b"x-thing: again",
        b"Empty:",
        "Name: Zo\xeb".encode("latin-1"),
        b"Content-Length: 3",
        b"content-length: 0",
        b"Content-Length: 5",
        b"Content-Length: +3",
        "Content-Length: \xb3".encode("latin-1"),
        b"Transfer-Encoding: chunked",
        b"Connection: keep-alive",
        b"Connection: close",
        b" folded",
        b"no colon",
        b"Bad Name: x",
        b"bare\nline: feed",
        b"",
    ]
)
status_lines = st.sampled_from(
    [
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 200",
        b"HTTP/1.1 500 a b",
        b"HTTP/1.0 200 OK",
        b"HTTP/1.1 204 No Content",
        b"HTTP/1.1 304 Not Modified",
        b"HTTP/1.1 100 Continue",
        b"HTTP/1.1 600 What",
        b"HTTP/2 200",
    ]
)
bodies = st.sampled_from([b"", b"abc", b"abcde", b"3\r\nabc\r\n0\r\n\r\n"])


class Arriving:
    """A socket that receives one part at a time, and then the end."""

    def __init__(self, parts):
        self.parts = deque(filter(None, parts))

    def recv(self, size):
        part = self.parts.popleft() if self.parts else b""
        if len(part) > size:
            self.parts.appendleft(part[size:])
        return part[:size]

    def recv_into(self, buffer):
        part = self.recv(len(buffer))
        buffer[: len(part)] = part
        return len(part)


def answer(parts, method="POST", limit=LIMIT):
    """What is read; a connection on which more has yet to arrive must not be kept either."""
    connection = Arriving(parts)
    try:
        read = read_response(connection, method, limit)
        return read._replace(keep=read.keep and not connection.parts)
    except (OSError, BadResponseError) as error:
        return type(error)


@given(status_lines, st.lists(lines, max_size=4), bodies)
def test_a_plain_answer_means_the_same_as_one_that_arrives_byte_by_byte(status, fields, body):
    data = b"\r\n".join([status, *fields]) + b"\r\n\r\n" + body
    at_once = answer([data])
    assert at_once == answer([data[index : index + 1] for index in range(len(data))])


@pytest.mark.parametrize("cut", range(1, 45))
def test_an_answer_may_come_in_pieces(cut):
    data = OK + b"Content-Length: 5\r\n\r\nhello"
    fields = {"Content-Length": "5"}
    assert answer([data[:cut], data[cut:]]) == HttpResponse(
        Response(200, fields, b"hello"), keep=True
    )


@pytest.mark.parametrize("continued", [b" x more", b"\tx more", b" \t x more \t"])
def test_a_field_may_continue_on_another_line(continued):
    """RFC 9112, 5.2: a space stands for the end of the line and the blanks after it."""
    data = OK + b"X-A: one\r\n" + continued + b"\r\nContent-Length: 3\r\n\r\nabc"
    fields = {"X-A": "one x more", "Content-Length": "3"}
    assert answer([data]) == HttpResponse(Response(200, fields, b"abc"), keep=True)


def test_an_answer_without_a_length_is_not_plain():
    assert plain_head(OK + b"Server: x\r\n\r\n") is None


@pytest.mark.parametrize("rest", [b"", b"Server: a\r\nServer: b\r\n"], ids=["plain", "not plain"])
def test_what_a_dripping_body_costs_does_not_depend_on_its_head(rest):
    def cost(fields, dripping):
        head = b"".join((OK, b"Content-Length: 400\r\n", rest, *fields, b"\r\n"))
        parts = [head + b"x" * (400 - dripping), *[b"x"] * dripping]
        return instructions(lambda: answer(parts, limit=400))

    def of_200_bytes(fields):
        return cost(fields, 300) - cost(fields, 100)

    many = [b"X-%d: a\r\n" % number for number in range(90)]
    cost(many, 0)  # What is looked up but once is not counted.
    assert of_200_bytes(many) < 1.1 * of_200_bytes([])


@pytest.mark.parametrize(
    "head",
    [
        OK + b"Content-Length: 3\r\n\r\n",
        OK + b"Server: x\r\nContent-Length: 3\r\nConnection: Keep-Alive\r\n\r\n",
        b"HTTP/1.1 503 No\r\ncontent-length:3\r\nRetry-After: 120\r\n\r\n",
    ],
)
def test_what_most_endpoints_answer_is_plain(head):
    assert plain_head(head).ends == len(head) + 3


@pytest.mark.parametrize(("length", "plain"), [(b"9" * 9, True), (b"9" * 10, False)])
def test_a_length_of_more_than_nine_digits_is_not_plain(length, plain):
    assert (plain_head(OK + b"Content-Length: " + length + b"\r\n\r\n") is not None) is plain


def test_the_connection_of_an_answer_after_an_interim_one_is_kept():
    data = b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + OK + b"Content-Length: 3\r\n\r\nabc"
    kept = HttpResponse(Response(200, {"Content-Length": "3"}, b"abc"), keep=True)
    assert answer([data]) == answer([data[:50], data[50:]]) == kept


def test_an_answer_to_head_has_no_body():
    data = OK + b"Content-Length: 5\r\n\r\n"
    assert answer([data], "HEAD") == HttpResponse(Response(200, {"Content-Length": "5"}), keep=True)


@pytest.mark.parametrize(
    ("whole", "body"),
    [
        (OK + b"Content-Length: 0\r\n\r\n", b""),
        (OK + b"Content-Length: 5\r\n\r\nhello", b"hello"),
        (OK + b"Server: a\r\nServer: b\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
    ids=["empty", "plain", "not plain", "chunked", "without a body"],
)
@pytest.mark.parametrize("rest", [b"HTTP/1.1 200 OK\r\nContent-Le", b"x" * 60_000])
def test_a_connection_on_which_more_came_than_the_answer_is_not_kept(whole, body, rest):
    alone, surplus = answer([whole]), answer([whole + rest])
    in_pieces = answer([whole[:30], whole[30:] + rest])
    assert (alone.response.body, alone.keep) == (body, True)
    assert surplus == in_pieces == alone._replace(keep=False)


@pytest.mark.parametrize(
    ("framing", "keep"),
    [
        (b"Content-Length: 3", True),
        (b"Content-Length: 3\r\nContent-Length: 3", False),
        (b"Content-Length: 3, 3", False),
        (b"Content-Length: 3\r\nConnection: close", False),
        (b"Server: x", False),
        (b"Content-Length: 3\r\nConnection: Keep-Alive", True),
    ],
)
def test_a_connection_is_kept_only_if_all_agree_where_the_body_ends(framing, keep):
    read = answer([OK + framing + b"\r\n\r\nabc"])
    assert (read.response.body, read.keep) == (b"abc", keep)


@pytest.mark.parametrize(
    ("version", "options", "keep"),
    [
        (b"1", b"", True),
        (b"1", b"Connection: keep-alive", True),
        (b"1", b"Connection: Close", False),
        (b"1", b"Connection: x, close", False),
        (b"1", b"Connection: closed", True),
        (b"0", b"", False),
        (b"0", b"Connection: Keep-Alive", True),
        (b"0", b"Connection: x , keep-alive", True),
        (b"0", b"Connection: close", False),
    ],
)
def test_a_connection_lasts_by_its_version_and_options(version, options, keep):
    """RFC 9112, 9.3; also of a head that is repeated, which is not plain."""
    for more in (b"", b"Server: a\r\nServer: b\r\n"):
        head = b"HTTP/1." + version + b" 200 OK\r\n" + options + (b"\r\n" if options else b"")
        read = answer([head + more + b"Content-Length: 3\r\n\r\nabc"])
        assert (read.response.body, read.keep) == (b"abc", keep)


@pytest.mark.parametrize(
    ("head", "keep"),
    [
        (OK, True),
        (OK + b"Content-Length: 3\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", False),
    ],
)
def test_an_answer_in_chunks_is_the_last_if_it_might_be_read_otherwise(head, keep):
    """RFC 9112, 6.1: it also has a length, or is of HTTP/1.0, which has no chunks."""
    read = answer([head + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"])
    assert (read.response.body, read.keep) == (b"abc", keep)


@pytest.mark.parametrize(
    ("before", "unit", "after", "in_all"),
    [
        (b"1\r\nx\r\n0\r\nX: ", b"a", b"\r\n\r\n", 7),  # a trailer and the last line
        (b"1;", b"a", b"\r\nx\r\n0\r\n\r\n", 4),  # an extension and the last chunk
        (b"1;aa\r\nx\r\n0;", b"a", b"\r\n\r\n", 7),  # extensions of two chunks
    ],
)
def test_chunks_may_have_64_kib_beside_their_data(before, unit, after, in_all):
    """RFC 9112, 7.1.1: a recipient limits the length of extensions; likewise of trailers."""
    room = 64 * 1024 - in_all
    body = ChunkedBody(100)
    assert not body.feed(before + unit * room + after)
    assert (bytes(body.body), body.ended) == (b"x", True)
    with pytest.raises(BadResponseError, match="too long"):
        ChunkedBody(100).feed(before + unit * (room + 1) + after)


def test_a_chunk_has_less_than_8_exbibytes():
    """As libcurl has it: the length is a number of 63 bits."""
    body = ChunkedBody(100)
    assert not body.feed(b"7fffffffffffffff\r\nx")
    assert bytes(body.body) == b"x"
    with pytest.raises(BadResponseError, match="a chunk of 9223372036854775808 bytes"):
        ChunkedBody(100).feed(b"8000000000000000\r\n")


def test_what_follows_chunks_is_seen_and_a_longer_body_is_cut():
    whole = b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n"
    body = ChunkedBody(13)
    assert body.feed(whole + b"H")
    assert (bytes(body.body), body.ended, body.cut) == (b"abc0123456789", True, False)
    cut = ChunkedBody(12)
    cut.feed(whole)
    assert (bytes(cut.body), cut.ended, cut.cut) == (b"abc012345678", False, True)


def test_heads_have_64_kib_in_all():
    """The interim one, too."""

    def read(size, interim=b""):
        head = interim + OK + b"Server: a\r\nServer: b\r\nContent-Length: 3\r\nX: "
        filling = b"a" * (size - len(head) - len(b"\r\n\r\n"))
        return answer([head + filling + b"\r\n\r\nabc"], limit=100_000)

    assert read(64 * 1024).response.body == b"abc"
    assert read(64 * 1024 + 1) is BadResponseError
    early = b"HTTP/1.1 103 Early Hints\r\nLink: " + b"x" * 1000 + b"\r\n\r\n"
    assert read(64 * 1024, early).response.body == b"abc"
    assert read(65 * 1024, early) is BadResponseError


CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
LONG = b"y" * 60


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (LONG + b"\r\n\r\n", f"no status line: {LONG[:40]!r}"),
        (b"HTTP/1.1 20 " + LONG + b"\r\n\r\n", f"no status line: {b'HTTP/1.1 20 ' + LONG[:28]!r}"),
        (OK + LONG + b"\r\n\r\n", f"no header: {LONG[:40]!r}"),
        (OK + b"X: y\r\n" * 101 + b"\r\n", "more than 100 headers"),
        (OK + b"Transfer-Encoding: " + LONG + b"\r\n\r\n", f"transfer coding {'y' * 40!r}"),
        (OK + b"Content-Length: " + LONG + b"\r\n\r\n", f"Content-Length {'y' * 40!r}"),
        (OK + b"Content-Length: " + b"9" * 19 + b"\r\n\r\n", f"Content-Length {'9' * 19!r}"),
        (CHUNKED + LONG + b"\r\n", f"no chunk: {LONG[:40]!r}"),
        (CHUNKED + b"8000000000000000\r\n", "a chunk of 9223372036854775808 bytes"),
        (CHUNKED + b"2\r\nokX\r\n", "a chunk does not end where it should"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "interim status 101"),
        (OK + b"X: " + LONG * 1100, "too long"),
        (OK + b"Content-Length: 5\r\n\r\nhell", "the response broke off"),
        (OK + b"Server: a\r\nServer: b\r\nContent-Length: 5\r\n\r\nhell", "the response broke off"),
        (CHUNKED + b"5\r\nhell", "the response broke off"),
        (OK + b"Content-Le", "the response broke off"),
        (b"", "the response broke off"),
    ],
)
def test_a_fault_is_named_with_the_begin_of_the_line(data, text):
    """At most 40 bytes of it: the text is logged, and shown in the attempt."""
    with pytest.raises((BadResponseError, ConnectionError)) as fault:
        read_response(Arriving([data]), "POST", LIMIT)
    assert str(fault.value) == text


@pytest.mark.parametrize(
    ("data", "method", "limit", "expected"),
    [
        (OK + b"X: y\r\n" * 99 + b"Content-Length: 2\r\n\r\nok", "POST", 2, (b"ok", False, True)),
        (OK + b"Content-Length: 3\r\n\r\nabc", "POST", 2, (b"ab", True, False)),
        (OK + b"Content-Length: 3\r\n\r\nabc", "POST", 3, (b"abc", False, True)),
        (OK + b"Server: x\r\n\r\nabc", "POST", 2, (b"ab", True, False)),
        (OK + b"Server: x\r\n\r\nabc", "POST", 3, (b"abc", False, False)),
        (CHUNKED + b"3\r\nabc\r\n0\r\n\r\n", "POST", 2, (b"ab", True, False)),
        (CHUNKED + b"3\r\nabc\r\n0\r\n\r\n", "POST", 3, (b"abc", False, True)),
        (CHUNKED, "HEAD", 3, (b"", False, True)),
        (OK + b"Content-Length: " + b"9" * 18 + b"\r\n\r\nabc", "POST", 2, (b"ab", True, False)),
        (b"HTTP/1.1 304 No\r\nContent-Length: 3\r\n\r\n", "GET", 3, (b"", False, True)),
        (b"HTTP/1.1 103 E\r\n\r\n" + CHUNKED + b"0\r\n\r\n", "GET", 3, (b"", False, True)),
    ],
)
def test_a_body_is_read_up_to_the_limit(data, method, limit, expected):
    response, keep = read_response(Arriving([data]), method, limit)
    assert (response.body, response.cut, keep) == expected
