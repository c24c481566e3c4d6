"""Events from the messages of a broker."""

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
