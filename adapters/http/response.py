"""Responses to HTTP/1.1 requests: one judgement of their heads and bodies for both transports.

The rules are those of RFC 9112; docs/responses.md lists the refused ones. The transport `requests`
reads with `read_response`; `curl` passes the lines of the head and a chunked body as they arrived.
"""

import re
import socket
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from callboard.webhooks.retries.outcome import Response

HEADERS_BYTES = 64 * 1024
"""The most bytes of a response's heads, interim ones included, and of its trailers."""
MAX_HEADERS = 100
"""The most header lines of a response."""
MAX_LENGTH_DIGITS = 18
"""A longer `Content-Length` overflows 63 bits, and is a mistake."""

MAX_CHUNK_BYTES = 2**63 - 1
"""A larger chunk is a mistake: 7.1 of RFC 9112 warns of sizes that overflow."""

_CHUNK = 64 * 1024
_FIELD = rb"\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*"
_PLAIN = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9][0-9])(?: [^\r\n\0]*)?((?:" + _FIELD + rb"){0,100})\r\n\r\n"
)
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: [^\r\n\0]*)?")  # RFC 9112, 4
_FIELD_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\r\n\0]*)")  # RFC 9112, 5
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n\0]*)?\r\n")  # RFC 9112, 7.1
_DECIMAL = re.compile(r"[0-9]+")
_BODILESS = (204, 304)
_NOT_PLAIN = (b"204", b"304")


class BadResponseError(ValueError):
    """A response that is not valid HTTP/1.1; the text names the fault."""


class HttpResponse(NamedTuple):
    """A response, and whether its connection can be used again."""

    response: Response
    keep: bool


class Head(NamedTuple):
    """The head of a response.

    `length`: of the body in bytes; None if the response does not state it. `keep`: whether the
    connection can be used again after the body.
    """

    status: int
    fields: Mapping[str, str]
    length: int | None
    chunked: bool
    keep: bool


class _PlainHead(NamedTuple):
    """A status and fields, and the start and end of the body in the received data."""

    status: int
    fields: dict[str, str]
    begins: int
    ends: int


def head_of(lines: Iterable[bytes]) -> Head:
    """The head with these lines, the status line first; each may end with its line break.

    Raises BadResponseError.
    """
    status_line, *rest = [line.removesuffix(b"\n").removesuffix(b"\r") for line in lines] or [b""]
    found = _STATUS_LINE.fullmatch(status_line)
    if found is None:
        raise BadResponseError(f"no status line: {status_line[:40]!r}")
    fields = _fields(rest)
    known = {name.lower(): value for name, value in fields.items()}
    chunked = "transfer-encoding" in known
    if chunked and known["transfer-encoding"].lower() != "chunked":
        # Nothing else was asked for (TE), and parsers disagree on where such a body ends.
        raise BadResponseError(f"transfer coding {known['transfer-encoding'][:40]!r}")
    length = _length(known["content-length"]) if "content-length" in known else None
    options = {option.strip().lower() for option in known.get("connection", "").split(",")}
    lasts = "close" not in options if found[1] != b"0" else "keep-alive" in options
    framed = not (chunked and ("content-length" in known or found[1] == b"0"))  # RFC 9112, 6.1
    single = known.get("content-length", "").isdecimal() or length is None
    return Head(
        int(found[2]), fields, None if chunked else length, chunked, lasts and framed and single
    )


def has_body(head: Head, method: str) -> bool:
    """Whether a body follows the head of a response to this method (RFC 9112, 6.3)."""
    return method != "HEAD" and head.status not in _BODILESS


def _fields(lines: Iterable[bytes]) -> dict[str, str]:
    """The fields by their first spelling; values of repeated ones are joined (RFC 9110, 5.3)."""
    unfolded: list[bytes] = []
    for number, line in enumerate(lines):
        if number >= MAX_HEADERS:
            raise BadResponseError(f"more than {MAX_HEADERS} headers")
        if line[:1] in (b" ", b"\t") and unfolded:
            unfolded[-1] += b" " + line.lstrip(b" \t")  # RFC 9112, 5.2
        else:
            unfolded.append(line)
    fields: dict[str, str] = {}
    names: dict[str, str] = {}
    for line in unfolded:
        found = _FIELD_LINE.fullmatch(line)
        if found is None:
            raise BadResponseError(f"no header: {line[:40]!r}")
        name, value = found[1].decode(), found[2].decode("latin-1").strip(" \t")
        first = names.setdefault(name.lower(), name)
        fields[first] = f"{fields[first]}, {value}" if first in fields else value
    return fields


def _length(value: str) -> int:
    """The `Content-Length`, which may be a list of equal numbers (RFC 9112, 6.3)."""
    numbers = {number.strip(" \t") for number in value.split(",")}
    number = numbers.pop()
    if numbers or not _DECIMAL.fullmatch(number) or len(number) > MAX_LENGTH_DIGITS:
        raise BadResponseError(f"Content-Length {value[:40]!r}")
    return int(number)


class ChunkedBody:
    """Decodes a chunked body (RFC 9112, 7.1) as it arrives, up to `limit` bytes.

    `body`: the data so far. `ended`: the last chunk and the trailers have arrived. `cut`: the body
    is longer than the limit; no more of it is needed.
    """

    def __init__(self, limit: int) -> None:
        self.body = bytearray()
        self.ended = self.cut = False
        self._limit = limit
        self._received = bytearray()
        self._left = 0
        self._ends_chunk = self._in_trailers = False
        self._overhead = 0

    def feed(self, data: bytes | bytearray) -> bool:
        """Decode more data; whether data follow the end of the body. Raises BadResponseError."""
        self._received += data
        while not self.ended and not self.cut and self._received:
            if self._left:
                self._take_data()
            elif not self._take_line():
                break
        return self.ended and bool(self._received)

    def _take_data(self) -> None:
        part = self._received[: self._left]
        del self._received[: self._left]
        self._left -= len(part)
        room = self._limit - len(self.body)
        self.body += part[:room]
        self.cut = len(part) > room

    def _take_line(self) -> bool:
        """Handle one line; False if its end has not arrived."""
        end = self._received.find(b"\n") + 1
        if self._overhead + (end or len(self._received)) > HEADERS_BYTES:
            raise BadResponseError("too long")
        if not end:
            return False
        line = bytes(self._received[:end])
        del self._received[:end]
        if self._in_trailers:
            self._overhead += len(line)
            self.ended = line in (b"\r\n", b"\n")
        elif self._ends_chunk:
            if line != b"\r\n":
                raise BadResponseError("a chunk does not end where it should")
            self._ends_chunk = False
        else:
            self._begin_chunk(line)
        return True

    def _begin_chunk(self, line: bytes) -> None:
        found = _CHUNK_LINE.fullmatch(line)
        if found is None:
            raise BadResponseError(f"no chunk: {line[:40]!r}")
        self._overhead += len(line) - len(found[1]) - len(b"\r\n")
        self._left = int(found[1], 16)
        if self._left > MAX_CHUNK_BYTES:
            raise BadResponseError(f"a chunk of {self._left} bytes")
        self._ends_chunk = self._left > 0
        self._in_trailers = self._left == 0


def read_response(connection: socket.socket, method: str, limit: int) -> HttpResponse:
    """The response to a request. At most `limit` bytes of its body are read.

    Raises OSError, ConnectionError if it is missing or incomplete, and BadResponseError.
    """
    received = bytearray() if method == "HEAD" else bytearray(connection.recv(_CHUNK))
    head = plain_head(received)
    if head is not None and head.ends - head.begins <= limit:
        while len(received) < head.ends and (more := connection.recv(_CHUNK)):
            received += more
        if len(received) >= head.ends:
            response = Response(head.status, head.fields, bytes(received[head.begins : head.ends]))
            return HttpResponse(response, keep=len(received) == head.ends)
        raise _broken_off()
    return _read_any(_Arriving(received, connection), method, limit)


def plain_head(received: bytes | bytearray) -> _PlainHead | None:
    """The head of a response, if it arrived at once and is plain; else None.

    Plain: no field occurs twice or continues on a second line, the length is given, and the
    connection stays open. Nearly all responses are, and this reads them four times as fast.
    """
    found = _PLAIN.match(received)
    if found is None or found[1] in _NOT_PLAIN:
        return None
    fields = {}
    for line in found[2].decode("latin-1").split("\r\n")[1:]:
        name, _, value = line.partition(":")
        fields[name] = value.strip(" \t")
    known = {name.lower(): value for name, value in fields.items()}
    length = known.get("content-length", "")
    if (
        len(known) < found[2].count(b"\r\n")
        or not (length.isascii() and length.isdecimal())
        or len(length) > 9
        or "transfer-encoding" in known
        or known.get("connection", "keep-alive").lower() != "keep-alive"
    ):
        return None
    return _PlainHead(int(found[1]), fields, found.end(), found.end() + int(length))


class _Arriving:
    """Received data, followed by the rest from the socket."""

    def __init__(self, received: bytearray, connection: socket.socket) -> None:
        self.received = received
        self._connection = connection

    def more(self) -> bool:
        """Receive more; False at the end of the connection."""
        part = self._connection.recv(_CHUNK)
        self.received += part
        return bool(part)

    def head(self, most: int) -> list[bytes]:
        """The lines of a head of at most this number of bytes, without the empty one."""
        lines: list[bytes] = []
        size = start = 0
        while True:
            if not lines:
                _check_start(self.received)
            end = self.received.find(b"\n", start) + 1
            if size + (end or len(self.received)) > most:
                raise BadResponseError("too long")
            if not end:
                start = len(self.received)
                if not self.more():
                    raise _broken_off()
                continue
            line = bytes(self.received[:end])
            del self.received[:end]
            start = 0
            size += end
            if line in (b"\r\n", b"\n") and lines:
                return lines
            lines.append(line)

    def data(self, size: int | None, most: int) -> bytes:
        """The next `size` bytes, or all to the end of the connection; no more than `most`."""
        wanted = most if size is None else min(size, most)
        while len(self.received) < wanted and self.more():
            pass
        if size is not None and len(self.received) < wanted:
            raise _broken_off()
        part = bytes(self.received[:wanted])
        del self.received[:wanted]
        return part


def _check_start(received: bytes | bytearray) -> None:
    """Refuse other data than HTTP at once: its first line might never end."""
    if received[:5] != b"HTTP/"[: len(received)]:
        raise BadResponseError(f"no status line: {bytes(received[:40])!r}")


def _broken_off() -> ConnectionError:
    return ConnectionError("the response broke off")


def _read_any(arriving: _Arriving, method: str, limit: int) -> HttpResponse:
    head = _final_head(arriving)
    body, cut = b"", False
    if not has_body(head, method):
        pass
    elif head.chunked:
        decoder = ChunkedBody(limit)
        surplus = decoder.feed(arriving.received)
        arriving.received.clear()
        while not (decoder.ended or decoder.cut):
            if not arriving.more():
                raise _broken_off()
            surplus = decoder.feed(arriving.received)
            arriving.received.clear()
        body, cut = bytes(decoder.body), decoder.cut
        head = head._replace(keep=head.keep and not surplus)
    else:
        body = arriving.data(head.length, limit + 1)
        body, cut = body[:limit], len(body) > limit
        head = head._replace(keep=head.keep and head.length is not None)
    response = Response(head.status, head.fields, body, cut=cut)
    return HttpResponse(response, head.keep and not cut and not arriving.received)


def _final_head(arriving: _Arriving) -> Head:
    """The head after the interim ones (RFC 9110, 15.2)."""
    left = HEADERS_BYTES
    while True:
        lines = arriving.head(left)
        left -= sum(map(len, lines))
        head = head_of(lines)
        if head.status >= 200:
            return head
        if head.status == 101:  # It is no response, and the data after it is not HTTP.
            raise BadResponseError("interim status 101")
