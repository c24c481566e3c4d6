"""A small HTTP/1.1 server that receives webhooks: for the demo, for tests, for first experiments.

The path selects the response, so that a hook's URL defines how its endpoint behaves:

| path | behaviour |
|---|---|
| `/status/500` | responds with that status |
| `/slow/200` | responds with 200 after that many milliseconds |
| `/hang` | takes the request and never responds |
| `/drip` | responds one byte at a time, without end |
| `/close` | closes the connection without a response |
| anything else, as `/ok` | responds with 200 |

It is no server for the open network: it limits neither times nor the number of connections.
"""

import asyncio
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Self

from attrs import Factory, frozen

from callboard.adapters.receiver.serving import Serving

HEAD_END = b"\r\n\r\n"
MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 16 * 1024 * 1024


@frozen
class ReceivedRequest:
    """A request as it arrived.

    Names of `headers` are in lower case. `time`: seconds since the epoch. `connection`: the number
    of its connection, from 1.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    time: float
    connection: int


@frozen
class Answer:
    """Respond, optionally after a delay. `headers` replace the default ones."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = Factory(dict)
    delay_s: float = 0.0


@frozen
class Hang:
    """Never respond."""


@frozen
class Close:
    """Close the connection without a response."""


@frozen
class Drip:
    """Send `head`, then `byte` repeatedly, `pause_s` apart, until the peer has gone."""

    head: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
    byte: bytes = b"."
    pause_s: float = 0.05


@frozen
class Raw:
    """Send these bytes as they are, then close the connection."""

    data: bytes


Behaviour = Answer | Hang | Close | Drip | Raw
Answerer = Callable[[ReceivedRequest], Behaviour]


def behaviour_of_path(request: ReceivedRequest) -> Behaviour:
    """The behaviour that the table above defines for a path."""
    match request.path.split("/")[1:]:
        case ["status", status, *_] if status.isdecimal():
            return Answer(int(status))
        case ["slow", delay_ms, *_] if delay_ms.isdecimal():
            return Answer(delay_s=int(delay_ms) / 1000)
        case ["hang", *_]:
            return Hang()
        case ["drip", *_]:
            return Drip()
        case ["close", *_]:
            return Close()
    return Answer()


class Receiver(Serving):
    """The server, in a thread of its own; a context manager that starts and stops it.

    `port` 0 lets the system choose. `keep`: how many requests are remembered (None: all).
    `on_request` is called in the server's thread with each request, before the response; it should
    be quick. `tls` makes it an https server.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        keep: int | None = None,
        on_request: Callable[[ReceivedRequest], None] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._on_request = on_request
        self._tls = tls
        self._requests: deque[ReceivedRequest] = deque(maxlen=keep)
        self._count = 0
        self._arrived = threading.Condition()
        self._answerers: dict[str, Answerer] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="receiver", daemon=True)
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._connected = 0

    def start(self) -> Self:
        """Bind and serve. Raises OSError if the address cannot be bound. Once only."""
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        except OSError:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Close all connections and the port. The received requests can still be read."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    @property
    def port(self) -> int:
        """The port in use, once started."""
        return self._port

    @property
    def url(self) -> str:
        """The server's URL, without a slash at the end: append a path."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'https' if self._tls else 'http'}://{host}:{self._port}"

    @property
    def requests(self) -> Sequence[ReceivedRequest]:
        """The requests that are remembered, oldest first."""
        with self._arrived:
            return tuple(self._requests)

    @property
    def count(self) -> int:
        """The number of requests received, remembered or not."""
        with self._arrived:
            return self._count

    @property
    def connections(self) -> int:
        """The number of connections made in total."""
        return self._connected

    def answer(self, prefix: str, behaviour: Behaviour | Answerer) -> None:
        """Set the behaviour for paths that start with `prefix`; the longest prefix wins."""
        answerer = behaviour if callable(behaviour) else _always(behaviour)
        self._answerers = {**self._answerers, prefix: answerer}

    def close_connections(self) -> None:
        """Close every connection, as a server that restarts does; the port stays open."""
        asyncio.run_coroutine_threadsafe(self._close_connections(), self._loop).result()

    def wait_for(
        self,
        wanted: int | Callable[[Sequence[ReceivedRequest]], bool],
        timeout_s: float = 10.0,
    ) -> Sequence[ReceivedRequest]:
        """Wait until this many requests have arrived in total, or until `wanted(requests)` holds.

        Returns the requests. Raises TimeoutError, with the number of requests.
        """

        def holds() -> bool:
            if isinstance(wanted, int):
                return self._count >= wanted
            return wanted(tuple(self._requests))

        with self._arrived:
            if not self._arrived.wait_for(holds, timeout_s):
                raise TimeoutError(f"only {self._count} requests within {timeout_s} s")
            return tuple(self._requests)

    def _run(self) -> None:
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(self._close())
        finally:
            self._loop.close()

    async def _listen(self) -> None:
        self._server = await self._loop.create_server(
            lambda: _Connection(self), self._host, self._port, ssl=self._tls, backlog=1024
        )
        self._port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._close_connections()

    async def _close_connections(self) -> None:
        for connection in tuple(self._connections):
            connection.transport.close()
        await asyncio.sleep(0)  # closing takes effect in the loop's next turn

    def _opened(self, connection: "_Connection") -> int:
        self._connections.add(connection)
        self._connected += 1
        return self._connected

    def _closed(self, connection: "_Connection") -> None:
        self._connections.discard(connection)

    def _behaviour(self, request: ReceivedRequest) -> Behaviour:
        """Remember the request, report it to `on_request`, and return the behaviour for it."""
        if self._on_request is not None:
            self._on_request(request)
        with self._arrived:
            self._requests.append(request)
            self._count += 1
            self._arrived.notify_all()
        prefixes = [prefix for prefix in self._answerers if request.path.startswith(prefix)]
        if not prefixes:
            return behaviour_of_path(request)
        return self._answerers[max(prefixes, key=len)](request)


class _BadRequestError(Exception):
    """An unreadable request; `status` is that of the response."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


@frozen
class _Head:
    """The request line and the header fields."""

    method: str
    target: str
    headers: Mapping[str, str]
    body_bytes: int
    keep_alive: bool


def _parse_head(text: str) -> _Head:
    request_line, *lines = text.split("\r\n")
    try:
        method, target, version = request_line.split(" ")
    except ValueError as error:
        raise _BadRequestError(HTTPStatus.BAD_REQUEST) from error
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise _BadRequestError(HTTPStatus.BAD_REQUEST)
        name, value = name.lower(), value.strip(" \t")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    if "transfer-encoding" in headers:
        raise _BadRequestError(HTTPStatus.NOT_IMPLEMENTED)
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdecimal()):
        raise _BadRequestError(HTTPStatus.BAD_REQUEST)
    if len(length) > 12 or int(length) > MAX_BODY_BYTES:
        raise _BadRequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    keep_alive = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
    return _Head(method, target, headers, int(length), keep_alive)


def _response(answer: Answer, *, with_body: bool, keep_alive: bool) -> bytes:
    try:
        phrase = HTTPStatus(answer.status).phrase
    except ValueError:
        phrase = ""
    headers = dict(answer.headers)
    if answer.status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
        headers.setdefault("Content-Length", str(len(answer.body)))
    if not keep_alive:
        headers["Connection"] = "close"
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {answer.status} {phrase}\r\n{fields}\r\n".encode("latin-1")
    return head + answer.body if with_body else head


class _Connection(asyncio.Protocol):
    """One connection: reads a request, behaves, and so on until it is closed."""

    transport: asyncio.Transport

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._buffer = bytearray()
        self._busy = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # TCP and TLS both are
        self.transport = transport
        self._number = self._receiver._opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._receiver._closed(self)
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._busy:
            self._read_request()

    def _read_request(self) -> None:
        """Handle the request at the start of the buffer, if it is complete."""
        try:
            begun = self._buffer[: MAX_HEAD_BYTES + len(HEAD_END)]
            text, ended, _body = begun.partition(HEAD_END)
            if len(text) > MAX_HEAD_BYTES:
                raise _BadRequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            if not ended:
                return
            head = _parse_head(text.decode("latin-1"))
        except _BadRequestError as error:
            self._respond(Answer(error.status), with_body=False, keep_alive=False)
            return
        begins = len(text) + len(HEAD_END)
        end = begins + head.body_bytes
        if len(self._buffer) < end:
            return
        body = bytes(self._buffer[begins:end])
        del self._buffer[:end]
        self._busy = True
        path, _, query = head.target.partition("?")
        request = ReceivedRequest(
            head.method, path, query, head.headers, body, time.time(), self._number
        )
        self._behave(self._receiver._behaviour(request), head)

    def _behave(self, behaviour: Behaviour, head: _Head) -> None:
        match behaviour:
            case Answer(delay_s=delay_s) if delay_s > 0:
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(delay_s, self._answer, behaviour, head)
            case Answer():
                self._answer(behaviour, head)
            case Raw(data):
                self.transport.write(data)
                self.transport.close()
            case Close():
                self.transport.close()
            case Drip(start):
                self.transport.write(start)
                self._drip(behaviour)
            case Hang():
                pass

    def _answer(self, answer: Answer, head: _Head) -> None:
        self._respond(answer, with_body=head.method != "HEAD", keep_alive=head.keep_alive)

    def _respond(self, answer: Answer, *, with_body: bool, keep_alive: bool) -> None:
        self.transport.write(_response(answer, with_body=with_body, keep_alive=keep_alive))
        if not keep_alive:
            self.transport.close()
            return
        self._busy = False
        if self._buffer:
            self._read_request()

    def _drip(self, drip: Drip) -> None:
        self.transport.write(drip.byte)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(drip.pause_s, self._drip, drip)


def _always(behaviour: Behaviour) -> Answerer:
    return lambda _request: behaviour
