"""Call and parking events as switches and callflows publish them, and what hooks are to send."""

from typing import Any

from kazoo.cluster import CHILD, CLUSTER, MASTER, PARENT, SWITCH, Message

DEVICE, OWNER = "d17a5c02b3e64f9a8e1b2c3d4e5f6a7b", "0e9d8c7b6a594837261504f3e2d1c0ba"
RESOURCE = "5ca1ab1e0ddba11cafef00dbadc0ffee"

CALL, CALL_WORD = "b1c7e2d4~7@192.0.2.44", "b1c7e2d4~7%40192%2E0%2E2%2E44"
LEG, LEG_WORD = "9a8b7c6d-leg b", "9a8b7c6d-leg+b"


def event(name: str, call_word: str, /, bound: bool = True, **headers: Any) -> Message:
    """A call event; `_` in a header's name stands for `-`."""
    body = {
        "Event-Category": "call_event",
        "Event-Name": name,
        "App-Name": "freeswitch",
        "App-Version": "1.0",
        "Msg-ID": "1764000000123456",
        "Node": SWITCH,
        "Switch-Nodename": SWITCH,
        "Channel-State": "EXECUTE",
        **{header.replace("_", "-"): value for header, value in headers.items()},
    }
    return Message("callevt", f"call.{name}.{call_word}", body, bound=bound)


CCVS = {
    "Account-ID": CHILD,
    "Account-Realm": "child.example.org",
    "Authorizing-ID": DEVICE,
    "Authorizing-Type": "device",
    "Owner-ID": OWNER,
    "Realm": "child.example.org",
    "Username": "user_q1",
    "Call-Interaction-ID": "63931219200-5f2d",
}
KEPT_CCVS = {
    "Account-ID": CHILD,
    "Authorizing-ID": DEVICE,
    "Authorizing-Type": "device",
    "Owner-ID": OWNER,
    "Call-Interaction-ID": "63931219200-5f2d",
}
OF_THE_CHILD = {
    "account_id": CHILD,
    "authorizing_id": DEVICE,
    "authorizing_type": "device",
    "owner_id": OWNER,
    "reseller_id": MASTER,
    "cluster_id": CLUSTER,
}

CREATE = event(
    "CHANNEL_CREATE",
    CALL_WORD,
    Call_ID=CALL,
    Call_Direction="inbound",
    Caller_ID_Name="Zoë & Söhne",
    Caller_ID_Number="1001",
    Callee_ID_Name="Front desk",
    Callee_ID_Number="+15550001111",
    Channel_Name="sofia/sipinterface_1/1001@child.example.org",
    Timestamp=63_931_219_201,
    Request="+15550001111@child.example.org",
    To="+15550001111@child.example.org",
    From="1001@child.example.org",
    Custom_Channel_Vars=CCVS,
    Custom_Application_Vars={},
)
CREATED: dict[str, Any] = {
    **OF_THE_CHILD,
    "call_direction": "inbound",
    "call_id": "b1c7e2d4~7@192.0.2.44",
    "caller_id_name": "Zoë & Söhne",
    "caller_id_number": "1001",
    "callee_id_name": "Front desk",
    "callee_id_number": "+15550001111",
    "custom_channel_vars": KEPT_CCVS,
    "custom_application_vars": {},
    "emergency_resource_used": False,
    "is_internal_leg": False,
    "local_resource_used": True,
    "from": "1001@child.example.org",
    "to": "+15550001111@child.example.org",
    "request": "+15550001111@child.example.org",
    "timestamp": 63_931_219_201,
    "hook_event": "channel_create",
}
CREATED_FORM = (
    f"account_id={CHILD}&authorizing_id={DEVICE}&authorizing_type=device&owner_id={OWNER}"
    f"&reseller_id={MASTER}&cluster_id={CLUSTER}&call_direction=inbound"
    "&call_id=b1c7e2d4~7%40192.0.2.44&caller_id_name=Zo%C3%AB+%26+S%C3%B6hne"
    "&caller_id_number=1001&callee_id_name=Front+desk&callee_id_number=%2B15550001111"
    f"&custom_channel_vars[Account-ID]={CHILD}&custom_channel_vars[Authorizing-ID]={DEVICE}"
    f"&custom_channel_vars[Authorizing-Type]=device&custom_channel_vars[Owner-ID]={OWNER}"
    "&custom_channel_vars[Call-Interaction-ID]=63931219200-5f2d"
    "&emergency_resource_used=false&is_internal_leg=false&local_resource_used=true"
    "&from=1001%40child.example.org&to=%2B15550001111%40child.example.org"
    "&request=%2B15550001111%40child.example.org&timestamp=63931219201&hook_event=channel_create"
)

LOOPBACK = event(
    "CHANNEL_CREATE",
    LEG_WORD,
    Call_ID=LEG,
    Call_Direction="outbound",
    Channel_Name="loopback/1002@child.example.org-a",
    Channel_Is_Loopback=True,
    Timestamp=63_931_219_202,
    Other_Leg_Call_ID=CALL,
    Custom_Channel_Vars={"Account-ID": CHILD},
)
LOOPBACK_CREATED = {
    "account_id": CHILD,
    "reseller_id": MASTER,
    "cluster_id": CLUSTER,
    "call_direction": "outbound",
    "call_id": "9a8b7c6d-leg b",
    "other_leg_call_id": "b1c7e2d4~7@192.0.2.44",
    "custom_channel_vars": {"Account-ID": CHILD},
    "emergency_resource_used": False,
    "is_internal_leg": True,
    "local_resource_used": True,
    "timestamp": 63_931_219_202,
    "hook_event": "channel_create",
}

OF_PARENT = event(
    "CHANNEL_CREATE", "p%2E1", Call_ID="p.1", Custom_Channel_Vars={"Account-ID": PARENT}
)
CREATED_OF_PARENT = {
    "account_id": PARENT,
    "reseller_id": MASTER,
    "cluster_id": CLUSTER,
    "call_id": "p.1",
    "custom_channel_vars": {"Account-ID": PARENT},
    "emergency_resource_used": False,
    "is_internal_leg": False,
    "local_resource_used": True,
    "hook_event": "channel_create",
}

# Internal by its name alone: hooks without internal legs miss it, and yet it says false.
NAMED_LOOPBACK = event(
    "CHANNEL_CREATE",
    LEG_WORD,
    Call_ID=LEG,
    Msg_ID="1764000000123457",
    Call_Direction="outbound",
    Channel_Name="loopback/1003@child.example.org-b",
    Custom_Channel_Vars={"Account-ID": CHILD},
)
NAMED_LOOPBACK_CREATED = {
    "account_id": CHILD,
    "reseller_id": MASTER,
    "cluster_id": CLUSTER,
    "call_direction": "outbound",
    "call_id": "9a8b7c6d-leg b",
    "custom_channel_vars": {"Account-ID": CHILD},
    "emergency_resource_used": False,
    "is_internal_leg": False,
    "local_resource_used": True,
    "hook_event": "channel_create",
}

ANSWER = event(
    "CHANNEL_ANSWER",
    CALL_WORD,
    Call_ID=CALL,
    Call_Direction="inbound",
    Caller_ID_Name=None,
    Caller_ID_Number=1001,
    Callee_ID_Name="",
    Timestamp="63931219205",
    Inception="+15550009999@trunk.example.net",
    Custom_Channel_Vars={
        **CCVS,
        "Call-Forward": "true",
        "Emergency-Resource": "true",
        "Global-Resource": "true",
        "Resource-ID": RESOURCE,
    },
    Custom_Application_Vars={"crm ticket": "4711 [a&b]", "tags": ["x", "y"]},
)
ANSWERED: dict[str, Any] = {
    **OF_THE_CHILD,
    "call_direction": "inbound",
    "call_forwarded": True,
    "call_id": "b1c7e2d4~7@192.0.2.44",
    "caller_id_name": "null",
    "caller_id_number": "1001",
    "custom_channel_vars": {
        **KEPT_CCVS,
        "Call-Forward": "true",
        "Emergency-Resource": "true",
        "Global-Resource": "true",
        "Resource-ID": RESOURCE,
    },
    "custom_application_vars": {"crm ticket": "4711 [a&b]", "tags": ["x", "y"]},
    "emergency_resource_used": True,
    "is_internal_leg": False,
    "local_resource_used": False,
    "inception": "+15550009999@trunk.example.net",
    "timestamp": 63_931_219_205,
    "hook_event": "channel_answer",
}
ANSWERED_FORM = (
    f"account_id={CHILD}&authorizing_id={DEVICE}&authorizing_type=device&owner_id={OWNER}"
    f"&reseller_id={MASTER}&cluster_id={CLUSTER}&call_direction=inbound&call_forwarded=true"
    "&call_id=b1c7e2d4~7%40192.0.2.44&caller_id_name=null&caller_id_number=1001"
    f"&custom_channel_vars[Account-ID]={CHILD}&custom_channel_vars[Authorizing-ID]={DEVICE}"
    f"&custom_channel_vars[Authorizing-Type]=device&custom_channel_vars[Owner-ID]={OWNER}"
    "&custom_channel_vars[Call-Interaction-ID]=63931219200-5f2d"
    "&custom_channel_vars[Call-Forward]=true&custom_channel_vars[Emergency-Resource]=true"
    f"&custom_channel_vars[Global-Resource]=true&custom_channel_vars[Resource-ID]={RESOURCE}"
    "&custom_application_vars[crm+ticket]=4711+%5Ba%26b%5D"
    "&custom_application_vars[tags][]=x&custom_application_vars[tags][]=y"
    "&emergency_resource_used=true&is_internal_leg=false&local_resource_used=false"
    "&inception=%2B15550009999%40trunk.example.net&timestamp=63931219205"
    "&hook_event=channel_answer"
)

BRIDGE = event(
    "CHANNEL_BRIDGE",
    CALL_WORD,
    Call_ID=CALL,
    Call_Direction="inbound",
    Timestamp=63_931_219_206,
    Other_Leg_Call_ID=LEG,
    Other_Leg_Direction="outbound",
    Other_Leg_Destination_Number="+15550001111",
    Custom_Channel_Vars={
        **CCVS,
        "Call-Forward": "no",
        "Original-Number": "5550001111",
        "Global-Resource": "false",
        "Resource-ID": RESOURCE,
    },
)
BRIDGED: dict[str, Any] = {
    **OF_THE_CHILD,
    "call_direction": "inbound",
    "call_forwarded": False,
    "call_id": "b1c7e2d4~7@192.0.2.44",
    "other_leg_call_id": "9a8b7c6d-leg b",
    "other_leg_destination_number": "+15550001111",
    "original_number": "5550001111",
    "custom_channel_vars": {
        **KEPT_CCVS,
        "Call-Forward": "no",
        "Original-Number": "5550001111",
        "Global-Resource": "false",
        "Resource-ID": RESOURCE,
    },
    "emergency_resource_used": False,
    "is_internal_leg": False,
    "local_resource_used": True,
    "local_resource_id": RESOURCE,
    "timestamp": 63_931_219_206,
    "hook_event": "channel_bridge",
}

DESTROY = event(
    "CHANNEL_DESTROY",
    CALL_WORD,
    Call_ID=CALL,
    Call_Direction="inbound",
    Timestamp=63_931_219_240,
    Hangup_Cause="NORMAL_CLEARING",
    Hangup_Code="sip:200",
    Disposition="ANSWER",
    Duration_Seconds=39,
    Ringing_Seconds="4",
    Billing_Seconds=35,
    Custom_Channel_Vars=CCVS,
)
DESTROYED: dict[str, Any] = {
    **OF_THE_CHILD,
    "call_direction": "inbound",
    "call_id": "b1c7e2d4~7@192.0.2.44",
    "custom_channel_vars": KEPT_CCVS,
    "emergency_resource_used": False,
    "is_internal_leg": False,
    "local_resource_used": True,
    "hangup_cause": "NORMAL_CLEARING",
    "hangup_code": "sip:200",
    "duration_seconds": 39,
    "ringing_seconds": 4,
    "billing_seconds": 35,
    "timestamp": 63_931_219_240,
    "hook_event": "channel_destroy",
}
