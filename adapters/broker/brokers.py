"""Chooses the broker for a URL."""

from pathlib import Path

from callboard.adapters.broker.embedded.connection import EmbeddedConnection
from callboard.adapters.broker.protocol import BrokerConnection, BrokerError, Topology
from callboard.adapters.broker.rabbitmq.connection import AmqpConnection
from callboard.adapters.broker.urls import mask_url


def connect(
    url: str,
    topology: Topology,
    data_dir: Path,
    name: str = "callboard",
    heartbeat_s: int | None = None,
) -> BrokerConnection:
    """A connection, not yet open, to the broker at the URL.

    `amqp://` and `amqps://` mean RabbitMQ, which shows `name` in its list of connections and gets a
    heartbeat in each `heartbeat_s` (None: as often as it proposes);
    `memory://` means the embedded broker, whose messages are stored in `data_dir`. Raises
    `BrokerError` for any other URL.
    """
    scheme, separator, _rest = url.partition("://")
    match scheme.lower() if separator else "":
        case "memory":
            return EmbeddedConnection(data_dir, topology)
        case "amqp" | "amqps":
            try:
                return AmqpConnection(url, topology, name=name, heartbeat_s=heartbeat_s)
            except BrokerError as error:
                raise BrokerError(f"{mask_url(url)}: {error}") from None
        case _:
            raise BrokerError(
                f"{mask_url(url)}: not a broker's URL; it begins with amqp://, amqps:// or memory://"
            )
