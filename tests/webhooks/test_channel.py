import pytest

from callboard.webhooks.events.event import Event
from callboard.webhooks.hooks.hook import Hook
from callboard.webhooks.modules.kazoo import (
    channel_answer,
    channel_bridge,
    channel_create,
    channel_destroy,
)
from callboard.webhooks.modules.protocol import EventExchange

from_call = {  # of the fixture `call`
    "account_id": "1b" * 16,
    "owner_id": "ada",
    "call_direction": "inbound",
    "call_id": "leg-a",
    "caller_id_name": "Ada",
    "caller_id_number": "1001",
    "from": "1001@pbx.example.org",
    "to": "+14155550100@pbx.example.org",
    "request": "+14155550100@pbx.example.org",
    "emergency_resource_used": False,
    "is_internal_leg": False,
    "local_resource_used": True,
    "timestamp": 63867000000,
    "hook_event": "channel_create",
}

MODULES = {
    module.event_name: module
    for module in (
        channel_create.MODULE,
        channel_answer.MODULE,
        channel_bridge.MODULE,
        channel_destroy.MODULE,
    )
}
LEFT_OUT = object()


def payload_of(event, directory):
    return MODULES[event.name].firing(event, directory).payload


@pytest.mark.parametrize("name", MODULES)
def test_a_call_fires_its_event_for_its_account(name, call, directory):
    firing = MODULES[name].firing(call(name), directory)
    assert (firing.account_id, firing.event) == (from_call["account_id"], name)
    assert firing.payload == from_call | {"hook_event": name.lower()}


# Payload key, where it is read from, and the pairs of value and what becomes of it.
TEXT = [("x", "x"), ("", LEFT_OUT), (7, "7"), (True, "true"), (None, "null"), ([], LEFT_OUT)]
TEXT += [({"a": 1}, '{"a":1}'), (["a", ["b"], 67], "abC"), ([True], LEFT_OUT), (1e20, "1.0e+20")]
FLAG = [(True, True), ("true", True), (False, False), ("false", False), ("yes", False)]
INTEGER = [(6, 6), ("6", 6), (6.4, 6), ("", LEFT_OUT), ("six", LEFT_OUT), (None, LEFT_OUT)]
RAW = [("x", "x"), ("", ""), (None, None), ({"user": "x"}, {"user": "x"}), (1.5, 1.5)]

HEADERS = [
    ("call_direction", "Call-Direction", TEXT),
    ("call_id", "Call-ID", TEXT),
    ("callee_id_name", "Callee-ID-Name", TEXT),
    ("callee_id_number", "Callee-ID-Number", TEXT),
    ("caller_id_name", "Caller-ID-Name", TEXT),
    ("caller_id_number", "Caller-ID-Number", TEXT),
    ("other_leg_call_id", "Other-Leg-Call-ID", TEXT),
    ("from", "From", RAW),
    ("to", "To", RAW),
    ("inception", "Inception", RAW),
    (
        "request",
        "Request",
        [("x@y", "x@y"), ("", ""), ({"user": "x"}, {"user": "x"}), (None, LEFT_OUT), (5, LEFT_OUT)],
    ),
    ("timestamp", "Timestamp", INTEGER),
    ("is_internal_leg", "Channel-Is-Loopback", FLAG),
    (
        "custom_application_vars",
        "Custom-Application-Vars",
        [({"a": 1}, {"a": 1}), ({}, {}), ("x", LEFT_OUT), (None, LEFT_OUT)],
    ),
]
CCVS = [
    ("authorizing_id", "Authorizing-ID", TEXT),
    ("authorizing_type", "Authorizing-Type", TEXT),
    ("owner_id", "Owner-ID", TEXT),
    ("local_resource_id", "Resource-ID", TEXT),
    ("call_forwarded", "Call-Forward", [*FLAG, (None, False), ("", LEFT_OUT), ([], LEFT_OUT)]),
    ("emergency_resource_used", "Emergency-Resource", FLAG),
    ("local_resource_used", "Global-Resource", [(value, not flag) for value, flag in FLAG]),
]
DESTROY_ONLY = [
    ("hangup_cause", "Hangup-Cause", TEXT),
    ("hangup_code", "Hangup-Code", TEXT),
    ("duration_seconds", "Duration-Seconds", INTEGER),
    ("ringing_seconds", "Ringing-Seconds", INTEGER),
    ("billing_seconds", "Billing-Seconds", INTEGER),
]


def rows(table):
    return [
        pytest.param(key, source, value, wanted, id=f"{key}-{value!r}")
        for key, source, cases in table
        for value, wanted in cases
    ]


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize(("key", "header", "value", "wanted"), rows(HEADERS))
def test_headers(name, key, header, value, wanted, call, directory):
    event = call(name, **{header: value})
    assert payload_of(event, directory).get(key, LEFT_OUT) == wanted


@pytest.mark.parametrize(("key", "ccv", "value", "wanted"), rows(CCVS))
def test_channel_variables(key, ccv, value, wanted, call, directory):
    event = call(ccvs={ccv: value})
    assert payload_of(event, directory).get(key, LEFT_OUT) == wanted


@pytest.mark.parametrize(("key", "header", "value", "wanted"), rows(DESTROY_ONLY))
def test_a_destroyed_channel_tells_more(key, header, value, wanted, call, directory):
    event = call("CHANNEL_DESTROY", **{header: value})
    assert payload_of(event, directory).get(key, LEFT_OUT) == wanted


@pytest.mark.parametrize(("value", "wanted"), TEXT)
def test_a_bridge_tells_the_numbers_that_were_called(value, wanted, call, directory):
    event = call(
        "CHANNEL_BRIDGE",
        ccvs={"Original-Number": value},
        Other_Leg_Destination_Number=value,
    )
    payload = payload_of(event, directory)
    assert payload.get("original_number", LEFT_OUT) == wanted
    assert payload.get("other_leg_destination_number", LEFT_OUT) == wanted


@pytest.mark.parametrize("name", ["CHANNEL_CREATE", "CHANNEL_ANSWER", "CHANNEL_BRIDGE"])
@pytest.mark.parametrize(("key", "header", "_cases"), DESTROY_ONLY)
def test_other_events_leave_that_out(name, key, header, _cases, call, directory):
    assert key not in payload_of(call(name, **{header: "6"}), directory)


def test_what_is_absent_is_left_out(directory):
    body = {"Event-Name": "CHANNEL_CREATE", "Custom-Channel-Vars": {"Account-ID": "1b" * 16}}
    assert payload_of(Event(body), directory) == {
        "account_id": "1b" * 16,
        "emergency_resource_used": False,
        "is_internal_leg": False,
        "local_resource_used": True,
        "hook_event": "channel_create",
    }


def test_a_resource_that_is_not_local_is_not_named(call, directory):
    event = call(ccvs={"Resource-ID": "carrier", "Global-Resource": "true"})
    assert "local_resource_id" not in payload_of(event, directory)


def test_the_reseller_is_looked_up(call, directory):
    directory.resellers["1b" * 16] = "0a" * 16
    assert payload_of(call(), directory)["reseller_id"] == "0a" * 16


def test_channel_variables_are_passed_on_without_the_reserved_ones(call, directory):
    directory.settings["call_command", "reserved_ccv_keys"] = ["Account-ID", "Owner-ID"]
    payload = payload_of(call(ccvs={"Ticket": 7}), directory)
    assert payload["custom_channel_vars"] == {"Ticket": 7}


def test_without_a_list_of_reserved_ones_none_is_passed_on(call, directory):
    assert "custom_channel_vars" not in payload_of(call(ccvs={"Ticket": 7}), directory)


def selected(event, directory, *, include_internal_legs):
    hook = Hook("h", "a", "u", "CHANNEL_CREATE", include_internal_legs=include_internal_legs)
    return MODULES[event.name].firing(event, directory).selects(hook)


@pytest.mark.parametrize(
    ("headers", "internal"),
    [
        ({}, False),
        ({"Channel_Name": "loopback/1001-a"}, True),
        ({"Channel_Name": "sofia/loopback/1001"}, False),
        ({"Channel_Name": "loopbacks/1001"}, False),
        ({"Channel_Name": None}, False),
        ({"Channel_Is_Loopback": True}, True),
        ({"Channel_Is_Loopback": "true"}, True),
        ({"Channel_Is_Loopback": False}, False),
    ],
)
def test_internal_legs_are_for_those_who_want_them(headers, internal, call, directory):
    event = call(**headers)
    assert selected(event, directory, include_internal_legs=True)
    assert selected(event, directory, include_internal_legs=False) is not internal


ANY = "+14155550100"
OTHER = "+14155550199"


@pytest.mark.parametrize(
    ("headers", "settings", "number"),
    [
        ({"Request": "4155550100@x", "To": "9@x"}, {}, ANY),
        ({"Request": f"{ANY}@x", "To": f"{OTHER}@x"}, {}, ANY),
        ({"Request": f"{ANY}@x", "To": f"{OTHER}@x"}, {"inbound_user_field": "To"}, OTHER),
        ({"Request": f"{ANY}@x", "To": "nouser@x"}, {"inbound_user_field": "To"}, ANY),
        ({"Request": "nouser@x", "To": f"{OTHER}@x"}, {}, OTHER),
        ({"Request": None, "To": "nouser@x", "To-DID": "4155550100"}, {}, ANY),
        ({"Request": {"user": "x"}, "To": "nouser@x", "To-DID": ANY}, {}, ANY),
        ({"Request": "14155550100@x"}, {"assume_inbound_e164": True}, ANY),
        ({"Request": f"{ANY}@x"}, {"assume_inbound_e164": "true"}, ANY),
    ],
)
@pytest.mark.parametrize("account_id", [None, "", ...])
def test_a_call_without_account_belongs_to_its_called_number(
    headers, settings, number, account_id, call, directory
):
    directory.numbers[number] = "2c" * 16
    directory.settings |= {("stepswitch", key): value for key, value in settings.items()}
    directory.settings["call_command", "reserved_ccv_keys"] = ["Realm"]
    event = call(ccvs={"Account-ID": account_id}, **headers)
    if account_id is ...:
        del event.body["Custom-Channel-Vars"]["Account-ID"]
    firing = MODULES["CHANNEL_CREATE"].firing(event, directory)
    assert firing.account_id == firing.payload["account_id"] == "2c" * 16
    assert firing.payload["custom_channel_vars"]["Account-ID"] == "2c" * 16


def test_numbers_assumed_to_be_e164_are_not_converted(call, directory):
    directory.settings["stepswitch", "assume_inbound_e164"] = True
    directory.numbers["+14155550100"] = "2c" * 16
    event = call(ccvs={"Account-ID": None}, Request="4155550100@x")
    assert MODULES["CHANNEL_CREATE"].firing(event, directory) is None


def test_configured_converters_are_used(call, directory):
    directory.settings["number_manager", "e164_converters"] = {r"^0(\d+)$": {"prefix": "+49"}}
    directory.numbers["+4930123456"] = "2c" * 16
    event = call(ccvs={"Account-ID": None}, Request="030123456@x")
    assert MODULES["CHANNEL_CREATE"].firing(event, directory).account_id == "2c" * 16


@pytest.mark.parametrize(
    "headers",
    [
        {"Request": "nouser@x", "To": "nouser@x"},
        {"Request": "@x", "To": ""},
        {"Request": "4155550199@x"},
        {"Custom-Channel-Vars": "none", "Request": None, "To": None, "To-DID": 5},
    ],
)
def test_a_call_of_nobody_fires_nothing(headers, call, directory):
    event = call(ccvs={"Account-ID": None})
    event.body.update(headers)
    assert MODULES["CHANNEL_CREATE"].firing(event, directory) is None


@pytest.mark.parametrize(
    ("category", "name", "module_id"),
    [
        ("call_event", "CHANNEL_CREATE", "channel_create"),
        ("call_event", "CHANNEL_ANSWER", "channel_answer"),
        ("call_event", "CHANNEL_DESTROY", "channel_destroy"),
        ("call_event", "CHANNEL_DISCONNECTED", "channel_destroy"),
        ("call_event", "CHANNEL_BRIDGE", "channel_bridge"),
        ("call_event", "CHANNEL_PROGRESS", None),
        ("notification", "CHANNEL_CREATE", None),
        ("call_event", None, None),
    ],
)
def test_each_event_has_its_module(category, name, module_id):
    event = Event({"Event-Category": category, "Event-Name": name})
    found = [module.id for module in MODULES.values() if module.responds_to(event)]
    assert found == ([] if module_id is None else [module_id])


def test_a_lost_channel_counts_as_destroyed(call, directory):
    firing = MODULES["CHANNEL_DESTROY"].firing(call("CHANNEL_DISCONNECTED"), directory)
    assert firing.event == "CHANNEL_DESTROY"
    assert firing.payload["hook_event"] == "channel_destroy"


@pytest.mark.parametrize(("name", "module"), MODULES.items())
def test_bindings_are_kazoo_s(name, module):
    assert module.bindings == (("callevt", f"call.{name}.*"),)
    assert module.exchanges == (EventExchange("callevt"), EventExchange("callmgr"))
    assert module.events == (name,)
    assert module.id == name.lower()


EVERYWHERE = {
    *("account_id", "authorizing_id", "authorizing_type", "call_direction", "call_forwarded"),
    *("call_id", "callee_id_name", "callee_id_number", "caller_id_name", "caller_id_number"),
    *("custom_channel_vars", "custom_application_vars", "emergency_resource_used", "from", "to"),
    *("inception", "is_internal_leg", "local_resource_used", "local_resource_id"),
    *("other_leg_call_id", "owner_id", "request", "reseller_id", "timestamp", "hook_event"),
}
IN_BRIDGES = {"original_number", "other_leg_destination_number"}
AT_ITS_END = {"hangup_cause", "hangup_code"} | {
    f"{what}_seconds" for what in ("duration", "ringing", "billing")
}


@pytest.mark.parametrize("name", MODULES)
def test_a_call_that_tells_everything_fills_the_table_and_nothing_else(name, call, directory):
    directory.resellers["1b" * 16] = "0a" * 16
    directory.settings["call_command", "reserved_ccv_keys"] = ["Realm"]
    headers = {header: "7" for _key, header, _cases in HEADERS + DESTROY_ONLY}
    headers["Other-Leg-Destination-Number"] = "7"
    headers |= {"Custom-Application-Vars": {}, "Fax-Info": {}, "Server-ID": "q"}
    ccvs = {ccv: "x" for _key, ccv, _cases in CCVS} | {"Original-Number": "7"}
    event = call(name, ccvs=ccvs, **headers)
    more = {"CHANNEL_DESTROY": AT_ITS_END, "CHANNEL_BRIDGE": IN_BRIDGES}.get(name, set())
    assert set(payload_of(event, directory)) == EVERYWHERE | more


@pytest.mark.parametrize("ccvs", [..., None, "none", ["Account-ID"], 5, {}])
def test_channel_variables_that_are_no_object_count_as_none(ccvs, call, directory):
    event = call(Request="+14155550100@x")
    event.body["Custom-Channel-Vars"] = ccvs
    if ccvs is ...:
        del event.body["Custom-Channel-Vars"]
    directory.settings["call_command", "reserved_ccv_keys"] = ["Realm"]
    directory.numbers["+14155550100"] = "2c" * 16
    payload = payload_of(event, directory)
    assert payload["account_id"] == "2c" * 16
    assert payload["custom_channel_vars"] == {"Account-ID": "2c" * 16}
    assert "owner_id" not in payload


@pytest.mark.parametrize("reserved", [None, [], "Account-ID", {"Account-ID": True}])
def test_reserved_ones_that_are_none_count_as_unset(reserved, call, directory):
    directory.settings["call_command", "reserved_ccv_keys"] = reserved
    assert "custom_channel_vars" not in payload_of(call(), directory)


def test_the_event_is_left_as_it_came(call, directory):
    directory.numbers["+14155550100"] = "2c" * 16
    event, untouched = (call(ccvs={"Account-ID": None}) for _time in range(2))
    assert MODULES["CHANNEL_CREATE"].firing(event, directory).account_id == "2c" * 16
    assert event == untouched
