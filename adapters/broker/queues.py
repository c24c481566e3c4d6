"""How the queues shared by all nodes are declared: classic ones, or RabbitMQ's replicated ones."""

from callboard.adapters.broker.protocol import Queue

NEVER = 2**31 - 1
"""Stands for no delivery limit: RabbitMQ before 4.0 refuses -1, and 4.0 drops after 20 without."""


def shared_queue(name: str, type: str) -> Queue:
    """A durable queue of that type; "classic" leaves the type to the broker.

    Without an explicit limit, a quorum queue of RabbitMQ 4 drops a message that was given back 20
    times, such as an event whose deliverers died that often for any reason.
    """
    if type != "quorum":
        return Queue(name)
    return Queue(name, arguments={"x-queue-type": "quorum", "x-delivery-limit": NEVER})
