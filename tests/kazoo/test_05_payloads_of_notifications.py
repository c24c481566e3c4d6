"""Notifications: how keys are normalised, whose they are, and which hooks want them."""

import json

import pytest

from callboard.webhooks.events.event import PoisonEvent
from support.kazoo import (
    ACCOUNT,
    STRANGER,
    message,
)

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
        pytest.param({}, False, id="an empty one matches nothing"),
        pytest.param({"type": "new_account"}, True, id="its own name"),
        pytest.param({"type": "all"}, True, id="all"),
        pytest.param({"type": "low_balance"}, False, id="another name"),
        pytest.param({"shop": "one"}, False, id="custom_data without type matches nothing"),
        pytest.param({"action": "all"}, False, id="an action is no type"),
        pytest.param({"type": ["new_account"]}, True, id="a list of its name"),
        pytest.param({"type": ["new_account", "register"]}, False, id="a list of two"),
    ],
)
def test_which_notifications_a_hook_selects(custom_data, fires, cluster):
    id = cluster.hook("notifications", custom_data=custom_data)
    assert cluster.fired(NEW) == ([id] if fires else [])


def test_a_migrated_hook_without_custom_data_matches_every_notification(cluster):
    id = cluster.hook("notifications", type="inbound_fax")
    assert cluster.fired(NEW) == [id]


def test_a_notification_without_a_definition_fires_nothing(cluster):
    cluster.hook("notifications")
    with pytest.raises(PoisonEvent, match="no notification"):
        cluster.fire(NEW | {"Event-Name": "unheard_of"})
