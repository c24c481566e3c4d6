"""What a running node declares at RabbitMQ: all of one table, nothing deprecated."""

import pytest

from callboard.actors.messages.paths import EVENT_BRIDGE
from callboard.actors.system.topologies import queues

pytestmark = [pytest.mark.multiprocess, pytest.mark.rabbitmq]


def as_found(queue):
    """As the broker lists it. It names an own queue itself."""
    name = "" if queue.exclusive else queue.name
    return name, queue.durable, queue.exclusive, queue.auto_delete, dict(queue.arguments)


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_a_node_is_ready_where_deprecated_queues_are_denied(start, rabbitmq, amqp_url, queue_type):
    rabbitmq.deny_deprecated(amqp_url)
    system = start(amqp__url=amqp_url, amqp__queue_type=queue_type)
    *declared, of_ordered_hooks = map(as_found, queues(system.settings))

    def listed():
        found = rabbitmq.queues(amqp_url)
        return [("" if each[2] else each[0], *each[1:]) for each in found]

    system.wait(lambda: len(listed()) == len(declared))
    by_name = sorted(declared, key=lambda each: (each[0], str(each)))
    assert sorted(listed(), key=lambda each: (each[0], str(each))) == by_name
    assert (len(declared), sum(each[2] for each in declared)) == (20, 3)
    assert all(each[1] or each[2] for each in (*declared, of_ordered_hooks))
    system.wait(lambda: system.node(EVENT_BRIDGE).stats.get("broker") == "up")
    assert "broker_down" not in system.log.read_text()
