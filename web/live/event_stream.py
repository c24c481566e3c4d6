"""Server-sent events (HTML standard, 9.2) to readers of whom none may hold anything up."""

import asyncio
import json
from collections.abc import AsyncIterable
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Message, Send

TAKES_S = 10.0
"""How long a reader may take nothing before it is left."""

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def event(name: str, data: Any) -> bytes:
    """One event. `data`: anything that JSON has; what it has not becomes text."""
    text = json.dumps(data, separators=(",", ":"), default=str)
    return f"event: {name}\ndata: {text}\n\n".encode()


class EventStream(StreamingResponse):
    """Events as they come, until they end, the reader goes, or it takes none for too long."""

    def __init__(self, events: AsyncIterable[bytes]) -> None:
        super().__init__(events, headers=HEADERS, media_type="text/event-stream")

    async def stream_response(self, send: Send) -> None:
        """See the class. A reader that takes nothing cannot be told why the stream ends."""

        async def patiently(message: Message) -> None:
            await asyncio.wait_for(send(message), TAKES_S)

        try:
            await super().stream_response(patiently)
        except TimeoutError:
            return
