"""Ordered and paused hooks: what waits keeps its order, whatever dies meanwhile."""

import json
import os
import signal
import time
from collections import Counter
from contextlib import suppress

import psutil
import pytest

from callboard.actors.messages import EditHook, HookSaved
from callboard.adapters.receiver.server import Answer
from support.bus import publish_durably
from support.cluster import prepared
from support.patience import patient
from support.running import call_event

pytestmark = pytest.mark.multiprocess

STANDARD = {
    "delivery__retry_policy": "standard",
    "delivery__retry_steps_s": "1,1,1,1,1,1,1,1",
    "disabler__enabled": "false",
}
BROKERS = ["embedded", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)]


@pytest.fixture(params=BROKERS)
def broker(request):
    """Settings of a broker."""
    if request.param == "embedded":
        return {}
    return {"amqp__url": request.getfixturevalue("amqp_url")}


def number_of(request):
    return int(json.loads(request.body)["call_id"].split("@")[0][5:])


def numbers(requests):
    """The numbers of the events, each where it came first."""
    return list(dict.fromkeys(map(number_of, requests)))


def is_delivered(accepted, count):
    return lambda _requests: len(set(accepted)) >= count


def some_fail(receiver, path, every=5):
    """The first request of some events fails; returns the numbers of the accepted ones."""
    tried, accepted = Counter(), []

    def answer(request):
        number = number_of(request)
        tried[number] += 1
        if number % every == every - 1 and tried[number] == 1:
            return Answer(500)
        accepted.append(number)
        return Answer(200)

    receiver.answer(path, answer)
    return accepted


def kill_node(system):
    """Kill all processes of a node at once, and start it again."""
    for process in [system.process, *system.family()]:
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    psutil.wait_procs(system.family(), timeout=patient(5))
    system.process.wait()
    system.process.stdout.close()
    system.start()


def test_an_ordered_hook_keeps_its_order_whatever_dies(start, receiver, broker):
    accepted = some_fail(receiver, "/ordered")
    system = start(**STANDARD, **broker)
    system.add_hook(f"{receiver.url}/ordered", format="json", ordered=True)
    system.wait_hooks()
    made = 0

    def publish(count):
        nonlocal made
        # A bridge that has just begun refuses events until it is connected.
        system.wait(lambda: system.node("event_bridge").stats.get("broker") == "up")
        system.publish([call_event(n) for n in range(made, made + count)])
        made += count

    publish(20)
    for victim in ("deliveries/retry_queue", "event_bridge", "responders/channel_create"):
        system.kill(victim)
        publish(10)
    for worker in (1, 2):  # One of them has the hook.
        system.kill(f"deliveries/deliverer-{worker}")
        publish(5)
    system.close()
    system.start()
    publish(10)
    kill_node(system)
    publish(10)
    requests = receiver.wait_for(is_delivered(accepted, made), timeout_s=60)
    assert numbers(requests) == list(range(made))
    firsts = list(dict.fromkeys(accepted))
    assert firsts == list(range(made))


def test_a_burst_for_an_ordered_hook_is_delivered_as_fast_as_its_endpoint_answers(
    start, receiver, broker
):
    receiver.answer("/ordered", Answer(200))
    system = start(**broker)
    system.add_hook(f"{receiver.url}/ordered", format="json", ordered=True)
    system.wait_hooks()
    began = time.monotonic()
    system.publish(map(call_event, range(600)))
    requests = receiver.wait_for(600, timeout_s=60)
    assert [number_of(request) for request in requests] == list(range(600))
    assert time.monotonic() - began < patient(20)
    node = system.wait(
        lambda: (n := system.node("deliveries/retry_queue")).stats["in_order"] == 0 and n
    )
    assert node.stats["put_off"] == 0


def test_a_paused_hook_gets_all_in_order_once_it_is_resumed(start, receiver, broker):
    system = start(**STANDARD, **broker, delivery__paused_max=100)
    hook = system.add_hook(f"{receiver.url}/paused", format="json", paused=True)
    system.wait_hooks()
    system.publish(map(call_event, range(100)))
    system.wait_settled(101)
    system.close()
    system.start()
    system.wait_hooks()
    assert receiver.count == 0
    system.publish([call_event(100)])
    letters = lambda: json.loads(system.run("dead-letters", "list", "--json").stdout or "[]")  # noqa: E731
    letter = system.wait(letters)
    assert "hook paused" in json.dumps(letter)
    receiver.answer("/paused", Answer(200))
    system.client.ask_actor("hook_listener", EditHook(hook, {"paused": False}), HookSaved)
    requests = receiver.wait_for(100, timeout_s=30)
    system.publish([call_event(101)])
    requests = receiver.wait_for(101, timeout_s=30)
    assert [number_of(request) for request in requests] == [*range(100), 101]


@pytest.mark.rabbitmq
@pytest.mark.couchdb
@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_two_nodes_keep_the_order_and_do_not_stall(
    start, receiver, amqp_url, couchdb_url, tmp_path, queue_type
):
    """40 of 200 were delivered in 157 s, with no progress after 36 s."""
    prepared(couchdb_url, tmp_path).close()
    accepted = some_fail(receiver, "/ordered")
    nodes = [
        start(
            node__name=f"callboard{number}@here",
            actors__key="of all nodes, as this process seals for one key only",
            amqp__url=amqp_url,
            amqp__queue_type=queue_type,
            amqp__single_active_consumer="true",
            couchdb__url=couchdb_url,
            **STANDARD,
        )
        for number in range(2)
    ]
    nodes[0].add_hook(f"{receiver.url}/ordered", format="json", ordered=True)
    for node in nodes:
        node.wait_hooks()
    publish_durably(amqp_url, map(call_event, range(100)))
    receiver.wait_for(lambda got: len(got) > 30, timeout_s=60)
    nodes[0].close()
    publish_durably(amqp_url, map(call_event, range(100, 200)))
    requests = receiver.wait_for(is_delivered(accepted, 200), timeout_s=120)
    assert numbers(requests) == list(range(200))
    assert list(dict.fromkeys(accepted)) == list(range(200))
