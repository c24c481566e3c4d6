"""What an event costs its responder as a whole, from the bridge's batch to the deliverer's."""

import orjson

from callboard.actors.events.responder import Responder
from callboard.actors.messages import DeliveryBatch, EventBatch, HookPage, RawEvent, Subscribe
from callboard.actors.messages.paths import EVENT_BRIDGE, HOOK_TABLE, responder_path
from performance.counting import c_calls, instructions
from support.hooks import hooks_with
from support.world.fixtures import servers, settings, world

__all__ = ["servers", "settings", "world"]

EVENTS = 200
PARTIES = [{"name": f"Extension {n}", "id": f"+1555{n:07}", "late": 12.5 + n} for n in range(13)]
BODY = {"direction": "inbound", "attempt": 1, "note": "x" * 800, "parties": PARTIES}
EVERY_BODY = [orjson.dumps(BODY | {"n": number}) for number in range(EVENTS)]


def batch(number):
    """Messages of another bus, with decimals."""
    return tuple(
        RawEvent(tag, "shop", "order.made", body, "application/json", None, f"{number}-{tag}")
        for tag, body in enumerate(EVERY_BODY)
    )


def test_to_route_an_event(within, world, servers, settings):
    table, bridge = world.peer(HOOK_TABLE), world.peer(EVENT_BRIDGE)
    deliverer = world.peer("deliveries/deliverer-1")
    peers = table, bridge, deliverer
    responder = world.start(Responder, responder_path("shop"), settings, *peers, module="shop")
    world.pass_time(0.1)
    stream = table.take(Subscribe)[-1].stream
    hook = hooks_with(account_id="a", event="shop")("h1", format="json")
    table.say(responder, HookPage(stream, 0, (hook,), last=True))
    world.pass_time(0.1)

    def route(number):
        bridge.say(responder, EventBatch(number, 1, batch(number)))
        world.pass_time(0.1)
        (made,) = deliverer.take(DeliveryBatch)
        assert len(made.events) == EVENTS

    route(1)
    routed = instructions(lambda: route(2)) / EVENTS
    with c_calls() as calls:
        route(3)
    figures = {"route: instructions": routed, "route: C functions": calls.total() / EVENTS}
    within("responder", figures, room=1.15)
