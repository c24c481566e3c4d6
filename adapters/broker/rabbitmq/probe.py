"""Checks RabbitMQ from outside: whether Callboard can connect and declare what it needs.

Existing objects are not changed. Exchanges and queues are inspected, and declared again as they
are. Of the queues that do not exist yet, one of each kind is declared by another name, and deleted.
"""

import uuid
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Literal

import pika  # type: ignore[import-untyped]
from attrs import frozen
from pika import exceptions as pika_errors
from pika.adapters.utils.connection_workflow import (  # type: ignore[import-untyped]
    AMQPConnectorException,
)

from callboard.adapters.broker.protocol import BrokerError, Exchange, Queue
from callboard.adapters.broker.rabbitmq.servers import url_parameters
from callboard.adapters.broker.rabbitmq.session import NO_QUEUE, PROBE, describe
from callboard.adapters.broker.urls import each_url, mask_url

THROW_AWAY_MS = 60_000
"""The life of a queue that is declared in order to find out whether it can be."""

BLOCKED_S = 0.5
"""How long a message may wait after the broker has said that it takes none."""

Stage = Literal["url", "address", "tls", "credentials", "vhost", "permissions", "protocol"]


class ProbeFailed(Exception):
    """The broker cannot be used. `stage`: the step that failed; the text: the broker's message."""

    def __init__(self, stage: Stage, reason: str) -> None:
        super().__init__(reason)
        self.stage = stage


@frozen
class BrokerAbout:
    """A broker's description of itself. `waiting`: messages of our queue, None if it is missing.

    `blocked`: whether it takes no messages, as during an alarm. `unlike`: exchanges that differ
    from our declarations, with the reason why that is a problem; `unlike_queues`: the same for
    queues. `refused`: queues that do not exist, and whose kind the broker refuses.
    """

    product: str
    version: str
    waiting: int | None
    consumers: int
    unlike: tuple[tuple[str, str], ...]
    unlike_queues: tuple[tuple[str, str], ...] = ()
    refused: tuple[tuple[Queue, str], ...] = ()
    blocked: bool = False


def look(
    url: str,
    queue: str,
    exchanges: Iterable[Exchange],
    timeout_s: float,
    queues: Iterable[Queue] = (),
) -> BrokerAbout:
    """The state of the broker at this URL, and our permissions there. Raises ProbeFailed.

    Of several brokers, the first that responds.

    `queues`: the queues that Callboard would declare, delay queues among them. `timeout_s` bounds
    each wait.
    """
    connection = _connect(url, timeout_s)
    try:
        waiting, consumers = _queue(connection, queue)
        unlike = tuple(_unlike(connection, exchanges))
        missing: list[Queue] = []
        unlike_queues = tuple(_unlike_queues(connection, queues, missing))
        _declare(connection, _throw_away(queue))
        # BlockingConnection has no public access to it.
        about = connection._impl.server_properties or {}
        return BrokerAbout(
            str(about.get("product", "an AMQP broker")),
            str(about.get("version", "")),
            waiting,
            consumers,
            unlike,
            unlike_queues,
            tuple(_refused(partial(_connect, url, timeout_s), queue, missing)),
            _is_blocked(connection),
        )
    except (pika_errors.AMQPError, OSError) as error:
        raise ProbeFailed("protocol", f"the connection was lost: {error!r}") from error
    finally:
        if connection.is_open:
            connection.close()


def _connect(url: str, timeout_s: float) -> Any:
    try:
        parameters = [url_parameters(each) for each in each_url(url)]
    except BrokerError as error:
        if str(error).startswith("TLS:"):
            raise ProbeFailed("tls", str(error)) from None
        raise ProbeFailed("url", f"{mask_url(url)} is no AMQP URL") from None
    for each in parameters:
        each.connection_attempts = 1
        each.socket_timeout = each.stack_timeout = timeout_s
        each.blocked_connection_timeout = min(timeout_s, BLOCKED_S)
        each.client_properties = {"connection_name": "callboard doctor", "product": "Callboard"}
    try:
        return pika.BlockingConnection(parameters)
    except (pika_errors.ProbableAuthenticationError, pika_errors.AuthenticationError) as error:
        raise ProbeFailed("credentials", _told(error)) from error
    except pika_errors.ProbableAccessDeniedError as error:
        raise ProbeFailed("vhost", _told(error)) from error
    except pika_errors.ConnectionClosedByBroker as error:
        raise ProbeFailed("vhost", _told(error)) from error
    except (pika_errors.AMQPError, AMQPConnectorException, OSError) as error:
        if (described := describe(error)).startswith("TLS:"):
            raise ProbeFailed("tls", described) from error
        raise ProbeFailed("address", _told(error) or type(error).__name__) from error


def _queue(connection: Any, name: str) -> tuple[int | None, int]:
    """The number of messages in a queue, and the number of its consumers."""
    channel = connection.channel()
    try:
        found = channel.queue_declare(name, passive=True).method
    except pika_errors.ChannelClosedByBroker as error:
        if error.reply_code == 403:
            raise ProbeFailed("permissions", error.reply_text) from error
        return None, 0  # created at the first start
    return found.message_count, found.consumer_count


def _unlike(connection: Any, exchanges: Iterable[Exchange]) -> Iterator[tuple[str, str]]:
    for exchange in exchanges:
        channel = connection.channel()
        try:
            channel.exchange_declare(exchange.name, passive=True)
        except pika_errors.ChannelClosedByBroker as error:
            if exchange.passive:
                yield exchange.name, error.reply_text
                continue
            # Created at the first start: deleting an exchange that does not exist does nothing but
            # needs the permission to declare it.
            request = partial(connection.channel().exchange_delete, exchange.name, if_unused=True)
        else:
            if exchange.passive:
                continue
            request = partial(
                channel.exchange_declare,
                exchange.name,
                exchange.type,
                durable=exchange.durable,
                auto_delete=exchange.auto_delete,
                internal=exchange.internal,
                arguments=dict(exchange.arguments) or None,
            )
        try:
            request()
        except pika_errors.ChannelClosedByBroker as error:
            if error.reply_code == 403 and not exchange.optional:
                raise ProbeFailed("permissions", error.reply_text) from error
            yield exchange.name, error.reply_text


def _unlike_queues(
    connection: Any, queues: Iterable[Queue], missing: list[Queue]
) -> Iterator[tuple[str, str]]:
    """Those that exist otherwise. `missing` gets those that do not exist, or end by themselves."""
    for queue in queues:
        if queue.exclusive:
            missing.append(queue)
            continue
        channel = connection.channel()
        try:
            channel.queue_declare(queue.name, passive=True)
        except pika_errors.ChannelClosedByBroker:
            missing.append(queue)
            continue
        try:
            channel.queue_declare(
                queue.name,
                durable=queue.durable,
                auto_delete=queue.auto_delete,
                arguments=dict(queue.arguments),
            )
        except pika_errors.ChannelClosedByBroker as error:
            yield queue.name, error.reply_text


def _refused(
    connect: Callable[[], Any], prefix: str, queues: Iterable[Queue]
) -> Iterator[tuple[Queue, str]]:
    """The first queue of each kind that the broker refuses, with its reason.

    It may close the connection in place of the channel (541), so each kind has one of its own.
    """
    for queue in {_kind(queue): queue for queue in reversed([*queues])}.values():
        connection = connect()
        try:
            channel = connection.channel()
            name = _throw_away(prefix)
            channel.queue_declare(
                name,
                durable=queue.durable,
                exclusive=queue.exclusive,
                auto_delete=queue.auto_delete,
                # If this process is killed, its queue does not stay.
                arguments={"x-expires": THROW_AWAY_MS, **queue.arguments},
            )
            channel.queue_delete(name)
        except (pika_errors.ChannelClosedByBroker, pika_errors.ConnectionClosedByBroker) as error:
            yield queue, f"{error.reply_code} {error.reply_text}"
        finally:
            if connection.is_open:
                connection.close()


def _kind(queue: Queue) -> tuple[Any, ...]:
    """Equal for queues that a broker refuses or accepts together."""
    arguments = {
        name: True if name in ("x-message-ttl", "x-expires") else value
        for name, value in queue.arguments.items()
    }
    return (queue.durable, queue.exclusive, queue.auto_delete, *sorted(map(str, arguments.items())))


def _throw_away(prefix: str) -> str:
    return f"{prefix}.doctor-{uuid.uuid4().hex[:8]}"


def _is_blocked(connection: Any) -> bool:
    """Whether the broker takes no messages. If so, the connection is closed afterwards."""
    channel = connection.channel()
    channel.confirm_delivery()
    try:
        channel.basic_publish("", NO_QUEUE, PROBE)
    except pika_errors.ConnectionBlockedTimeout:
        return True
    except pika_errors.ChannelClosedByBroker as error:
        raise ProbeFailed("permissions", error.reply_text) from error
    return False


def _declare(connection: Any, name: str) -> None:
    try:
        connection.channel().queue_declare(name, exclusive=True, auto_delete=True)
    except pika_errors.ChannelClosedByBroker as error:
        raise ProbeFailed("permissions", error.reply_text) from error


def _told(error: BaseException) -> str:
    """The broker's or the system's message, unwrapped from pika's exception."""
    for part in error.args:
        if isinstance(part, BaseException):
            return _told(part) or type(part).__name__
    exception = getattr(error, "exception", None)
    if isinstance(exception, BaseException):
        return _told(exception) or type(exception).__name__
    return str(getattr(error, "reply_text", "") or error)
