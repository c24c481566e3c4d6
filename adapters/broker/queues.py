"""How the queues shared by all nodes are declared: classic ones, or RabbitMQ's replicated ones."""

from typing import Any
from uuid import uuid4

from callboard.adapters.broker.protocol import Queue

NEVER = 2**31 - 1
"""Stands for no delivery limit: RabbitMQ before 4.0 refuses -1, and 4.0 drops after 20 without."""


def own_queue(prefix: str, purpose: str) -> Queue:
    """A queue of one connection alone, which ends with it; the connection completes its name.

    Its name begins like those of the other queues, for users who may only use such names.
    """
    return Queue(f"{prefix}.{purpose}.", durable=False, exclusive=True, auto_delete=True)


def own_name(name: str) -> str:
    """The name of a connection's queue: unique if `name` ends with a dot."""
    return f"{name}{uuid4().hex}" if name.endswith(".") else name


def shared_queue(name: str, type: str, *, single: bool = False) -> Queue:
    """A durable queue of that type; "classic" leaves the type to the broker.

    `single`: only one of its consumers receives messages, until it ends.

    Without an explicit limit, a quorum queue of RabbitMQ 4 drops a message that was given back 20
    times, such as an event whose deliverers died that often for any reason. With a limit, a message
    that is given back keeps its place; without, it goes to the end of a quorum queue.
    """
    arguments: dict[str, Any] = {}
    if type == "quorum":
        arguments |= {"x-queue-type": "quorum", "x-delivery-limit": NEVER}
    if single:
        arguments["x-single-active-consumer"] = True
    return Queue(name, arguments=arguments)
