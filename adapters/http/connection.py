"""urllib3 connections for webhooks: checked addresses, one deadline, a bounded response.

requests and urllib3 have no overall time limit (their read timeout applies to each `recv`, so an
endpoint that drips holds a thread for ever), no limit on the size of a malformed response, and no
check of the addresses they connect to. All three belong to the socket: the sockets below consult
the `Exchange` of the running thread before each operation.

Pools, connections, TLS and proxies are those of requests' adapter. Its further work for each
request takes ten times as long as sending a few kilobytes, so requests are written here.
"""

import errno
import queue
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import lru_cache
from http.client import HTTPException
from typing import Any, TypeVar
from urllib.parse import unquote

from attrs import define, field
from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util import make_headers, parse_url

from callboard.adapters.http.address_guard import AddressGuard, AddressRefusedError, Candidate
from callboard.adapters.http.descriptors import leave_some
from callboard.adapters.http.response import BadResponseError, HttpResponse, read_response
from callboard.adapters.http.target import Target, absolute_form, encoded_path, target_of
from callboard.adapters.http.tls_errors import PREFIX, tls_reason
from callboard.webhooks.retries.outcome import ClientError, Response

T = TypeVar("T")

CLOSED = "socket_closed_remotely"
SOON_S = 0.001
"""The thread does not announce shorter waits."""
QUICK_S = 0.005
"""An exchange that takes longer announces its wait, however soon each of its bytes arrives."""
BODILESS = frozenset({"GET", "HEAD", "DELETE", "TRACE", "OPTIONS", "CONNECT"})
"""Methods that need no statement that the body is empty (RFC 9110, 8.6)."""


class ExchangeError(Exception):
    """The exchange failed; `error` gives the reason."""

    def __init__(self, error: ClientError) -> None:
        super().__init__(error.kind)
        self.error = error


class StaleConnectionError(Exception):
    """A kept connection ended before the first byte of the response."""


@define
class Exchange:
    """One request and its response: its limits and its progress.

    `deadline` is a time.monotonic(); while connecting it is the earlier one of the connection.
    `receivable`: bytes that may still arrive, headers and TLS-decrypted body together. `on_wait`:
    called before the thread waits for longer than `SOON_S`, or `QUICK_S` in all. `afresh`: do not
    use a kept connection. `tls`: in place of the adapter's. `reach`: only connections that were
    opened for the same object are used again. `begun`: a time.monotonic().
    """

    guard: AddressGuard
    connect_timeout_s: float
    deadline: float
    receivable: int
    on_wait: Callable[[], None] = lambda: None
    received: int = 0
    afresh: bool = False
    tls: ssl.SSLContext | None = None
    reach: object = None
    begun: float = field(factory=time.monotonic)
    waits: bool = False

    def remaining_s(self) -> float:
        """Seconds left, more than 0. Raises TimeoutError if none are left."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return left

    def patiently(self, connection: socket.socket, operation: Callable[[], T]) -> T:
        """Carry out a socket operation that may have to wait for the peer.

        A time limit stays set: setting it is a system call, which lets another thread run.
        """
        quick = not self.waits and time.monotonic() - self.begun < QUICK_S
        if quick and self.remaining_s() > SOON_S:
            if connection.gettimeout() != SOON_S:
                connection.settimeout(SOON_S)
            try:
                return operation()
            except TimeoutError:
                pass  # The wait follows below.
        self.wait()
        connection.settimeout(self.remaining_s())
        return operation()

    def wait(self) -> None:
        """Announce once that the thread waits, from now to the end of the exchange."""
        if not self.waits:
            self.waits = True
            self.on_wait()

    def count(self, received: int) -> None:
        """Count received bytes. Raises ExchangeError beyond the limit."""
        self.received += received
        if self.received > self.receivable:
            raise ExchangeError(ClientError("bad_response", "too long"))

    def connect(self, host: str, port: int) -> socket.socket:
        """A connection to the first of the host's checked addresses that accepts one.

        A silent address must not use up the time of the later ones: each gets its share. Raises
        AddressRefusedError, socket.gaierror, or the OSError of the last address.
        """
        candidates = self.guard.candidates(host, port)
        for tried, candidate in enumerate(candidates[:-1]):
            try:
                return _connected(candidate, self.remaining_s() / (len(candidates) - tried))
            except OSError:
                continue  # The next address may work; the last one's error is reported.
        return _connected(candidates[-1], self.remaining_s())


EXCHANGE: ContextVar[Exchange] = ContextVar("exchange")
"""The running thread's exchange: urllib3 has no way to pass it down to the socket."""


class TimedSocket(socket.socket):
    """Ends each operation at the exchange's deadline, and counts received bytes."""

    def recv(self, *args: Any, **kwargs: Any) -> bytes:
        """Like socket.recv, with which responses start."""
        exchange, receive = EXCHANGE.get(), super().recv
        received = exchange.patiently(self, lambda: receive(*args, **kwargs))
        exchange.count(len(received))
        return received

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        """Like socket.recv_into, which http.client uses."""
        exchange, receive = EXCHANGE.get(), super().recv_into
        received = exchange.patiently(self, lambda: receive(*args, **kwargs))
        exchange.count(received)
        return received

    def send(self, *args: Any, **kwargs: Any) -> int:
        """Like socket.send, with which requests are sent."""
        send = super().send
        return EXCHANGE.get().patiently(self, lambda: send(*args, **kwargs))

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        """Like socket.sendall, whose time limit is for the whole."""
        self.settimeout(EXCHANGE.get().remaining_s())
        super().sendall(*args, **kwargs)


class TimedTlsSocket(TimedSocket, ssl.SSLSocket):
    """The same over TLS."""

    def do_handshake(self, block: bool = False) -> None:
        """Like ssl.SSLSocket.do_handshake, whose time limit is for the whole."""
        self.settimeout(EXCHANGE.get().remaining_s())
        super().do_handshake(block)


def tls_context(ca_bundle: str) -> ssl.SSLContext:
    """Verifies certificates by the authorities of a PEM file. Raises OSError."""
    context = ssl.create_default_context(cafile=ca_bundle)
    context.sslsocket_class = TimedTlsSocket
    return context


def _connected(candidate: Candidate, timeout_s: float) -> socket.socket:
    connection = TimedSocket(candidate.family, socket.SOCK_STREAM)
    try:
        leave_some(connection.fileno())
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(timeout_s)
        connection.connect(candidate.address)
    except OSError:
        connection.close()
        raise
    return connection


class _Connection(HTTPConnection):
    """Connects through the guard; fails with ExchangeError or StaleConnectionError only."""

    def _new_conn(self) -> socket.socket:
        return EXCHANGE.get().connect(self._dns_host, self.port)

    def connect(self) -> None:
        """Like HTTPConnection.connect, TLS included, within the time for connecting."""
        self._answered = False
        exchange = EXCHANGE.get()
        exchange.wait()
        deadline = exchange.deadline
        exchange.deadline = min(deadline, time.monotonic() + exchange.connect_timeout_s)
        try:
            super().connect()
        except (AddressRefusedError, OSError, HTTPException) as error:
            raise ExchangeError(unreachable(error)) from error
        finally:
            exchange.deadline = deadline

    def exchange(self, request: bytes, method: str, limit: int) -> HttpResponse:
        """Send a request, head and body in one piece, and read the response (`read_response`)."""
        left = memoryview(request)
        try:
            while left:
                left = left[self.sock.send(left) :]
        except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
            pass  # The endpoint may have responded, or sent an alert, before it closed.
        except OSError as error:
            raise self._failure(error) from error
        try:
            answer = read_response(self.sock, method, limit)
        except (OSError, BadResponseError) as error:
            raise self._failure(error) from error
        self._answered = True
        return answer

    @property
    def is_connected(self) -> bool:
        """Like HTTPConnection.is_connected, by which urllib3 checks a kept connection.

        Unrequested data since the last response must not be taken for the next one: neither data in
        the socket, which urllib3 checks, nor the rest of a decrypted TLS record.
        """
        held_back = isinstance(self.sock, ssl.SSLSocket) and self.sock.pending()
        return super().is_connected and not held_back

    def _failure(self, error: BaseException) -> StaleConnectionError | ExchangeError:
        kind = exchange_error(error)
        if kind == CLOSED and self._answered and not EXCHANGE.get().received:
            return StaleConnectionError()
        return ExchangeError(ClientError(kind, str(error)))


class _TlsConnection(_Connection, HTTPSConnection):
    pass


class _Kept:
    """A pool's kept connections, the latest first, as a queue without waiting.

    Without the locks of `queue.LifoQueue`, which take as long as writing the request.
    """

    def __init__(self, maxsize: int) -> None:
        self._maxsize = maxsize
        self._kept: list[Any] = []

    def qsize(self) -> int:
        return len(self._kept)

    def get(self, block: bool = False, timeout: float | None = None) -> Any:
        try:
            return self._kept.pop()
        except IndexError:
            raise queue.Empty from None

    def put(self, connection: Any, block: bool = False) -> None:
        if len(self._kept) >= self._maxsize:
            raise queue.Full
        self._kept.append(connection)


class _Afresh(HTTPConnectionPool):
    """Closes a kept connection if the exchange requires a new one."""

    QueueCls = _Kept  # type: ignore[assignment]

    def _get_conn(self, timeout: float | None = None) -> Any:
        connection: Any = super()._get_conn(timeout)
        if EXCHANGE.get().afresh:
            connection.close()
        return connection


class _Pool(_Afresh):
    ConnectionCls = _Connection


class _TlsPool(_Afresh, HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class GuardedAdapter(HTTPAdapter):
    """requests' adapter over the connections above; `exchange` needs `EXCHANGE` to be set.

    Keeps connections to a limited number of endpoints (scheme, host and port; the least recently
    used one goes first), and a limited number to each. Does not repeat requests, follow redirects,
    keep cookies, or read the environment.

    With a `proxy`, `http://user:password@host:port`, http is requested from it and https tunnelled
    through it; the connections, and so `Exchange.guard`, are then those to the proxy.
    """

    def __init__(
        self, tls: ssl.SSLContext, endpoints: int, connections_per_endpoint: int, proxy: str = ""
    ) -> None:
        self._tls = tls
        self._proxy = proxy
        self._key = lru_cache(maxsize=4096)(self._new_key)
        super().__init__(endpoints, connections_per_endpoint)

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any
    ) -> None:
        """Like HTTPAdapter.init_poolmanager, with pools of our own connections."""
        if self._proxy:
            auth = parse_url(self._proxy).auth
            self.poolmanager = ProxyManager(
                self._proxy,
                connections,
                proxy_headers=make_headers(proxy_basic_auth=unquote(auth)) if auth else None,
                maxsize=maxsize,
                block=block,
                ssl_context=self._tls,
            )
        else:
            super().init_poolmanager(
                connections, maxsize, block, ssl_context=self._tls, **pool_kwargs
            )
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}

    def exchange(self, request: PreparedRequest, limit: int) -> Response:
        """Send a prepared request unchanged; at most `limit` bytes of the response's body are kept.

        Raises ExchangeError, and StaleConnectionError.
        """
        target = target_of(request.url or "")
        forwarded = bool(self._proxy) and target.scheme == "http"
        pool = self._pool(target)
        message = _written(request, target, pool.proxy_headers if forwarded else None)
        connection = pool._get_conn()
        answer: HttpResponse | None = None
        try:
            if connection.is_closed and self._proxy and not forwarded:
                pool._prepare_proxy(connection)
            elif connection.is_closed:
                connection.connect()
            answer = connection.exchange(message, request.method or "", limit)
        finally:
            if answer is None or not answer.keep:
                connection.close()
            pool._put_conn(connection)
        return answer.response

    def _pool(self, target: Target) -> Any:
        if self._proxy:
            tls = EXCHANGE.get().tls
            return self.poolmanager.connection_from_host(
                target.host, target.port, target.scheme, tls and {"ssl_context": tls}
            )
        exchange = EXCHANGE.get()
        key, context = self._key(*target.origin, exchange.tls, exchange.reach)
        return self.poolmanager.connection_from_pool_key(key, context.copy())  # It takes some out.

    def _new_key(
        self, scheme: str, host: str, port: int, tls: ssl.SSLContext | None, reach: object
    ) -> tuple[Any, dict[str, Any]]:
        """The key of an endpoint's pool, and the arguments for a new one.

        The pools' store takes any key.
        """
        manager = self.poolmanager
        context = {**manager.connection_pool_kw, "scheme": scheme, "host": host, "port": port}
        if tls is not None:
            context["ssl_context"] = tls
        return (manager.key_fn_by_scheme[scheme](context), reach), context


def _written(
    request: PreparedRequest, target: Target, for_proxy: Mapping[str, str] | None
) -> bytes:
    """A request in wire format; `for_proxy`: the headers for a proxy that forwards it."""
    url = request.url or ""
    body = request.body if isinstance(request.body, bytes) else b""
    path = encoded_path(url) if for_proxy is None else absolute_form(url)
    fields: list[tuple[str, str]] = [("Host", target.host_field)]
    fields += request.headers.items()
    if body or request.method not in BODILESS:
        fields.append(("Content-Length", str(len(body))))
    fields += (for_proxy or {}).items()
    head = "".join([f"{name}: {value}\r\n" for name, value in fields])
    return f"{request.method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body


def unreachable(error: AddressRefusedError | OSError | HTTPException) -> ClientError:
    """The outcome for an error of connecting, including name lookup."""
    if isinstance(error, AddressRefusedError):
        return ClientError("refused: address", str(error))
    return ClientError(connect_error(error), str(error))


def connect_error(error: OSError | HTTPException) -> str:
    """An error of connecting: `failed_connect: …` with its Erlang name, as in Kazoo's attempts.

    `proxy`: the proxy refused, or did not speak HTTP. Errors of TLS are `tls: …`; Kazoo and earlier
    versions do not tell them apart (`failed_connect: tls_alert`).
    """
    if not isinstance(error, OSError) or str(error).startswith("Tunnel connection failed"):
        return "failed_connect: proxy"
    match error:
        case socket.gaierror():
            name = "eai_again" if error.errno == socket.EAI_AGAIN else "nxdomain"
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError():
            name = "closed"
        case ssl.SSLError():
            return PREFIX + tls_reason(error)
        case _:
            name = _by_number(error)
    return f"failed_connect: {name}"


def exchange_error(error: BaseException) -> str:
    """An error after connecting by the name of Erlang's httpc, `tls: …` or `bad_response`."""
    match error:
        case ConnectionError() | ssl.SSLEOFError() | ssl.SSLZeroReturnError():
            return CLOSED
        case ssl.SSLError():
            return PREFIX + tls_reason(error)
        case OSError():
            return _by_number(error)
    return "bad_response"


def _by_number(error: OSError) -> str:
    """`econnrefused` and the like; an error of Python's own timers has no number."""
    if error.errno is None:
        return "timeout" if isinstance(error, TimeoutError) else "unknown"
    return errno.errorcode.get(error.errno, "unknown").lower()
