"""How the queues shared by all nodes are declared: classic ones, or RabbitMQ's replicated ones."""

from typing import Any

from callboard.adapters.broker.protocol import Queue

NEVER = 2**31 - 1
"""Stands for no delivery limit: RabbitMQ before 4.0 refuses -1, and 4.0 drops after 20 without."""


UNUSED_MS = 30 * 24 * 3_600_000
"""RabbitMQ deletes the queue of a hook that no node has declared or consumed for this time."""


def shared_queue(name: str, type: str, *, single: bool = False, expires: bool = False) -> Queue:
    """A durable queue of that type; "classic" leaves the type to the broker.

    `single`: only one of its consumers receives messages, until it ends. `expires`: the broker
    deletes the queue after UNUSED_MS without use, with its messages.

    Without an explicit limit, a quorum queue of RabbitMQ 4 drops a message that was given back 20
    times, such as an event whose deliverers died that often for any reason. With a limit, a message
    that is given back keeps its place; without, it goes to the end of a quorum queue.
    """
    arguments: dict[str, Any] = {}
    if type == "quorum":
        arguments |= {"x-queue-type": "quorum", "x-delivery-limit": NEVER}
    if single:
        arguments["x-single-active-consumer"] = True
    if expires:
        arguments["x-expires"] = UNUSED_MS
    return Queue(name, arguments=arguments)
