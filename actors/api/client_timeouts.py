"""HTTP for clients who may be silent: uvicorn itself waits for them without end."""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 10.0
"""How long the head of a request may take to come."""
TAKES_S = 10.0
"""Within this time a reader is to take LEAST bytes of what waits for it, or all of it."""
LEAST = 65_536


class TimedH11Protocol(H11Protocol):
    """Ends connections on which no request comes, and those whose reader takes nothing.

    Each of them would count among the connections that the server may have at once. What follows
    the head of a request has its own bound (web/envelopes/middleware.py), and so has the silence
    between two requests (uvicorn's `timeout_keep_alive`).
    """

    _late: asyncio.TimerHandle | None = None
    _stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a first request."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Bytes alone win no time: the whole head has to come."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        super().connection_lost(exc)
        for timer in (self._late, self._stuck):
            if timer is not None:
                timer.cancel()

    def on_response_complete(self) -> None:
        """What ends the connection may still have to be taken by the reader."""
        super().on_response_complete()
        self._watch_reader()

    def timeout_keep_alive_handler(self) -> None:
        """A connection that is closed stays until its reader has taken everything."""
        super().timeout_keep_alive_handler()
        self._watch_reader()

    def pause_writing(self) -> None:
        """The reader takes less than comes."""
        super().pause_writing()
        self._watch_reader()

    def _watch(self) -> None:
        waits = self.conn.their_state is h11.IDLE and self.timeout_keep_alive_task is None
        if waits and self._late is None:
            self._late = self.loop.call_later(HEAD_S, self.transport.abort)
        elif not waits and self._late is not None:
            self._late.cancel()
            self._late = None

    def _watch_reader(self) -> None:
        if self._stuck is None and self._has_to_take():
            self._stuck = self.loop.call_later(TAKES_S, self._look, self._untaken())

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
        """Bytes."""
        return self.transport.get_write_buffer_size()
