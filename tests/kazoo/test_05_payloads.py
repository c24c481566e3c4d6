"""Channel events: whose they are and what is sent of them, key by key."""

import pytest

from support.kazoo import (
    ACCOUNT,
    RESELLER,
    TOP,
    call,
    without,
)

ABSENT = "(absent)"
NAMES = ("CHANNEL_CREATE", "CHANNEL_ANSWER", "CHANNEL_BRIDGE", "CHANNEL_DESTROY")

# Every key of the payload, from where, of what type

TEXTS = {
    "call_direction": "Call-Direction",
    "call_id": "Call-ID",
    "callee_id_name": "Callee-ID-Name",
    "callee_id_number": "Callee-ID-Number",
    "caller_id_name": "Caller-ID-Name",
    "caller_id_number": "Caller-ID-Number",
    "other_leg_call_id": "Other-Leg-Call-ID",
}
CCV_TEXTS = {
    "authorizing_id": "Authorizing-ID",
    "authorizing_type": "Authorizing-Type",
    "owner_id": "Owner-ID",
    "local_resource_id": "Resource-ID",
}
AS_TEXT = [
    pytest.param("some", "some", id="a string"),
    pytest.param("", ABSENT, id="an empty string is left out"),
    pytest.param(1001, "1001", id="a number becomes a string"),
    pytest.param(True, "true", id="a boolean becomes a string"),
    pytest.param(None, "null", id="a null becomes the string null"),
]


@pytest.mark.parametrize("key", [*TEXTS, *CCV_TEXTS])
@pytest.mark.parametrize(("value", "wanted"), AS_TEXT)
def test_texts(key, value, wanted, cluster):
    cluster.hook()
    body = call() | {TEXTS[key]: value} if key in TEXTS else call(ccvs={CCV_TEXTS[key]: value})
    assert cluster.payload(body).get(key, ABSENT) == wanted


def test_what_is_absent_is_left_out(cluster):
    cluster.hook()
    body = without(call(), "Timestamp", "Call-ID", "Call-Direction", "Channel-Name")
    assert cluster.payload(body) == {
        "account_id": ACCOUNT,
        "emergency_resource_used": False,
        "hook_event": "channel_create",
        "is_internal_leg": False,
        "local_resource_used": True,
        "reseller_id": RESELLER,
    }


@pytest.mark.parametrize(
    ("ccvs", "key", "wanted"),
    [
        pytest.param({}, "call_forwarded", ABSENT, id="not said to be forwarded"),
        pytest.param({"Call-Forward": True}, "call_forwarded", True, id="forwarded"),
        pytest.param({"Call-Forward": "true"}, "call_forwarded", True, id="forwarded, as a string"),
        pytest.param({"Call-Forward": "false"}, "call_forwarded", False, id="not forwarded"),
        pytest.param({"Call-Forward": "maybe"}, "call_forwarded", False, id="anything else"),
        pytest.param({}, "emergency_resource_used", False, id="no emergency, always said"),
        pytest.param({"Emergency-Resource": True}, "emergency_resource_used", True, id="emergency"),
        pytest.param(
            {"Emergency-Resource": "true"}, "emergency_resource_used", True, id="as a string"
        ),
        pytest.param({}, "local_resource_used", True, id="local, even without a resource"),
        pytest.param({"Global-Resource": "false"}, "local_resource_used", True, id="local"),
        pytest.param({"Global-Resource": "true"}, "local_resource_used", False, id="global"),
        pytest.param({"Global-Resource": True}, "local_resource_used", False, id="a boolean"),
        pytest.param(
            {"Global-Resource": "true", "Resource-ID": "r"},
            "local_resource_id",
            ABSENT,
            id="a global resource's id is not told",
        ),
        pytest.param(
            {"Global-Resource": "false", "Resource-ID": "r"}, "local_resource_id", "r", id="its id"
        ),
        pytest.param({"Inception": "x@y"}, "inception", ABSENT, id="no inception out of a CCV"),
    ],
)
def test_what_the_channel_variables_say(ccvs, key, wanted, cluster):
    cluster.hook()
    assert cluster.payload(call(ccvs=ccvs)).get(key, ABSENT) == wanted


@pytest.mark.parametrize(
    ("headers", "key", "wanted"),
    [
        pytest.param({"From": "a@b"}, "from", "a@b", id="from"),
        pytest.param({"To": "a@b"}, "to", "a@b", id="to"),
        pytest.param({"Inception": "a@b"}, "inception", "a@b", id="inception"),
        pytest.param({"From": {"raw": [1]}}, "from", {"raw": [1]}, id="as it is, of any type"),
        pytest.param({"To": ""}, "to", "", id="even empty"),
        pytest.param({"Channel_Is_Loopback": True}, "is_internal_leg", True, id="internal"),
        pytest.param({"Channel_Is_Loopback": "true"}, "is_internal_leg", True, id="as a string"),
        pytest.param({"Channel_Is_Loopback": False}, "is_internal_leg", False, id="not internal"),
        pytest.param({}, "is_internal_leg", False, id="always said"),
        pytest.param(
            {"Channel_Name": "loopback/x"}, "is_internal_leg", False, id="not by the name"
        ),
        pytest.param({"Timestamp": 63_900_000_009}, "timestamp", 63_900_000_009, id="an integer"),
        pytest.param({"Timestamp": "63900000009"}, "timestamp", 63_900_000_009, id="of a string"),
        pytest.param({"Request": {"User": "1"}}, "request", {"User": "1"}, id="an object"),
        pytest.param(
            {"Custom_Application_Vars": {"a-B": None}},
            "custom_application_vars",
            {"a-B": None},
            id="application variables untouched",
        ),
        pytest.param(
            {"Custom_Application_Vars": {}}, "custom_application_vars", {}, id="none, but told"
        ),
        pytest.param(
            {"Custom_Application_Vars": "x"}, "custom_application_vars", ABSENT, id="no object"
        ),
        pytest.param({"Hangup_Cause": "x"}, "hangup_cause", ABSENT, id="only of destroyed ones"),
        pytest.param({"Node": "n"}, "node", ABSENT, id="other headers are not sent"),
    ],
)
def test_what_the_headers_say(headers, key, wanted, cluster):
    cluster.hook()
    assert cluster.payload(call(**headers)).get(key, ABSENT) == wanted


def test_channel_variables_but_for_the_reserved(cluster):
    cluster.configure("call_command", reserved_ccv_keys=["Owner-ID", "Account-ID"])
    cluster.hook()
    body = call(ccvs={"Owner-ID": "o", "Ticket": 7, "Nothing": None, "Sip-X": "y"})
    kept = {"Ticket": 7, "Nothing": None, "Sip-X": "y"}
    payload = cluster.payload(body)
    assert payload["custom_channel_vars"] == kept
    assert payload["owner_id"] == "o"


def test_no_channel_variables_where_the_reserved_are_not_known(cluster):
    cluster.hook()
    assert "custom_channel_vars" not in cluster.payload(call(ccvs={"Ticket": 7}))


@pytest.mark.parametrize(
    ("services", "wanted"),
    [
        pytest.param({"pvt_reseller_id": TOP}, TOP, id="the services document's"),
        pytest.param({}, ABSENT, id="none"),
    ],
)
def test_reseller_id(services, wanted, cluster):
    cluster.put("services", {"_id": ACCOUNT} | services)
    cluster.hook()
    assert cluster.payload(call()).get("reseller_id", ABSENT) == wanted


@pytest.mark.parametrize("name", NAMES)
def test_hook_event_is_in_lower_case_whoever_asked(name, cluster):
    cluster.hook("all")
    assert cluster.payload(call(name))["hook_event"] == name.lower()


BRIDGED = {"Other-Leg-Destination-Number": "other_leg_destination_number"}
DESTROYED = {"Hangup-Cause": "hangup_cause", "Hangup-Code": "hangup_code"}
SECONDS = {
    "Duration-Seconds": "duration_seconds",
    "Ringing-Seconds": "ringing_seconds",
    "Billing-Seconds": "billing_seconds",
}


@pytest.mark.parametrize("name", NAMES)
def test_fields_of_bridged_and_destroyed_calls_only(name, cluster):
    cluster.hook("all")
    headers = {**dict.fromkeys(BRIDGED, "2"), **dict.fromkeys(DESTROYED, "x")}
    body = call(name, ccvs={"Original-Number": "3"}) | headers | dict.fromkeys(SECONDS, "4")
    told = cluster.payload(body)
    bridge, destroy = name == "CHANNEL_BRIDGE", name == "CHANNEL_DESTROY"
    assert {key: told.get(key) for key in BRIDGED.values()} == dict.fromkeys(
        BRIDGED.values(), "2" if bridge else None
    )
    assert told.get("original_number") == ("3" if bridge else None)
    assert {told.get(key) for key in DESTROYED.values()} == {"x" if destroy else None}
    assert {told.get(key) for key in SECONDS.values()} == {4 if destroy else None}


# As people saw them in Kazoo's documentation, by key and type

SAMPLE = {
    "account_id": str,
    "authorizing_id": str,
    "authorizing_type": str,
    "call_direction": str,
    "call_forwarded": bool,
    "call_id": str,
    "callee_id_name": str,
    "callee_id_number": str,
    "caller_id_name": str,
    "caller_id_number": str,
    "custom_application_vars": dict,
    "custom_channel_vars": dict,
    "emergency_resource_used": bool,
    "from": str,
    "hook_event": str,
    "inception": str,
    "is_internal_leg": bool,
    "local_resource_id": str,
    "local_resource_used": bool,
    "other_leg_call_id": str,
    "owner_id": str,
    "request": str,
    "reseller_id": str,
    "timestamp": int,  # Kazoo's page shows a string; its code makes an integer.
    "to": str,
}
SAMPLES = {
    "CHANNEL_CREATE": SAMPLE,
    "CHANNEL_ANSWER": SAMPLE,
    "CHANNEL_BRIDGE": SAMPLE | {"original_number": str, "other_leg_destination_number": str},
    "CHANNEL_DESTROY": SAMPLE
    | {"billing_seconds": int, "duration_seconds": int, "ringing_seconds": int}
    | {"hangup_cause": str, "hangup_code": str},
}


@pytest.mark.parametrize("name", NAMES)
def test_a_full_call_has_the_keys_and_types_of_kazoo_s_sample(name, cluster):
    cluster.configure("call_command", reserved_ccv_keys=["Realm"])
    cluster.hook(name)
    ccvs = dict.fromkeys(("Authorizing-ID", "Authorizing-Type", "Owner-ID", "Resource-ID"), "x")
    ccvs |= {"Call-Forward": "false", "Original-Number": "+14155550111"}
    headers = dict.fromkeys((*TEXTS.values(), *BRIDGED, *DESTROYED, "From", "To", "Inception"), "y")
    body = call(name, ccvs=ccvs, Request="+14155550100@pbx.example", Custom_Application_Vars={})
    told = cluster.payload(body | headers | dict.fromkeys(SECONDS, 6))
    assert {key: type(value) for key, value in told.items()} == SAMPLES[name]


# Whose they are


OURS = "+14155550100"
OF_NOBODY = call() | {"Custom-Channel-Vars": {"Owner-ID": "o"}}


@pytest.mark.parametrize(
    ("headers", "fires"),
    [
        pytest.param({"Request": "4155550100@pbx"}, True, id="the called number, normalised"),
        pytest.param({"Request": "+14155550100@pbx"}, True, id="in E.164 already"),
        pytest.param({"Request": "14155550100@pbx"}, True, id="with the country's code"),
        pytest.param({"To": "4155550100@pbx"}, True, id="of To where there is no Request"),
        pytest.param(
            {"Request": "nouser@pbx", "To": "4155550100@pbx"}, True, id="a Request without a user"
        ),
        pytest.param(
            {"Request": "4155550199@pbx", "To": "4155550100@pbx"}, False, id="Request goes first"
        ),
        pytest.param(
            {"Request": "nouser@pbx", "To": "nouser@pbx", "To-DID": "4155550100"}, True, id="To-DID"
        ),
        pytest.param({"Request": "4155550199@pbx"}, False, id="a number of nobody: dropped"),
        pytest.param({}, False, id="no number: dropped"),
    ],
)
def test_without_an_account_the_called_number_s_owner_is_looked_up(headers, fires, cluster):
    cluster.number(OURS)
    id = cluster.hook()
    assert cluster.fired(OF_NOBODY | headers) == ([id] if fires else [])


def test_to_goes_first_where_stepswitch_says_so(cluster):
    cluster.number(OURS)
    cluster.configure("stepswitch", inbound_user_field="To")
    id = cluster.hook()
    assert cluster.fired(OF_NOBODY | {"Request": "1@pbx", "To": "4155550100@pbx"}) == [id]


@pytest.mark.parametrize(
    ("called", "fires"),
    [
        pytest.param("4155550100", True, id="a plus is all that is missing"),
        pytest.param("+4155550100", True, id="nor that"),
        pytest.param("14155550100", False, id="nothing else is normalised"),
    ],
)
def test_numbers_may_be_assumed_to_be_in_e164(called, fires, cluster):
    cluster.configure("stepswitch", assume_inbound_e164=True)
    cluster.number("+4155550100")
    id = cluster.hook()
    assert cluster.fired(OF_NOBODY | {"Request": f"{called}@pbx"}) == ([id] if fires else [])


def test_the_account_that_was_found_is_written_into_the_channel_variables(cluster):
    cluster.number(OURS)
    cluster.configure("call_command", reserved_ccv_keys=["Realm"])
    cluster.hook()
    told = cluster.payload(OF_NOBODY | {"Request": "4155550100@pbx"})
    assert told["account_id"] == ACCOUNT
    assert told["custom_channel_vars"] == {"Owner-ID": "o", "Account-ID": ACCOUNT}


def test_the_account_of_the_channel_variables_goes_before_the_number_s(cluster):
    cluster.number(OURS, owner=TOP)
    id = cluster.hook()
    assert cluster.fired(call(Request="4155550100@pbx")) == [id]


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        pytest.param({"Channel_Name": "loopback/x-a"}, ["both"], id="by the channel's name"),
        pytest.param({"Channel_Is_Loopback": True}, ["both"], id="by the flag"),
        pytest.param({"Channel_Is_Loopback": "true"}, ["both"], id="by the flag as a string"),
        pytest.param({"Channel_Name": "sofia/loopback/"}, ["both", "outer"], id="not further on"),
        pytest.param({"Channel_Is_Loopback": False}, ["both", "outer"], id="an outer leg"),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_internal_legs_are_for_hooks_that_include_them(name, headers, wanted, cluster):
    cluster.hook(name, _id="both")
    cluster.hook(name, _id="outer", include_internal_legs=False)
    assert cluster.fired(call(name, **headers)) == wanted


def test_a_disconnected_channel_counts_as_destroyed_should_it_arrive(cluster):
    cluster.hook("channel_destroy")
    assert cluster.payload(call("CHANNEL_DISCONNECTED"))["hook_event"] == "channel_destroy"
