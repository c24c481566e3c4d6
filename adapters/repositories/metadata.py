"""Storing the modules' metadata documents."""

import time
from collections.abc import Iterable

import structlog

from callboard.adapters.repositories.directory import StoreDirectory
from callboard.adapters.store.protocol import Conflict, DocumentStore, StoreUnavailable
from callboard.webhooks.modules.metadata import metadata_update
from callboard.webhooks.modules.protocol import EventModule
from callboard.webhooks.values.kazoo_names import account_database, gregorian_s

_log = structlog.get_logger("callboard")


def store_metadata(
    store: DocumentStore, modules: Iterable[EventModule], node: str, directory: StoreDirectory
) -> None:
    """Create or update the documents for `GET /v2/webhooks`, in the master account's database.

    Without a master account there is no place to store them yet. A module whose document cannot be
    made or stored is logged, and the others continue. Raises StoreUnavailable.
    """
    master = directory.master_account_id()
    if master is None:
        return
    store.ensure_database(account_database(master))
    for module in modules:
        store_module_metadata(store, module, node, directory, master)


def store_module_metadata(
    store: DocumentStore, module: EventModule, node: str, directory: StoreDirectory, master: str
) -> None:
    """Create or update one module's document. A conflict is no error: another node was faster."""
    database = account_database(master)
    try:
        existing = store.get(database, f"webhooks_{module.id}")
        now = gregorian_s(time.time())
        modifiers = module.modifiers(directory)
        document = metadata_update(existing, module, master, node, now, modifiers)
        if document is not None:
            store.save(database, document)
    except Conflict:
        _log.info("metadata_stored_by_another", module=module.id)
    except StoreUnavailable:
        raise
    except Exception as problem:  # noqa: BLE001 - a module may be anybody's code
        _log.error(
            "metadata_not_stored",
            module=module.id,
            reason=f"{type(problem).__name__}: {problem}",
        )
