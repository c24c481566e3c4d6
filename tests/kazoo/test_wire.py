"""Routing keys, dispatch, bodies and their validation: Kazoo's side of the wire."""

import json
import re

import pytest

from callboard.webhooks.events.changes import document_change
from callboard.webhooks.events.event import PoisonEvent
from callboard.webhooks.values.kazoo_names import encode_segment
from support.kazoo import (
    ACCOUNT,
    ENVELOPE,
    NODE,
    call,
    change,
    encoded_database,
    message,
)

# Routing keys


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        pytest.param("AZaz09-~_", "AZaz09-~_", id="what stays"),
        pytest.param("a b", "a+b", id="a space is a plus"),
        pytest.param("a.b", "a%2Eb", id="a dot"),
        pytest.param("a@b", "a%40b", id="an at sign"),
        pytest.param("a+b%2F", "a%2Bb%252F", id="what escaping makes is escaped"),
        pytest.param("é", "%C3%A9", id="bytes, not characters, in upper case"),
        pytest.param("*", "*", id="a star alone"),
        pytest.param("#", "#", id="a hash alone"),
        pytest.param("", "", id="nothing"),
        pytest.param("a*", "a%2A", id="a star within"),
    ],
)
def test_a_segment_of_a_routing_key(value, wanted):
    assert encode_segment(value) == wanted


DOCUMENT = {
    "_id": "a.b@c",
    "_rev": "2-x",
    "pvt_type": "webhook",
    "pvt_account_id": ACCOUNT,
    "pvt_created": 1,
    "pvt_modified": 2,
    "uri": "https://secret.example/",
}


@pytest.mark.parametrize("event", ["doc_created", "doc_edited", "doc_deleted"])
def test_of_a_change_only_the_id_is_encoded(event):
    key, _body = document_change(event, "webhooks", DOCUMENT, NODE)
    assert key == f"{event}.webhooks.webhook.a%2Eb%40c"
    key, _body = document_change(event, "account/2f/3e/4d", DOCUMENT, NODE)
    assert key == f"{event}.account%2F2f%2F3e%2F4d.webhook.a%2Eb%40c"


def test_a_change_tells_what_kazoo_s_data_layer_tells():
    _key, body = document_change("doc_edited", "webhooks", DOCUMENT, NODE)
    assert re.fullmatch("[0-9a-f]{32}", body.pop("Msg-ID"))
    assert body == {
        "App-Name": "datamgr",
        "App-Version": "4.0.0",
        "Event-Category": "configuration",
        "Event-Name": "doc_edited",
        "Node": NODE,
        "ID": "a.b@c",
        "Origin-Cache": "kazoo_data_cache",
        "Type": "webhook",
        "Database": "webhooks",
        "Rev": "2-x",
        "Account-ID": ACCOUNT,
        "Date-Created": 2,  # Kazoo swaps the two
        "Date-Modified": 1,
        "Is-Soft-Deleted": False,
    }


def test_a_soft_delete_is_a_deletion():
    _key, body = document_change("doc_deleted", "webhooks", DOCUMENT | {"pvt_deleted": True}, NODE)
    assert (body["Event-Name"], body["Is-Soft-Deleted"]) == ("doc_deleted", True)


# Dispatch: by category and name

DISPATCHED = {
    ("call_event", "CHANNEL_CREATE"): "channel_create",
    ("call_event", "CHANNEL_ANSWER"): "channel_answer",
    ("call_event", "CHANNEL_BRIDGE"): "channel_bridge",
    ("call_event", "CHANNEL_DESTROY"): "channel_destroy",
    ("call_event", "PARK_PARKED"): "parking",
    ("call_event", "PARK_RETRIEVED"): "parking",
    ("call_event", "PARK_ABANDONED"): "parking",
    ("notification", "new_account"): "notifications",
    ("notification", "customer_update"): "notifications",
    ("configuration", "doc_created"): "object",
    ("configuration", "doc_edited"): "object",
    ("configuration", "doc_deleted"): "object",
    ("configuration", "db_created"): "object",
    ("configuration", "db_edited"): "object",
    ("configuration", "db_deleted"): "object",
    ("configuration", "db_views_updated"): "object",
    ("sms", "inbound"): "sms",
    ("mms", "inbound"): "mms",
    ("call_event", "CHANNEL_HOLD"): None,
    ("call_event", "channel_create"): None,
    ("call_event", "inbound"): None,
    ("channel_event", "CHANNEL_CREATE"): None,
    ("configuration", "doc_type_update"): None,
    ("configuration", "doc_moved"): None,
    ("sms", "outbound"): None,
    ("sms", "delivery"): None,
    ("mms", "resume"): None,
    ("category", "name"): None,
    (None, "CHANNEL_CREATE"): None,
    ("call_event", None): None,
}
EVERYTHING = {
    **call(),
    **ENVELOPE,
    "ID": "d",
    "Type": "webhook",
    "Database": encoded_database(ACCOUNT),
    "Account-ID": ACCOUNT,
    "Message-ID": "1",
    "Body": "b",
    "From": "1",
    "To": "2",
    "Action": "account",
}


@pytest.mark.parametrize("pair", DISPATCHED, ids=str)
def test_who_responds_to_which_category_and_name(pair, cluster):
    for module in cluster.modules:
        cluster.hook(module.id, _id=module.id)
    body = EVERYTHING | dict(zip(("Event-Category", "Event-Name"), pair, strict=True))
    wanted = DISPATCHED[pair]
    assert cluster.fired(body) == ([] if wanted is None else [wanted])


# Bodies


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(json.dumps(call()), id="an object"),
        pytest.param(f" {json.dumps(call(), indent=1)}\n", id="in whatever layout"),
        pytest.param(json.dumps(call(Note="é")), id="escaped characters"),
        pytest.param(json.dumps(call(Note="é"), ensure_ascii=False), id="UTF-8"),
    ],
)
def test_a_json_body_plain_or_gzip(body, cluster):
    id = cluster.hook()
    for zipped in (False, True):
        assert cluster.fired(body.encode(), zipped=zipped) == [id]


# Validation

SMS = message("sms", "inbound", Message_ID="1", Body="b", From="1", To="2", Account_ID=ACCOUNT)
NEW_USER = message("notification", "new_user", Account_ID=ACCOUNT, User_ID="u")
REMINDER = message(
    "notification",
    "bill_reminder",
    Account_ID=ACCOUNT,
    Due_Date=1,
    Items=[{}],
    Timestamp=1,
)
PARKED = call("PARK_PARKED")
VALID = {
    "parking": PARKED,
    "object": change(),
    "sms": SMS,
    "mms": SMS | {"Event-Category": "mms"},
    "notifications": NEW_USER,
}
REQUIRED = {
    "parking": ["Call-ID"],
    "object": ["ID", "Database"],
    "sms": ["Message-ID", "Body", "From", "To"],
    "mms": ["Message-ID", "Body", "From", "To"],
    "notifications": ["Account-ID", "User-ID"],
}
DEFAULTS = ["App-Name", "App-Version", "Msg-ID"]  # Category and name decide who sees it at all.


@pytest.mark.parametrize("kind", VALID)
def test_what_is_valid_fires_whatever_else_it_says(kind, cluster):
    id = cluster.hook(kind)
    assert cluster.fired(VALID[kind] | {"Unheard-Of": {"a": [None]}}) == [id]


@pytest.mark.parametrize(
    ("kind", "header"), [(kind, h) for kind in VALID for h in DEFAULTS + REQUIRED[kind]]
)
def test_without_a_default_or_required_header_nothing_fires(kind, header, cluster):
    cluster.hook("all")
    body = {name: value for name, value in VALID[kind].items() if name != header}
    with pytest.raises(PoisonEvent, match=f"{header} is missing"):
        cluster.fire(body)


@pytest.mark.parametrize("value", [None, ""])
@pytest.mark.parametrize("header", DEFAULTS)
@pytest.mark.parametrize("kind", VALID)
def test_null_and_empty_count_as_there(kind, header, value, cluster):
    id = cluster.hook(kind)
    assert cluster.fired(VALID[kind] | {header: value}) == [id]


WRONG = [
    ("parking", "Custom-Application-Vars", "text"),
    ("parking", "Custom-SIP-Headers", []),
    ("parking", "Fax-Info", "text"),
    ("parking", "Custom-Channel-Vars", "text"),
    ("object", "ID", 7),
    ("object", "Rev", 7),
    ("object", "Is-Soft-Deleted", "perhaps"),
    *(
        ("sms", header, 7)
        for header in ("To", "From", "Request", "Message-ID", "System-ID", "Body")
    ),
    ("sms", "Custom-Vars", "text"),
    ("sms", "Route-Type", "sideways"),
    ("mms", "Body", ["part"]),
]
RIGHT = [
    ("parking", "Custom-Application-Vars", {}),
    ("parking", "Custom-SIP-Headers", {"X": "y"}),
    ("parking", "Fax-Info", {}),
    ("object", "Rev", "1-x"),
    ("object", "Is-Soft-Deleted", True),
    ("object", "Is-Soft-Deleted", "false"),
    ("sms", "Request", "1@pbx"),
    ("sms", "System-ID", "s"),
    ("sms", "Custom-Vars", {}),
    ("sms", "Route-Type", "offnet"),
    ("sms", "Route-Type", "onnet"),
]


@pytest.mark.parametrize(("kind", "header", "value"), WRONG)
def test_a_header_of_the_wrong_type_or_value_makes_a_message_invalid(kind, header, value, cluster):
    cluster.hook("all")
    with pytest.raises(PoisonEvent, match=f"{header} is not "):
        cluster.fire(VALID[kind] | {header: value})


@pytest.mark.parametrize(("kind", "header", "value"), RIGHT)
def test_one_of_the_right_type_does_not(kind, header, value, cluster):
    id = cluster.hook(kind)
    assert cluster.fired(VALID[kind] | {header: value}) == [id]


@pytest.mark.parametrize(
    ("header", "value"),
    [("Due-Date", 0), ("Due-Date", "1"), ("Items", [1]), ("Payment-Token", []), ("Account-ID", "")],
)
def test_notifications_are_held_to_their_definitions(header, value, cluster):
    cluster.hook("notifications")
    assert cluster.fired(REMINDER)
    with pytest.raises(PoisonEvent, match=f"{header} is not "):
        cluster.fire(REMINDER | {header: value})


@pytest.mark.parametrize(
    "name", ["CHANNEL_CREATE", "CHANNEL_ANSWER", "CHANNEL_BRIDGE", "CHANNEL_DESTROY"]
)
def test_channel_events_are_not_validated(name, cluster):
    id = cluster.hook(name)
    bare = {"Event-Category": "call_event", "Event-Name": name}
    bare |= {"Custom-Channel-Vars": {"Account-ID": ACCOUNT}, "Fax-Info": "text"}
    assert cluster.fired(bare) == [id]
