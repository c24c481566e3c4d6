"""Sends webhooks over HTTP; whatever an endpoint does comes back as a value.

The way of a request: checked here, then `requests.adapters.HTTPAdapter.send`, then the guarded
connections of `callboard.adapters.http_connection`. A requests Session is left out: it looks up
proxies and passwords in the environment for every request, keeps cookies, follows redirects by
rules of its own, and takes a third of the throughput.
"""

import re
import socket
import time
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from requests import PreparedRequest, RequestException
from urllib3 import HTTPHeaderDict
from urllib3.exceptions import HTTPError

from callboard.adapters.address_guard import AddressGuard, AddressRefusedError, IPNetwork
from callboard.adapters.client_certificates import ClientCertificates, NoCertificateError
from callboard.adapters.endpoint_rules import EndpointRules
from callboard.adapters.http_connection import (
    EXCHANGE,
    Exchange,
    ExchangeError,
    GuardedAdapter,
    StaleConnectionError,
    connect_error,
    exchange_error,
)
from callboard.adapters.http_redirects import HttpRequest, redirection
from callboard.adapters.http_target import Target, UrlRefusedError
from callboard.webhooks.outcome import ClientError, Response

USER_AGENT = f"Callboard/{version('callboard')}"

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")  # RFC 9110, 5.5
_FRAMING = frozenset(("host", "content-length", "transfer-encoding"))
_HEADERS_BYTES = 64 * 1024
_ANYWHERE = AddressGuard(("0.0.0.0/0", "::/0"))


class HttpTransport(Protocol):
    """Makes requests. Many threads may share one."""

    def send(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]],
        body: bytes | None,
        certificate: str | None = None,
        account_id: str = "",
    ) -> Response | ClientError:
        """Make one request and wait for its end; a failure is a value, never an exception."""

    def close(self) -> None:
        """Release all connections."""


class RequestsTransport:
    """HTTP/1.1 by requests and urllib3, with kept connections.

    `request_timeout_s` limits the whole request: connecting, sending, and the response to its
    last byte. Only the resolver keeps its own time (see `AddressGuard.candidates`).
    `connect_timeout_s` limits TCP and TLS together. Of a response's body `max_response_bytes` are
    kept; the rest is not read, its connection is closed. Bodies come as they were sent: never
    inflated, and `Accept-Encoding: identity` asks for that.

    `pool_size` connections are kept to each of `endpoints` endpoints (scheme, host and port):
    usually the number of threads. The environment (proxies, CA bundles, netrc) has no say.

    `guard`, `ports`, `credentials`: see `EndpointRules`. `follow_redirects`: that many at most,
    each checked like the url itself, all within the one time limit. `max_payload`: bytes of a
    body, or of the query where there is no body. `ca_bundle`, `client_certificates`: see
    `ClientCertificates`. `proxy`: `http://user:password@host:port`. Only it sees the address that
    is called; names are resolved and checked here as well, but it may find another address.

    Raises OSError for a CA bundle that cannot be read.
    """

    def __init__(
        self,
        connect_timeout_s: float,
        request_timeout_s: float,
        allow_networks: Iterable[IPNetwork | str] = (),
        *,
        pool_size: int = 32,
        endpoints: int = 100,
        max_response_bytes: int = 64 * 1024,
        guard: AddressGuard | None = None,
        ports: Iterable[int] = (),
        credentials: bool = False,
        follow_redirects: int = 0,
        max_payload: int | None = None,
        ca_bundle: str | None = None,
        client_certificates: Path | None = None,
        proxy: str = "",
    ) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._request_timeout_s = request_timeout_s
        self._max_response_bytes = max_response_bytes
        # Chunked coding (RFC 9112, 7.1) spends at least 5 bytes on framing each chunk.
        self._receivable = _HEADERS_BYTES + 8 * max_response_bytes
        self._guard = AddressGuard(allow_networks) if guard is None else guard
        self._rules = EndpointRules(self._guard, ports, credentials)
        self._follow_redirects = follow_redirects
        self._max_payload = max_payload
        self._certificates = ClientCertificates(ca_bundle, client_certificates)
        self._proxied = bool(proxy)
        self._adapter = GuardedAdapter(self._certificates.without, endpoints, pool_size, proxy)

    def send(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]],
        body: bytes | None,
        certificate: str | None = None,
        account_id: str = "",
    ) -> Response | ClientError:
        """Make one request. Thread-safe. `certificate`: the account's or everybody's, by name.

        Kinds of ClientError, by the names that Kazoo's attempts have from Erlang where there is
        one: `timeout`; `failed_connect: …` with `nxdomain`, `timeout`, `tls_alert`, `closed`,
        `proxy`, or an errno's name as `econnrefused`; `socket_closed_remotely`; `bad_response`
        (not HTTP, or too much of it); `refused: …` with `scheme`, `url`, `credentials`, `port`,
        `method`, `header`, `payload`, `certificate`, `address`, `redirect`: not sent, or followed
        no further, and trying again will not help.

        A kept connection may be closed by the endpoint just when a request goes out. If it ends
        before any byte of a response, the request is made once more on a new connection, within
        the same deadline (RFC 9112, 9.3.1). No client can tell this from an endpoint that took
        the request and then died; such a repeat is what "at least once" already promises.
        """
        request = HttpRequest(method, url, tuple(headers), body or None)
        refused = self._refusal(request)
        if refused is not None:
            return refused
        exchange = Exchange(
            _ANYWHERE if self._proxied else self._guard,
            self._connect_timeout_s,
            time.monotonic() + self._request_timeout_s,
            self._receivable,
        )
        token = EXCHANGE.set(exchange)
        try:
            return self._follow(request, exchange, certificate, account_id)
        except ExchangeError as error:
            return error.error
        except UrlRefusedError as error:
            return ClientError(f"refused: {error}", error.detail)
        except NoCertificateError as error:
            return ClientError("refused: certificate", str(error))
        except (RequestException, HTTPError) as error:
            return ClientError("unknown", str(error))
        finally:
            EXCHANGE.reset(token)

    def connect_within(self, seconds: float) -> None:
        """From now on wait no longer than this for a connection."""
        self._connect_timeout_s = seconds

    def close(self) -> None:
        """Close all connections that are not in use."""
        self._adapter.close()

    def _refusal(self, request: HttpRequest) -> ClientError | None:
        """What about this request, apart from where it goes, forbids sending it, if anything."""
        if not _TOKEN.fullmatch(request.method):
            return ClientError("refused: method")
        for name, value in request.headers:
            named = _TOKEN.fullmatch(name) and name.lower() not in _FRAMING
            if not named or not _FIELD_VALUE.fullmatch(value):
                return ClientError("refused: header", repr(name))
        size = len(request.body or request.url.partition("?")[2])
        if self._max_payload is not None and size > self._max_payload:
            return ClientError("refused: payload", f"{size} bytes: {self._max_payload} are allowed")
        return None

    def _follow(
        self, request: HttpRequest, exchange: Exchange, certificate: str | None, account_id: str
    ) -> Response:
        """The answer to a request, or to the last of those that redirects lead to."""
        origin = None
        hops = 0
        while True:
            target = self._rules.target(request.url)
            if self._proxied:
                self._check_address(target)
            if origin is None and certificate is not None:
                if target.scheme != "https":
                    raise NoCertificateError(f"client_certificate {certificate!r} needs https")
                exchange.tls = self._certificates.context(account_id, certificate)
            elif origin not in (None, target.origin):
                exchange.tls = None
            origin = origin or target.origin
            response = self._once(request, target, exchange)
            following = redirection(request, response) if hops < self._follow_redirects else None
            if following is None:
                return response
            request = following
            hops += 1

    def _check_address(self, target: Target) -> None:
        """As the connection would check it, were there no proxy."""
        try:
            self._guard.candidates(target.host.strip("[]"), target.origin[2])
        except AddressRefusedError as error:
            raise UrlRefusedError("address", str(error)) from error
        except socket.gaierror as error:
            kind = f"failed_connect: {connect_error(error)}"
            raise ExchangeError(ClientError(kind, str(error))) from error

    def _once(self, request: HttpRequest, target: Target, exchange: Exchange) -> Response:
        prepared = _prepared(request, target.authorization)
        exchange.received = 0
        exchange.afresh = False
        try:
            return self._exchange(prepared)
        except StaleConnectionError:
            exchange.afresh = True
            return self._exchange(prepared)

    def _exchange(self, request: PreparedRequest) -> Response:
        limit = self._max_response_bytes
        response = self._adapter.send(request, stream=True)
        raw = response.raw
        try:
            body = raw.read(limit + 1, decode_content=False)
            if raw.length_remaining and len(body) <= limit:
                raw.read(1)  # urllib3 tells of a body that broke off only now.
        except HTTPError as error:
            kind = exchange_error(error.__cause__ or error)
            raise ExchangeError(ClientError(kind, str(error))) from error
        except ValueError as error:  # http.client passes a negative chunk size to read()
            raise ExchangeError(ClientError("bad_response", str(error))) from error
        if len(body) > limit:
            response.close()
        headers = dict(raw.headers.itermerged())
        return Response(raw.status, headers, body[:limit], cut=len(body) > limit)


def _prepared(request: HttpRequest, authorization: str | None) -> PreparedRequest:
    """A checked request as requests wants it, without the work of its own preparation."""
    prepared = PreparedRequest()
    prepared.method = request.method
    prepared.url = request.url
    fields = HTTPHeaderDict({"User-Agent": USER_AGENT})
    for name, value in request.headers:
        if name.lower() == "user-agent":
            fields[name] = value
        else:
            fields.add(name, value)
    if authorization is not None and "authorization" not in fields:
        fields["Authorization"] = authorization
    if request.body:
        fields["Content-Length"] = str(len(request.body))
    prepared.headers = fields  # type: ignore[assignment]  # repeated fields stay repeated
    prepared.body = request.body
    return prepared
