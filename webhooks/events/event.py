"""An event: the decoded body of a bus message."""

import gzip
import zlib
from collections.abc import Mapping
from io import BytesIO
from typing import Any

from attrs import field, frozen

from callboard.webhooks.events.trace_context import TraceContext
from callboard.webhooks.values.exact_numbers import json_read

MAX_INFLATED_BYTES = 16 * 1024 * 1024
"""Limits memory use: a gzip body that expands beyond this size is refused."""
MAX_NESTING = 100
"""The deepest nesting of objects and lists; deeper values are refused."""
WRITABLE_NESTING = 200
"""The deepest nesting of any other JSON: `json` may read more levels than it writes."""


_NO_HEADERS: Mapping[str, Any] = {}


class PoisonEvent(Exception):
    """A malformed event: it must be quarantined, as redelivery cannot help."""


@frozen
class Event:
    """A message's JSON object and its origin.

    `message_id`: the AMQP property, which Kazoo does not set. `trace`: the trace context that its
    deliveries have as their parent. `content`: the message's bytes, inflated; empty if the event
    came by no message. `headers`: the message's.
    """

    body: Mapping[str, Any] = field(repr=False)
    exchange: str = ""
    routing_key: str = ""
    message_id: str | None = None
    trace: TraceContext | None = None
    content: bytes = field(default=b"", repr=False, eq=False)
    headers: Mapping[str, Any] = field(default=_NO_HEADERS, repr=False, eq=False)

    @property
    def category(self) -> str | None:
        """`Event-Category`."""
        return self._text("Event-Category")

    @property
    def name(self) -> str | None:
        """`Event-Name`."""
        return self._text("Event-Name")

    @property
    def msg_id(self) -> str | None:
        """`Msg-ID`; not unique by itself."""
        return self._text("Msg-ID")

    @property
    def account_id(self) -> str | None:
        """`Account-ID`, which only some events carry."""
        return self._text("Account-ID")

    @property
    def database(self) -> str | None:
        """`Database` of a document change, with its slashes as `%2F`."""
        return self._text("Database")

    @property
    def document_id(self) -> str | None:
        """`ID` of a document change."""
        return self._text("ID")

    def _text(self, header: str) -> str | None:
        value = self.body.get(header)
        return value if isinstance(value, str) and value else None


@frozen
class WholeEvent(Event):
    """An event whose message is passed on unchanged.

    `opaque`: the content is no JSON object, and `body` is empty.
    """

    content_type: str | None = None
    opaque: bool = False


def parse_event(
    body: bytes,
    content_type: str | None,
    content_encoding: str | None,
    exchange: str,
    routing_key: str,
    message_id: str | None = None,
    trace: TraceContext | None = None,
    headers: Mapping[str, Any] = _NO_HEADERS,
) -> Event:
    """Decode a message. Raises PoisonEvent if it is not a JSON object.

    The body is read as JSON whatever its content type, except Erlang's external term format, which
    is refused (Kazoo publishes JSON by default). Of the content encodings only gzip changes the
    bytes; some clients put a character set there.
    """
    if content_type == "application/erlang":
        raise PoisonEvent("content type application/erlang is not supported: publish JSON")
    if content_encoding is not None and content_encoding.lower() == "gzip":
        body = _inflate(body)
    try:
        decoded = json_read(body)
    except (ValueError, RecursionError) as problem:
        raise PoisonEvent(f"the body is not JSON: {problem}") from None
    if not isinstance(decoded, dict):
        raise PoisonEvent(f"the body is a JSON {type(decoded).__name__}, not an object")
    if brackets(body) > MAX_NESTING and too_deep(decoded):
        raise PoisonEvent(f"the body is nested deeper than {MAX_NESTING} levels")
    return Event(decoded, exchange, routing_key, message_id, trace, body, headers)


def whole_event(
    body: bytes,
    content_type: str | None,
    content_encoding: str | None,
    exchange: str,
    routing_key: str,
    message_id: str | None = None,
    trace: TraceContext | None = None,
    headers: Mapping[str, Any] = _NO_HEADERS,
    *,
    any_content: bool = False,
) -> WholeEvent:
    """Like `parse_event`, with the message; `any_content`: it need not be a JSON object."""
    if content_encoding is not None and content_encoding.lower() == "gzip":
        body = _inflate(body)
    opaque = False
    try:
        decoded = parse_event(body, content_type, None, exchange, routing_key).body
    except PoisonEvent:
        if not any_content:
            raise
        decoded, opaque = {}, True
    return WholeEvent(
        decoded, exchange, routing_key, message_id, trace, body, headers, content_type, opaque
    )


def _inflate(body: bytes) -> bytes:
    try:
        with gzip.GzipFile(fileobj=BytesIO(body)) as stream:
            plain = stream.read(MAX_INFLATED_BYTES + 1)
    except (OSError, EOFError, zlib.error) as problem:
        raise PoisonEvent(f"the gzip body is damaged: {problem}") from None
    if len(plain) > MAX_INFLATED_BYTES:
        raise PoisonEvent(f"the gzip body grows beyond {MAX_INFLATED_BYTES} bytes")
    return plain


def brackets(body: bytes) -> int:
    """At least as many as the objects and lists of this JSON: fewer are not nested deeper."""
    return body.count(b"{") + body.count(b"[")


def too_deep(value: Any, most: int = MAX_NESTING) -> bool:
    """Whether objects and lists are nested deeper than `most` levels. Never recurses."""
    level = _containers([value])
    for _depth in range(most):
        if not level:
            return False
        level = [child for parent in level for child in _containers(parent)]
    return bool(level)


def _containers(parent: Any) -> list[Any]:
    members = parent.values() if isinstance(parent, dict) else parent
    return [member for member in members if isinstance(member, dict | list)]
