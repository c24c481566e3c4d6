"""Turns a broker's messages into events, and malformed ones into records for the quarantine."""

import math
from collections.abc import Mapping
from typing import Any

from attrs import Factory, evolve, frozen

from callboard.adapters.broker.protocol import IncomingMessage, OutgoingMessage, Properties
from callboard.webhooks.events.event import Event, parse_event

EXCHANGE_HEADER, KEY_HEADER = "x-callboard-exchange", "x-callboard-routing-key"
"""The original exchange and routing key of an event that was put into our queue directly."""

_OF_THE_BROKER = ("x-death", "x-first-death-", "x-last-death-")
"""Headers that RabbitMQ adds to dead-lettered messages."""


def event_in(message: IncomingMessage) -> Event:
    """The event in a consumed message. Raises PoisonEvent."""
    properties = message.properties
    return parse_event(
        message.body,
        properties.content_type,
        properties.content_encoding,
        message.exchange,
        message.routing_key,
        properties.message_id,
    )


@frozen
class Publication:
    """A message as it was published: the parts that are stored outside the broker.

    `headers`: values of JSON.
    """

    body: bytes
    exchange: str
    routing_key: str
    content_type: str | None = None
    content_encoding: str | None = None
    message_id: str | None = None
    headers: Mapping[str, Any] = Factory(dict)


def publication_of(message: IncomingMessage) -> Publication:
    """A consumed message, without the parts that only a broker can store."""
    properties = message.properties
    return Publication(
        message.body,
        message.exchange,
        message.routing_key,
        properties.content_type,
        properties.content_encoding,
        properties.message_id,
        plain_headers(properties),
    )


def set_aside(
    message: Publication, *, module: str, reason: str, now_unix_s: float
) -> dict[str, Any]:
    """The quarantine's record of a whole message, with the reason and the module it failed in."""
    return {
        "module": module,
        "reason": reason,
        "exchange": message.exchange,
        "routing_key": message.routing_key,
        "content_type": message.content_type,
        "content_encoding": message.content_encoding,
        "message_id": message.message_id,
        "headers": message.headers,
        "body": message.body.hex(),
        "set_aside_at": now_unix_s,
    }


def plain_headers(properties: Properties) -> dict[str, Any]:
    """A message's headers, except the broker's own and those with values that JSON lacks."""
    return {
        name: value
        for name, value in properties.headers.items()
        if not name.startswith(_OF_THE_BROKER) and _is_plain(value)
    }


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(name, str) and _is_plain(item) for name, item in value.items())
    return value is None or isinstance(value, str | int) or _is_finite(value)


def _is_finite(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def for_queue(queue: str, message: Publication) -> OutgoingMessage:
    """A message consumed before, to be put into our queue again, and into no other.

    Published to its exchange it would reach all other consumers on the bus a second time.
    """
    headers, key = message.headers, message.routing_key
    if message.exchange:
        headers = {**headers, EXCHANGE_HEADER: message.exchange, KEY_HEADER: key}
        key = queue
    properties = Properties(
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        message_id=message.message_id,
        delivery_mode=2,
        headers=headers,
    )
    return OutgoingMessage("", key, message.body, properties, mandatory=True)


def as_published(message: IncomingMessage) -> IncomingMessage:
    """The message as its exchange delivered it at first, if it was made by `for_queue`."""
    headers = message.properties.headers
    if message.exchange or EXCHANGE_HEADER not in headers:
        return message
    others = {n: v for n, v in headers.items() if n not in (EXCHANGE_HEADER, KEY_HEADER)}
    return evolve(
        message,
        exchange=str(headers[EXCHANGE_HEADER]),
        routing_key=str(headers.get(KEY_HEADER, "")),
        properties=evolve(message.properties, headers=others),
    )
