"""Events from the messages of a broker, and the record of messages that are none."""

from typing import Any

from callboard.adapters.broker import IncomingMessage
from callboard.webhooks.event import Event, parse_event


def event_in(message: IncomingMessage) -> Event:
    """The event that a consumed message is. Raises PoisonEvent."""
    properties = message.properties
    return parse_event(
        message.body,
        properties.content_type,
        properties.content_encoding,
        message.exchange,
        message.routing_key,
        properties.message_id,
    )


def set_aside(
    body: bytes,
    exchange: str,
    routing_key: str,
    content_type: str | None,
    content_encoding: str | None,
    *,
    module: str,
    reason: str,
    now_unix_s: float,
) -> dict[str, Any]:
    """The record of a message that cannot be handled: all of it, and why; `module`: by whom."""
    return {
        "module": module,
        "reason": reason,
        "exchange": exchange,
        "routing_key": routing_key,
        "content_type": content_type,
        "content_encoding": content_encoding,
        "body": body.hex(),
        "set_aside_at": now_unix_s,
    }
