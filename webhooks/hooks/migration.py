"""Migrates hooks on modules that became notifications (webhooks_util, section 3.5).

A hook on `callflow`, `inbound_fax` or `outbound_fax` becomes one on `notifications` that selects
its own notification. The old fax modules also reported failed faxes. Those are a separate
notification, which needs a second hook, the twin.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from callboard.webhooks.values.documents import document_hash
from callboard.webhooks.values.json_values import as_object

WITH_TWIN = ("inbound_fax", "outbound_fax")
OLD_EVENTS = ("callflow", *WITH_TWIN)


@frozen
class Migration:
    """The documents that replace an old one: the hook itself, and a fax hook's twin."""

    hook: dict[str, Any]
    twin: dict[str, Any] | None = None


def migration(document: Mapping[str, Any], now_gregorian_s: int) -> Migration | None:
    """The migration of a hook document; None if it needs none."""
    name = document.get("hook")
    if not isinstance(name, str) or name.lower() not in OLD_EVENTS:
        return None
    name = name.lower()
    hook = {**document, "hook": "notifications", "type": name, "pvt_modified": now_gregorian_s}
    custom_data = as_object(document.get("custom_data"))
    if custom_data.get("type") is None:
        hook["custom_data"] = {**custom_data, "type": name}
    if name not in WITH_TWIN:
        return Migration(_hashed(hook))
    twin_type = f"{name}_error"
    hook["other_id"] = _twin_id(document["_id"], twin_type)
    twin = {
        **{key: value for key, value in hook.items() if not key.startswith("_")},
        "_id": hook["other_id"],
        "type": twin_type,
        "other_id": document["_id"],
        # Always its own type: two hooks that select the same notification would send it twice.
        "custom_data": {**custom_data, "type": twin_type},
        "pvt_created": now_gregorian_s,
    }
    return Migration(_hashed(hook), _hashed(twin))


def is_twin_of(document: Mapping[str, Any], hook_id: str) -> bool:
    """Whether the document is the twin that a migration created for that hook."""
    return document.get("other_id") == hook_id and document.get("hook") == "notifications"


def _twin_id(hook_id: str, twin_type: str) -> str:
    """32 hexadecimal digits, the same on every node, so that there is only one twin."""
    return hashlib.sha256(f"{hook_id} {twin_type}".encode()).hexdigest()[:32]


def _hashed(document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "pvt_document_hash": document_hash(document)}
