"""One notification of each kind, and what hooks are to send of it.

Each entry: name, routing key, headers beyond the common ones, and the same in the payload, as it
is written by hand: names in lower case with `_`, nulls gone. With a third, the notification's own
hook sends form data.
"""

from typing import Any

from attrs import frozen

from kazoo.cluster import CHILD, CLUSTER, NODE, PARENT, Message

BOX = "4b6f78a1c2d3e4f5061728394a5b6c7d"
FAX = "202611-6e1a2b3c4d5e6f708192a3b4c5d6e7f8"
PORT = "90a1b2c3d4e5f60718293a4b5c6d7e8f"
NUMBER = "+15550003333"


@frozen
class Notification:
    name: str
    message: Message
    payload: dict[str, Any]
    form: str | None


def notification(
    name: str,
    key: str,
    headers: dict[str, Any],
    payload: dict[str, Any],
    form: str | None = None,
    account: dict[str, Any] | None = None,
) -> Notification:
    """`account`: the headers that say whose it is, if not `Account-ID`."""
    msg_id = name.encode().hex().ljust(32, "0")[:32]
    body = {
        "Event-Category": "notification",
        "Event-Name": name,
        "App-Name": "callflow",
        "App-Version": "4.0.0",
        "Msg-ID": msg_id,
        "Node": NODE,
        **({"Account-ID": CHILD} if account is None else account),
        **headers,
    }
    whole = {
        "event_category": "notification",
        "event_name": name,
        "app_name": "callflow",
        "app_version": "4.0.0",
        "msg_id": msg_id,
        "node": "kazoo_apps@apps2.example.org",
        **({"account_id": CHILD} if account is None else {}),
        **payload,
        "cluster_id": CLUSTER,
    }
    if form is not None:
        form = (
            f"event_category=notification&event_name={name}&app_name=callflow&app_version=4.0.0"
            f"&msg_id={msg_id}&node=kazoo_apps%40apps2.example.org"
            + (f"&account_id={CHILD}" if account is None else "")
            + f"&{form}&cluster_id={CLUSTER}"
        )
    return Notification(name, Message("notifications", f"notifications.{key}", body), whole, form)


_PORT_REASON = {"Port-Request-ID": PORT, "Reason": {"Content": "as agreed", "Timestamp": 6.5}}
_port_reason = {"port_request_id": PORT, "reason": {"content": "as agreed", "timestamp": 6.5}}
_PORT_REASON_FORM = f"port_request_id={PORT}&reason[content]=as+agreed&reason[timestamp]=6.5"
_FAX_PARTIES = {"From-User": "f", "From-Realm": "a.example", "To-User": "t", "To-Realm": "b"}
_fax_parties = {"from_user": "f", "from_realm": "a.example", "to_user": "t", "to_realm": "b"}
_VOICEMAIL = {
    **_FAX_PARTIES,
    "Voicemail-Box": BOX,
    "Voicemail-ID": "202611-1",
    "Voicemail-Timestamp": 63_931_219_300,
}
_voicemail = {
    **_fax_parties,
    "voicemail_box": BOX,
    "voicemail_id": "202611-1",
    "voicemail_timestamp": 63_931_219_300,
}

NOTIFICATIONS = [
    # Accounts
    notification(
        "account_zone_change",
        "account.zone_change",
        {"Zones": {"Home": "east", "Spare-Zone": None}},
        {"zones": {"home": "east"}},
        "zones[home]=east",
    ),
    notification(
        "bill_reminder",
        "account.reminder",
        {
            "Due-Date": 63_931_300_000,
            "Items": [{"Item-Name": "Device", "quantity": 2}, {"Rate": 1.5, "x": None}],
            "Timestamp": 63_931_219_300,
        },
        {
            "due_date": 63_931_300_000,
            "items": [{"item_name": "Device", "quantity": 2}, {"rate": 1.5}],
            "timestamp": 63_931_219_300,
        },
        "due_date=63931300000&timestamp=63931219300"
        "&items[]=%7B%22item_name%22%3A%22Device%22%2C%22quantity%22%3A2%7D"
        "&items[]=%7B%22rate%22%3A1.5%7D",
    ),
    notification(
        "low_balance",
        "account.low_balance",
        {"Current-Balance": -12.25},
        {"current_balance": -12.25},
        "current_balance=-12.25",
    ),
    notification(
        "new_account",
        "account.new",
        {"Account-Name": "Käthe & Co", "Account-API-Key": "k=1", "Account-Realm": "ké.example"},
        {"account_name": "Käthe & Co", "account_api_key": "k=1", "account_realm": "ké.example"},
        "account_name=K%C3%A4the+%26+Co&account_api_key=k%3D1&account_realm=k%C3%A9.example",
    ),
    notification(
        "service_added",
        "account.service_added",
        {"Audit-Log": {"Audit": {"Agent-Name": "x"}}, "Items": [{"a": 1}], "Timestamp": 1},
        {"audit_log": {"audit": {"agent_name": "x"}}, "items": [{"a": 1}], "timestamp": 1},
    ),
    notification(
        "topup",
        "account.topup",
        {
            "Amount": 20.0,
            "Response": "Approved",
            "Success": True,
            "Timestamp": 63_931_219_301,
            "Discounts": [],
            "Add-Ons": [],
            "Billing-Address": {},
            "ID": "e9",
        },
        {
            "amount": 20.0,
            "response": "Approved",
            "success": True,
            "timestamp": 63_931_219_301,
            "discounts": [],
            "add_ons": [],
            "billing_address": {},
            "id": "e9",
        },
        "amount=20.0&response=Approved&success=true&timestamp=63931219301&id=e9",
    ),
    notification(
        "transaction",
        "account.transaction",
        {"Amount": 7, "Response": "Declined", "Success": False, "Timestamp": 2, "ID": "tx"},
        {"amount": 7, "response": "Declined", "success": False, "timestamp": 2, "id": "tx"},
    ),
    notification(
        "cf_notification", "account.cf_notification", {"Template-ID": "t1"}, {"template_id": "t1"}
    ),
    notification(
        "number_feature_manual_action",
        "account.number_feature_manual_action",
        {"Number": NUMBER, "Feature": {"CNAM-Name": "x"}},
        {"number": "+15550003333", "feature": {"cnam_name": "x"}},
        "number=%2B15550003333&feature[cnam_name]=x",
    ),
    # Faxes
    notification(
        "inbound_fax",
        "fax.inbound",
        {**_FAX_PARTIES, "Fax-ID": FAX, "Fax-Info": {"Fax-ECM-Used": False}},
        {**_fax_parties, "fax_id": FAX, "fax_info": {"fax_ecm_used": False}},
        f"from_user=f&from_realm=a.example&to_user=t&to_realm=b&fax_id={FAX}"
        "&fax_info[fax_ecm_used]=false",
    ),
    notification(
        "inbound_fax_error",
        "fax.inbound_error",
        {**_FAX_PARTIES, "Fax-Error": "no\ttone\n"},
        {**_fax_parties, "fax_error": "no\ttone\n"},
        "from_user=f&from_realm=a.example&to_user=t&to_realm=b&fax_error=no%09tone%0A",
    ),
    notification(
        "outbound_fax",
        "fax.outbound",
        {"Caller-ID-Number": "1", "Callee-ID-Number": "2", "Fax-ID": FAX, "Fax-JobId": "j1"},
        {"caller_id_number": "1", "callee_id_number": "2", "fax_id": FAX, "fax_jobid": "j1"},
    ),
    notification(
        "outbound_fax_error",
        "fax.outbound_error",
        {"Fax-ID": FAX, "Fax-JobId": "j2"},
        {"fax_id": FAX, "fax_jobid": "j2", "pvt_account_id": CHILD},
        account={"pvt_account_id": CHILD},
    ),
    notification(
        "outbound_smtp_fax_error",
        "fax.outbound_smtp_error",
        {"Fax-From-Email": "a+b@c.example", "Errors": ["one", "two words"], "Timestamp": 3},
        {"fax_from_email": "a+b@c.example", "errors": ["one", "two words"], "timestamp": 3},
        "fax_from_email=a%2Bb%40c.example&errors[]=one&errors[]=two+words&timestamp=3",
    ),
    # Numbers
    notification(
        "cnam_request",
        "number.cnam_request",
        {"Number": NUMBER, "Cnam": {"Display-Name": "Me", "Inbound-Lookup": True}},
        {"number": "+15550003333", "cnam": {"display_name": "Me", "inbound_lookup": True}},
    ),
    notification(
        "port_comment",
        "number.port_comment",
        {"Port-Request-ID": PORT, "Comment": {"Is-Private": True, "Content": 'say "no"'}},
        {"port_request_id": PORT, "comment": {"is_private": True, "content": 'say "no"'}},
    ),
    *(
        notification(
            name,
            f"number.{name}",
            _PORT_REASON,
            _port_reason,
            _PORT_REASON_FORM if name == "port_pending" else None,
        )
        for name in (
            "port_cancel",
            "port_pending",
            "port_rejected",
            "port_request",
            "port_scheduled",
            "port_unconfirmed",
            "ported",
        )
    ),
    # Registrations and calls
    notification(
        "denied_emergency_bridge",
        "registration.denied_emergency_bridge",
        {"Call-ID": "c.1@x"},
        {"call_id": "c.1@x"},
    ),
    notification(
        "emergency_bridge",
        "registration.emergency_bridge",
        {"Call-ID": "c.2@x", "Emergency-Caller-ID-Number": "911"},
        {"call_id": "c.2@x", "emergency_caller_id_number": "911"},
    ),
    # `account_id` says whose it is; in the payload the later of two keys that become one stays.
    notification(
        "deregister",
        "sip.deregister",
        {"Realm": "r.example", "Username": "u", "Reason": None},
        {"account_id": PARENT, "realm": "r.example", "username": "u"},
        account={"account_id": CHILD, "Account-ID": PARENT},
    ),
    notification(
        "first_occurrence",
        "sip.first_occurrence",
        {"Occurrence": "registration"},
        {"occurrence": "registration"},
    ),
    notification(
        "missed_call",
        "sip.missed_call",
        {
            "Call-ID": "c.3@x",
            "Call-Bridged": False,
            "Message-Left": False,
            "Notify": [{"Type": "user", "id": None}, None],
            "Server-ID": "kazoo_apps@apps2.example.org-<0.71.0>-1a2b3c4d",
        },
        {
            "call_id": "c.3@x",
            "call_bridged": False,
            "message_left": False,
            "notify": [{"type": "user"}, None],
            "server_id": "kazoo_apps@apps2.example.org-<0.71.0>-1a2b3c4d",
        },
    ),
    notification(
        "register",
        "sip.register",
        {"Realm": "r.example", "Username": "u", "Contact": 'sip:u@192.0.2.7;methods="A, B"'},
        {"realm": "r.example", "username": "u", "contact": 'sip:u@192.0.2.7;methods="A, B"'},
        "realm=r.example&username=u&contact=sip%3Au%40192.0.2.7%3Bmethods%3D%22A%2C+B%22",
    ),
    notification(
        "system_alert",
        "system.alert",
        {"Subject": "s", "Message": "m"},
        {
            "subject": "s",
            "message": "m",
            "details": {"custom_channel_vars": {"account_id": CHILD}},
        },
        account={"Details": {"Custom-Channel-Vars": {"Account-ID": CHILD}}},
    ),
    # Users and voicemail
    notification(
        "customer_update", "user.customer_update", {"DataBag": {"A-B": 1}}, {"databag": {"a_b": 1}}
    ),
    notification("new_user", "user.new", {"User-ID": "u1"}, {"user_id": "u1"}, "user_id=u1"),
    notification(
        "password_recovery",
        "user.password_recovery",
        {"Email": "a@b.example", "Password-Reset-Link": "https://x.example/?a=b&c=%20"},
        {"email": "a@b.example", "password_reset_link": "https://x.example/?a=b&c=%20"},
        "email=a%40b.example&password_reset_link=https%3A%2F%2Fx.example%2F%3Fa%3Db%26c%3D%2520",
    ),
    notification(
        "voicemail_full",
        "voicemail.full",
        {"Voicemail-Box": BOX, "Message-Count": 100, "Max-Message-Count": "100"},
        {"voicemail_box": BOX, "message_count": 100, "max_message_count": "100"},
    ),
    notification("voicemail_new", "voicemail.new", _VOICEMAIL, _voicemail),
    notification("voicemail_saved", "voicemail.saved", _VOICEMAIL, _voicemail),
    notification(
        "voicemail_deleted",
        "voicemail.deleted",
        {**_VOICEMAIL, "Reason": "listened to"},
        {**_voicemail, "reason": "listened to"},
    ),
    notification(
        "webhook_disabled", "webhook.disabled", {"Hook-ID": "h1"}, {"hook_id": "h1"}, "hook_id=h1"
    ),
]
