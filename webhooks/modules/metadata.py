"""The metadata documents of the event modules, in the master account's database."""

from collections.abc import Mapping
from typing import Any

from callboard.webhooks.modules.protocol import EventModule
from callboard.webhooks.values.documents import merge, stamped
from callboard.webhooks.values.kazoo_names import account_database, encoded

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
    """The document to save for a module; None if the stored one is up to date.

    `modifiers`: the result of `module.modifiers`. An existing document is merged deeply, with
    Callboard's values taking precedence; keys that only it has stay.
    """
    ours: dict[str, Any] = {"name": module.name, "description": module.description}
    if modifiers:
        ours["modifiers"] = dict(modifiers)
    if existing is not None:
        merged = merge(existing, ours)
        if merged == existing:
            return None
        return stamped(merged, node, now_gregorian_s)
    document = ours | {
        "_id": f"webhooks_{module.id}",
        "pvt_type": "webhook_meta",
        "pvt_account_id": master_account_id,
        "pvt_account_db": encoded(account_database(master_account_id)),
        "pvt_created": now_gregorian_s,
    }
    return stamped(document, node, now_gregorian_s)
