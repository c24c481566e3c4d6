"""Ordered and paused hooks: what waits keeps its order, whatever dies meanwhile."""

import json
import os
import subprocess
import time
from collections import Counter
from contextlib import suppress
from itertools import cycle, pairwise
from pathlib import Path

import psutil
import pytest
from attrs import frozen

from callboard.actors.messages import EditHook, HookSaved
from callboard.adapters.receiver.server import Answer
from callboard.supervision import die_with_parent
from support.bus import publish_durably
from support.cluster import prepared
from support.patience import patient
from support.running import ACCOUNT, RunningSystem, call_event, kill_all

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


def two_nodes(amqp_url, couchdb_url):
    """The settings of two nodes, of which one takes events at a time."""
    return [
        {
            "node__name": f"callboard{number}@here",
            "actors__key": "of all nodes, as this process seals for one key only",
            "amqp__url": amqp_url,
            "amqp__single_active_consumer": "true",
            "couchdb__url": couchdb_url,
        }
        for number in range(2)
    ]


def kill_node(system):
    """Kill all processes of a node at once, and start it again."""
    kill_all(system.family())
    psutil.wait_procs(system.family(), timeout=patient(5))
    system.process.wait()
    system.process.stdout.close()
    system.start()


class EarlierSystem(RunningSystem):
    """A system of an earlier version, from a checkout of it with a `.venv`, run by its commands."""

    modules = ""  # It cannot choose.
    checkout = Path(os.environ.get("CALLBOARD_TEST_EARLIER", ""))

    def start(self):
        self.detach()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [self.checkout / ".venv/bin/callboard", "start"],
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                preexec_fn=die_with_parent,
            )
        assert "ready" in self.process.stdout.readline(), self.tail()

    def run(self, *arguments, input="", **environment):
        return subprocess.run(
            [self.checkout / ".venv/bin/callboard", *arguments],
            env=self.environment | environment,
            input=input,
            capture_output=True,
            text=True,
            check=True,
            timeout=patient(60),
        )

    def add_hook(self, uri, event="channel_create", account=ACCOUNT, **fields):
        options = ("--event", event, "--account", account, "--ordered")
        return self.run("hooks", "add", uri, *options)

    def publish(self, bodies, batch=100):
        self.run("publish", input=json.dumps(list(bodies)))


@frozen
class Ordeal:
    """What ordered hooks go through: events in batches, and between them deaths and restarts."""

    hooks: int
    batches: int
    batch: int
    kills: int
    failing: int


SMALL = Ordeal(hooks=1, batches=8, batch=10, kills=5, failing=5)
LARGE = Ordeal(hooks=5, batches=40, batch=50, kills=30, failing=50)
SIZE = LARGE if os.environ.get("CALLBOARD_TEST_LARGE") == "1" else SMALL
EARLIER_WAITING = 15
"""An earlier version keeps the order of up to 20 events that wait for a hook."""
VICTIMS = (
    "deliveries/retry_queue",
    "event_bridge",
    "responders/channel_create",
    *("deliveries/deliverer-1", "deliveries/deliverer-2"),  # One of them has the hook.
    *("deliveries/attempt_log", "hook_table"),
)


@pytest.mark.timeout(1_800)
def test_ordered_hooks_keep_their_order_whatever_dies(start, receiver, broker, tmp_path):
    assert survive(start, receiver, [broker], tmp_path) == (0, 0)


@pytest.mark.rabbitmq
@pytest.mark.couchdb
@pytest.mark.timeout(1_800)
@pytest.mark.skipif(SIZE != LARGE, reason="two nodes have a shorter test below")
def test_ordered_hooks_of_two_nodes_keep_their_order_whatever_dies(
    start, receiver, amqp_url, couchdb_url, tmp_path
):
    prepared(couchdb_url, tmp_path).close()
    assert survive(start, receiver, two_nodes(amqp_url, couchdb_url), tmp_path) == (0, 0)


def survive(start, receiver, nodes, tmp_path):
    """The number of inversions and of lost deliveries on these nodes, by their settings.

    An inversion is a delivery that was first attempted, or that ended, before an earlier one.

    CALLBOARD_TEST_LARGE=1 is the long run. CALLBOARD_TEST_EARLIER is a checkout of an earlier
    version, which begins as the first node. It is replaced while an event is to be attempted again,
    and the ones behind it wait in its memory.
    """
    paths = [f"/ordered{number}" for number in range(SIZE.hooks)]
    accepted = {path: some_fail(receiver, path, SIZE.failing) for path in paths}
    settings = [{**STANDARD, **node, "actors__max_restarts": 1_000} for node in nodes]
    has_earlier = EarlierSystem.checkout != Path() and len(nodes) == 1
    if has_earlier:
        system = EarlierSystem(tmp_path / "data0", **settings[0])
    else:
        system, *others = [start(**each) for each in settings]
    for path in paths:
        system.add_hook(f"{receiver.url}{path}", format="json", ordered=True)
    system.wait_hooks(SIZE.hooks)
    victims = zip(cycle(VICTIMS), cycle(range(len(nodes))), strict=False)
    made = 0

    def publish(count):
        nonlocal made
        system.publish([call_event(n) for n in range(made, made + count)])
        made += count

    def is_done(_requests):
        return all(len(set(numbers)) == made for numbers in accepted.values())

    if has_earlier:
        for _batch in range(SIZE.batches // 4):
            publish(SIZE.failing - 1 - made % SIZE.failing or SIZE.failing)
            receiver.wait_for(is_done, timeout_s=60)
            publish(EARLIER_WAITING)
        system.close()
        system, others = start(**settings[0]), []
    events = SIZE.batches * SIZE.batch
    while made < events:
        done = made // SIZE.batch
        if done * SIZE.kills // SIZE.batches < (done + 1) * SIZE.kills // SIZE.batches:
            victim, node = next(victims)
            [system, *others][node].kill(victim)
        if done == SIZE.batches // 2:
            system.close()
            system.start()
        if done == SIZE.batches * 3 // 4:
            kill_node([system, *others][-1])
        # A bridge that has just begun refuses events until it is connected.
        system.wait(lambda: system.node("event_bridge").stats.get("broker") == "up")
        publish(min(SIZE.batch, events - made))

    with suppress(AssertionError):
        receiver.wait_for(is_done, timeout_s=600 if SIZE is LARGE else 60)
    begun = [numbers(r for r in receiver.requests if r.path == path) for path in paths]
    ended = [list(dict.fromkeys(of)) for of in accepted.values()]
    inversions = sum(a > b for of in (*begun, *ended) for a, b in pairwise(of))
    lost = sum(made - len(set(of)) for of in accepted.values())
    repeats = receiver.count - SIZE.hooks * (made + made // SIZE.failing)
    print(f"{made} events, {SIZE}: {inversions} inversions, {lost} lost, {repeats} repeats")
    return inversions, lost


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
    accepted = some_fail(receiver, "/ordered", every=20)
    nodes = [
        start(**node, amqp__queue_type=queue_type, **STANDARD)
        for node in two_nodes(amqp_url, couchdb_url)
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
