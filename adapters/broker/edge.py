"""The edge: what an AMQP message carries becomes values of the domain, or the message is refused.

AMQP promises little about a message of another publisher: a short string is any bytes, a header has
one of 19 types, and tables nest as deeply as a frame is long. After `arrived` every text is a
`str`, every header a value of JSON, and every name fits in a frame, so that no handler checks or
fails. A message without such a form is an `UnreadableMessage`, with the bytes as they came.
"""

import base64
import math
from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from attrs import evolve, frozen

from callboard.adapters.broker.protocol import IncomingMessage, Properties, UnreadableMessage
from callboard.webhooks.events.event import MAX_NESTING

EXCHANGE_HEADER, KEY_HEADER = "x-callboard-exchange", "x-callboard-routing-key"
"""The original exchange and routing key of an event that was put into our queue directly."""
OFFERS_HEADER = "x-callboard-offers"
"""How often such an event was offered to other nodes, because no module of a node claimed it."""

MAX_NAME_BYTES = 255
"""AMQP 0-9-1, 4.2.5.3: exchanges and routing keys are short strings."""

_OF_THE_BROKER = ("x-death", "x-first-death-", "x-last-death-")
"""Headers that RabbitMQ adds to dead-lettered messages."""

_TEXTS = ("content_type", "content_encoding", "message_id", "correlation_id", "expiration")
_text_properties = attrgetter(*_TEXTS)


@frozen
class Carried:
    """A message as the broker's library hands it over; any text may be bytes.

    `properties`: an object with AMQP's properties as attributes. `encoded`: their bytes in the
    frame. `problem`: why they could not be decoded, or None.
    """

    tag: int
    exchange: Any
    routing_key: Any
    body: bytes
    properties: Any
    encoded: bytes
    problem: str | None
    redelivered: bool


class _Unreadable(Exception):
    """The text is the reason."""


def arrived(carried: Carried) -> IncomingMessage | UnreadableMessage:
    """The message in the domain's terms. Never raises."""
    try:
        return _clean(carried)
    except _Unreadable as problem:
        return _refused(carried, str(problem))


def as_published(message: IncomingMessage) -> IncomingMessage:
    """The message as its exchange delivered it at first, if `publications.for_queue` made it."""
    headers = message.properties.headers
    if message.exchange or EXCHANGE_HEADER not in headers:
        return message
    ours = (EXCHANGE_HEADER, KEY_HEADER, OFFERS_HEADER)
    others = {n: v for n, v in headers.items() if n not in ours}
    return evolve(
        message,
        exchange=headers[EXCHANGE_HEADER],
        routing_key=headers.get(KEY_HEADER, ""),
        properties=evolve(message.properties, headers=others),
    )


def offers_of(message: IncomingMessage) -> int:
    """How often `publications.for_queue` says that the event was offered to other nodes."""
    headers = message.properties.headers
    offers = headers.get(OFFERS_HEADER)
    is_ours = not message.exchange and EXCHANGE_HEADER in headers
    return offers if is_ours and isinstance(offers, int) else 0


def _clean(carried: Carried) -> IncomingMessage:
    if carried.problem is not None:
        raise _Unreadable(f"its properties cannot be decoded: {carried.problem}")
    came = carried.properties
    content_type, encoding, id, correlation_id, expiration = texts = _text_properties(came)
    if bytes in map(type, (*texts, carried.exchange, carried.routing_key)):
        raise _Unreadable(f"{_first_bytes(carried)} is not UTF-8")
    headers = came.headers
    if headers:
        if not carried.exchange:
            for name in (EXCHANGE_HEADER, KEY_HEADER):
                _check_name(name, headers.get(name, ""))
        headers = plain_headers(headers)
    return IncomingMessage(
        carried.tag,
        carried.exchange or "",
        carried.routing_key or "",
        carried.body,
        Properties(
            content_type,
            encoding,
            id,
            correlation_id,
            came.timestamp,
            came.delivery_mode,
            expiration,
            headers or {},
        ),
        carried.redelivered,
    )


def _first_bytes(carried: Carried) -> str:
    """The name of the first text that is bytes, which are no UTF-8."""
    texts = dict(zip(_TEXTS, _text_properties(carried.properties), strict=True))
    texts |= {"the exchange": carried.exchange, "the routing key": carried.routing_key}
    return next(name for name, value in texts.items() if isinstance(value, bytes))


def _check_name(header: str, value: Any) -> None:
    if not isinstance(value, str) or len(value.encode()) > MAX_NAME_BYTES:
        raise _Unreadable(f"the header {header} is no text of at most {MAX_NAME_BYTES} bytes")


def plain_headers(headers: Mapping[Any, Any]) -> dict[str, Any]:
    """The headers with names and values that JSON has, except the broker's own."""
    return {
        name: value
        for name, value in headers.items()
        if isinstance(name, str) and not name.startswith(_OF_THE_BROKER) and _is_plain(value)
    }


def _is_plain(value: Any, levels: int = MAX_NESTING) -> bool:
    if isinstance(value, str | int) or value is None:
        return True
    if isinstance(value, float):
        return math.isfinite(value)
    if not levels:
        return False
    if isinstance(value, list):
        return all(_is_plain(item, levels - 1) for item in value)
    return isinstance(value, dict) and all(
        isinstance(name, str) and _is_plain(item, levels - 1) for name, item in value.items()
    )


def _refused(carried: Carried, reason: str) -> UnreadableMessage:
    """The message with its readable parts, and its names and properties as they came."""
    came = carried.properties
    headers = came.headers if isinstance(came.headers, dict) else {}
    texts: Any = dict(zip(_TEXTS, map(_readable, _text_properties(came)), strict=True))
    raw = {"properties": carried.encoded}
    for name in ("exchange", "routing_key"):
        if isinstance(value := getattr(carried, name), bytes):
            raw[name] = value
    return UnreadableMessage(
        IncomingMessage(
            carried.tag,
            _readable(carried.exchange) or "",
            _readable(carried.routing_key) or "",
            carried.body,
            Properties(headers=plain_headers(headers), **texts),
            carried.redelivered,
        ),
        reason,
        {name: base64.b64encode(value).decode() for name, value in raw.items()},
    )


def _readable(value: Any) -> str | None:
    """The text; bytes that are not UTF-8 become replacement characters."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value
