"""Turns a broker's messages into events, and malformed ones into records for the quarantine."""

from collections.abc import Mapping
from typing import Any

from attrs import Factory, frozen

from callboard.adapters.broker.edge import EXCHANGE_HEADER, KEY_HEADER, OFFERS_HEADER
from callboard.adapters.broker.protocol import IncomingMessage, OutgoingMessage, Properties
from callboard.webhooks.events.event import Event, parse_event


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
        properties.headers,
    )


def set_aside(
    message: Publication,
    *,
    module: str,
    reason: str,
    now_unix_s: float,
    raw: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The quarantine's record of a whole message, with the reason and the module it failed in.

    `raw`: as in `UnreadableMessage`.
    """
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
        **({"raw": dict(raw)} if raw else {}),
    }


def for_queue(queue: str, message: Publication, offers: int = 0) -> OutgoingMessage:
    """A message consumed before, to be put into our queue again, and into no other.

    Published to its exchange it would reach all other consumers on the bus a second time.
    `offers`: how often it was offered to other nodes so far.
    """
    headers, key = message.headers, message.routing_key
    if message.exchange:
        counted = {OFFERS_HEADER: offers} if offers else {}
        headers = {**headers, EXCHANGE_HEADER: message.exchange, KEY_HEADER: key, **counted}
        key = queue
    properties = Properties(
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        message_id=message.message_id,
        delivery_mode=2,
        headers=headers,
    )
    return OutgoingMessage("", key, message.body, properties, mandatory=True)
