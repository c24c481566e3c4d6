"""Events posted over HTTP, and which hooks fire for them."""

import json

import pytest

from callboard.webhooks.deliveries.delivery import delivery_id
from callboard.webhooks.events.event import Event, PoisonEvent, parse_event
from callboard.webhooks.hooks.hook import parse_hook
from callboard.webhooks.modules.posted_event import EXCHANGE, PostedEvent, PostedEventModule

ACCOUNT = "a" * 32
MODULE = PostedEventModule()


def posted(name="order.paid", data=None, id="e1"):
    event = PostedEvent(id, name, ACCOUNT, 63_900_000_000, data or {"order": 17})
    return parse_event(event.body, "application/json", None, EXCHANGE.name, event.routing_key)


def hook(**fields):
    document = {"_id": "h", "pvt_account_id": ACCOUNT, "uri": "https://a.example/", "name": "n"}
    return parse_hook({**document, "hook": "event", **fields}, frozenset({"event"}))


def test_the_payload_has_what_receivers_of_standard_webhooks_expect():
    event = posted()
    assert MODULE.responds_to(event)
    firing = MODULE.firing(event, None)
    assert (firing.account_id, firing.event, firing.any_account) == (ACCOUNT, "event", True)
    assert firing.payload == {
        "id": "e1",
        "type": "order.paid",
        "account_id": ACCOUNT,
        "timestamp": 63_900_000_000,
        "data": {"order": 17},
    }


@pytest.mark.parametrize(("hops", "header"), [(0, {}), (1, {"Hops": 1}), (5, {"Hops": 5})])
def test_the_message_has_headers_like_kazoos(hops, header):
    event = PostedEvent("e1", "order.paid", ACCOUNT, 63_900_000_000, {"order": 17}, hops)
    assert event.routing_key == "order.paid"
    assert json.loads(event.body) == header | {
        "Event-Category": "callboard",
        "Event-Name": "order.paid",
        "Msg-ID": "e1",
        "Account-ID": ACCOUNT,
        "Timestamp": 63_900_000_000,
        "Data": {"order": 17},
    }


@pytest.mark.parametrize(
    ("fields", "fires"),
    [
        ({}, True),
        ({"custom_data": {"type": "order.paid"}}, True),
        ({"custom_data": {"type": "all"}}, True),
        ({"custom_data": {"shop": "7"}}, True),
        ({"custom_data": {"type": "order.sent"}}, False),
        ({"hook": "all", "custom_data": {"type": "order.sent"}}, True),
    ],
)
def test_a_hook_selects_by_the_type_of_its_custom_data(fields, fires):
    assert MODULE.firing(posted(), None).selects(hook(**fields)) is fires


def test_a_delivery_is_known_by_the_events_id():
    ids = [delivery_id(posted(data=data), "event", "h") for data in ({"a": 1}, {"a": 2})]
    assert ids[0] == ids[1]
    assert delivery_id(posted(id="e2"), "event", "h") != ids[0]


@pytest.mark.parametrize("change", [{"Data": [1]}, {"Account-ID": None}, {"Event-Name": ""}])
def test_what_others_publish_there_is_poison_unless_it_is_whole(change):
    body = json.loads(PostedEvent("e", "n", ACCOUNT, 1, {}).body) | change
    with pytest.raises(PoisonEvent):
        MODULE.firing(Event(body), None)


def test_it_is_bound_to_all_messages_of_an_exchange_of_callboard():
    assert (MODULE.id, MODULE.events) == ("event", ("event",))
    assert [(each.name, each.type, each.durable) for each in MODULE.exchanges] == [
        ("callboard", "topic", True)
    ]
    assert MODULE.bindings == (("callboard", "#"),)
