"""The decisions about a request, whatever its library: permission, headers, and redirects.

A transport drives `HttpPolicy.exchange`, which does no I/O: it yields each request to be made,
takes the response, and returns the outcome. The transport resolves names and checks addresses when
it connects.
"""

import re
from collections.abc import Generator, Iterable
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TypedDict

from attrs import frozen

from callboard.adapters.http.address_guard import AddressGuard
from callboard.adapters.http.client_certificates import (
    ClientCertificates,
    NoCertificateError,
    TlsProfile,
)
from callboard.adapters.http.endpoint_rules import EndpointRules
from callboard.adapters.http.redirects import HttpRequest, redirection
from callboard.adapters.http.target import Target, UrlRefusedError
from callboard.webhooks.retries.outcome import ClientError, Outcome, Response
from callboard.webhooks.values.endpoint_options import EndpointOptions

USER_AGENT = f"Callboard/{version('callboard')}"


_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")  # RFC 9110, 5.5
_FRAMING = frozenset(("host", "content-length", "transfer-encoding"))


@frozen
class _Names:
    """A request's header names in lower case, and the first that must not be sent."""

    lower: frozenset[str]
    refused: str | None


# A hook sends the same names each time.
@lru_cache(maxsize=1024)
def _read(names: tuple[str, ...]) -> _Names:
    refused = (name for name in names if not _TOKEN.fullmatch(name) or name.lower() in _FRAMING)
    return _Names(frozenset(map(str.lower, names)), next(refused, None))


def _names(request: HttpRequest) -> _Names:
    return _read(next(zip(*request.headers, strict=True), ()))


MAX_REACHES = 1024
"""The most options of hooks for which the rules, and kept connections, are remembered."""


@frozen(eq=False)
class Reach:
    """What requests with the same options may reach.

    One object for the same options: a connection that was opened under one of them is not used
    under another, which might not permit its address.
    """

    rules: EndpointRules
    follow_redirects: int
    tls_verify: bool = True
    ca_bundle: str | None = None


@frozen
class Hop:
    """A request to make now, its destination, what it may reach, and TLS other than the node's."""

    request: HttpRequest
    target: Target
    reach: Reach
    tls: TlsProfile | None = None

    def fields(self) -> list[tuple[str, str]]:
        """The header fields to send, except those of HTTP itself."""
        headers, names = self.request.headers, _names(self.request).lower
        agent = USER_AGENT
        if "user-agent" in names:
            agent = next(v for name, v in reversed(headers) if name.lower() == "user-agent")
            headers = tuple(field for field in headers if field[0].lower() != "user-agent")
        fields = [("User-Agent", agent), *headers]
        authorization = self.target.authorization
        if authorization is not None and "authorization" not in names:
            fields.append(("Authorization", authorization))
        if "accept-encoding" not in names:
            fields.append(("Accept-Encoding", "identity"))
        return fields


class PolicyArguments(TypedDict, total=False):
    """A transport's arguments for its policy, besides the guard.

    `ports`, `credentials`: see `EndpointRules`. `follow_redirects`: the most redirects to follow,
    each checked like the URL itself. `max_payload`: bytes of a body, or of the query where there is
    no body. `ca_bundle`, `client_certificates`: see `ClientCertificates`.
    """

    ports: Iterable[int]
    credentials: bool
    follow_redirects: int
    max_payload: int | None
    ca_bundle: str | None
    client_certificates: Path | None


class HttpPolicy:
    """The rules of a transport. Raises OSError for an unreadable CA bundle."""

    def __init__(
        self,
        guard: AddressGuard,
        *,
        ports: Iterable[int] = (),
        credentials: bool = False,
        follow_redirects: int = 0,
        max_payload: int | None = None,
        ca_bundle: str | None = None,
        client_certificates: Path | None = None,
    ) -> None:
        self.reach = Reach(EndpointRules(guard, ports, credentials), follow_redirects)
        self._reach_of = lru_cache(MAX_REACHES)(self._new_reach)
        self._max_payload = max_payload
        self.certificates = ClientCertificates(ca_bundle, client_certificates)

    def exchange(
        self,
        request: HttpRequest,
        certificate: str | None,
        account_id: str,
        endpoint: EndpointOptions | None = None,
    ) -> Generator[Hop, Response, Outcome]:
        """The requests to make for one, each after the response to the one before.

        `endpoint`: the options in effect for its hook. The generator is at its first request after
        all checks that need no network.
        Returns the last response, or the reason for its absence: `refused: …` with `scheme`, `url`,
        `credentials`, `port`, `method`, `header`, `payload`, `certificate`, `redirect`.
        """
        refused = self._refusal(request)
        if refused is not None:
            return refused
        try:
            reach = self.reach if endpoint is None else self._reach_of(endpoint)
            return (yield from self._follow(request, certificate, account_id, reach))
        except UrlRefusedError as error:
            return ClientError(f"refused: {error}", error.detail)
        except NoCertificateError as error:
            return ClientError("refused: certificate", str(error))

    def _refusal(self, request: HttpRequest) -> ClientError | None:
        """The reason not to send this request, apart from its destination; None: none."""
        if not _TOKEN.fullmatch(request.method):
            return ClientError("refused: method")
        refused = _names(request).refused
        for name, value in request.headers:
            if not _FIELD_VALUE.fullmatch(value):
                refused = name
        if refused is not None:
            return ClientError("refused: header", repr(refused))
        size = len(request.body or request.url.partition("?")[2])
        if self._max_payload is not None and size > self._max_payload:
            return ClientError("refused: payload", f"{size} bytes: {self._max_payload} are allowed")
        return None

    def _new_reach(self, endpoint: EndpointOptions) -> Reach:
        redirects = endpoint.follow_redirects
        return Reach(
            self.reach.rules.given(endpoint),
            self.reach.follow_redirects if redirects is None else redirects,
            endpoint.tls_verify is not False,
            endpoint.ca_bundle,
        )

    def _follow(
        self, request: HttpRequest, named: str | None, account_id: str, reach: Reach
    ) -> Generator[Hop, Response, Response]:
        origin = None
        hops = 0
        while True:
            target = reach.rules.target(request.url)
            if origin is None and named is not None and target.scheme != "https":
                raise NoCertificateError(f"client_certificate {named!r} needs https")
            if origin not in (None, target.origin):
                named = None  # Another server gets no certificate.
            origin = origin or target.origin
            tls = None
            if target.scheme == "https":
                tls = self.certificates.profile(
                    account_id, named, reach.ca_bundle, verify=reach.tls_verify
                )
            response = yield Hop(request, target, reach, tls)
            following = None
            if hops < reach.follow_redirects:
                following = redirection(request, response, downgrade=not reach.tls_verify)
            if following is None:
                return response
            request = following
            hops += 1
