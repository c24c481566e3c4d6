"""The metadata documents of the event modules, in the master account's database."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from callboard.webhooks.module import EventModule
from callboard.webhooks.names import account_database, encoded

RETIRED = ("webhooks_callflow", "webhooks_inbound_fax", "webhooks_outbound_fax")
"""Documents of modules that became notifications; deleted at every start (webhooks_init)."""


def metadata_update(
    existing: Mapping[str, Any] | None,
    module: EventModule,
    master_account_id: str,
    node: str,
    now_gregorian_s: int,
    modifiers: Mapping[str, Any],
) -> dict[str, Any] | None:
    """The document to save for a module; None if what is stored says the same already.

    `modifiers`: what `module.modifiers` says. An existing document is merged deeply, ours winning;
    keys that only it has stay.
    """
    ours: dict[str, Any] = {"name": module.name, "description": module.description}
    if modifiers:
        ours["modifiers"] = dict(modifiers)
    if existing is not None:
        merged = merge(existing, ours)
        if merged == existing:
            return None
        return _saved(merged, node, now_gregorian_s)
    document = ours | {
        "_id": f"webhooks_{module.id}",
        "pvt_type": "webhook_meta",
        "pvt_account_id": master_account_id,
        "pvt_account_db": encoded(account_database(master_account_id)),
        "pvt_created": now_gregorian_s,
    }
    return _saved(document, node, now_gregorian_s)


def _saved(document: Mapping[str, Any], node: str, now_gregorian_s: int) -> dict[str, Any]:
    return {
        **document,
        "pvt_modified": now_gregorian_s,
        "pvt_node": node,
        "pvt_document_hash": _public_hash(document),
    }


def _public_hash(document: Mapping[str, Any]) -> str:
    public = {key: value for key, value in document.items() if not key.startswith(("_", "pvt_"))}
    text = json.dumps(public, sort_keys=True, separators=(",", ":"))
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Objects merged key by key, `over` winning; its nulls remove keys, those of `base` go too."""
    merged = {key: value for key, value in base.items() if value is not None}
    for key, value in over.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = value
    return merged
