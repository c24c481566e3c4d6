"""Client time-outs and limits of connections for HTTP, which uvicorn lacks."""

import asyncio
import json
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from callboard.actors.api.connections import Connections
from callboard.actors.api.joined_writes import JoinedWrites

HEAD_S = 10.0
"""The time-out for the head of a request."""
TAKES_S = 10.0
"""Within this time a client must read LEAST bytes of the response, or all of it."""
LEAST = 65_536
MOST_UNREAD = 65_536
"""The most bytes of a head, a chunk's line or a trailer that is not complete."""


class TimedProtocol(HttpToolsProtocol):
    """Closes connections that send no request, or a head without end, and those whose client does
    not read.

    They would count towards the server's limit of connections. The body of a request has its own
    time-out (web/envelopes/middleware.py), and so has the time between two requests (uvicorn's
    `timeout_keep_alive`). `connections`: decides which connections are open; `head_s`, `takes_s`:
    see HEAD_S, TAKES_S.
    """

    def __init__(
        self,
        *args: Any,
        connections: Connections,
        head_s: float = HEAD_S,
        takes_s: float = TAKES_S,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self._open = connections
        self._head_s, self._takes_s = head_s, takes_s
        self._whole_app, self.app = self.app, self._app_of_connection

    _in_head = True
    _unread = 0
    _late: asyncio.TimerHandle | None = None
    _stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time-out for the first request."""
        super().connection_made(JoinedWrites(transport, self.loop))  # type: ignore[arg-type]
        self._open.opened(self, self.client[0] if self.client else "")
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Stop the time-out if the head is complete; single bytes do not extend it."""
        self._unread += len(data)
        super().data_received(data)
        if self._unread > MOST_UNREAD and not self.transport.is_closing():
            self.send_400_response("Too long a head, or a part of the body.")
        self._watch()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; not a trailer, which is no part of the head (RFC 9110, 6.5.1)."""
        if self._in_head:
            super().on_header(name, value)

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        """The head is complete."""
        self._unread, self._in_head = 0, False
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body is there."""
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is complete."""
        self._unread = 0
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the time-outs."""
        super().connection_lost(exc)
        self._open.closed(self)
        for timer in (self._late, self._stuck):
            if timer is not None:
                timer.cancel()

    def on_response_complete(self) -> None:
        """Start the time-outs for the next request and for reading the rest of the response."""
        super().on_response_complete()
        self._watch_reader()

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection, with a time-out for reading the rest of the response."""
        super().timeout_keep_alive_handler()
        self._watch_reader()

    def pause_writing(self) -> None:
        """Start the time-out for reading: the client is slower than the response."""
        super().pause_writing()
        self._watch_reader()

    @property
    def waits(self) -> bool:
        """See `connections.Connection`."""
        return self._is_idle or self.cycle.more_body or self.flow.write_paused

    @property
    def _is_idle(self) -> bool:
        """Whether there is no request whose head is complete, and whose response is not."""
        return self.cycle is None or self.cycle.response_complete

    def close_now(self) -> None:
        """See `connections.Connection`."""
        self.transport.abort()

    async def _app_of_connection(self, scope: Any, receive: Any, send: Any) -> None:
        serves = self._open.serves(self, scope["path"])
        await (self._whole_app if serves else _too_many)(scope, receive, send)

    def _watch(self) -> None:
        waits = self._is_idle and self.timeout_keep_alive_task is None
        if waits and self._late is None:
            self._late = self.loop.call_later(self._head_s, self.transport.abort)
        elif not waits and self._late is not None:
            self._late.cancel()
            self._late = None

    def _watch_reader(self) -> None:
        if self._stuck is None and self._has_to_take():
            self._stuck = self.loop.call_later(self._takes_s, self._look, self._untaken())

    def _look(self, before: int) -> None:
        self._stuck = None
        if not self._has_to_take():
            return
        if self._untaken() > before - LEAST:
            self.transport.abort()
        else:
            self._watch_reader()

    def _has_to_take(self) -> bool:
        return self._untaken() > 0 and (self.flow.write_paused or self.transport.is_closing())

    def _untaken(self) -> int:
        """Bytes that the client has not read."""
        return self.transport.get_write_buffer_size()


async def _too_many(_scope: Any, _receive: Any, send: Any) -> None:
    """The response to a request on a connection beyond the limits."""
    told = {"message": "too many connections are open: close some, or try again later"}
    body = {"data": told, "error": "503", "message": "too_many_connections", "status": "error"}
    headers = {"content-type": "application/json", "connection": "close", "retry-after": "5"}
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": 503, "headers": pairs})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})
