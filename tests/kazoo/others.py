"""Parking, changes of documents and databases, SMS and MMS, and a callflow's own webhook."""

from typing import Any

from kazoo.calls import CALL, CALL_WORD, CCVS
from kazoo.cluster import CHILD, CLUSTER, NODE, Message

CHILD_DATABASE = "account%2F7c%2F1e%2F5a90d3b24f6881a2c3d4e5f60917"
CHILD_DATABASE_WORD = "account%252F7c%252F1e%252F5a90d3b24f6881a2c3d4e5f60917"
CHILD_MODB = "account%2F7c%2F1e%2F5a90d3b24f6881a2c3d4e5f60917-202611"


def parking(name: str, **headers: Any) -> tuple[Message, dict[str, Any]]:
    """A parking event, and its payload."""
    body = {
        "Event-Category": "call_event",
        "Event-Name": name,
        "App-Name": "callflow",
        "App-Version": "4.0.0",
        "Msg-ID": name.encode().hex().ljust(32, "0")[:32],
        "Node": NODE,
        "Call-ID": CALL,
        "Caller-ID-Name": "Ada",
        "Caller-ID-Number": "+15550100001",
        "Callee-ID-Name": "Bob",
        "Callee-ID-Number": "2001",
        "Parking-Slot": "*3101",
        "Custom-Channel-Vars": CCVS,
        **headers,
    }
    payload = {
        "account_id": CHILD,
        "call_id": "b1c7e2d4~7@192.0.2.44",
        "caller_id_name": "Ada",
        "caller_id_number": "+15550100001",
        "callee_id_name": "Bob",
        "callee_id_number": "2001",
        "event_name": name,
        "parking_slot": "*3101",
        "cluster_id": CLUSTER,
        **{header.lower().replace("-", "_"): value for header, value in headers.items()},
    }
    return Message("callevt", f"call.{name}.{CALL_WORD}", body), payload


PARKING = [
    parking("PARK_PARKED"),
    parking("PARK_RETRIEVED", **{"Server-ID": "a-queue"}),
    parking("PARK_ABANDONED"),
]
PARKED_FORM = (
    f"account_id={CHILD}&call_id=b1c7e2d4~7%40192.0.2.44&caller_id_name=Ada"
    "&caller_id_number=%2B15550100001&callee_id_name=Bob&callee_id_number=2001"
    f"&event_name=PARK_PARKED&parking_slot=%2A3101&cluster_id={CLUSTER}"
)


def change(action: str, database: str, type: str, id: str, id_word: str, **headers: Any) -> Message:
    """A change as Kazoo's data layer publishes it: its two dates are swapped."""
    body = {
        "Event-Category": "configuration",
        "Event-Name": action,
        "App-Name": "datamgr",
        "App-Version": "4.0.0",
        "Msg-ID": f"{action} {type}".encode().hex().ljust(32, "0")[:32],
        "Node": NODE,
        "ID": id,
        "Type": type,
        "Database": database,
        **headers,
    }
    return Message("configuration", f"{action}.{database}.{type}.{id_word}", body)


def changed(action: str, type: str, id: str) -> dict[str, Any]:
    """Its payload."""
    return {
        "id": id,
        "account_id": CHILD,
        "action": action,
        "type": type,
        "cluster_id": CLUSTER,
    }


DOC = {
    "Rev": "2-0a1b2c3d4e5f60718293a4b5c6d7e8f9",
    "Account-ID": CHILD,
    "Date-Created": 63_931_219_200,
    "Date-Modified": 63_900_000_000,
    "Is-Soft-Deleted": False,
    "Origin-Cache": "kazoo_data_cache",
}
CHANGES: list[tuple[Message, dict[str, Any]]] = [
    (
        change("doc_created", CHILD_DATABASE, "device", "d.1", "d%2E1", **DOC),
        changed("doc_created", "device", "d.1"),
    ),
    (
        change("doc_edited", CHILD_DATABASE, "user", "u1", "u1", **DOC),
        changed("doc_edited", "user", "u1"),
    ),
    (
        change("doc_deleted", CHILD_MODB, "mailbox_message", "202611-7", "202611-7", **DOC),
        changed("doc_deleted", "mailbox_message", "202611-7"),
    ),
    (
        change("doc_edited", "accounts", "account", CHILD, CHILD, **DOC),
        changed("doc_edited", "account", CHILD),
    ),
    *(
        (
            change(action, CHILD_DATABASE, "database", CHILD_DATABASE, CHILD_DATABASE_WORD),
            changed(action, "database", CHILD_DATABASE),
        )
        for action in ("db_created", "db_edited", "db_deleted")
    ),
]


def text_message(kind: str, route: str = "offnet", **headers: Any) -> Message:
    """An inbound SMS or MMS; the latter is compressed."""
    body = {
        "Event-Category": kind,
        "Event-Name": "inbound",
        "App-Name": "carrier",
        "App-Version": "1.0.0",
        "Msg-ID": f"{kind}{route}{len(headers)}".encode().hex().ljust(32, "0")[:32],
        "Node": NODE,
        "Message-ID": "m-1@carrier.example",
        "Route-Type": route,
        "From": "+15550107777",
        "To": "+15550001111",
        "Custom-Vars": {"Carrier-ID": "c"},
        **headers,
    }
    word = "m-1%40carrier%2Eexample"
    return Message(
        "im", f"{kind}.inbound.{route}.{word}", body, gzip=kind == "mms", bound=route == "offnet"
    )


MIME = (
    'MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary="--7"\r\n\r\n----7\r\n'
    "Content-Type: text/plain; charset=utf-8\r\n\r\nschöne Grüße 🎉\r\n----7--\r\n"
)
SMS = text_message("sms", Body="1 + 1 = 2 & more: ñ", Charges=0.0075, **{"Account-ID": CHILD})
SMS_ARRIVED = {
    "id": "m-1@carrier.example",
    "account_id": CHILD,
    "type": "sms",
    "from": "+15550107777",
    "to": "+15550001111",
    "body": "1 + 1 = 2 & more: ñ",
    "origin": "offnet",
    "charges": 0.0075,
    "cluster_id": CLUSTER,
}
SMS_FORM = (
    f"id=m-1%40carrier.example&account_id={CHILD}&type=sms&from=%2B15550107777"
    "&to=%2B15550001111&body=1+%2B+1+%3D+2+%26+more%3A+%C3%B1&origin=offnet&charges=0.0075"
    f"&cluster_id={CLUSTER}"
)
MMS = text_message("mms", Body=MIME, **{"Account-ID": CHILD})
MMS_ARRIVED = {
    "id": "m-1@carrier.example",
    "account_id": CHILD,
    "type": "mms",
    "from": "+15550107777",
    "to": "+15550001111",
    "body": MIME,
    "origin": "offnet",
    "cluster_id": CLUSTER,
}


def callflow_webhook(hook: dict[str, Any], data: dict[str, Any]) -> Message:
    """What the callflow action `webhook` publishes."""
    body = {
        "Event-Category": "notification",
        "Event-Name": "webhook",
        "App-Name": "callflow",
        "App-Version": "4.0.0",
        "Msg-ID": hook["_id"].encode().hex().ljust(32, "0")[:32],
        "Node": NODE,
        "Timestamp": 63_931_219_400,
        "Hook": {"hook": "notifications", "pvt_account_id": CHILD, **hook},
        "Data": data,
    }
    return Message("notifications", "notifications.webhook.callflow", body)
