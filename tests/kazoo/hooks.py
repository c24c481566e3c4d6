"""The hooks of the cluster, each with a path of its own, and the requests that each is to make."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attrs import frozen

from kazoo.calls import (
    ANSWERED,
    ANSWERED_FORM,
    BRIDGED,
    CREATED,
    CREATED_FORM,
    CREATED_OF_PARENT,
    DESTROYED,
    LOOPBACK_CREATED,
    NAMED_LOOPBACK_CREATED,
)
from kazoo.calls_without_account import CALLS
from kazoo.cluster import CHILD, CLUSTER, GHOST, MASTER, NUMBERED, PARENT
from kazoo.notifications import NOTIFICATIONS
from kazoo.others import CHANGES, MMS_ARRIVED, PARKED_FORM, PARKING, SMS_ARRIVED, SMS_FORM
from kazoo.requests_expected import FORM, JSON, Expected, form_bytes, json_bytes, query

Payload = Mapping[str, Any]


@frozen
class StoredHook:
    """A hook document without its uri, and what its endpoint is to get of our events.

    `sends`: JSON payloads as objects, form data and query strings as text.
    """

    path: str
    account_id: str
    fields: Mapping[str, Any]
    sends: tuple[Payload | str, ...]

    @property
    def id(self) -> str:
        """32 hex digits."""
        return hashlib.md5(self.path.encode()).hexdigest()

    def document(self, url: str) -> dict[str, Any]:
        """As Kazoo stores it. `url`: where the receiver is."""
        fields = dict(self.fields)
        query = fields.pop("query", "")
        return {
            "_id": self.id,
            "pvt_type": "webhook",
            "pvt_account_id": self.account_id,
            "name": self.path,
            "uri": f"{url}/{self.path}{query}",
            **fields,
        }

    def expected(self) -> Iterator[Expected]:
        """The requests."""
        method = str(self.fields.get("http_verb", "post")).upper()
        for sent in self.sends:
            form = isinstance(sent, str)
            yield Expected(
                path=f"/{self.path}",
                method=method,
                content_type=None if method == "GET" else FORM if form else JSON,
                hook_id=self.id,
                account_id=self.account_id,
                content=form_bytes(sent) if isinstance(sent, str) else json_bytes(sent),
            )


def hook(
    path: str, hook: str, *sends: Payload | str, account: str = CHILD, **fields: Any
) -> StoredHook:
    """Sends JSON unless told otherwise; a field that is None stays out of the document."""
    whole = {"format": "json", "hook": hook, **fields}
    return StoredHook(path, account, {k: v for k, v in whole.items() if v is not None}, sends)


def with_members(payloads: Iterable[Payload], **members: Any) -> list[Payload]:
    """Payloads with what custom_data adds."""
    return [{**payload, **members} for payload in payloads]


CREATIONS = (CREATED, LOOPBACK_CREATED, NAMED_LOOPBACK_CREATED)
PARKED = [payload for _message, payload in PARKING]
CHANGED = [payload for _message, payload in CHANGES]
NOTIFIED = [one.payload for one in NOTIFICATIONS]
OF_THE_CHILD = [
    *CREATIONS,
    ANSWERED,
    BRIDGED,
    DESTROYED,
    *PARKED,
    *CHANGED,
    SMS_ARRIVED,
    MMS_ARRIVED,
    *NOTIFIED,
]
"""Every payload of an event of the child's, but the callflow's, which is for its hook alone."""

_OVERLAY = {
    "crm": "abc",
    "type": "withheld",
    "action": "withheld",
    "cluster_id": "overridden",
    "caller_id_name": "Overlaid",
    "call_direction": None,
    "custom_channel_vars": {"instead": [1, {"of": None}]},
}
_OVERLAID = {
    **{key: value for key, value in CREATED.items() if key != "call_direction"},
    "crm": "abc",
    "caller_id_name": "Overlaid",
    "custom_channel_vars": {"instead": [1, {"of": None}]},
}
_NO_LEGS = {"include_internal_legs": False}

HOOKS = [
    # Verbs and formats
    hook("create-json", "channel_create", *CREATIONS, http_verb="post"),
    hook("create-form", "channel_create", CREATED_FORM, format="form-data", **_NO_LEGS),
    hook("create-put", "CHANNEL_CREATE", CREATED, http_verb="put", include_internal_legs="false"),
    hook(
        "create-get",
        "channel_create",
        f"a=b&{query(CREATED_FORM)}",
        http_verb="get",
        query="?a=b",
        **_NO_LEGS,
    ),
    hook("create-no-format", "Channel_Create", CREATED_FORM, format=None, **_NO_LEGS),
    # Modifiers: a key that is absent passes, an empty list too
    hook(
        "create-chosen",
        "channel_create",
        CREATED,
        modifiers={
            "call_direction": "inbound",
            "caller_id_number": ["1000", "1001"],
            "emergency_resource_used": False,
            "owner_id": [],
            "hangup_cause": "NORMAL_CLEARING",
        },
        **_NO_LEGS,
    ),
    hook(
        "create-outbound",
        "channel_create",
        NAMED_LOOPBACK_CREATED,
        modifiers={"call_direction": ["outbound"], "is_internal_leg": False},
    ),
    hook("create-never", "channel_create", modifiers={"caller_id_number": 1001}, **_NO_LEGS),
    # custom_data
    hook("create-overlaid", "channel_create", _OVERLAID, custom_data=_OVERLAY, **_NO_LEGS),
    # Accounts
    hook(
        "create-below",
        "channel_create",
        CREATED,
        CREATED_OF_PARENT,
        account=PARENT,
        include_subaccounts=True,
        **_NO_LEGS,
    ),
    hook("create-own", "channel_create", CREATED_OF_PARENT, account=PARENT),
    hook("ghost", "all", account=GHOST),
    hook("all-own", "all", account=MASTER, include_subaccounts=False),
    hook(
        "everything",
        "all",
        *with_members([*OF_THE_CHILD, CREATED_OF_PARENT], tag="parent"),
        account=PARENT,
        include_subaccounts=True,
        custom_data={"type": "of no event", "action": "of no event", "tag": "parent"},
    ),
    hook(
        "create-by-number",
        "channel_create",
        *(payload for _message, payload in CALLS if payload is not None),
        account=NUMBERED,
    ),
    # The other events of calls
    hook("answer-json", "channel_answer", ANSWERED),
    hook("answer-form", "channel_answer", ANSWERED_FORM, format="form-data", http_verb="put"),
    hook("bridge-json", "channel_bridge", BRIDGED),
    hook("destroy-json", "channel_destroy", DESTROYED),
    # Parking
    hook("parking-json", "parking", *PARKED),
    hook(
        "parking-form",
        "parking",
        PARKED_FORM,
        format="form-data",
        modifiers={"event_name": ["PARK_PARKED"]},
    ),
    # Changes
    hook("object-json", "object", *CHANGED),
    hook("object-all", "object", *CHANGED, custom_data={"type": "all", "action": "all"}),
    hook(
        "object-edited-user",
        "object",
        *with_members(CHANGED[1:2], tag="edited"),
        custom_data={"type": "user", "action": "doc_edited", "tag": "edited"},
    ),
    hook(
        "object-databases",
        "object",
        *(
            "id=account%252F7c%252F1e%252F5a90d3b24f6881a2c3d4e5f60917"
            f"&account_id={CHILD}&action={action}&type=database&cluster_id={CLUSTER}"
            for action in ("db_created", "db_edited", "db_deleted")
        ),
        format="form-data",
        custom_data={"type": "database", "action": "all"},
    ),
    hook("object-half-said", "object", custom_data={"type": "device"}),
    # Text messages
    hook("sms-json", "sms", SMS_ARRIVED),
    hook("sms-get", "sms", SMS_FORM, http_verb="get"),
    hook("mms-json", "mms", MMS_ARRIVED),
    # Notifications
    *(
        hook(
            f"notification-{one.name}",
            "notifications",
            one.payload if one.form is None else one.form,
            format="json" if one.form is None else "form-data",
            custom_data={"type": one.name},
        )
        for one in NOTIFICATIONS
    ),
    hook("notifications-any", "notifications", *NOTIFIED),
    hook("notifications-all", "notifications", *NOTIFIED, custom_data={"type": "all"}),
    hook("notifications-untyped", "notifications", custom_data={"tag": "x"}),
    hook("notification-webhook", "notifications", custom_data={"type": "webhook"}),
]
# Not loaded at all
SLEEPING = [
    hook("disabled", "all", enabled=False),
    hook("deleted", "all", pvt_deleted=True),
]
