"""Messages that end an actor: the node goes on, and they become dead letters."""

import json

import pytest

from callboard import admin
from callboard.actors.base.intake import DEADLY
from callboard.adapters.broker import brokers
from callboard.adapters.broker.protocol import OutgoingMessage, Topology
from services.driver import Driver
from support.running import RunningSystem, call_event, outgoing

pytestmark = [pytest.mark.multiprocess, pytest.mark.faults]

HOLES = """
import os, signal
from callboard.actors.events.claims import Claims
from callboard.actors.events.responder import Responder

class Holes:
    taken, matched = Claims.of, Responder._fan_out

    def take(self, message):
        if b"raises" in message.body:
            raise RuntimeError("a hole in the edge")
        return Holes.taken(self, message)

    def match(self, raw, *others):
        if b"kills" in raw.body:
            os.kill(os.getpid(), signal.SIGKILL)
        return Holes.matched(self, raw, *others)

Claims.of, Responder._fan_out = Holes.take, Holes.match
from callboard.run_system import main
main()
"""
"""Callboard with an error that the edge does not prevent, and a module that ends its process."""


def publish(system, bodies):
    """Publish from outside: a request to the bridge would be repeated at its deaths."""
    publisher = Driver(brokers.connect("memory://", Topology(), system.settings.data.dir)).up()
    for body in bodies:
        exchange, key, text, _content_type = outgoing(body)
        publisher.connection.publish(OutgoingMessage(exchange, key, text))
    publisher.until(lambda: len(publisher.confirmed) == len(bodies))
    publisher.connection.close()


@pytest.mark.parametrize(
    ("deadly", "actor", "deaths"),
    [("raises", "event_bridge", 2), ("kills", "responders/channel_create", 3)],
)
def test_the_node_goes_on_and_the_message_is_quarantined(
    start, receiver, monkeypatch, deadly, actor, deaths
):
    monkeypatch.setattr(RunningSystem, "program", ("-c", HOLES))
    system = start(actors__max_restarts=5)
    system.add_hook(f"{receiver.url}/ok", format="json")
    system.wait_hooks()
    bad = call_event(0) | {"Call-ID": deadly}
    publish(system, [*map(call_event, range(1, 150)), bad, *map(call_event, range(150, 300))])
    system.wait(
        lambda: len({json.loads(request.body)["call_id"] for request in receiver.requests}) == 299,
        60,
        "all other events",
    )
    request = admin.ListDeadLetters(kind="event")

    def letters():
        return system.client.ask_actor("redelivery", request, admin.DeadLettersListed).letters

    (letter,) = system.wait(letters, 30, "the dead letter")
    assert letter.reason == DEADLY
    system.wait(lambda: system.node("event_bridge").stats["in_hand"] == 0)
    restarts = {node.path: node.restarts for node in system.tree().below() if node.restarts}
    assert {path: restarts.pop(path) for path in [actor]} == {actor: deaths}
    assert restarts == {}
