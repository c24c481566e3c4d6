"""Events that fire many hooks, or make large payloads, in a whole system."""

import json

import pytest

from callboard import admin
from support.running import call_event

pytestmark = [pytest.mark.multiprocess, pytest.mark.faults]

HOOKS, EVENTS = 100, 20
OTHER = "b" * 32


def arrived(receiver):
    return [(request.path, json.loads(request.body)["call_id"]) for request in receiver.requests]


def restarts(system):
    return sum(node.restarts for node in system.tree().below())


def test_a_storm_of_one_account_passes_and_survives_the_death_of_a_deliverer(start, receiver):
    system = start(delivery__workers=2, delivery__waiting_per_endpoint=65_535)
    for number in range(HOOKS):
        system.add_hook(f"{receiver.url}/storm/{number}", format="json")
    system.add_hook(f"{receiver.url}/other", account=OTHER, format="json")
    system.wait_hooks(HOOKS + 1)
    system.publish(call_event(number) for number in range(EVENTS))
    system.publish([call_event(EVENTS, account=OTHER)])
    system.wait(lambda: receiver.count > HOOKS, what="the first requests")
    system.kill("deliveries/deliverer-1")
    expected = {("/other", f"call-{EVENTS}@switch")} | {
        (f"/storm/{number}", f"call-{event}@switch")
        for number in range(HOOKS)
        for event in range(EVENTS)
    }
    system.wait(lambda: set(arrived(receiver)) >= expected, 30, "all deliveries")
    assert set(arrived(receiver)) == expected

    def settled():
        stats = system.node("responders/channel_create").stats
        return stats["deliveries"] >= len(expected) and not stats["unsettled"]

    system.wait(settled, what="the end of all fan-outs")
    system.wait(
        lambda: system.node("event_bridge").stats["in_hand"] == 0,
        what="the acknowledgement of all events",
    )
    assert restarts(system) == 1


def test_eighty_payloads_of_a_megabyte_for_one_deliverer(start, receiver):
    """They made one message of 72 MB, which was never sent: 0 requests, no dead letter."""
    system = start(delivery__workers=1)
    for number in range(80):
        system.add_hook(f"{receiver.url}/large", format="json", custom_data={"own": str(number)})
    system.wait_hooks(80)
    body = call_event(1) | {"Custom-Application-Vars": {"text": "x" * 950_000}}
    system.publish([body])
    system.wait(lambda: receiver.count >= 80, 30, "80 requests")
    system.wait_settled(1)
    assert min(len(request.body) for request in receiver.requests) > 900_000
    own = {json.loads(request.body)["own"] for request in receiver.requests}
    assert own == {str(number) for number in range(80)}
    assert len(receiver.requests) == 80
    assert restarts(system) == 0


def test_a_payload_too_large_for_any_message_is_a_dead_letter(start, receiver):
    """As a form, a text of 12 MB of & has 36 MB, which fits in no message between actors."""
    system = start(delivery__workers=1, delivery__max_payload=100_000_000)
    refused = system.add_hook(f"{receiver.url}/form", format="form-data")
    system.add_hook(f"{receiver.url}/json", format="json")
    system.wait_hooks(2)
    system.publish([call_event(1) | {"Custom-Application-Vars": {"text": "&" * 12_000_000}}])
    system.publish([call_event(2)])

    def letters():
        listed = admin.ListDeadLetters()
        return system.client.ask_actor("redelivery", listed, admin.DeadLettersListed, 30).letters

    (letter,) = system.wait(letters, 30, "the dead letter")
    assert (letter.hook_id, letter.reason) == (refused, "refused: payload")
    system.wait(lambda: receiver.count >= 3, 30, "the other deliveries")
    assert sorted(request.path for request in receiver.requests) == ["/form", "/json", "/json"]
    system.wait_settled(2)
    retried = system.run("dead-letters", "retry", letter.id)
    assert "was not kept" in retried.stdout + retried.stderr
    assert restarts(system) == 0
