"""Several nodes on one broker and one store: they share the work and what they know."""

import json
import re
import threading
import time
from collections import Counter

import pika
import pytest

from callboard.actors.messages import EditHook, HookSaved, RemoveHook
from callboard.adapters.receiver.server import Answer
from support.bus import publish_durably
from support.cluster import prepared
from support.patience import patient
from support.running import ACCOUNT, call_event, kill_all

pytestmark = [pytest.mark.multiprocess, pytest.mark.rabbitmq, pytest.mark.couchdb]

EVENTS = 400


@pytest.fixture
def store(couchdb_url, tmp_path):
    limits = {"attempt_failure_count": 6, "attempt_failure_expiry_ms": 12_000}
    store = prepared(couchdb_url, tmp_path, webhooks=limits)
    yield store
    store.close()


@pytest.fixture
def nodes(start, store, amqp_url, couchdb_url):
    """nodes(n) -> so many systems, each a node of its own of the same cluster.

    A setting that is a list has a value for each of them.
    """

    def nodes(count, **settings):
        return [
            start(
                node__name=f"callboard{number}@here",
                actors__key="of all nodes, as this process seals for one key only",
                amqp__url=amqp_url,
                couchdb__url=couchdb_url,
                delivery__workers=1,
                **{k: v[number] if isinstance(v, list) else v for k, v in settings.items()},
            )
            for number in range(count)
        ]

    return nodes


def knows(node, hooks):
    return node.node("responders/channel_create").stats.get("hooks") == hooks


def calls(requests):
    return Counter(json.loads(request.body)["call_id"] for request in requests)


@pytest.mark.parametrize(("count", "queue_type"), [(2, "classic"), (3, "quorum")])
def test_each_event_is_delivered_by_one_of_them(nodes, amqp_url, receiver, count, queue_type):
    all_nodes = nodes(count, amqp__queue_type=queue_type)
    all_nodes[0].add_hook(f"{receiver.url}/hook", format="json")
    for node in all_nodes:
        node.wait(lambda node=node: knows(node, 1))
    publish_durably(amqp_url, map(call_event, range(EVENTS)))
    requests = receiver.wait_for(lambda got: len(got) >= EVENTS, timeout_s=60)
    for node in all_nodes:
        node.wait(lambda node=node: node.node("event_bridge").stats.get("in_hand") == 0)

    assert calls(receiver.requests) == {f"call-{n}@switch": 1 for n in range(EVENTS)}
    assert len(requests) == EVENTS

    def done():
        return [node.node("event_bridge").stats["acknowledged"] for node in all_nodes]

    all_nodes[0].wait(lambda: sum(done()) >= EVENTS, what="the acknowledgement of all events")
    assert all(done()), f"one of them had nothing to do: {done()}"


def test_the_node_of_higher_priority_is_preferred_and_the_standby_takes_over(
    nodes, amqp_url, receiver
):
    preferred, standby = nodes(2, amqp__consumer_priority=[10, 0])
    preferred.add_hook(f"{receiver.url}/hook", format="json")
    for node in (preferred, standby):
        node.wait(lambda node=node: knows(node, 1))
        node.wait(lambda node=node: node.node("event_bridge").stats.get("in_hand") == 0)
    before = standby.node("event_bridge").stats["received"]
    publish_durably(amqp_url, map(call_event, range(100)))
    receiver.wait_for(lambda got: len(calls(got)) == 100, timeout_s=60)
    preferred.wait(lambda: preferred.node("event_bridge").stats["acknowledged"] >= 100)
    assert standby.node("event_bridge").stats["received"] == before

    kill_all(preferred.family())
    publish_durably(amqp_url, map(call_event, range(100, 200)))
    receiver.wait_for(lambda got: len(calls(got)) == 200, timeout_s=60)


def test_what_is_put_off_on_quorum_queues_comes_back_on_any_node(nodes, amqp_url, receiver):
    trio = nodes(
        3,
        amqp__queue_type="quorum",
        delivery__retry_policy="standard",
        delivery__retry_steps_s="2,2,2,2,2,2",
        disabler__enabled="false",
    )
    tries = Counter()

    def fail_once(request):
        call = json.loads(request.body)["call_id"]
        tries[call] += 1
        return Answer(500 if tries[call] == 1 else 200)

    receiver.answer("/hook", fail_once)
    trio[0].add_hook(f"{receiver.url}/hook", format="json")
    for node in trio:
        node.wait(lambda node=node: knows(node, 1))
    publish_durably(amqp_url, map(call_event, range(60)))
    wanted = {f"call-{n}@switch": 2 for n in range(60)}
    receiver.wait_for(lambda got: calls(got) == wanted, timeout_s=60)
    trio[0].wait(lambda: sum(map(settled, trio)) == 60, what="60 retries settled")


def settled(node):
    return node.node("deliveries/retry_queue").stats["settled"]


def test_each_change_of_a_hook_is_known_on_all_of_them(nodes, rabbitmq, amqp_url, receiver):
    trio = nodes(3)
    for node in trio:
        node.wait(lambda node=node: node.node("hook_listener").stats.get("broker") == "up")

    def everywhere(hooks):
        for node in trio:
            node.wait(lambda node=node: knows(node, hooks), what=f"{hooks} hooks")

    hook = trio[0].add_hook(f"{receiver.url}/hook", format="json")
    everywhere(1)
    trio[1].client.ask_actor("hook_listener", EditHook(hook, {"enabled": False}), HookSaved)
    everywhere(0)
    trio[2].client.ask_actor("hook_listener", EditHook(hook, {"enabled": True}), HookSaved)
    everywhere(1)
    trio[1].client.ask_actor("hook_listener", RemoveHook(hook), HookSaved)
    everywhere(0)
    own = {
        queue
        for queue in bound_queues(rabbitmq, amqp_url, "configuration")
        if queue.startswith("callboard.events.changes.")
    }
    assert len(own) == len(trio), "each has one of its own"


def bound_queues(rabbitmq, amqp_url, exchange):
    """The queues that are bound to this exchange."""
    vhost = pika.URLParameters(amqp_url).virtual_host
    source = f'rabbit_misc:r(<<"{vhost}">>, exchange, <<"{exchange}">>)'
    found = rabbitmq.erlang(
        f"[element(4, element(4, B)) || B <- rabbit_binding:list_for_source({source})]"
    )
    return set(re.findall(r'<<"([^"]*)">>', found))


def test_a_hook_that_one_adds_fires_on_both_within_a_second(nodes, receiver, store):
    first, second = nodes(2, actors__heartbeat_ms=100)
    for node in (first, second):
        node.wait(lambda node=node: node.node("hook_listener").stats.get("broker") == "up")
        node.wait(lambda node=node: node.node("hook_table").stats.get("loaded"))
    first.add_hook(f"{receiver.url}/hook", format="json")
    began = time.monotonic()
    # The figures of a tree are as old as its heartbeats, 0.1 s a level here.
    second.wait(lambda: knows(second, 1), what="the hook on the other node")
    assert time.monotonic() - began < patient(1 + 2 * 0.1)


def test_failures_count_together_and_the_word_is_given_once(nodes, amqp_url, receiver, store):
    trio = nodes(3)
    bad = trio[0].add_hook(f"{receiver.url}/status/500", retries=1)
    for node in trio:
        node.wait(lambda node=node: knows(node, 1))
    disabled = Listener(amqp_url, "notifications", "notifications.webhook.disabled")

    for number in range(6):
        publish_durably(amqp_url, [call_event(number)])
        receiver.wait_for(number + 1)  # two failures in one millisecond count as one
    trio[0].wait(lambda: store.get("webhooks", bad)["enabled"] is False, timeout_s=60)
    assert store.get("webhooks", bad)["pvt_disabled_message"] == "too many failed attempts"
    for node in trio:
        node.wait(lambda node=node: knows(node, 0))

    def failed():
        return [node.node("deliveries/deliverer-1").stats["failed_tries"] for node in trio]

    trio[0].wait(lambda: sum(failed()) >= 6, what="the figures of all failures")
    assert sum(failed()) == 6
    assert max(failed()) < 6, "one node saw them all: that would prove nothing"

    body = disabled.next()
    assert (body["Hook-ID"], body["Account-ID"]) == (bad, ACCOUNT)
    for node in trio:  # each has counted anew since, with its failures flushed
        node.wait(lambda node=node: node.node("failure_cache").stats["failures"] == 0)
    assert disabled.count() == 0


class Listener:
    """A queue of its own on an exchange."""

    def __init__(self, url, exchange, key):
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self._channel = self._connection.channel()
        self._queue = self._channel.queue_declare("", exclusive=True).method.queue
        self._channel.queue_bind(self._queue, exchange, key)

    def next(self, timeout_s=15.0):
        """The body of the next message."""
        end = time.monotonic() + patient(timeout_s)
        while time.monotonic() < end:
            method, _properties, body = self._channel.basic_get(self._queue, auto_ack=True)
            if method is not None:
                return json.loads(body)
            self._connection.process_data_events(0.05)
        raise AssertionError(f"no message within {timeout_s} s")

    def count(self):
        """How many messages lie there."""
        return self._channel.queue_declare(self._queue, passive=True).method.message_count


@pytest.mark.faults
@pytest.mark.parametrize(("count", "queue_type"), [(2, "classic"), (3, "quorum")])
def test_what_a_killed_node_had_in_flight_the_others_deliver(
    nodes, amqp_url, receiver, count, queue_type
):
    first, *others = nodes(count, amqp__queue_type=queue_type)
    killed = receiver.hold("/hook", Answer(delay_s=0.2), after=20)
    first.add_hook(f"{receiver.url}/hook", format="json")
    for node in (first, *others):
        node.wait(lambda node=node: knows(node, 1))
    playing = threading.Thread(
        target=publish_durably, args=(amqp_url, [call_event(n) for n in range(EVENTS)])
    )
    playing.start()
    receiver.wait_for(20)
    kill_all(first.family())
    assert receiver.count < EVENTS // 2, "it was killed too late to have much in flight"
    killed.set()
    playing.join()

    wanted = {f"call-{n}@switch" for n in range(EVENTS)}
    receiver.wait_for(lambda got: wanted <= calls(got).keys(), timeout_s=90)
    for node in others:
        node.wait(
            lambda node=node: node.node("event_bridge").stats.get("in_hand") == 0, timeout_s=30
        )
    ids = Counter(request.headers["webhook-id"] for request in receiver.requests)
    assert len(ids) == EVENTS, "a repeat must carry the same identity"
