"""One request by libcurl: its options, and the interpretation of its result."""

import math
import socket
import ssl
from http.client import HTTPException
from typing import Any
from urllib.parse import unquote

import pycurl
from attrs import field, frozen
from urllib3.util import parse_url

from callboard.adapters.http.address_guard import Candidate
from callboard.adapters.http.client_certificates import TlsProfile
from callboard.adapters.http.connection import BODILESS, CLOSED, connect_error, exchange_error
from callboard.adapters.http.descriptors import leave_some
from callboard.adapters.http.policy import Hop
from callboard.adapters.http.response import (
    HEADERS_BYTES,
    BadResponseError,
    ChunkedBody,
    Head,
    has_body,
    head_of,
)
from callboard.adapters.http.target import absolute_form, encoded_path
from callboard.adapters.http.tls_errors import PREFIX, reason_in
from callboard.webhooks.retries.outcome import ClientError, Outcome, Response

_TLS = (
    pycurl.E_SSL_CONNECT_ERROR,
    pycurl.E_PEER_FAILED_VERIFICATION,
    pycurl.E_SSL_CERTPROBLEM,
    pycurl.E_SSL_CIPHER,
    pycurl.E_SSL_CACERT_BADFILE,
)
_ALERT = " alert "
"""In OpenSSL's text for an alert that arrives with the response, as TLS 1.3 permits."""
_HUNG_UP = ("SSL_ERROR_SYSCALL", "SSL_ERROR_ZERO_RETURN", "unexpected eof", "Connection reset")
_LARGE = 16 * 1024
"""A body of more bytes is freed before the next request."""


@frozen
class Proxy:
    """An HTTP proxy; `credentials`: user:password."""

    host: str
    port: int
    credentials: str | None = field(default=None, repr=False)


def proxy_of(url: str) -> Proxy | None:
    """The proxy of a `http://user:password@host:port`; None for an empty URL."""
    if not url:
        return None
    parts = parse_url(url)
    auth = None if parts.auth is None else unquote(parts.auth)
    return Proxy((parts.host or "").strip("[]"), parts.port or 80, auth)


class CurlRequest:
    """Makes the requests of one hop after another, on connections that libcurl keeps.

    `easy` is libcurl's handle, `call` its current use, `address` the latest. The request is sent at
    most once in an attempt: libcurl itself would repeat it on each stale connection until one
    works.
    """

    def __init__(self, ca_bundle: str, max_response_bytes: int, proxy: Proxy | None) -> None:
        self._limit = max_response_bytes
        self._proxied = proxy is not None
        self._tls: TlsProfile | None = None
        self._does: tuple[str, bool] | None = None
        self._to: tuple[str, str, str] | None = None
        self._body_size = 0
        self.address: Candidate | None = None
        self.call: Any = None
        self.easy = pycurl.Curl()
        self.easy.request = self
        self._set(
            PROTOCOLS=pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS,
            HTTP_VERSION=pycurl.CURL_HTTP_VERSION_1_1,
            SSLVERSION=pycurl.SSLVERSION_TLSv1_2,
            CAINFO=ca_bundle,
            NOSIGNAL=1,
            HTTP_CONTENT_DECODING=0,
            HTTP_TRANSFER_DECODING=0,  # Chunks are judged by the rules of both transports.
            PROXY="",  # The environment is ignored.
            HEADERFUNCTION=self._header,
            WRITEFUNCTION=self._body,
            OPENSOCKETFUNCTION=self._socket,
            PREREQFUNCTION=self._goes_out,
        )
        if proxy is not None:
            self._set(NOPROXY="")
            if proxy.credentials is not None:
                self._set(PROXYUSERPWD=proxy.credentials, PROXYAUTH=pycurl.HTTPAUTH_BASIC)

    def prepare(self, hop: Hop) -> None:
        """Set the content and the destination."""
        request, target = hop.request, hop.target
        to_proxy = self._proxied and target.scheme == "http"
        path = absolute_form(request.url) if to_proxy else encoded_path(request.url)
        fields = hop.fields()
        names = {name.lower() for name, _value in fields}
        # Without these libcurl would add some of its own.
        lines = [
            b"%s:" % name.encode() for name in ("Accept", "Expect") if name.lower() not in names
        ]
        if "content-type" not in names:
            lines.append(b"Content-Type:")
        for name, value in fields:
            line = f"{name}: {value}" if value.strip() else f"{name};"
            lines.append(line.encode("latin-1"))
        self.easy.setopt(pycurl.HTTPHEADER, lines)
        to = target.scheme, target.authority, path
        if to != self._to:
            self._to = to
            self._set(URL=f"{target.scheme}://{target.authority}/", REQUEST_TARGET=path)
        self._do(request.method, request.body)
        self._secure(hop.tls)

    def attempt(
        self, address: Candidate, left_s: float, connect_s: float | None, *, afresh: bool
    ) -> None:
        """Set the connection: a kept one to that address, or a new one.

        `connect_s`: the time for opening it; None: no new one. `afresh`: no kept one. `left_s`: the
        time for the whole attempt.
        """
        self._begin()
        self._connects = connect_s is not None
        if address != self.address:
            self.address = address
            host, port = address.address[:2]
            place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            if self._proxied:
                self._set(PROXY=f"http://{place}")
            else:
                self._set(CONNECT_TO=[f"::{place}"])
        setopt = self.easy.setopt
        setopt(pycurl.TIMEOUT_MS, _ms(left_s))
        if connect_s is not None:
            setopt(pycurl.CONNECTTIMEOUT_MS, _ms(connect_s))
        setopt(pycurl.FRESH_CONNECT, int(afresh))

    def rest(self) -> None:
        """Release the content, until `prepare`."""
        self.call = None
        self._begin()
        if self._body_size > _LARGE:
            self._body_size = 0
            self.easy.setopt(pycurl.POSTFIELDS, b"")
            self._does = None  # This makes libcurl send a POST.

    # How it ended

    @property
    def went_out(self) -> bool:
        """Whether there was a connection on which it was sent."""
        return self._sent

    @property
    def lacks_connection(self) -> bool:
        """Whether there was no kept connection, or only a stale one."""
        return self._lacks

    @property
    def found_nobody(self) -> bool:
        """Whether the address accepted no connection."""
        return not self._sent and not self.easy.getinfo(pycurl.CONNECT_TIME)

    def outcome(self, code: int, text: str) -> Outcome:
        """The outcome of the attempt, by libcurl's code and text."""
        if self._refused is not None:
            return self._refused
        if code == 0 or self._cut:
            return self._response()
        if code == pycurl.E_URL_MALFORMAT:
            return ClientError("refused: url", text)
        error = self._error(code, text)
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
            return ClientError(PREFIX + reason_in(text), text)
        return ClientError(exchange_error(error) if self._sent else connect_error(error), text)

    def _error(self, code: int, text: str) -> OSError | HTTPException:
        """The exception that Python would have raised."""
        if code == pycurl.E_OPERATION_TIMEDOUT:
            return TimeoutError(text)
        if code in _TLS or (code == pycurl.E_RECV_ERROR and _ALERT in text):
            if any(sign in text for sign in _HUNG_UP):
                return ssl.SSLEOFError(text)
            return ssl.SSLError(text)
        if self._sent:
            return ConnectionError(text) if self._broke_off(code, text) else HTTPException(text)
        if self._proxied and self.easy.getinfo(pycurl.CONNECT_TIME):
            return HTTPException(text)
        return OSError(self.easy.getinfo(pycurl.OS_ERRNO), text)

    def _broke_off(self, code: int, text: str) -> bool:
        """Whether the connection broke; libcurl uses the same codes for unreadable responses."""
        if code == pycurl.E_GOT_NOTHING:
            return not self._head_bytes
        if code == pycurl.E_RECV_ERROR:
            return text.startswith(("Recv failure", "OpenSSL"))
        return code in (pycurl.E_SEND_ERROR, pycurl.E_PARTIAL_FILE)

    def _response(self) -> Outcome:
        head = self._head
        if head is None:
            return ClientError(CLOSED, "the head broke off")
        body, cut = bytes(self._received), self._cut
        if self._chunks is not None:
            body, cut = bytes(self._chunks.body), self._chunks.cut
            if not (cut or self._chunks.ended or self._without_body):
                return ClientError(CLOSED, "the last chunk is missing")
        return Response(head.status, head.fields, body, cut=cut)

    # What libcurl calls

    def _begin(self) -> None:
        self._lines: list[bytes] = []
        self._head_bytes = 0
        self._head: Head | None = None
        self._chunks: ChunkedBody | None = None
        self._received = bytearray()
        self._cut = self._sent = self._lacks = False
        self._refused: ClientError | None = None

    def _socket(self, _purpose: int, address: Any) -> Any:
        """A socket to connect to an address."""
        if self._sent or not self._connects:
            self._lacks = True
            return pycurl.SOCKET_BAD
        wanted = self.address
        assert wanted is not None
        if (address.family, address.addr[:2]) != (wanted.family, wanted.address[:2]):
            self._refused = ClientError("refused: address", f"{address.addr} was not checked")
            return pycurl.SOCKET_BAD
        connection = socket.socket(address.family, address.socktype, address.protocol)
        try:
            leave_some(connection.fileno())
        except OSError as error:
            connection.close()
            self._refused = ClientError(connect_error(error), str(error))
            return pycurl.SOCKET_BAD
        return connection

    def _goes_out(self, *_connection: object) -> Any:
        """Whether the request may be sent on the connection that is open now."""
        if self._sent:
            self._lacks = True
            return pycurl.PREREQFUNC_ABORT
        self._sent = True
        self._head_bytes = 0  # The earlier head was a proxy's.
        return pycurl.PREREQFUNC_OK

    def _header(self, line: bytes) -> int | None:
        """A line of a head, or of trailers, which are part of the chunked body."""
        if self._head is not None:
            return None
        self._head_bytes += len(line)
        try:
            if self._head_bytes > HEADERS_BYTES:
                raise BadResponseError("too long")
            if line.strip(b"\r\n"):
                self._lines.append(line)
            else:
                lines, self._lines = self._lines, []
                if self._sent:  # The head before that is a proxy's.
                    self._take(head_of(lines))
        except BadResponseError as fault:
            self._refused = ClientError("bad_response", str(fault))
            return -1
        return None

    def _take(self, head: Head) -> None:
        """A whole head; interim ones are dropped."""
        if head.status == 101:
            raise BadResponseError("interim status 101")
        if head.status >= 200:
            self._head = head
            self._chunks = ChunkedBody(self._limit) if head.chunked else None
            self._without_body = not has_body(head, self._method)

    def _body(self, data: bytes) -> int | None:
        """A part of the body; data beyond the limit is not read."""
        if self._chunks is not None:
            try:
                self._chunks.feed(data)
            except BadResponseError as fault:
                self._refused = ClientError("bad_response", str(fault))
                return -1
            self._cut = self._chunks.cut
            return -1 if self._cut else None
        room = self._limit - len(self._received)
        self._received += data[:room]
        if len(data) > room:
            self._cut = True
            return -1
        return None

    # Options

    def _secure(self, tls: TlsProfile | None) -> None:
        """Set the TLS of the next connection; kept ones are used only with the same."""
        if tls is self._tls:
            return
        self._tls = tls
        pem, ca = (None, None) if tls is None else (tls.pem, tls.ca)
        verify = tls is None or tls.verify
        if pem is None:
            self.easy.unsetopt(pycurl.SSLCERT_BLOB)
            self.easy.unsetopt(pycurl.SSLKEY_BLOB)
        else:
            self._set(SSLCERT_BLOB=pem, SSLKEY_BLOB=pem)
        if ca is None:
            self.easy.unsetopt(pycurl.CAINFO_BLOB)
        else:
            self._set(CAINFO_BLOB=ca)
        self._set(SSL_VERIFYPEER=int(verify), SSL_VERIFYHOST=2 if verify else 0)

    def _do(self, method: str, body: bytes | None) -> None:
        self._method = method
        sends = bool(body) or method not in BODILESS
        if (method, sends) != self._does:
            self._does = method, sends
            option = "POST" if sends else "NOBODY" if method == "HEAD" else "HTTPGET"
            self._set(**{option: 1}, CUSTOMREQUEST=method)
        if sends:
            self._body_size = len(body or b"")
            self.easy.setopt(pycurl.POSTFIELDS, body or b"")

    def _set(self, **options: object) -> None:
        for name, value in options.items():
            self.easy.setopt(getattr(pycurl, name), value)


def _ms(seconds: float) -> int:
    """Milliseconds for libcurl, where 0 would mean no limit."""
    return max(1, math.ceil(seconds * 1000))
