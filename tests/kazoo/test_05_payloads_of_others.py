"""Parking, changes of documents, SMS and MMS: whose they are and what is sent of them."""

import json

import pytest

from support.kazoo import (
    ACCOUNT,
    CLUSTER,
    TOP,
    change,
    encoded_database,
    message,
    without,
)

ABSENT = "(absent)"


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
    cluster.number("+14155550100")
    body = PARKED | {"Event-Name": "PARK_PARKED", "Custom-Channel-Vars": {}}
    assert cluster.fired(body | {"Request": "4155550100@pbx", "Account-ID": ACCOUNT}) == []


def test_parking_does_not_tell_internal_legs_apart(cluster):
    id = cluster.hook("parking", include_internal_legs=False)
    body = PARKED | {"Event-Name": "PARK_PARKED", "Channel-Is-Loopback": True}
    assert cluster.fired(body) == [id]


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
    new = message("notification", "new_account", Account_ID=ACCOUNT)
    for body in (PARKED | {"Event-Name": "PARK_PARKED"}, new, change()):
        assert "hook_event" not in cluster.payload(body)
    assert "hook_event" not in cluster.payload(message("sms", "inbound", **TEXT))
