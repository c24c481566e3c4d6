"""RabbitMQ goes away and comes back under load: deliveries resume, nothing is lost."""

import json
import threading

import pytest

from support.bus import publish_durably
from support.hooks import AUTO_DISABLED, prepared_store, save_account, save_hook
from support.running import ACCOUNT, call_event

pytestmark = [pytest.mark.multiprocess, pytest.mark.faults, pytest.mark.rabbitmq]

EVENTS = 300


def test_deliveries_resume_by_themselves(start, receiver, rabbitmq, amqp_url):
    system = start(amqp__url=amqp_url, amqp__prefetch=20)
    system.add_hook(f"{receiver.url}/slow/500", format="json")
    system.wait_hooks()
    half = EVENTS // 2
    publish_durably(amqp_url, map(call_event, range(half)))
    receiver.wait_for(20)

    rabbitmq.stop()
    system.wait(lambda: system.node("event_bridge").stats.get("broker") == "down")
    assert receiver.count < half, "it was stopped too late to be under load"
    rabbitmq.start()
    system.wait(
        lambda: system.node("event_bridge").stats.get("broker") == "up", 30, "the reconnection"
    )
    publish_durably(amqp_url, map(call_event, range(half, EVENTS)))

    def arrived():
        return {json.loads(request.body)["call_id"] for request in receiver.requests}

    system.wait(lambda: len(arrived()) == EVENTS, 60, "all events")
    print(f"published {EVENTS}, arrived {len(arrived())}, repeats {receiver.count - EVENTS}")
    assert {node.restarts for node in system.tree().children} == {0}


def test_a_dropped_connection_is_made_again(start, receiver, rabbitmq, amqp_url):
    system = start(amqp__url=amqp_url)
    system.add_hook(f"{receiver.url}/ok", format="json")
    system.wait_hooks()
    dropping = threading.Thread(target=rabbitmq.drop_connections)
    dropping.start()
    dropping.join()
    system.wait(lambda: system.node("event_bridge").stats.get("broker") == "up")
    publish_durably(amqp_url, map(call_event, range(20)))
    receiver.wait_for(20)


def test_hooks_enabled_while_it_is_away_fire_once_it_is_back(
    start, receiver, rabbitmq, amqp_url, tmp_path
):
    store = prepared_store("sqlite://", tmp_path / "data0")
    save_account(store, ACCOUNT)
    hook = save_hook(store, f"{receiver.url}/ok", ACCOUNT, **AUTO_DISABLED)
    system = start(amqp__url=amqp_url)
    system.wait(lambda: system.node("maintenance").stats.get("broker") == "up")
    rabbitmq.stop()
    system.wait(lambda: system.node("maintenance").stats.get("broker") == "down")
    enabled = system.run("maintenance", "enable_account_hooks", ACCOUNT)
    assert enabled.stdout == f"re-enabled 1 hooks\nIDs: {hook}\n"
    system.wait(lambda: system.node("maintenance").stats.get("unpublished") == 1)
    rabbitmq.start()
    system.wait(
        lambda: system.node("maintenance").stats.get("unpublished") == 0, 30, "the news of it"
    )
    system.wait(lambda: system.node("responders/channel_create").stats.get("hooks") == 1)
    system.wait(lambda: system.node("event_bridge").stats.get("broker") == "up", 30)
    publish_durably(amqp_url, [call_event(1)])
    receiver.wait_for(1)
    store.close()
