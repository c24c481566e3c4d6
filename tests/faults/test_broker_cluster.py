"""A RabbitMQ cluster of three, one of which dies or freezes: real nodes on this machine."""

import json
import threading
import time
from itertools import pairwise

import pytest

from callboard.adapters.broker.backoff import Backoff
from callboard.adapters.broker.protocol import Topology
from callboard.adapters.broker.queues import shared_queue
from callboard.adapters.broker.rabbitmq.connection import AmqpConnection
from services.driver import Driver
from support.bus import publish_durably
from support.patience import patient
from support.running import call_event

pytestmark = [pytest.mark.rabbitmq, pytest.mark.multiprocess, pytest.mark.faults, pytest.mark.slow]

EVENTS = 2000
HEARTBEAT_S = 2
RESUMES_S = patient(2.0)


@pytest.mark.alone
def test_of_three_brokers_one_may_freeze_or_die(rabbitmq_cluster, start, receiver):
    first, second, _third = rabbitmq_cluster
    url = ",".join(node.url for node in rabbitmq_cluster)

    # One connection, whose broker freezes. The leader of the queue does not: a frozen leader is
    # detected by the other brokers after a time of their own (net_ticktime).
    topology = Topology(queue=shared_queue("frozen", "quorum"))
    elsewhere = Driver(AmqpConnection(second.url, topology)).up()
    elsewhere.connection.close()
    driver = Driver(AmqpConnection(url, topology, heartbeat_s=HEARTBEAT_S, backoff=Backoff()))
    driver.up()
    with first.frozen():
        began = time.monotonic()
        driver.up(times=2)
        took_s = time.monotonic() - began
        print(f"frozen: connected to the next after {took_s:.2f} s")
        assert "silent for" in driver.down().reason
        assert took_s < patient(2 * HEARTBEAT_S + 1.5)
    driver.connection.close()

    # A whole node, under load.
    system = start(
        amqp__url=url, amqp__url_order="listed", amqp__queue_type="quorum", amqp__prefetch=50
    )
    system.add_hook(f"{receiver.url}/slow/60", format="json")
    system.wait_hooks()
    bodies = [call_event(number) for number in range(EVENTS)]
    publisher = threading.Thread(target=publish_durably, args=(second.url, bodies), daemon=True)
    publisher.start()
    receiver.wait_for(EVENTS // 10)
    first.kill()
    killed = time.time()
    assert receiver.count < EVENTS // 2, "it was killed too late to be under load"

    def arrived():
        return {json.loads(request.body)["call_id"] for request in receiver.requests}

    system.wait(lambda: len(arrived()) == EVENTS, 60, "all events")
    times = [killed, *(request.time for request in receiver.requests if request.time > killed)]
    paused_s = max(later - earlier for earlier, later in pairwise(times))
    lost, repeats = EVENTS - len(arrived()), receiver.count - EVENTS
    print(f"killed: paused for {paused_s:.2f} s, of {EVENTS} lost {lost}, repeats {repeats}")
    assert paused_s < RESUMES_S
    assert {node.restarts for node in system.tree().children} == {0}
    down = [node.path for node in system.tree().below() if node.stats.get("broker") == "down"]
    assert down == []
