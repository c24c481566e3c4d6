"""Server-sent events (HTML standard, 9.2); a slow reader does not delay the others."""

import asyncio
import json
from collections.abc import AsyncIterable
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Message, Send

TAKES_S = 10.0
"""The time after which a reader that takes nothing is disconnected, in seconds."""

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def event(name: str, data: Any) -> bytes:
    """One event. `data`: any JSON value; other types become text."""
    text = json.dumps(data, separators=(",", ":"), default=str)
    return f"event: {name}\ndata: {text}\n\n".encode()


class EventStream(StreamingResponse):
    """Sends events until they end, the reader disconnects, or it takes none for `takes_s`."""

    def __init__(self, events: AsyncIterable[bytes], takes_s: float = TAKES_S) -> None:
        super().__init__(events, headers=HEADERS, media_type="text/event-stream")
        self._takes_s = takes_s

    async def stream_response(self, send: Send) -> None:
        """See the class. A reader that takes nothing cannot be sent the reason for the end."""

        async def patiently(message: Message) -> None:
            await asyncio.wait_for(send(message), self._takes_s)

        try:
            await super().stream_response(patiently)
        except TimeoutError:
            return
