"""Changes of hooks that a node missed: a cut connection, a frozen node; and a frozen store."""

import json
import os
import signal
import time
from collections import Counter
from contextlib import suppress
from urllib.parse import urlsplit, urlunsplit

import psutil
import pytest

from callboard.actors.messages import EditHook, HookSaved, RemoveHook
from support.bus import publish_durably
from support.cluster import prepared
from support.patience import patient
from support.running import call_event
from support.slow_proxy import SlowProxy

pytestmark = [
    pytest.mark.multiprocess,
    pytest.mark.faults,
    pytest.mark.rabbitmq,
    pytest.mark.couchdb,
]

EVENTS = int(os.environ.get("CALLBOARD_TEST_MISSED", "200"))
FROZEN_S = float(os.environ.get("CALLBOARD_TEST_FROZEN_S", "5"))


def through(proxy, url):
    """The URL with the proxy's address."""
    parts = urlsplit(url)
    login = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{proxy.port}"))


def knows(node, hooks):
    return node.node("responders/channel_create").stats.get("hooks") == hooks


def everywhere(nodes, hooks):
    for node in nodes:
        node.wait(lambda node=node: knows(node, hooks), 60, f"{hooks} hooks")


def signal_all(processes, number):
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def test_no_change_is_missed_by_a_cut_connection_or_a_frozen_node(
    start, tmp_path, receiver, amqp_url, couchdb_url
):
    """N6 and N7."""
    prepared(couchdb_url, tmp_path).close()
    with SlowProxy(urlsplit(amqp_url).port) as proxy:
        cut, other = nodes = [
            start(
                node__name=f"callboard{number}@here",
                actors__key="of all nodes, as this process seals for one key only",
                amqp__url=url,
                couchdb__url=couchdb_url,
                delivery__workers=1,
                delivery__in_flight_per_endpoint=2,
            )
            for number, url in enumerate((through(proxy, amqp_url), amqp_url))
        ]
        hooks = {
            name: other.add_hook(f"{receiver.url}/{name}", format="json")
            for name in ("disabled", "deleted", "old")
        }
        everywhere(nodes, 3)

        proxy.losing = True
        disabled = cut.run("hooks", "disable", hooks["disabled"])
        assert disabled.returncode == 0, disabled.stderr
        cut.wait(lambda: knows(cut, 2))
        assert knows(other, 3)
        proxy.heal()
        other.wait(lambda: knows(other, 2), 60, "the news of the other node")
        cut.wait(lambda: cut.node("event_bridge").stats["broker"] == "up", 60)
        cut.wait(lambda: cut.node("hook_listener").stats["unpublished"] == 0, 60)

        frozen = cut.family()
        signal_all(frozen, signal.SIGSTOP)
        try:
            began = time.monotonic()
            listener = "hook_listener"
            other.client.ask_actor(listener, RemoveHook(hooks["deleted"]), HookSaved)
            new = {"uri": f"{receiver.url}/new"}
            other.client.ask_actor(listener, EditHook(hooks["old"], new), HookSaved)
            other.add_hook(f"{receiver.url}/added", format="json")
            publish_durably(amqp_url, map(call_event, range(EVENTS)))
            other.wait(lambda: other.node("event_bridge").stats.get("in_hand") == 0, 60)
            before = arrived(receiver)
            assert before["new"] < EVENTS, "the frozen node has none: that would prove nothing"
            time.sleep(max(0.0, patient(FROZEN_S) - (time.monotonic() - began)))
        finally:
            signal_all(frozen, signal.SIGCONT)
        receiver.wait_for(lambda got: calls(got, "new") == EVENTS, timeout_s=60)
        receiver.wait_for(lambda got: calls(got, "added") == EVENTS, timeout_s=60)
        cut.wait(lambda: cut.node("event_bridge").stats.get("in_hand") == 0, 60)
        print(f"{EVENTS - before['new']} of {EVENTS} events were the frozen node's")
        after = arrived(receiver)
        assert {name: after[name] for name in hooks} == dict.fromkeys(hooks, 0)


def arrived(receiver):
    return Counter(request.path.strip("/") for request in receiver.requests)


def calls(requests, name):
    """How many different calls this hook has been told of."""
    mine = (request for request in requests if request.path == f"/{name}")
    return len({json.loads(request.body)["call_id"] for request in mine})


def test_a_store_that_stands_still_kills_no_actor(
    start, tmp_path, receiver, amqp_url, couchdb_server, couchdb_url
):
    """N9: longer than an actor may be silent; from the start, and again at work."""
    prepared(couchdb_url, tmp_path).close()
    with SlowProxy(couchdb_server.port) as proxy:
        proxy.frozen = True
        system = start(
            amqp__url=amqp_url,
            couchdb__url=proxy.url + urlsplit(couchdb_url).path,
            couchdb__timeout_ms=int(patient(2500)),
            actors__hang_timeout_ms=int(patient(1500)),
        )
        frozen_for(system, 5.0)
        proxy.frozen = False
        hook = f"{receiver.url}/status/500"
        system.wait(lambda: system.node("hook_table").stats.get("loaded"), 60)
        system.add_hook(hook, format="json")
        system.wait(lambda: knows(system, 1), 60)
        publish_durably(amqp_url, map(call_event, range(20)))
        receiver.wait_for(10, timeout_s=60)
        proxy.frozen = True
        publish_durably(amqp_url, map(call_event, range(20, 40)))
        frozen_for(system, 5.0)
        proxy.frozen = False
        receiver.wait_for(lambda got: calls_of(got) == 40, timeout_s=60)
        assert restarts(system) == {}


def calls_of(requests):
    return len({json.loads(request.body)["call_id"] for request in requests})


def frozen_for(system, seconds):
    end = time.monotonic() + patient(seconds)
    while time.monotonic() < end:
        assert restarts(system) == {}
        time.sleep(0.3)


def restarts(system):
    return {node.path: node.restarts for node in system.tree().below() if node.restarts}
