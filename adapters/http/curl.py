"""Webhooks by libcurl: thousands of requests in flight, without waiting for each other.

Its rules, names of errors and limits are those of `RequestsTransport`. An endpoint's name is
resolved and checked each time a connection is to be opened, and libcurl gets only the address: it
resolves nothing itself.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import partial
from typing import Generic, TypeVar, Unpack

from attrs import define, field

from callboard.adapters.http.address_guard import ANYWHERE, AddressGuard, Candidate, IPNetwork
from callboard.adapters.http.client_certificates import TlsProfile
from callboard.adapters.http.connection import unreachable
from callboard.adapters.http.curl_multi import CurlMulti
from callboard.adapters.http.curl_request import CurlRequest, proxy_of
from callboard.adapters.http.policy import Hop, HttpPolicy, PolicyArguments, Reach
from callboard.adapters.http.redirects import HttpRequest
from callboard.adapters.http.resolver import Found, Lookups, Then
from callboard.webhooks.retries.outcome import ClientError, Outcome, Response
from callboard.webhooks.values.endpoint_options import EndpointOptions

K = TypeVar("K")
Place = tuple[tuple[str, str, int], TlsProfile | None, Reach | None]

MAX_PLACES = 100_000
"""The most endpoints whose latest address is remembered, to find kept connections."""


@define(eq=False)
class _Call(Generic[K]):
    """A request in flight. `hops`: the requests it leads to; `place` and `hop`: the latest.

    `addresses`: those not attempted yet. `connect_by` is a time.monotonic(), as `deadline` is.
    `afresh`: a kept connection was stale.
    """

    key: K
    hops: Generator[Hop, Response, Outcome]
    deadline: float
    place: Place = field(init=False)
    hop: Hop | None = None
    request: CurlRequest | None = None
    addresses: list[Candidate] = field(factory=list)
    connect_by: float = field(init=False)
    afresh: bool = field(init=False)


class CurlTransport(Generic[K]):
    """HTTP/1.1 by libcurl, with kept connections; for one thread, which never waits.

    `ended` returns requests under the key given to `begin`; `fileno()` is readable when some may
    have ended. `in_flight`: how many connections are kept in all. The other arguments, limits and
    errors are those of `RequestsTransport`.

    Raises OSError for an unreadable CA bundle.
    """

    def __init__(
        self,
        connect_timeout_s: float,
        request_timeout_s: float,
        allow_networks: Iterable[IPNetwork | str] = (),
        *,
        in_flight: int = 2000,
        max_response_bytes: int = 64 * 1024,
        guard: AddressGuard | None = None,
        proxy: str = "",
        **policy: Unpack[PolicyArguments],
    ) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._request_timeout_s = request_timeout_s
        self._max_response_bytes = max_response_bytes
        self._policy = HttpPolicy(guard or AddressGuard(allow_networks), **policy)
        self._proxy = proxy_of(proxy)
        self._multi = CurlMulti(in_flight)
        self._lookups = Lookups(self._multi.wake, self._multi.wake_at)
        self._idle: list[CurlRequest] = []
        self._places: OrderedDict[Place, Candidate] = OrderedDict()
        self._ended: deque[tuple[K, Outcome]] = deque()

    def fileno(self) -> int:
        """The descriptor to watch."""
        return self._multi.fileno()

    def begin(
        self,
        key: K,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]],
        body: bytes | None,
        certificate: str | None = None,
        account_id: str = "",
        endpoint: EndpointOptions | None = None,
    ) -> None:
        """Start one request; see `RequestsTransport.send` for its outcome."""
        request = HttpRequest(method, url, tuple(headers), body or None)
        hops = self._policy.exchange(request, certificate, account_id, endpoint)
        call = _Call(key, hops, time.monotonic() + self._request_timeout_s)
        self._go_on(call, None)
        self._collect()
        if self._ended:
            self._multi.wake()

    def refuse(self, key: K, outcome: ClientError) -> None:
        """End a request without sending it."""
        self._ended.append((key, outcome))
        self._multi.wake()

    def ended(self) -> Iterator[tuple[K, Outcome]]:
        """Requests that have ended, each with its outcome. Also drives the others."""
        self._multi.run()
        self._lookups.run()
        self._collect()
        while self._ended:
            yield self._ended.popleft()

    def connect_within(self, seconds: float) -> None:
        """Set the time limit for connecting, from now on."""
        self._connect_timeout_s = seconds

    def close(self) -> None:
        """Close all connections."""
        self._lookups.close()
        self._multi.close()

    # The way of a request

    def _go_on(self, call: _Call[K], response: Response | None) -> None:
        """Make the next request of a call, or end it."""
        try:
            hop = next(call.hops) if response is None else call.hops.send(response)
        except StopIteration as end:
            self._end(call, end.value)
            return
        call.place = hop.target.origin, hop.tls, hop.reach
        call.hop = hop
        call.afresh = False
        if call.request is None:
            call.request = self._idle.pop() if self._idle else self._new_request()
            call.request.call = call
        call.request.prepare(hop)
        if self._proxy is None:
            self._try_kept(call)
        else:
            self._ask_endpoint(call, partial(self._checked, call))

    def _checked(self, call: _Call[K], found: Found) -> None:
        """Use the proxy for the endpoint, unless the endpoint's address is refused."""
        if isinstance(found, list):
            self._try_kept(call)
        else:
            self._end(call, unreachable(found))

    def _try_kept(self, call: _Call[K]) -> None:
        """Send it on an open connection, if there may be one."""
        address = self._places.get(call.place)
        if address is None:
            self._connect(call)
        else:
            self._attempt(call, address)

    def _connect(self, call: _Call[K]) -> None:
        """Resolve the address to connect to."""
        call.connect_by = min(call.deadline, time.monotonic() + self._connect_timeout_s)
        then = partial(self._connect_to, call)
        if self._proxy is None:
            self._ask_endpoint(call, then)
        else:
            self._lookups.ask(ANYWHERE, self._proxy.host, self._proxy.port, call.deadline, then)

    def _ask_endpoint(self, call: _Call[K], then: Then) -> None:
        assert call.hop is not None
        target, guard = call.hop.target, call.hop.reach.rules.guard
        self._lookups.ask(guard, target.address, target.origin[2], call.deadline, then)

    def _connect_to(self, call: _Call[K], found: Found) -> None:
        if isinstance(found, list):
            call.addresses = found
            self._try_next(call)
        else:
            self._end(call, unreachable(found))

    def _try_next(self, call: _Call[K]) -> None:
        """Connect to the next address. A silent one must not use up the time of the later ones."""
        left_s = call.connect_by - time.monotonic()
        if left_s <= 0:
            self._end(call, unreachable(TimeoutError("the deadline has passed")))
            return
        address, *call.addresses = call.addresses
        self._attempt(call, address, left_s / (1 + len(call.addresses)))

    def _attempt(self, call: _Call[K], address: Candidate, connect_s: float | None = None) -> None:
        """Send it; `connect_s`: the time for opening a connection, None: use a kept one."""
        assert call.request is not None
        left_s = call.deadline - time.monotonic()
        call.request.attempt(address, left_s, connect_s, afresh=call.afresh)
        self._multi.begin(call.request.easy)

    def _collect(self) -> None:
        """Handle attempts that have ended, including those that end at once."""
        while ended := self._multi.ended():
            for easy, code, text in ended:
                self._attempted(easy.request, code, text)

    def _attempted(self, request: CurlRequest, code: int, text: str) -> None:
        call = request.call
        if request.went_out and request.address is not None:
            self._remember(call.place, request.address)
        if request.lacks_connection:
            call.afresh = request.went_out
            self._connect(call)
        elif call.addresses and request.found_nobody:
            self._try_next(call)
        elif isinstance(outcome := request.outcome(code, text), Response):
            self._go_on(call, outcome)
        else:
            self._end(call, outcome)

    def _remember(self, place: Place, address: Candidate) -> None:
        self._places[place] = address
        self._places.move_to_end(place)
        if len(self._places) > MAX_PLACES:
            self._places.popitem(last=False)

    def _end(self, call: _Call[K], outcome: Outcome) -> None:
        if call.request is not None:
            call.request.rest()
            self._idle.append(call.request)
        self._ended.append((call.key, outcome))

    def _new_request(self) -> CurlRequest:
        bundle = self._policy.certificates.ca_bundle
        return CurlRequest(bundle, self._max_response_bytes, self._proxy)
