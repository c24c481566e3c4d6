"""A message for each of the modules, with all that its payload is made of."""

import json
from collections.abc import Mapping
from typing import Any

from callboard.webhooks.events.event import Event, parse_event

ACCOUNT = "5f3c8b0d9a7e4c21b6d0e8f7a9c4d213"
DATABASE = "account%2F5f%2F3c%2F8b0d9a7e4c21b6d0e8f7a9c4d213"

_CALL = {
    "Node": "freeswitch@switch.example.com",
    "Timestamp": 63_839_500_001,
    "Call-ID": "b1c7e2d4@192.0.2.44",
    "Call-Direction": "inbound",
    "Caller-ID-Name": "Ada",
    "Caller-ID-Number": "+15550100001",
    "Callee-ID-Name": "Front desk",
    "Callee-ID-Number": "2001",
    "Other-Leg-Call-ID": "9d0f@192.0.2.17",
    "Request": "2001@pbx.example.com",
    "To": "2001@pbx.example.com",
    "From": "+15550100001@pbx.example.com",
    "Inception": "+15550100001@carrier.example.com",
    "Custom-Application-Vars": {"ticket": "4711"},
    "Custom-Channel-Vars": {
        "Account-ID": ACCOUNT,
        "Authorizing-ID": "d0c5",
        "Authorizing-Type": "device",
        "Owner-ID": "u7a1",
        "Call-Forward": True,
        "Resource-ID": "r3b2",
    },
}
_HEADERS: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "channel_create": ("call_event", "CHANNEL_CREATE", _CALL),
    "channel_answer": ("call_event", "CHANNEL_ANSWER", _CALL),
    "channel_bridge": (
        "call_event",
        "CHANNEL_BRIDGE",
        _CALL | {"Custom-Channel-Vars": {**_CALL["Custom-Channel-Vars"], "Bridge-ID": "b9e8"}},
    ),
    "channel_destroy": (
        "call_event",
        "CHANNEL_DESTROY",
        _CALL
        | {
            "Hangup-Cause": "NORMAL_CLEARING",
            "Hangup-Code": "sip:200",
            "Duration-Seconds": 42,
            "Ringing-Seconds": 5,
            "Billing-Seconds": 37,
        },
    ),
    "parking": (
        "call_event",
        "PARK_PARKED",
        {
            "Call-ID": "b1c7e2d4@192.0.2.44",
            "Caller-ID-Name": "Ada",
            "Caller-ID-Number": "+15550100001",
            "Callee-ID-Name": "Front desk",
            "Callee-ID-Number": "2001",
            "Parking-Slot": "*3101",
            "Custom-Channel-Vars": {"Account-ID": ACCOUNT},
        },
    ),
    "notifications": (
        "notification",
        "voicemail_new",
        {
            "Account-ID": ACCOUNT,
            "From-User": "+15550100001",
            "From-Realm": "carrier.example.com",
            "To-User": "2001",
            "To-Realm": "pbx.example.com",
            "Voicemail-Box": "4b6f78a1",
            "Voicemail-ID": "202611-7",
            "Voicemail-Timestamp": 63_839_500_001,
            "Voicemail-Length": 17_000,
            "Caller-ID-Name": "Ada",
            "Caller-ID-Number": "+15550100001",
        },
    ),
    "object": (
        "configuration",
        "doc_edited",
        {"ID": "d0c5", "Rev": "2-0a1b", "Type": "device", "Database": DATABASE},
    ),
    "sms": ("sms", "inbound", {}),
    "mms": ("mms", "inbound", {}),
}
_TEXT_MESSAGE = {
    "Account-ID": ACCOUNT,
    "Message-ID": "0c93ae1f",
    "From": "+15550100001",
    "To": "+15550199999",
    "Body": "On my way",
    "Route-Type": "offnet",
    "Charges": 0.01,
}


def sample(module_id: str) -> Event:
    """The message; KeyError for a module that has none yet: write one."""
    category, name, headers = _HEADERS[module_id]
    body = {
        "Event-Category": category,
        "Event-Name": name,
        "App-Name": "an_app",
        "App-Version": "4.0.0",
        "Msg-ID": "a1b2c3d4",
        **(headers or _TEXT_MESSAGE),
    }
    return parse_event(json.dumps(body).encode(), "application/json", None, "", "")
