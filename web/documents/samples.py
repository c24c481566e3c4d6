"""Samples of hooks' payloads, for developers of receivers. All names and numbers are invented."""

from collections.abc import Mapping
from typing import Any

from callboard.webhooks.modules.notification_types import NOTIFICATION_TYPES, NotificationType

_ACCOUNT = "5f3c8b0d9a7e4c21b6d0e8f7a9c4d213"
_DEVICE = "8a4be3f0c1d27596b3e8d0a4f6c71529"
_USER = "2d9c6b7e1f304a58c7d6e5f4a3b2c1d0"
_RESELLER = "0c1b2a3948576655443322110ffeeddc"
_TIME = 63_839_500_001

_CHANNEL: Mapping[str, Any] = {
    "account_id": _ACCOUNT,
    "authorizing_id": _DEVICE,
    "authorizing_type": "device",
    "call_direction": "inbound",
    "call_forwarded": False,
    "call_id": "a84b4c76e66710@desk.example.com",
    "callee_id_name": "Front Desk",
    "callee_id_number": "+15550199999",
    "caller_id_name": "Ada Lovelace",
    "caller_id_number": "+15550100042",
    "custom_application_vars": {},
    "custom_channel_vars": {},
    "emergency_resource_used": False,
    "from": "+15550100042@example.com",
    "inception": "+15550199999@example.com",
    "is_internal_leg": False,
    "local_resource_id": "64fe9d1b23c8a7059e6b41d8f0a2c735",
    "local_resource_used": True,
    "other_leg_call_id": "b95c5d87f77821@desk.example.com",
    "owner_id": _USER,
    "request": "+15550199999@example.com",
    "reseller_id": _RESELLER,
    "timestamp": _TIME,
    "to": "+15550199999@example.com",
}


def _channel(event: str, **more: Any) -> list[dict[str, Any]]:
    return [{**_CHANNEL, "hook_event": event, **more}]


_EXAMPLES: Mapping[str, Any] = {
    "account_id": _ACCOUNT,
    "user_id": _USER,
    "hook_id": "9f8e7d6c5b4a39281706f5e4d3c2b1a0",
    "fax_id": "202611-3b1c9e7d5f2a4806b1c9e7d5f2a48061",
    "voicemail_box": "7c6d5e4f3a2b1c0d9e8f7a6b5c4d3e2f",
    "voicemail_id": "202611-1a2b3c4d5e6f708192a3b4c5d6e7f809",
    "voicemail_timestamp": _TIME,
    "timestamp": _TIME,
    "due_date": _TIME + 604_800,
    "number": "+15550199999",
    "caller_id_number": "+15550100042",
    "from_user": "+15550100042",
    "from_realm": "example.com",
    "to_user": "+15550199999",
    "to_realm": "example.com",
    "call_id": "a84b4c76e66710@desk.example.com",
    "items": [{"category": "devices", "item": "sip_device", "quantity": 4, "rate": 2, "total": 8}],
    "zones": {"home": "eu-1"},
    "data": {"call_id": "a84b4c76e66710@desk.example.com"},
    "hook": {"uri": "https://hooks.example.com/calls", "hook": "notifications"},
    "success": True,
    "amount": 20.0,
    "current_balance": 4.5,
    "template_id": "welcome",
    "subject": "Please look at this",
    "message": "Something needs your attention.",
}


def _notification(type: NotificationType) -> dict[str, Any]:
    """A notification of that kind with all required members."""
    members = {header.lower().replace("-", "_"): header for header in type.required}
    return {
        "account_id": _ACCOUNT,
        **{name: _example(name, type, header) for name, header in members.items()},
        "app_name": "notify",
        "app_version": "1.0",
        "event_category": "notification",
        "event_name": type.name,
        "msg_id": "c0ffee00c0ffee00",
        "node": "apps@node1.example.com",
    }


def _example(name: str, type: NotificationType, header: str) -> Any:
    if name in _EXAMPLES:
        return _EXAMPLES[name]
    kind = type.kinds.get(header)
    for candidate in (f"{name.replace('_', ' ')}", {"name": "value"}, 1, True, [{"id": "1"}]):
        if kind is None or kind.holds(candidate):
            return candidate
    return kind.name.removeprefix("one of ").split(", ")[0] if kind else ""


def _parking(event: str) -> dict[str, Any]:
    return {
        "account_id": _ACCOUNT,
        "call_id": "a84b4c76e66710@desk.example.com",
        "callee_id_name": "Front Desk",
        "callee_id_number": "+15550199999",
        "caller_id_name": "Ada Lovelace",
        "caller_id_number": "+15550100042",
        "event_name": event,
        "parking_slot": "1",
    }


def _object(action: str) -> dict[str, Any]:
    return {"account_id": _ACCOUNT, "action": action, "id": _USER, "type": "user"}


SAMPLES: Mapping[str, list[dict[str, Any]]] = {
    "webhooks_channel_answer": _channel("channel_answer"),
    "webhooks_channel_bridge": _channel(
        "channel_bridge",
        original_number="+15550199999",
        other_leg_destination_number="+15550199998",
    ),
    "webhooks_channel_create": _channel("channel_create"),
    "webhooks_channel_destroy": _channel(
        "channel_destroy",
        hangup_cause="NORMAL_CLEARING",
        hangup_code="sip:200",
        duration_seconds=42,
        ringing_seconds=5,
        billing_seconds=37,
    ),
    "webhooks_notifications": [
        _notification(type) for type in NOTIFICATION_TYPES.values() if type.routing_key
    ],
    "webhooks_object": [_object(a) for a in ("doc_created", "doc_edited", "doc_deleted")],
    "webhooks_parking": [_parking(e) for e in ("PARK_PARKED", "PARK_RETRIEVED", "PARK_ABANDONED")],
}
"""By id, each a list: one for each case of the kind of event."""
