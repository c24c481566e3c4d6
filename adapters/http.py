"""Sends webhooks over HTTP; whatever an endpoint does comes back as a value.

The way of a request: checked here, then `requests.adapters.HTTPAdapter.send`, then the guarded
connections of `callboard.adapters.http_connection`. A requests Session is left out: it looks up
proxies and passwords in the environment for every request, keeps cookies, follows redirects, and
takes a third of the throughput.
"""

import re
import time
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Protocol

from requests import PreparedRequest, RequestException
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3 import HTTPHeaderDict
from urllib3.exceptions import HTTPError

from callboard.adapters.address_guard import AddressGuard, IPNetwork
from callboard.adapters.http_connection import (
    EXCHANGE,
    Exchange,
    ExchangeError,
    GuardedAdapter,
    StaleConnectionError,
    exchange_error,
    tls_context,
)
from callboard.adapters.http_target import UrlRefusedError, target_of
from callboard.webhooks.outcome import ClientError, Response

USER_AGENT = f"callboard/{version('callboard')}"

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")  # RFC 9110, 5.5
_FRAMING = frozenset(("host", "content-length", "transfer-encoding"))
_HEADERS_BYTES = 64 * 1024


class HttpTransport(Protocol):
    """Makes requests. Many threads may share one."""

    def send(
        self, method: str, url: str, headers: Sequence[tuple[str, str]], body: bytes | None
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
    usually the number of threads. `ca_bundle`: a PEM file; by default certifi's. The environment
    (proxies, CA bundles, netrc) has no say.

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
        ca_bundle: str | None = None,
        guard: AddressGuard | None = None,
    ) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._request_timeout_s = request_timeout_s
        self._max_response_bytes = max_response_bytes
        # Chunked coding (RFC 9112, 7.1) spends at least 5 bytes on framing each chunk.
        self._receivable = _HEADERS_BYTES + 8 * max_response_bytes
        self._guard = AddressGuard(allow_networks) if guard is None else guard
        self._adapter = GuardedAdapter(
            tls_context(ca_bundle or DEFAULT_CA_BUNDLE_PATH), endpoints, pool_size
        )

    def send(
        self, method: str, url: str, headers: Sequence[tuple[str, str]], body: bytes | None
    ) -> Response | ClientError:
        """Make one request. Thread-safe.

        Kinds of ClientError, by the names that Kazoo's attempts have from Erlang where there is
        one: `timeout`; `failed_connect: …` with `nxdomain`, `timeout`, `tls_alert`, `closed`, or
        an errno's name as `econnrefused`; `socket_closed_remotely`; `bad_response` (not HTTP, or
        too much of it); `refused: …` with `scheme`, `url`, `credentials`, `method`, `header`,
        `address`: nothing was sent, and trying again will not help.

        A kept connection may be closed by the endpoint just when a request goes out. If it ends
        before any byte of a response, the request is made once more on a new connection, within
        the same deadline (RFC 9112, 9.3.1). No client can tell this from an endpoint that took
        the request and then died; such a repeat is what "at least once" already promises.
        """
        refused = _refusal(method, url, headers)
        if refused is not None:
            return ClientError(f"refused: {refused}")
        request = _prepared(method, url, headers, body)
        exchange = Exchange(
            self._guard,
            self._connect_timeout_s,
            time.monotonic() + self._request_timeout_s,
            self._receivable,
        )
        token = EXCHANGE.set(exchange)
        try:
            try:
                return self._exchange(request)
            except StaleConnectionError:
                exchange.afresh = True
                return self._exchange(request)
        except ExchangeError as error:
            return error.error
        except (RequestException, HTTPError) as error:
            return ClientError("unknown", str(error))
        finally:
            EXCHANGE.reset(token)

    def close(self) -> None:
        """Close all connections that are not in use."""
        self._adapter.close()

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


def _refusal(method: str, url: str, headers: Sequence[tuple[str, str]]) -> str | None:
    """What about this request forbids sending it, if anything."""
    if not _TOKEN.fullmatch(method):
        return "method"
    for name, value in headers:
        if not _TOKEN.fullmatch(name) or not _FIELD_VALUE.fullmatch(value):
            return "header"
        if name.lower() in _FRAMING:
            return "header"
    try:
        target_of(url)
    except UrlRefusedError as error:
        return str(error)
    return None


def _prepared(
    method: str, url: str, headers: Sequence[tuple[str, str]], body: bytes | None
) -> PreparedRequest:
    """A checked request as requests wants it, without the work of its own preparation."""
    request = PreparedRequest()
    request.method = method
    request.url = url
    fields = HTTPHeaderDict({"User-Agent": USER_AGENT})
    for name, value in headers:
        if name.lower() == "user-agent":
            fields[name] = value
        else:
            fields.add(name, value)
    if body:
        fields["Content-Length"] = str(len(body))
    request.headers = fields  # type: ignore[assignment]  # repeated fields stay repeated
    request.body = body or None
    return request
