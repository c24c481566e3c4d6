"""An event: the decoded body of a message of the bus."""

import json
import zlib
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

MAX_INFLATED_BYTES = 16 * 1024 * 1024
"""A gzip body that grows beyond this is refused, before it fills the memory."""


class PoisonEvent(Exception):  # noqa: N818 - it names what it is about
    """A message that is no event: it must be set aside, as it will never be one."""


@frozen
class Event:
    """A message's JSON object, and where it came from."""

    body: Mapping[str, Any] = field(repr=False)
    exchange: str = ""
    routing_key: str = ""

    @property
    def category(self) -> str | None:
        """`Event-Category`."""
        return self.body.get("Event-Category")

    @property
    def name(self) -> str | None:
        """`Event-Name`."""
        return self.body.get("Event-Name")


def parse_event(
    body: bytes,
    content_type: str | None,
    content_encoding: str | None,
    exchange: str,
    routing_key: str,
) -> Event:
    """Decode a message. Raises PoisonEvent for what is no JSON object.

    JSON is tried whatever the content type says, but for Erlang's external term format, which is
    refused (Kazoo publishes JSON by default).
    """
    if content_type == "application/erlang":
        raise PoisonEvent("content type application/erlang is not supported: publish JSON")
    if content_encoding == "gzip":
        body = _inflate(body)
    elif content_encoding not in (None, "", "identity"):
        raise PoisonEvent(f"content encoding {content_encoding!r} is not supported: use gzip")
    try:
        decoded = json.loads(body)
    except (ValueError, RecursionError) as problem:
        raise PoisonEvent(f"the body is not JSON: {problem}") from None
    if not isinstance(decoded, dict):
        raise PoisonEvent(f"the body is a JSON {type(decoded).__name__}, not an object")
    return Event(decoded, exchange, routing_key)


def _inflate(body: bytes) -> bytes:
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        plain = inflater.decompress(body, MAX_INFLATED_BYTES)
    except zlib.error as problem:
        raise PoisonEvent(f"the gzip body is damaged: {problem}") from None
    if inflater.unconsumed_tail:
        raise PoisonEvent(f"the gzip body grows beyond {MAX_INFLATED_BYTES} bytes")
    if not inflater.eof:
        raise PoisonEvent("the gzip body is cut short")
    return plain
