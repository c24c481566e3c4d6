"""Writes the parts of a response together."""

import asyncio
from typing import Any

MOST = 16_384
"""More bytes than these are sent at once, so that the transport's own limit applies to them."""


class JoinedWrites:
    """A transport that sends all writes of one turn of its loop by one system call.

    uvicorn writes the head of a response and its body by one each, which are two packets.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._parts: list[bytes] = []
        self._size = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send it at the end of this turn of the loop, after the data before it."""
        if not self._parts:
            self._loop.call_soon(self._send)
        self._parts.append(data)
        self._size += len(data)
        if self._size > MOST:
            self._send()

    def close(self) -> None:
        """Send the rest, then close."""
        self._send()
        self._transport.close()

    def get_write_buffer_size(self) -> int:
        """Bytes that the client has not read."""
        return self._transport.get_write_buffer_size() + self._size

    def _send(self) -> None:
        parts, self._parts, self._size = self._parts, [], 0
        if parts:
            self._transport.write(b"".join(parts))
