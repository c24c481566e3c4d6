"""Calls that belong to whom the called number belongs to, or to nobody."""

from typing import Any

from kazoo.calls import event
from kazoo.cluster import CLUSTER, MASTER, NUMBERED, Message


def call(id: str, **headers: Any) -> Message:
    """A new call without an account."""
    return event("CHANNEL_CREATE", id, Call_ID=id, **headers)


def created(id: str, ccvs: dict[str, Any], **others: Any) -> dict[str, Any]:
    """What the number's owner is told of it: the account found stands in the variables, too."""
    return {
        "account_id": NUMBERED,
        "reseller_id": MASTER,
        "cluster_id": CLUSTER,
        "call_id": id,
        "custom_channel_vars": ccvs | {"Account-ID": NUMBERED},
        "emergency_resource_used": False,
        "is_internal_leg": False,
        "local_resource_used": True,
        "hook_event": "channel_create",
        **others,
    }


CALLS: list[tuple[Message, dict[str, Any] | None]] = [
    (
        call(
            "by-request",
            Request="+15557654321@sip.example.org",
            To="+15550002222@sip.example.org",
            Custom_Channel_Vars={"Realm": "sip.example.org", "Fetch-ID": "f-1"},
        ),
        created(
            "by-request",
            {"Fetch-ID": "f-1"},
            request="+15557654321@sip.example.org",
            to="+15550002222@sip.example.org",
        ),
    ),
    (
        call("by-to", Request="nouser@sip.example.org", To="15557654322@sip.example.org"),
        created("by-to", {}, request="nouser@sip.example.org", to="15557654322@sip.example.org"),
    ),
    (
        call("by-did", Request="nouser@a.example", To="nouser@b.example", To_DID="5557654323"),
        created("by-did", {}, request="nouser@a.example", to="nouser@b.example"),
    ),
    (call("of-nobody", Request="+15550000000@sip.example.org"), None),
]
