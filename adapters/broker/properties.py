"""Converts message properties to pika's, and to and from AMQP's bytes."""

import struct
from typing import Any

import pika  # type: ignore[import-untyped]
from pika import data
from pika.exceptions import (  # type: ignore[import-untyped]
    ShortStringTooLong,
    UnsupportedAMQPFieldException,
)

from callboard.adapters.broker.edge import Carried, arrived
from callboard.adapters.broker.protocol import (
    BrokerError,
    IncomingMessage,
    OutgoingMessage,
    Properties,
    UnreadableMessage,
)

UNENCODABLE = (
    ShortStringTooLong,
    UnsupportedAMQPFieldException,
    UnicodeEncodeError,
    struct.error,
)
"""Raised by pika for a value that does not fit in an AMQP frame."""


def unencodable(message: OutgoingMessage, error: Exception) -> BrokerError:
    """The error for a message that AMQP cannot carry (a header of a foreign type, a long key)."""
    return BrokerError(
        f"a message to exchange {message.exchange!r} with key {message.routing_key!r} "
        f"cannot be encoded: {error!r}"
    )


def to_pika(properties: Properties) -> Any:
    """A `pika.BasicProperties` with the same values."""
    return pika.BasicProperties(
        content_type=properties.content_type,
        content_encoding=properties.content_encoding,
        message_id=properties.message_id,
        correlation_id=properties.correlation_id,
        timestamp=properties.timestamp,
        delivery_mode=properties.delivery_mode,
        expiration=properties.expiration,
        headers=dict(properties.headers) or None,
    )


def encode(message: OutgoingMessage) -> bytes:
    """The message's properties in AMQP's wire format.

    Raises `BrokerError` if a message with this key and these properties could not be sent.
    """
    try:
        for name in (message.exchange, message.routing_key):
            data.encode_short_string([], name)
        return b"".join(to_pika(message.properties).encode())
    except UNENCODABLE as error:
        raise unencodable(message, error) from error


class DecodedProperties(pika.BasicProperties):  # type: ignore[misc]
    """Properties as pika decodes them from a frame, with their bytes.

    pika raises for what it cannot decode, such as deeply nested tables. That would end the
    connection, and the redelivered message would end the next one too. `problem` holds the error.
    """

    encoded = b""
    problem: str | None = None

    def decode(self, encoded: bytes, offset: int = 0) -> "DecodedProperties":
        """Decode, and remember the bytes or the error."""
        self.encoded = encoded
        try:
            super().decode(encoded, offset)
        except Exception as error:  # noqa: BLE001 - any of pika's, struct's and Python's
            self.problem = repr(error)[:200]
        return self


pika.spec.props[pika.BasicProperties.INDEX] = DecodedProperties
"""pika has no way to replace the class that decodes headers."""


def carried(
    tag: int, exchange: Any, routing_key: Any, body: bytes, properties: Any, *, redelivered: bool
) -> IncomingMessage | UnreadableMessage:
    """A message that pika has decoded, as it passes the edge."""
    return arrived(
        Carried(
            tag,
            exchange,
            routing_key,
            body,
            properties,
            properties.encoded,
            properties.problem,
            redelivered,
        )
    )


_pika_decode_value = data.decode_value


def _decode_value(encoded: bytes, offset: int) -> tuple[Any, int]:
    """Read one value of a header table; pika does so, except for two kinds that it gets wrong.

    pika (1.4) truncates floats to integers, and for a timestamp beyond the year 9999 it raises,
    which ends the connection: such a message would be redelivered and end the next one too. It is
    returned as an integer.
    """
    kind = encoded[offset : offset + 1]
    if kind in (b"f", b"d"):
        (number,) = struct.unpack_from(f">{kind.decode()}", encoded, offset + 1)
        return number, offset + 1 + struct.calcsize(kind)
    try:
        return _pika_decode_value(encoded, offset)  # type: ignore[no-any-return]
    except (ValueError, OverflowError, OSError):
        if kind != b"T":
            raise
        (seconds,) = struct.unpack_from(">Q", encoded, offset + 1)
        return seconds, offset + 9


# pika has no way to register a decoder.
data.decode_value = _decode_value
