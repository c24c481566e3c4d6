"""A hook that keeps failing is disabled, on record, and the others go on."""

import json

import pytest

from services import free_port
from support.running import call_event
from support.stores import first_store

pytestmark = pytest.mark.multiprocess


@pytest.fixture
def store(tmp_path):
    """The embedded store of the first system that the test starts, with eager limits."""
    store = first_store(tmp_path)
    store.ensure_database("system_config")
    limits = {"attempt_failure_count": 3, "attempt_failure_expiry_ms": 8000}
    store.save("system_config", {"_id": "webhooks", "default": limits})
    yield store
    store.close()


def test_a_hook_that_fails_too_often_is_disabled(store, start, receiver):
    system = start()
    bad = system.add_hook(f"{receiver.url}/status/500")
    good = system.add_hook(f"{receiver.url}/ok")
    for number in range(4):  # failures of one millisecond count as one
        system.publish([call_event(number)])
        receiver.wait_for(2 * (number + 1))
    system.wait(lambda: store.get("webhooks", bad)["enabled"] is False)
    system.wait(lambda: system.node("responders/channel_create").stats.get("hooks") == 1)

    document = store.get("webhooks", bad)
    assert document["pvt_disabled_message"] == "too many failed attempts"
    assert store.get("webhooks", good)["enabled"] is True
    listed = {d["_id"]: d for d in json.loads(system.run("hooks", "list", "--json").stdout)}
    assert listed[bad]["enabled"] is False

    before = receiver.count
    system.publish([call_event(9)])
    receiver.wait_for(before + 1)
    system.wait(lambda: system.node("event_bridge").stats.get("in_hand") == 0)
    assert [r.path for r in receiver.requests[before:]] == ["/ok"]


def test_hooks_of_a_dead_endpoint_are_disabled_although_it_is_left_alone(store, start, receiver):
    """Ten errors open the circuit: too few for twelve hooks to fail three times each."""
    system = start(delivery__workers=1)
    dead = f"http://127.0.0.1:{free_port()}"
    hooks = [system.add_hook(f"{dead}/{number}", retries=1) for number in range(12)]
    good = system.add_hook(f"{receiver.url}/ok")

    def tries():
        return system.node("deliveries/deliverer-1").stats.get("failed_tries", 0)

    for number in range(4):
        system.publish([call_event(number)])
        receiver.wait_for(number + 1)
        system.wait(lambda: tries() >= 10)  # Then the circuit is open.
    system.wait(lambda: not any(store.get("webhooks", hook)["enabled"] for hook in hooks))
    assert tries() < 2 * len(hooks)
    assert store.get("webhooks", good)["enabled"] is True


def test_attempts_that_no_database_can_hold_stop_nothing(start, receiver):
    system = start()
    system.wait(lambda: system.node("event_bridge").stats.get("broker") == "up")
    system.add_hook(f"{receiver.url}/status/500", account="?")
    system.add_hook(f"{receiver.url}/ok")
    system.publish([call_event(1, account="?"), call_event(2)])
    receiver.wait_for(2)
    system.wait_settled(2 + 2)  # the hooks' changes and the calls
    assert {node.restarts for node in system.tree().children} == {0}
