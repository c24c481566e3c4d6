"""Sends webhooks over HTTP; every result, including failures, is returned as a value.

A request is checked here, prepared like one of requests, and sent by the pools and guarded
connections of requests' adapter (`callboard.adapters.http.connection`). A requests Session is not
used: it looks up proxies and passwords in the environment for every request, keeps cookies, follows
redirects by its own rules, and costs a third of the throughput.
"""

import socket
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Unpack

from requests import PreparedRequest, RequestException
from urllib3.exceptions import HTTPError

from callboard.adapters.http.address_guard import (
    ANYWHERE,
    AddressGuard,
    AddressRefusedError,
    IPNetwork,
)
from callboard.adapters.http.connection import (
    EXCHANGE,
    Exchange,
    ExchangeError,
    GuardedAdapter,
    StaleConnectionError,
    unreachable,
)
from callboard.adapters.http.policy import Hop, HttpPolicy, PolicyArguments
from callboard.adapters.http.redirects import HttpRequest
from callboard.adapters.http.response import HEADERS_BYTES
from callboard.webhooks.retries.outcome import ClientError, Outcome, Response
from callboard.webhooks.values.endpoint_options import EndpointOptions


class RequestsTransport:
    """HTTP/1.1 by requests and urllib3, with kept connections.

    `request_timeout_s` limits the whole request: connecting, sending, and the response to its last
    byte. Only the resolver has its own time limit (see `AddressGuard.candidates`).
    `connect_timeout_s` limits TCP and TLS together. At most `max_response_bytes` of a response's
    body are kept; the rest is not read, and its connection is closed. Bodies are never
    decompressed, and `Accept-Encoding: identity` asks endpoints not to compress them.

    `pool_size` connections are kept to each of `endpoints` endpoints (scheme, host and port):
    usually the number of threads. The environment (proxies, CA bundles, netrc) is ignored.

    `policy`: see `PolicyArguments`; redirects are followed within the one time limit. `proxy`:
    `http://user:password@host:port`. Only the proxy determines the address that is called; names
    are resolved and checked here as well, but it may find another address.

    `on_wait` is called, in the thread of a request, before that waits for longer than `SOON_S`, or
    once it has taken `QUICK_S`.

    Raises OSError for an unreadable CA bundle.
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
        proxy: str = "",
        **policy: Unpack[PolicyArguments],
    ) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._request_timeout_s = request_timeout_s
        self._max_response_bytes = max_response_bytes
        # Chunked coding (RFC 9112, 7.1) uses at least 5 bytes to frame each chunk.
        self._receivable = HEADERS_BYTES + 8 * max_response_bytes
        self._guard = AddressGuard(allow_networks) if guard is None else guard
        self._policy = HttpPolicy(self._guard, **policy)
        self._proxied = bool(proxy)
        self.on_wait: Callable[[], None] = lambda: None
        self._adapter = GuardedAdapter(
            self._policy.certificates.without, endpoints, pool_size, proxy
        )

    def send(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]],
        body: bytes | None,
        certificate: str | None = None,
        account_id: str = "",
        endpoint: EndpointOptions | None = None,
    ) -> Outcome:
        """Make one request. Thread-safe. `certificate`: the name of the account's or a shared one.
        `endpoint`: the options in effect for its hook.

        Kinds of ClientError, by the names that Kazoo's attempts have from Erlang where there is
        one: `timeout`; `failed_connect: …` with `nxdomain`, `timeout`, `closed`, `proxy`, or an
        errno's name as `econnrefused`; `tls: …` (tls_errors.py); `socket_closed_remotely`;
        `bad_response` (not HTTP, or too much of it); `refused: …` with `scheme`, `url`,
        `credentials`, `port`, `method`, `header`, `payload`, `certificate`, `address`, `redirect`:
        not sent, or followed no further, and a retry will not help.

        An endpoint may close a kept connection just when a request is sent. If the connection ends
        before any byte of a response, the request is made once more on a new connection, within the
        same deadline (RFC 9112, 9.3.1). A client cannot distinguish this from an endpoint that took
        the request and then died; such a repeat is within the guarantee of "at least once".
        """
        request = HttpRequest(method, url, tuple(headers), body or None)
        hops = self._policy.exchange(request, certificate, account_id, endpoint)
        exchange = Exchange(
            ANYWHERE if self._proxied else self._guard,
            self._connect_timeout_s,
            time.monotonic() + self._request_timeout_s,
            self._receivable,
            self.on_wait,
        )
        token = EXCHANGE.set(exchange)
        try:
            return self._made(hops, exchange)
        except ExchangeError as error:
            return error.error
        except (RequestException, HTTPError) as error:
            return ClientError("unknown", str(error))
        finally:
            EXCHANGE.reset(token)

    def connect_within(self, seconds: float) -> None:
        """Set the time limit for connecting, from now on."""
        self._connect_timeout_s = seconds

    def close(self) -> None:
        """Close all connections that are not in use."""
        self._adapter.close()

    def _made(self, hops: Generator[Hop, Response, Outcome], exchange: Exchange) -> Outcome:
        try:
            hop = next(hops)
            while True:
                hop = hops.send(self._once(hop, exchange))
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome

    def _once(self, hop: Hop, exchange: Exchange) -> Response:
        if self._proxied:
            self._check_address(hop)
        else:
            exchange.guard, exchange.reach = hop.reach.rules.guard, hop.reach
        prepared = _prepared(hop)
        exchange.tls = None if hop.tls is None else hop.tls.context
        exchange.received = 0
        exchange.afresh = False
        try:
            return self._adapter.exchange(prepared, self._max_response_bytes)
        except StaleConnectionError:
            exchange.afresh = True
            return self._adapter.exchange(prepared, self._max_response_bytes)

    def _check_address(self, hop: Hop) -> None:
        """Check the address as the connection would do without a proxy."""
        self.on_wait()
        target = hop.target
        try:
            hop.reach.rules.guard.candidates(target.address, target.origin[2])
        except (AddressRefusedError, socket.gaierror) as error:
            raise ExchangeError(unreachable(error)) from error


class _Fields(list[tuple[str, str]]):
    """The header fields of a prepared request, in which names may repeat."""

    def items(self) -> list[tuple[str, str]]:
        return self


def _prepared(hop: Hop) -> PreparedRequest:
    """A checked request in requests' form, without the work of its own preparation."""
    request = hop.request
    prepared = PreparedRequest()
    prepared.method = request.method
    prepared.url = request.url
    prepared.headers = _Fields(hop.fields())  # type: ignore[assignment]
    prepared.body = request.body
    return prepared
