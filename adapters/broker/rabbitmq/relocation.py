"""Moves messages between queues of RabbitMQ; see `callboard.adapters.broker.brokers.relocate`."""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import pika  # type: ignore[import-untyped]
from pika import exceptions as pika_errors

from callboard.adapters.broker.properties import to_pika
from callboard.adapters.broker.protocol import BrokerError, OutgoingMessage, Queue
from callboard.adapters.broker.rabbitmq.servers import url_parameters
from callboard.adapters.broker.urls import each_url

CONNECT_S = 2.0
"""The most seconds for connecting to a broker; half of `within_s` for all if that is shorter."""


def relocate(
    url: str,
    names: Sequence[str],
    wanted: Callable[[bytes], bool],
    arranged: Callable[[list[bytes]], list[tuple[Queue, OutgoingMessage]]],
    within_s: float,
) -> int:
    """As in `brokers.relocate`. Messages that are not wanted are given back in their places."""
    end = time.monotonic() + within_s
    parameters = [url_parameters(each) for each in each_url(url)]
    connect_s = min(CONNECT_S, within_s / 2 / len(parameters))
    for each in parameters:
        each.connection_attempts = 1
        each.socket_timeout = each.stack_timeout = connect_s
        each.blocked_connection_timeout = within_s
        each.client_properties = {"connection_name": "callboard upgrade", "product": "Callboard"}
    try:
        connection = pika.BlockingConnection(parameters)
        # A timer of pika's public interface is not due while it waits for a response.
        connection._impl._adapter_call_later(
            max(0.0, end - time.monotonic()), partial(_give_up, connection)
        )
        try:
            sizes = {name: _size(connection, name) for name in names}
            return _relocate(connection, sizes, wanted, arranged, end)
        finally:
            if connection.is_open:
                connection.close()
    except (pika_errors.AMQPError, OSError) as error:
        raise BrokerError(f"messages could not be moved: {error!r}") from error


def _give_up(connection: pika.BlockingConnection) -> None:
    """End the connection, and with it the wait for a response that may never come."""
    too_late = pika_errors.ConnectionClosed(0, "the broker does not respond in time")
    connection._impl._terminate_stream(too_late)


def _size(connection: pika.BlockingConnection, name: str) -> int:
    """The number of messages in a queue; 0 if it does not exist."""
    channel = connection.channel()
    try:
        count: int = channel.queue_declare(name, passive=True).method.message_count
    except pika_errors.ChannelClosedByBroker:
        return 0
    channel.close()
    return count


def _relocate(
    connection: pika.BlockingConnection,
    sizes: dict[str, int],
    wanted: Callable[[bytes], bool],
    arranged: Callable[[list[bytes]], list[tuple[Queue, OutgoingMessage]]],
    end: float,
) -> int:
    channel = connection.channel()
    channel.confirm_delivery()
    taken: dict[int, bytes] = {}
    for name, size in sizes.items():
        if size:
            found = _read(channel, name, size, end)
            taken |= {tag: body for tag, body in found if wanted(body)}
    for queue, message in arranged(list(taken.values())):
        channel.queue_declare(queue.name, durable=True, arguments=dict(queue.arguments))
        properties = to_pika(message.properties)
        channel.basic_publish("", queue.name, message.body, properties, mandatory=True)
    for tag in taken:
        channel.basic_ack(tag)
    channel.close()
    return len(taken)


def _read(
    channel: pika.adapters.blocking_connection.BlockingChannel, name: str, size: int, end: float
) -> Iterator[tuple[int, bytes]]:
    """The messages that are in a queue now, by delivery tag; they stay unacknowledged."""
    messages = channel.consume(name, inactivity_timeout=0.5)
    for _number in range(size):
        method, _properties, body = next(messages)
        if method is None:
            break  # The others have become due.
        if time.monotonic() > end:
            channel.cancel()
            raise BrokerError("there are too many messages to read them in time")
        yield method.delivery_tag, body
    channel.cancel()
