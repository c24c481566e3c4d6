"""Storing the modules' metadata documents."""

import time
from collections.abc import Iterable

from callboard.adapters.store import Conflict, DocumentStore
from callboard.webhooks.directory import Directory
from callboard.webhooks.metadata import metadata_update
from callboard.webhooks.module import EventModule
from callboard.webhooks.names import account_database, gregorian_s


def store_metadata(
    store: DocumentStore, modules: Iterable[EventModule], node: str, directory: Directory
) -> None:
    """Create or update what `GET /v2/webhooks` lists, in the master account's database.

    Without a master account (`system_config/accounts`, `master_account_id`) there is no place for
    it yet. A conflict is fine: another node was faster.
    """
    config = store.get("system_config", "accounts") or {}
    master = (config.get("default") or {}).get("master_account_id")
    if not isinstance(master, str):
        return
    database = account_database(master)
    store.ensure_database(database)
    for module in modules:
        existing = store.get(database, f"webhooks_{module.id}")
        now = gregorian_s(time.time())
        modifiers = module.modifiers(directory)
        document = metadata_update(existing, module, master, node, now, modifiers)
        if document is not None:
            try:
                store.save(database, document)
            except Conflict:
                continue
