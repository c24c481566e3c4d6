"""A hook's `modifiers`: which payloads it lets through."""

import pytest

from support.kazoo import call

BODY = call(
    ccvs={"Call-Forward": True},
    Call_Direction="inbound",
    Timestamp=63_900_000_005,
    Custom_Application_Vars={"a": "b"},
)


@pytest.mark.parametrize(
    ("modifiers", "fires"),
    [
        pytest.param({}, True, id="none"),
        pytest.param({"call_direction": "inbound"}, True, id="equal"),
        pytest.param({"call_direction": "outbound"}, False, id="not equal"),
        pytest.param({"unheard_of": "x"}, True, id="a key that the payload lacks passes"),
        pytest.param({"call_direction": []}, True, id="an empty list passes"),
        pytest.param({"call_direction": ["outbound", "inbound"]}, True, id="a list with it"),
        pytest.param({"call_direction": ["outbound"]}, False, id="a list without it"),
        pytest.param({"call_direction": "inbound", "call_id": "x"}, False, id="all must pass"),
        pytest.param({"call_id": "x", "call_direction": "inbound"}, False, id="whatever the order"),
        pytest.param({"call_direction": "INBOUND"}, False, id="case matters"),
        pytest.param({"call_forwarded": True}, True, id="a boolean"),
        pytest.param({"call_forwarded": "true"}, False, id="a boolean is not its name"),
        pytest.param({"call_forwarded": 1}, False, id="nor is it 1"),
        pytest.param({"timestamp": 63_900_000_005}, True, id="a number"),
        pytest.param({"timestamp": "63900000005"}, False, id="a number is not its digits"),
        pytest.param({"custom_application_vars": {"a": "b"}}, True, id="an object"),
        pytest.param({"custom_application_vars": {"a": "c"}}, False, id="another object"),
        pytest.param({"custom_application_vars": {}}, False, id="an empty object must be equal"),
        pytest.param({"a": "c"}, True, id="the top level only"),
        pytest.param({"hook_event": "channel_create"}, True, id="any key of the payload"),
        pytest.param({"Call-Direction": "outbound"}, True, id="headers are not looked at"),
        pytest.param({"cluster_id": "another"}, True, id="cluster_id is set later"),
        pytest.param({"shop": "two"}, True, id="and so is custom_data"),
    ],
)
def test_which_payloads_pass(modifiers, fires, cluster):
    cluster.hook(modifiers=modifiers, custom_data={"shop": "one"})
    assert bool(cluster.fired(BODY)) is fires


def test_a_hook_that_is_skipped_holds_up_no_other(cluster):
    cluster.hook(modifiers={"call_direction": "outbound"})
    second = cluster.hook()
    assert cluster.fired(BODY) == [second]


def test_on_all_they_are_asked_too(cluster):
    cluster.hook("all", modifiers={"call_direction": "outbound"})
    assert cluster.fired(BODY) == []
