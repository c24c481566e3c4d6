"""Chooses the broker for a URL."""

from collections.abc import Callable, Sequence
from pathlib import Path

from callboard.adapters.broker.embedded import relocation as in_file
from callboard.adapters.broker.embedded.connection import EmbeddedConnection
from callboard.adapters.broker.protocol import (
    BrokerConnection,
    BrokerError,
    OutgoingMessage,
    Queue,
    Topology,
)
from callboard.adapters.broker.rabbitmq import relocation as at_rabbitmq
from callboard.adapters.broker.rabbitmq.connection import AmqpConnection
from callboard.adapters.broker.urls import mask_url


def connect(
    url: str,
    topology: Topology,
    data_dir: Path,
    name: str = "callboard",
    heartbeat_s: int | None = None,
    set_up_s: float = 60.0,
    close_s: float = 1.0,
    overdue_s: float | None = None,
) -> BrokerConnection:
    """A connection, not yet open, to the broker at the URL.

    `amqp://` and `amqps://` mean RabbitMQ (several URLs, separated by commas, the nodes of a
    cluster, in this order), which shows `name` in its list of connections and gets a
    heartbeat in each `heartbeat_s` (None: as often as it proposes); `set_up_s`, `close_s`: the most
    seconds for the connection's set-up and its end; `overdue_s`: see `Overdue`.
    `memory://` means the embedded broker, whose messages are stored in `data_dir`. Raises
    `BrokerError` for any other URL.
    """
    scheme, separator, _rest = url.partition("://")
    match (scheme + separator).lower():
        case "memory://":
            return EmbeddedConnection(data_dir, topology)
        case "amqp://" | "amqps://":
            try:
                return AmqpConnection(
                    url,
                    topology,
                    name=name,
                    set_up_s=set_up_s,
                    close_s=close_s,
                    heartbeat_s=heartbeat_s,
                    overdue_s=overdue_s,
                )
            except BrokerError as error:
                raise BrokerError(f"{mask_url(url)}: {error}") from None
        case _:
            raise BrokerError(
                f"{mask_url(url)}: not a broker's URL; it begins with amqp://, amqps:// or memory://"
            )


def relocate(
    url: str,
    data_dir: Path,
    names: Sequence[str],
    wanted: Callable[[bytes], bool],
    arranged: Callable[[list[bytes]], list[tuple[Queue, OutgoingMessage]]],
    within_s: float,
) -> int:
    """Move the wanted messages of some queues, also delay queues; returns their number.

    `wanted` decides by the body. `arranged` returns messages in place of all wanted ones, each with
    the queue to declare and publish it to, in this order. If this is interrupted, some messages may
    be in both queues; none is lost. Blocks for `within_s` at most. Raises `BrokerError`, also if
    there are too many messages for that time.
    """
    if url.lower().startswith("memory:"):
        return in_file.relocate(data_dir, names, wanted, arranged)
    return at_rabbitmq.relocate(url, names, wanted, arranged, within_s)
