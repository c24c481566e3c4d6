"""Creates the required databases, views and documents, step by step (webhooks_init).

Each function is a generator that pauses after every few requests, so that an actor can do other
work in between. All steps may be repeated at any time, and by several nodes at once.
"""

import time
from collections.abc import Iterable, Iterator

import structlog

from callboard.adapters.repositories.directory import StoreDirectory
from callboard.adapters.repositories.metadata import store_module_metadata
from callboard.adapters.store.protocol import Conflict, DocumentStore, StoreError, StoreUnavailable
from callboard.adapters.store.updating import SAVES, revise
from callboard.adapters.store.views import ACCOUNT, ACCOUNTS, MODB, WEBHOOKS
from callboard.webhooks.hooks.schema import schema_update
from callboard.webhooks.modules.metadata import RETIRED
from callboard.webhooks.modules.protocol import EventModule
from callboard.webhooks.values.kazoo_names import account_database, gregorian_s, is_account_id, modb

HOOKS = "webhooks"
ACCOUNTS_LISTING = "webhooks/accounts_listing"
SCHEMAS = "system_schemas"
PAGE = 200

_log = structlog.get_logger("callboard")


def prepare_hooks(store: DocumentStore, node: str) -> Iterator[None]:
    """The database of hooks, its views, and the schema of hooks where schemas are stored."""
    store.ensure_database(HOOKS)
    store.ensure_views(HOOKS, WEBHOOKS)
    yield
    try:
        if store.database_exists(SCHEMAS):
            now = gregorian_s(time.time())
            revise(store, SCHEMAS, HOOKS, lambda existing: schema_update(existing, node, now))
    except StoreUnavailable:
        raise
    except StoreError as problem:
        # No hook depends on it.
        _log.error("schema_not_revised", reason=str(problem))


def prepare_accounts(store: DocumentStore) -> Iterator[None]:
    """The database of accounts and its views, for a store without a Kazoo, which owns them."""
    store.ensure_database("accounts")
    yield
    store.ensure_views("accounts", ACCOUNTS)


def prepare_master_account(
    store: DocumentStore,
    modules: Iterable[EventModule],
    node: str,
    directory: StoreDirectory,
    master: str,
) -> Iterator[None]:
    """The master account's database: its view, no retired metadata, every module's metadata."""
    database = account_database(master)
    store.ensure_database(database)
    store.ensure_views(database, ACCOUNT)
    for id in RETIRED:
        yield
        _delete(store, database, id)
    for module in modules:
        yield
        store_module_metadata(store, module, node, directory, master)


def prepare_attempts(store: DocumentStore, unix_s: float, page: int = PAGE) -> Iterator[None]:
    """The databases of that month, and their views, for every account with a hook."""
    for row in store.view(HOOKS, ACCOUNTS_LISTING, group=True, page_size=page):
        yield
        account_id = row.key
        if not isinstance(account_id, str) or not is_account_id(account_id):
            _log.warning("hooks_of_no_account", account=account_id, hooks=row.value)
            continue
        database = modb(account_id, unix_s)
        try:
            store.ensure_database(database)
            store.ensure_views(database, MODB)
        except StoreUnavailable:
            raise
        except StoreError as problem:
            _log.error("attempts_not_prepared", database=database, reason=str(problem))


def _delete(store: DocumentStore, database: str, id: str) -> None:
    """Delete a document in any version, despite concurrent edits."""
    for attempts_left in reversed(range(SAVES)):
        document = store.get(database, id)
        if document is None:
            return
        try:
            store.delete(database, id, document["_rev"])
        except Conflict:
            if not attempts_left:
                raise
        else:
            _log.info("retired_metadata_deleted", id=id)
            return
