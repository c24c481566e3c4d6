"""Messages that fire no hook at all: nobody's, not bound, or not valid (wire.md's table).

A hook on `all` of the account that each one names is there, and would fire.
"""

from typing import Any

from attrs import evolve

from kazoo.calls import CALL, CALL_WORD, CCVS, event
from kazoo.cluster import CHILD, GHOST, NUMBERED, Message
from kazoo.notifications import notification
from kazoo.others import CHILD_DATABASE, DOC, change, parking, text_message


def without(message: Message, header: str) -> Message:
    """The message lacks a header."""
    return evolve(message, body={k: v for k, v in message.body.items() if k != header})


def with_header(message: Message, header: str, value: Any) -> Message:
    """The message has another value."""
    return evolve(message, body={**message.body, header: value})


def notified(name: str, key: str, **headers: Any) -> Message:
    """A notification of the child's; `_` in a header's name stands for `-`."""
    body = {header.replace("_", "-"): value for header, value in headers.items()}
    return notification(name, key, body, {}).message


_PARKED = parking("PARK_PARKED")[0]
_SMS = text_message("sms", Body="b", **{"Account-ID": CHILD})
_EDITED = change("doc_edited", CHILD_DATABASE, "device", "d9", "d9", **DOC)

OF_NOBODY = [
    # An account that is not there, though a hook of it is
    event("CHANNEL_CREATE", "g", Call_ID="g", Custom_Channel_Vars={"Account-ID": GHOST}),
    with_header(_PARKED, "Custom-Channel-Vars", {"Realm": "child.example.org"}),
    without(_SMS, "Account-ID"),
    notification(
        "new_user", "user.new", {"User-ID": "u"}, {}, account={"Account-ID": GHOST}
    ).message,
    notification(
        "system_alert", "system.alert", {"Subject": "s", "Message": "m"}, {}, account={}
    ).message,
    change("doc_edited", "system_config", "config", "media", "media", **DOC),
    change("doc_edited", "services", "service", NUMBERED, NUMBERED),
    change("doc_edited", "webhooks", "webhook", "a-hook-that-is-gone", "a-hook-that-is-gone"),
]
NOT_BOUND = [
    # The original has code for it, and binds it nowhere.
    event("CHANNEL_DISCONNECTED", CALL_WORD, bound=False, Call_ID=CALL, Custom_Channel_Vars=CCVS),
    event("DTMF", CALL_WORD, bound=False, Call_ID=CALL, Custom_Channel_Vars=CCVS),
    text_message("sms", route="onnet", Body="from within", **{"Account-ID": CHILD}),
    text_message("mms", route="onnet", Body="from within", **{"Account-ID": CHILD}),
    evolve(notified("skel", "account.skel", User_ID="u"), bound=False),
]
INVALID = [
    with_header(_PARKED, "Custom-Application-Vars", "no object"),
    without(_PARKED, "Call-ID"),
    without(_PARKED, "App-Name"),
    without(_SMS, "Body"),
    without(_SMS, "Msg-ID"),
    with_header(_SMS, "From", 15_550_107_777),
    with_header(_SMS, "Route-Type", "sideways"),
    with_header(_SMS, "Custom-Vars", []),
    without(_EDITED, "ID"),
    without(_EDITED, "Database"),
    with_header(_EDITED, "Is-Soft-Deleted", "perhaps"),
    with_header(_EDITED, "Event-Name", "doc_type_update"),
    notified("low_balance", "account.low_balance"),
    notified("bill_reminder", "account.reminder", Due_Date=1, Items={}, Timestamp=1),
    notified("bill_reminder", "account.reminder", Due_Date="1", Items=[], Timestamp=1),
    notified("bill_reminder", "account.reminder", Due_Date=1, Items=[1], Timestamp=1),
    notified(
        "outbound_smtp_fax_error",
        "fax.outbound_smtp_error",
        Fax_From_Email="",
        Errors=[],
        Timestamp=1,
    ),
    notified("port_pending", "number.port_pending", Port_Request_ID="p", Reason="none"),
    notified("not_defined", "sip.register", Realm="r", Username="u"),
]
# With ids of their own: none is to be taken for a repeat of another message.
FOR_NOBODY = [
    with_header(message, "Msg-ID", f"{number:032x}") if "Msg-ID" in message.body else message
    for number, message in enumerate([*OF_NOBODY, *NOT_BOUND, *INVALID], 1)
]
