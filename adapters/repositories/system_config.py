"""Writes settings: sections of `system_config`, and an account's own (kapps_config and kin)."""

import time
from collections.abc import Mapping
from typing import Any, Protocol

from callboard.adapters.store.protocol import DatabaseMissing, Document, DocumentStore
from callboard.adapters.store.updating import revise
from callboard.webhooks.events.directory import Account
from callboard.webhooks.hooks.hook import is_deleted
from callboard.webhooks.values.documents import public_fields, stamped
from callboard.webhooks.values.json_values import as_object
from callboard.webhooks.values.kazoo_names import account_database, encoded, gregorian_s

DATABASE = "system_config"
CATEGORY = "webhooks"
ACCOUNT_CONFIG = f"configs_{CATEGORY}"
"""The document in an account's database with its own settings, without sections."""


def set_system_setting(store: DocumentStore, category: str, key: str, value: Any) -> Document:
    """Store a setting in section `default` of `system_config/{category}`; returns the document.

    A missing document or database is created.
    """
    return _save(store, category, key, value, replace=True)


def default_setting(store: DocumentStore, category: str, key: str, value: Any) -> Document:
    """The document of a category, after storing `value` in `default` if the key was missing.

    If several clients do so at once, the first decides.
    """
    return _save(store, category, key, value, replace=False)


def _save(store: DocumentStore, category: str, key: str, value: Any, *, replace: bool) -> Document:
    def change(existing: Document | None) -> Document | None:
        now = gregorian_s(time.time())
        document = existing or {}
        if existing is None or is_deleted(existing):
            document = {"_id": category, "pvt_type": "config", "pvt_created": now}
            document |= {"_rev": existing["_rev"]} if existing else {}
        section = as_object(document.get("default"))
        if not replace and section.get(key) is not None:
            return None
        return {**document, "pvt_modified": now, "default": {**section, key: value}}

    try:
        saved = revise(store, DATABASE, category, change)
    except DatabaseMissing:
        store.ensure_database(DATABASE)
        saved = revise(store, DATABASE, category, change)
    assert saved is not None  # `change` leaves only existing documents
    return saved


class AccountDirectory(Protocol):
    """What writing an account's setting asks of the directory that reads them."""

    node: str

    def account(self, account_id: str) -> Account | None:
        """The account, or None if there is none of that id."""

    def reseller_id(self, account_id: str) -> str | None:
        """The account's reseller."""

    def forget(self, database: str, id: str) -> None:
        """This document has changed."""


def set_account_setting(
    store: DocumentStore, directory: AccountDirectory, account_id: str, key: str, value: Any
) -> Document:
    """Store a setting of one account in its document `configs_webhooks`; returns the document.

    An account without such a document gets one with all settings that applied to it so far: its
    reseller's, else the default section of the system's. Raises DatabaseMissing if there is no such
    account.
    """
    database = account_database(account_id)

    def change(existing: Document | None) -> Document:
        now = gregorian_s(time.time())
        document = existing or {}
        if existing is None or is_deleted(existing):
            document = {
                **_inherited(store, directory.reseller_id(account_id)),
                "_id": ACCOUNT_CONFIG,
                "pvt_type": "account_config",
                "pvt_account_id": account_id,
                "pvt_account_db": encoded(database),
                "pvt_created": now,
            }
            document |= {"_rev": existing["_rev"]} if existing else {}
        return stamped({**document, key: value}, directory.node, now)

    try:
        saved = revise(store, database, ACCOUNT_CONFIG, change)
    except DatabaseMissing:
        # The embedded store has accounts without a database.
        if directory.account(account_id) is None:
            raise
        store.ensure_database(database)
        saved = revise(store, database, ACCOUNT_CONFIG, change)
    assert saved is not None  # `change` always saves
    directory.forget(database, ACCOUNT_CONFIG)
    return saved


def _inherited(store: DocumentStore, reseller_id: str | None) -> Mapping[str, Any]:
    """The settings that apply to an account without its own."""
    if reseller_id is not None:
        theirs = store.get(account_database(reseller_id), ACCOUNT_CONFIG)
        if theirs is not None and not is_deleted(theirs):
            return public_fields(theirs)
    system = store.get(DATABASE, CATEGORY) or {}
    return {} if is_deleted(system) else as_object(system.get("default"))
