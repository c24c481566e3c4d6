"""How the queues shared by all nodes are declared: classic ones, or RabbitMQ's replicated ones.

RabbitMQ 4 deprecates queues that are neither durable nor exclusive, and 4.3 may refuse them.
"""

from typing import Any

from callboard.adapters.broker.protocol import DelayQueue, Queue

NEVER = 2**31 - 1
"""Stands for no delivery limit: RabbitMQ before 4.0 refuses -1, and 4.0 drops after 20 without."""
LINGERS_MS = 10_000
"""How long a queue of the running nodes exists without a consumer, in milliseconds."""
QUORUM_DELAY = {
    "x-queue-type": "quorum",
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}
"""Arguments of a replicated queue that loses no message when it dead-letters it.

RabbitMQ requires this overflow for it.
"""


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


def queue_of_running_nodes(name: str, type: str) -> Queue:
    """A queue that nodes share while they run: it goes away with the last of them.

    Durable, since RabbitMQ 4 deprecates shared queues that are not. A quorum queue knows no
    auto-delete: it goes away after `LINGERS_MS`, as does one whose node died before it consumed.
    """
    queue = shared_queue(name, type)
    arguments = {**queue.arguments, "x-expires": LINGERS_MS}
    return Queue(name, auto_delete=type != "quorum", arguments=arguments)


def delay_arguments(delay: DelayQueue) -> dict[str, Any]:
    """The arguments by which RabbitMQ makes a queue a delay queue."""
    return {
        "x-message-ttl": delay.delay_ms,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": delay.to,
        **(QUORUM_DELAY if delay.quorum else {}),
    }


def is_deprecated(queue: Queue) -> bool:
    """Whether RabbitMQ may refuse the queue (its feature transient_nonexcl_queues)."""
    return not (queue.durable or queue.exclusive)
