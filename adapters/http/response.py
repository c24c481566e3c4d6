"""Responses to HTTP/1.1 requests: plain ones parsed here, others by http.client and urllib3.

Nearly all endpoints respond with a status, some fields and a short body of known length.
http.client and urllib3 take four times as long to read that as the rest of a delivery over HTTP
takes. Responses that are less plain are left to them completely.
"""

import http.client
import io
import re
import socket
from typing import Any, NamedTuple

from urllib3 import HTTPHeaderDict
from urllib3.response import HTTPResponse

from callboard.webhooks.retries.outcome import Response

_CHUNK = 64 * 1024
_FIELD = rb"\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*"
_PLAIN = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9][0-9])(?: [^\r\n\0]*)?((?:" + _FIELD + rb"){0,100})\r\n\r\n"
)
_BODILESS = (b"204", b"304")
_DECIMAL = re.compile(r"[0-9]+")
_FOLD = re.compile(r"\r?\n[ \t]+")  # RFC 9112, 5.2


class HttpResponse(NamedTuple):
    """A response, and whether its connection can be used again."""

    response: Response
    keep: bool


class _Head(NamedTuple):
    """A status and fields, and the start and end of the body in the received data."""

    status: int
    fields: dict[str, str]
    begins: int
    ends: int


def read_response(connection: socket.socket, method: str, limit: int) -> HttpResponse:
    """The response to a request. At most `limit` bytes of its body are read.

    Raises OSError, HTTPException, HTTPError or ValueError if the response is missing or incomplete.
    """
    received = bytearray() if method == "HEAD" else bytearray(connection.recv(_CHUNK))
    head = plain_head(received)
    if head is not None and head.ends - head.begins <= limit:
        while len(received) < head.ends and (more := connection.recv(_CHUNK)):
            received += more
        if len(received) >= head.ends:
            response = Response(head.status, head.fields, bytes(received[head.begins : head.ends]))
            return HttpResponse(response, keep=len(received) == head.ends)
    return _read_any(_Resumed(received, connection), method, limit)


def plain_head(received: bytes | bytearray) -> _Head | None:
    """The head of a response, if it arrived at once and is plain; else None.

    Plain: no field occurs twice or continues on a second line, the length is given, and the
    connection stays open.
    """
    found = _PLAIN.match(received)
    if found is None or found[1] in _BODILESS:
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
    return _Head(int(found[1]), fields, found.end(), found.end() + int(length))


class _Resumed(io.RawIOBase):
    """Received data followed by the rest from the socket; http.client uses it like a socket."""

    def __init__(self, received: bytearray, connection: socket.socket) -> None:
        self._received = received
        self._connection = connection
        self._over = False
        self.left = b""

    def makefile(self, _mode: str) -> io.BufferedReader:
        return _Reader(self)

    def end(self, reader: io.BufferedReader) -> None:
        """End reading; `left` is a part of any surplus data."""
        self._over = True
        self.left = reader.peek(1)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._received and self._over:
            return 0
        if not self._received:
            return self._connection.recv_into(buffer)
        part = self._received[: len(buffer)]
        del self._received[: len(buffer)]
        buffer[: len(part)] = part
        return len(part)


class _Reader(io.BufferedReader):
    """Notifies the connection when http.client has finished."""

    raw: _Resumed

    def close(self) -> None:
        if not self.closed:
            self.raw.end(self)
        super().close()


def _read_any(connection: Any, method: str, limit: int) -> HttpResponse:
    original = http.client.HTTPResponse(connection, method=method)
    original.begin()
    while 100 < original.status < 200 and original.status != http.HTTPStatus.SWITCHING_PROTOCOLS:
        original.headers = None  # type: ignore[assignment]
        original.begin()  # http.client reads on after 100 only (RFC 9110, 15.2).
    if original.status < 200:  # It is no response, and the data after it is not HTTP.
        raise http.client.HTTPException(f"interim status {original.status}")
    response = HTTPResponse(
        body=original,
        headers=HTTPHeaderDict((name, _value(text)) for name, text in original.msg.items()),
        status=original.status,
        preload_content=False,
        original_response=original,
        request_method=method,
    )
    body = response.read(limit + 1, decode_content=False)
    if response.length_remaining and len(body) <= limit:
        response.read(1)  # urllib3 reports an incomplete body only here.
    keep = (
        original.isclosed()
        and not original.will_close
        and not connection.left
        and _framed(original.msg)
    )
    fields = dict(response.headers.itermerged())
    return HttpResponse(
        Response(response.status, fields, body[:limit], cut=len(body) > limit), keep
    )


def _framed(fields: http.client.HTTPMessage) -> bool:
    """Whether all parsers would agree on the end of the body (RFC 9112, 6.3 and 11.2)."""
    codings = [_value(text).lower() for text in fields.get_all("transfer-encoding", [])]
    lengths = [_value(text) for text in fields.get_all("content-length", [])]
    if codings:
        return codings == ["chunked"] and not lengths
    return not lengths or (len(lengths) == 1 and _DECIMAL.fullmatch(lengths[0]) is not None)


def _value(text: str) -> str:
    """A field's value without surrounding whitespace and inner line breaks."""
    return _FOLD.sub(" ", text).strip(" \t")
