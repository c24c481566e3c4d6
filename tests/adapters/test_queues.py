"""The arguments of queues, as RabbitMQ documents them: their names decide what is lost."""

import re

import pytest

from callboard.adapters.broker.protocol import DelayQueue, Queue
from callboard.adapters.broker.queues import (
    delay_arguments,
    is_deprecated,
    own_name,
    own_queue,
    queue_of_running_nodes,
    shared_queue,
)

QUORUM = {"x-queue-type": "quorum", "x-delivery-limit": 2_147_483_647}
SINGLE = {"x-single-active-consumer": True}


@pytest.mark.parametrize(
    ("type", "single", "arguments"),
    [
        ("classic", False, {}),
        ("classic", True, SINGLE),
        ("quorum", False, QUORUM),
        ("quorum", True, QUORUM | SINGLE),
    ],
)
def test_a_shared_queue_is_durable(type, single, arguments):
    made = shared_queue("q", type, single=single)
    assert made == Queue("q", True, False, False, arguments=arguments)
    assert not is_deprecated(made)


@pytest.mark.parametrize(
    ("type", "auto_delete", "arguments"), [("classic", True, {}), ("quorum", False, QUORUM)]
)
def test_a_queue_of_running_nodes_goes_away(type, auto_delete, arguments):
    made = queue_of_running_nodes("q", type)
    arguments = arguments | {"x-expires": 10_000}
    assert made == Queue("q", True, False, auto_delete, arguments=arguments)


def test_a_queue_of_one_connection_ends_with_it_and_has_its_own_name():
    made = own_queue("callboard", "changes")
    assert (made.name, made.durable, made.exclusive, made.auto_delete) == (
        *("callboard.changes.", False, True, True),
    )
    names = {own_name(made.name) for _ in range(3)}
    assert len(names) == 3
    assert all(re.fullmatch(r"callboard\.changes\.[0-9a-f]{32}", name) for name in names)
    assert own_name("events") == "events"


def test_a_queue_that_may_end_while_others_use_it_is_deprecated():
    assert is_deprecated(Queue("q", durable=False))
    assert not is_deprecated(Queue("q", durable=False, exclusive=True))


def test_a_delay_queue_hands_on_to_a_queue_by_its_name():
    classic = {
        "x-message-ttl": 5000,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "events",
    }
    assert delay_arguments(DelayQueue("5s", 5000, "events")) == classic
    assert delay_arguments(DelayQueue("5s", 5000, "events", quorum=True)) == {
        **classic,
        "x-queue-type": "quorum",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
