"""Whose event it is and what is sent of it, module by module."""

import json

import pytest

from callboard.webhooks.event import PoisonEvent
from support.kazoo import (
    ACCOUNT,
    CLUSTER,
    RESELLER,
    STRANGER,
    TOP,
    call,
    change,
    encoded_database,
    message,
)

ABSENT = "(absent)"
NAMES = ("CHANNEL_CREATE", "CHANNEL_ANSWER", "CHANNEL_BRIDGE", "CHANNEL_DESTROY")


def without(body, *headers):
    return {header: value for header, value in body.items() if header not in headers}


# Channel events: every key of the payload, from where, of what type

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


# Channel events: as people saw them in Kazoo's documentation, by key and type

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
    cluster.configure("call_command", reserved_ccv_keys=[])
    cluster.hook(name)
    ccvs = dict.fromkeys(("Authorizing-ID", "Authorizing-Type", "Owner-ID", "Resource-ID"), "x")
    ccvs |= {"Call-Forward": "false", "Original-Number": "+14155550111"}
    headers = dict.fromkeys((*TEXTS.values(), *BRIDGED, *DESTROYED, "From", "To", "Inception"), "y")
    body = call(name, ccvs=ccvs, Request="+14155550100@pbx.example", Custom_Application_Vars={})
    told = cluster.payload(body | headers | dict.fromkeys(SECONDS, 6))
    assert {key: type(value) for key, value in told.items()} == SAMPLES[name]


# Channel events: whose they are


def numbered(cluster, number, owner=ACCOUNT):
    cluster.put(f"numbers/{number[:5]}", {"_id": number, "pvt_assigned_to": owner})


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
    numbered(cluster, OURS)
    id = cluster.hook()
    assert cluster.fired(OF_NOBODY | headers) == ([id] if fires else [])


def test_to_goes_first_where_stepswitch_says_so(cluster):
    numbered(cluster, OURS)
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
    numbered(cluster, "+4155550100")
    id = cluster.hook()
    assert cluster.fired(OF_NOBODY | {"Request": f"{called}@pbx"}) == ([id] if fires else [])


def test_the_account_that_was_found_is_written_into_the_channel_variables(cluster):
    numbered(cluster, OURS)
    cluster.configure("call_command", reserved_ccv_keys=[])
    cluster.hook()
    told = cluster.payload(OF_NOBODY | {"Request": "4155550100@pbx"})
    assert told["account_id"] == ACCOUNT
    assert told["custom_channel_vars"] == {"Owner-ID": "o", "Account-ID": ACCOUNT}


def test_the_account_of_the_channel_variables_goes_before_the_number_s(cluster):
    numbered(cluster, OURS, owner=TOP)
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


# Parking

PARKED = {
    "Event-Category": "call_event",
    "App-Name": "callflow",
    "App-Version": "4.0.0",
    "Msg-ID": "1",
    "Node": "n",
    "Call-ID": "c",
    "Callee-ID-Name": "Test Name",
    "Callee-ID-Number": "4155550100",
    "Caller-ID-Name": "Ada",
    "Caller-ID-Number": "+14155550111",
    "Parking-Slot": "1",
    "Custom-Channel-Vars": {"Account-ID": ACCOUNT, "Realm": "pbx.example"},
}


@pytest.mark.parametrize("name", ["PARK_PARKED", "PARK_RETRIEVED", "PARK_ABANDONED"])
def test_parking_sends_the_message_without_its_envelope(name, cluster):
    cluster.hook("parking")
    assert cluster.payload(PARKED | {"Event-Name": name}) == {
        "account_id": ACCOUNT,
        "call_id": "c",
        "callee_id_name": "Test Name",
        "callee_id_number": "4155550100",
        "caller_id_name": "Ada",
        "caller_id_number": "+14155550111",
        "event_name": name,
        "parking_slot": "1",
    }


def test_parking_keeps_server_id(cluster):
    cluster.hook("parking")
    body = PARKED | {"Event-Name": "PARK_PARKED", "Server-ID": "s"}
    assert cluster.payload(body)["server_id"] == "s"


def test_parking_of_no_account_is_dropped(cluster):
    cluster.hook("parking")
    numbered(cluster, OURS)
    body = PARKED | {"Event-Name": "PARK_PARKED", "Custom-Channel-Vars": {}}
    assert cluster.fired(body | {"Request": "4155550100@pbx", "Account-ID": ACCOUNT}) == []


def test_parking_does_not_tell_internal_legs_apart(cluster):
    id = cluster.hook("parking", include_internal_legs=False)
    body = PARKED | {"Event-Name": "PARK_PARKED", "Channel-Is-Loopback": True}
    assert cluster.fired(body) == [id]


# Key-normalising, shown by a notification


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        pytest.param({"A-B": 1}, {"a_b": 1}, id="dashes and capitals"),
        pytest.param({"A": {"B-C": {"D": 1}}}, {"a": {"b_c": {"d": 1}}}, id="through objects"),
        pytest.param({"A": [{"B": 1}, [{"C": 2}]]}, {"a": [{"b": 1}, [{"c": 2}]]}, id="and lists"),
        pytest.param({"A": None}, {}, id="nulls are dropped"),
        pytest.param({"A": {"B": None}}, {"a": {}}, id="in objects, too"),
        pytest.param({"A": [None, 1]}, {"a": [None, 1]}, id="but not in lists"),
        pytest.param({"A": "Value-X"}, {"a": "Value-X"}, id="values are untouched"),
        pytest.param({"A-B": 1, "a_b": 2}, {"a_b": 2}, id="of two that become one the later wins"),
        pytest.param({"a_b": 2, "A-B": 1}, {"a_b": 1}, id="whichever that is"),
        pytest.param({"A B.C": 1}, {"a b.c": 1}, id="other characters stay"),
        pytest.param({"1-2": 1}, {"1_2": 1}, id="digits stay"),
    ],
)
def test_keys_are_normalised(given, wanted, cluster):
    cluster.hook("notifications")
    body = message("notification", "new_account", Account_ID=ACCOUNT, Given=given)
    assert cluster.payload(body)["given"] == wanted


# Notifications

NEW = message("notification", "new_account", Account_ID=ACCOUNT)


def test_a_notification_is_sent_whole(cluster):
    cluster.hook("notifications")
    assert cluster.payload(NEW | {"Node": "n", "Server-ID": "s", "Zone": {"Home-X": "Z"}}) == {
        "account_id": ACCOUNT,
        "app_name": "an_app",
        "app_version": "4.0.0",
        "event_category": "notification",
        "event_name": "new_account",
        "msg_id": NEW["Msg-ID"],
        "node": "n",
        "server_id": "s",
        "zone": {"home_x": "Z"},
    }


SAMPLES_OF_NOTIFICATIONS = {
    "account_zone_change": (
        {"Zones": {"home": "West"}, "System-Log-ID": "log1"},
        {"zones": {"home": "West"}, "system_log_id": "log1"},
    ),
    "bill_reminder": (
        {
            "Due-Date": 63_900_000_001,
            "Timestamp": 63_900_000_000,
            "Items": [
                {
                    "Category": "devices",
                    "Item": "phone",
                    "Discounts": {"Total": 6, "Cumulative": {}},
                },
                {"Category": "users", "Item": "_all", "Quantity": 2, "Rate": 1.5},
            ],
            "Payment-Token": {"T0KEN": {"Default": True, "MetaData": {"Last-Four": "0000"}}},
        },
        {
            "due_date": 63_900_000_001,
            "timestamp": 63_900_000_000,
            "items": [
                {
                    "category": "devices",
                    "item": "phone",
                    "discounts": {"total": 6, "cumulative": {}},
                },
                {"category": "users", "item": "_all", "quantity": 2, "rate": 1.5},
            ],
            "payment_token": {"t0ken": {"default": True, "metadata": {"last_four": "0000"}}},
        },
    ),
    "missed_call": (
        {
            "Call-ID": "leg-1",
            "Call-Bridged": False,
            "Message-Left": True,
            "Notify": {"Custom-Channel-Vars": {"Global-Resource": "false"}, "Billing-Seconds": 7},
        },
        {
            "call_id": "leg-1",
            "call_bridged": False,
            "message_left": True,
            "notify": {"custom_channel_vars": {"global_resource": "false"}, "billing_seconds": 7},
        },
    ),
    "port_comment": (
        {
            "Port-Request-ID": "p",
            "Number": ["+14155550100"],
            "Comment": {"content": "soon", "is_private": False, "timestamp": 63_900_000_000},
        },
        {
            "port_request_id": "p",
            "number": ["+14155550100"],
            "comment": {"content": "soon", "is_private": False, "timestamp": 63_900_000_000},
        },
    ),
    "topup": (
        {"Amount": 20.0, "Add-Ons": [{"Amount": 1.0}], "Discounts": [], "Response": "ok"}
        | {"Success": True, "Timestamp": 63_900_000_000},
        {"amount": 20.0, "add_ons": [{"amount": 1.0}], "discounts": [], "response": "ok"}
        | {"success": True, "timestamp": 63_900_000_000},
    ),
}


@pytest.mark.parametrize("name", SAMPLES_OF_NOTIFICATIONS)
def test_notifications_have_the_shape_of_kazoo_s_samples(name, cluster):
    headers, wanted = SAMPLES_OF_NOTIFICATIONS[name]
    cluster.hook("notifications", custom_data={"type": name})
    payload = cluster.payload(message("notification", name, Account_ID=ACCOUNT) | headers)
    envelope = ("account_id", "app_name", "app_version", "event_category", "event_name", "msg_id")
    told = {key: payload.pop(key) for key in envelope}
    assert (told["account_id"], told["event_name"]) == (ACCOUNT, name)
    assert payload == wanted


ALERT = message("notification", "system_alert", Subject="s", Message="m")
PLACES = [
    {"account_id": ACCOUNT},
    {"account": {"_id": ACCOUNT}},
    {"pvt_account_id": ACCOUNT},
    {"_id": ACCOUNT},
    {"id": ACCOUNT},
    {"Account-ID": ACCOUNT},
    {"details": {"account_id": ACCOUNT}},
    {"Details": {"Account-ID": ACCOUNT}},
    {"details": {"custom_channel_vars": {"account_id": ACCOUNT}}},
    {"Details": {"Custom-Channel-Vars": {"Account-ID": ACCOUNT}}},
]


@pytest.mark.parametrize("place", PLACES, ids=json.dumps)
def test_where_a_notification_s_account_stands(place, cluster):
    id = cluster.hook("notifications")
    assert cluster.fired(ALERT | place) == [id]


@pytest.mark.parametrize("later", range(1, len(PLACES)))
def test_the_first_place_decides(later, cluster):
    cluster.hook("notifications")
    earlier = json.loads(json.dumps(PLACES[later - 1]).replace(ACCOUNT, STRANGER))
    both = {**PLACES[later], **earlier}
    for key in PLACES[later].keys() & earlier.keys():
        both[key] = {**PLACES[later][key], **earlier[key]}
    assert cluster.fired(ALERT | both) == []


@pytest.mark.parametrize(
    "place",
    [
        pytest.param({}, id="nowhere"),
        pytest.param({"account_id": 7, "Account-ID": ACCOUNT}, id="the first is no string"),
        pytest.param({"Account": {"ID": ACCOUNT}}, id="elsewhere"),
    ],
)
def test_a_notification_of_no_account_fires_nothing(place, cluster):
    cluster.hook("notifications")
    assert cluster.fired(ALERT | place) == []


@pytest.mark.parametrize(
    ("custom_data", "fires"),
    [
        pytest.param(None, True, id="no custom_data: all match"),
        pytest.param({}, True, id="nor an empty one"),
        pytest.param({"type": "new_account"}, True, id="its own name"),
        pytest.param({"type": "all"}, True, id="all"),
        pytest.param({"type": "low_balance"}, False, id="another name"),
        pytest.param({"shop": "one"}, False, id="custom_data without type matches nothing"),
        pytest.param({"action": "all"}, False, id="an action is no type"),
    ],
)
def test_which_notifications_a_hook_selects(custom_data, fires, cluster):
    id = cluster.hook("notifications", custom_data=custom_data)
    assert cluster.fired(NEW) == ([id] if fires else [])


def test_a_migrated_hook_without_custom_data_matches_every_notification(cluster):
    id = cluster.hook("notifications", type="inbound_fax")
    assert cluster.fired(NEW) == [id]


# Object


@pytest.mark.parametrize("name", ["doc_created", "doc_edited", "doc_deleted"])
def test_object_tells_what_changed_and_how(name, cluster):
    cluster.hook("object")
    body = change(name, "d1", Rev="2-x", Account_ID=TOP, Doc={"_id": "d1"})
    assert cluster.payload(body) == {
        "id": "d1",
        "account_id": ACCOUNT,
        "action": name,
        "type": "user",
    }


@pytest.mark.parametrize(
    ("database", "id", "fires"),
    [
        pytest.param(encoded_database(ACCOUNT), "d", True, id="the account's database"),
        pytest.param(f"{encoded_database(ACCOUNT)}-202611", "d", True, id="its monthly database"),
        pytest.param("accounts", ACCOUNT, True, id="in accounts the account itself"),
        pytest.param("accounts", "other", False, id="another account"),
        pytest.param("webhooks", ACCOUNT, False, id="any other database: dropped"),
        pytest.param("system_config", "webhooks", False, id="system_config"),
        pytest.param("numbers%2F%2B1415", "+14155550100", False, id="numbers"),
    ],
)
def test_whose_a_change_is(database, id, fires, cluster):
    hook = cluster.hook("object")
    body = change("doc_edited", id, database, Account_ID=ACCOUNT)
    assert cluster.fired(body) == ([hook] if fires else [])


@pytest.mark.parametrize(
    ("custom_data", "fires"),
    [
        pytest.param(None, True, id="no custom_data: all"),
        pytest.param({"action": "doc_edited", "type": "user"}, True, id="both equal"),
        pytest.param({"action": "all", "type": "user"}, True, id="any action"),
        pytest.param({"action": "doc_edited", "type": "all"}, True, id="any type"),
        pytest.param({"action": "all", "type": "all"}, True, id="anything"),
        pytest.param({"action": "doc_created", "type": "user"}, False, id="another action"),
        pytest.param({"action": "doc_edited", "type": "device"}, False, id="another type"),
        pytest.param({"action": "doc_edited"}, False, id="without type: no match"),
        pytest.param({"type": "user"}, False, id="without action: no match"),
        pytest.param({"shop": "one"}, False, id="without both"),
    ],
)
def test_which_changes_a_hook_selects(custom_data, fires, cluster):
    id = cluster.hook("object", custom_data=custom_data)
    assert cluster.fired(change()) == ([id] if fires else [])


@pytest.mark.parametrize("name", ["db_created", "db_edited", "db_deleted", "db_views_updated"])
@pytest.mark.parametrize("month", ["", "-202611"])
def test_changes_of_an_account_s_database_are_changes_too(month, name, cluster):
    database = encoded_database(ACCOUNT) + month
    cluster.hook("object", _id="any")
    cluster.hook("object", _id="all", custom_data={"action": "all", "type": "all"})
    cluster.hook("object", _id="user", custom_data={"action": "all", "type": "user"})
    body = message("configuration", name, ID=database, Database=database, Type="database")
    fired = cluster.fire(body)
    assert sorted(delivery.hook_id for delivery in fired) == ["all", "any"]
    assert json.loads(fired[0].body) == {
        "id": database,
        "account_id": ACCOUNT,
        "action": name,
        "type": "database",
        "cluster_id": CLUSTER,
    }


# SMS and MMS

TEXT = {
    "Message_ID": "m1",
    "Account_ID": ACCOUNT,
    "From": "+14155550100",
    "To": "+14155550111",
    "Body": "Bonjour é",
    "Route_Type": "offnet",
    "Charges": 0.02,
}


@pytest.mark.parametrize("kind", ["sms", "mms"])
def test_what_of_a_message_is_sent(kind, cluster):
    cluster.hook(kind)
    body = message(kind, "inbound", **TEXT, Custom_Vars={"a": "b"}, Route_ID="r", Request="x@y")
    assert cluster.payload(body, zipped=kind == "mms") == {
        "id": "m1",
        "account_id": ACCOUNT,
        "type": kind,
        "from": "+14155550100",
        "to": "+14155550111",
        "body": "Bonjour é",
        "origin": "offnet",
        "charges": 0.02,
    }


@pytest.mark.parametrize("header", ["Route_Type", "Charges"])
def test_what_a_message_lacks_is_left_out(header, cluster):
    cluster.hook("sms")
    told = cluster.payload(message("sms", "inbound", **without(TEXT, header)))
    assert len(told) == 7


@pytest.mark.parametrize(
    ("charges", "wanted"),
    [
        pytest.param(3, 3, id="a number"),
        pytest.param("0.5", 0.5, id="a numeric string"),
        pytest.param("free", ABSENT, id="no number is left out"),
    ],
)
def test_charges_are_a_number(charges, wanted, cluster):
    cluster.hook("sms")
    body = message("sms", "inbound", **TEXT | {"Charges": charges})
    assert cluster.payload(body).get("charges", ABSENT) == wanted


@pytest.mark.parametrize("kind", ["sms", "mms"])
def test_a_message_of_no_account_is_dropped(kind, cluster):
    cluster.hook(kind)
    assert cluster.fired(message(kind, "inbound", **without(TEXT, "Account_ID"))) == []


def test_none_but_calls_has_hook_event(cluster):
    cluster.hook("all")
    for body in (PARKED | {"Event-Name": "PARK_PARKED"}, NEW, change()):
        assert "hook_event" not in cluster.payload(body)
    assert "hook_event" not in cluster.payload(message("sms", "inbound", **TEXT))


def test_a_notification_without_a_definition_fires_nothing(cluster):
    cluster.hook("notifications")
    with pytest.raises(PoisonEvent, match="no notification"):
        cluster.fire(NEW | {"Event-Name": "unheard_of"})
