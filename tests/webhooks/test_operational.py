"""Operational events: what they say, and which hooks they fire."""

import json
import re
from pathlib import Path

import pytest

from callboard.webhooks.dispatch.down_endpoints import (
    DownEndpoint,
    DownEndpoints,
    EndpointWatch,
)
from callboard.webhooks.events.event import PoisonEvent, parse_event
from callboard.webhooks.hooks.failure_window import Limits, failing
from callboard.webhooks.hooks.hook import parse_hook
from callboard.webhooks.modules.operational import (
    EXCHANGE,
    NAMES,
    OperationalEvent,
    OperationalModule,
    account_quota,
    delivery_exhausted,
    endpoint_up,
    hook_disabled,
    hook_failing,
)

MODULE = OperationalModule(("op",))
NOW = 1_790_000_000.0


def fired(event):
    body = json.dumps(event.message("node-1")).encode()
    parsed = parse_event(body, "application/json", None, EXCHANGE.name, event.routing_key)
    assert MODULE.responds_to(parsed)
    return MODULE.firing(parsed, None)


def hook(id="h", event="callboard", **fields):
    document = {"_id": id, "pvt_account_id": "a", "uri": "https://me.example/x", "name": "n"}
    return parse_hook({**document, "hook": event, **fields}, frozenset({"callboard"}))


def event(name="hook.disabled", **data):
    return OperationalEvent(name, "a", 63_900_000_000, data, ("k",))


def test_the_payload_is_that_of_a_posted_event_with_the_node():
    firing = fired(event(hook_id="x", reason="why"))
    assert (firing.account_id, firing.event, firing.any_account) == ("a", "callboard", True)
    assert firing.above == ("op",)
    assert firing.payload == {
        "id": event().id,
        "type": "hook.disabled",
        "account_id": "a",
        "timestamp": 63_900_000_000,
        "node": "node-1",
        "data": {"hook_id": "x", "reason": "why"},
    }


@pytest.mark.parametrize(
    ("fields", "fires"),
    [
        ({}, True),
        ({"custom_data": {"type": "hook.disabled"}}, True),
        ({"custom_data": {"type": "all"}}, True),
        ({"custom_data": {"type": "hook.failing"}}, False),
        ({"event": "all"}, False),
        ({"id": "x"}, False),
        ({"uri": "https://down.example/y"}, False),
        ({"uri": "http://down.example/y"}, True),
    ],
)
def test_which_hooks_it_fires(fields, fires):
    firing = fired(event(hook_id="x", endpoint="https://down.example:443"))
    assert firing.selects(hook(**fields)) is fires


def test_the_same_fact_is_the_same_event():
    one = event()
    assert one.id == event(more="facts").id
    assert len(one.id) == 32
    assert OperationalEvent("hook.failing", "a", 0, {}, ("k",)).id != one.id
    assert OperationalEvent("hook.disabled", "b", 0, {}, ("k",)).id != one.id


def test_its_deliveries_count_the_hops():
    assert fired(event()).headers == (("callboard-hops", "1"),)
    four = OperationalEvent("delivery.exhausted", "a", 0, {}, ("k",), hops=4)
    assert fired(four).headers == (("callboard-hops", "5"),)


def test_a_message_without_an_account_is_poison():
    body = json.dumps({"Event-Category": "callboard_operational", "Event-Name": "x"}).encode()
    parsed = parse_event(body, "application/json", None, EXCHANGE.name, "x")
    with pytest.raises(PoisonEvent, match="Account-ID"):
        MODULE.firing(parsed, None)


def test_urls_are_shown_without_passwords():
    document = {"_id": "h", "_rev": "1-a", "pvt_account_id": "a", "hook": "all", "name": "n"}
    disabled = hook_disabled({**document, "uri": "https://u:p@x.example/"}, "why", 1)
    assert disabled.data["uri"] == "https://x.example/"
    assert hook_disabled({**document, "_rev": "2-b", "uri": ""}, "why", 1).id != disabled.id


def test_what_is_not_reported():
    letter = {"_id": "l", "kind": "delivery", "hook_event": "shop", "pvt_account_id": "a"}
    assert delivery_exhausted(letter).account_id == "a"
    assert delivery_exhausted({**letter, "hook_event": "callboard"}) is None
    assert delivery_exhausted({**letter, "kind": "event"}) is None
    times = [
        delivery_exhausted({**letter, "pvt_created": at, "pvt_hops": hops})
        for at, hops in ((63_900_000_000, 2), (None, None))
    ]
    assert [(one.at, one.hops) for one in times] == [(63_900_000_000, 2), (0, 0)]


@pytest.mark.parametrize(("down_s", "told_s"), [(12.34, 12.3), (0.25, 0.2), (-1.0, 0.0)])
def test_how_long_an_endpoint_was_down_is_told_in_tenths_of_a_second(down_s, told_s):
    assert endpoint_up("n", "https://e:443", "a", 5, 7, down_s).data["down_s"] == told_s


def test_a_hook_needs_no_modifiers(directory):
    assert MODULE.modifiers(directory) == {}


def test_a_quota_is_the_same_event_within_its_period():
    one = account_quota("a", "quotas.hooks", "why", 7200, 3600)
    assert one.id == account_quota("a", "quotas.hooks", "why", 10_799, 3600).id
    assert one.id != account_quota("a", "quotas.hooks", "why", 10_800, 3600).id
    assert one.name in NAMES


def test_half_of_a_limit_is_failing():
    now, times = 1_000_000, (999_000, 999_500, 900_000)
    limits = {"four": Limits(4, 60_000), "five": Limits(5, 60_000), "none": Limits(0, 60_000)}
    failures = {(account, "h"): times for account in limits} | {("old", "h"): (900_000,)}
    found = failing(failures, limits, now)
    assert set(found) == {("four", "h"), ("none", "h")}
    assert (found["four", "h"].count, found["four", "h"].first_ms) == (2, 999_000)


# Endpoints


def down(*accounts, endpoint="https://x:443", since_ms=int(NOW * 1000)):
    return (DownEndpoint(endpoint, since_ms, accounts),)


def told(events):
    return [(event.name, event.account_id) for event in events]


def test_an_endpoint_is_down_while_any_deliverer_says_so():
    watch = EndpointWatch("node", ("op",))
    first = watch.report("one", down("a"), NOW)
    assert told(first) == [("endpoint.down", "a"), ("endpoint.down", "op")]
    assert told(watch.report("two", down("a", "b"), NOW + 1)) == [("endpoint.down", "b")]
    assert told(watch.report("one", (), NOW + 2)) == []
    up = watch.report("two", (), NOW + 10)
    assert told(up) == [("endpoint.up", "a"), ("endpoint.up", "op"), ("endpoint.up", "b")]
    assert up[0].data == {
        "endpoint": "https://x:443",
        "since_ms": int(NOW * 1000),
        "down_s": 10.0,
    }
    assert len(watch) == 0
    assert watch.report("one", (), NOW + 11) == []


def test_a_watch_that_is_new_tells_the_same_events():
    events = [EndpointWatch("node").report("one", down("a"), NOW + s)[0] for s in (0, 30)]
    assert events[0].id == events[1].id


def test_a_silent_deliverer_is_forgotten():
    watch = EndpointWatch("node")
    watch.report("one", down("a"), NOW)
    assert watch.expire(NOW + 120) == []
    assert told(watch.expire(NOW + 120.1)) == [("endpoint.up", "a")]


def test_a_deliverer_reports_until_the_circuit_is_closed():
    closed = set()
    endpoints = DownEndpoints(most=3)
    for endpoint, account in (("x", "a"), ("x", "b"), ("x", "a"), ("y", "a"), ("z", "a")):
        endpoints.mark(endpoint, account, 5)
    both = (DownEndpoint("x", 5, ("a", "b")), DownEndpoint("y", 5, ("a",)))
    assert endpoints.report(closed.__contains__) == both
    closed.add("x")
    assert endpoints.report(closed.__contains__) == both[1:]
    endpoints.mark("z", "a", 6)
    assert len(endpoints.report(closed.__contains__)) == 2


def test_the_documentation_names_all_events_and_what_they_say():
    page = (Path(__file__).parents[2] / "docs" / "operational_events.md").read_text()
    rows = {r.split("`")[1]: r.split("|")[-2] for r in page.splitlines() if r.startswith("| `")}
    assert set(rows) == set(NAMES)
    document = {"_id": "h", "_rev": "1-a", "hook": "all"}
    letter = {"_id": "l", "kind": "delivery", "hook_event": "shop"}
    watch = EndpointWatch("node")
    made = [
        hook_disabled(document, "why", 1),
        hook_failing(document, 3, 6, 60_000, 1, 1),
        delivery_exhausted(letter),
        account_quota("a", "quotas.hooks", "why", 1, 3600),
        *watch.report("one", down("a"), NOW),
        *watch.report("one", (), NOW),
    ]
    for one in made:
        assert set(re.findall(r"`(\w+)`", rows[one.name])) == set(one.data), one.name
