"""Stores with hook documents for a system to load."""

import itertools

from callboard.adapters.store import stores
from callboard.adapters.store.views import ACCOUNTS, WEBHOOKS
from callboard.webhooks.hooks.hook import new_hook

AUTO_DISABLED = {"enabled": False, "pvt_disabled_message": "too many failed attempts"}

_numbers = itertools.count(1)


def prepared_store(url, folder):
    """A store with accounts, ready for hooks, at the URL or in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    store = stores.connect(url, folder)
    for database, views in [("webhooks", WEBHOOKS), ("accounts", ACCOUNTS)]:
        store.ensure_database(database)
        store.ensure_views(database, views)
    store.ensure_database("system_config")
    return store


def save_account(store, id, *tree):
    store.save("accounts", {"_id": id, "pvt_type": "account", "pvt_tree": list(tree)})


def save_hook(store, uri, account_id, hook="channel_create", **fields):
    """Store a hook; returns its id."""
    id = f"{next(_numbers):032x}"
    public = {"name": "n", "uri": uri, "hook": hook, "format": "json", "pvt_account_id": account_id}
    store.save("webhooks", new_hook(public, 0, id, "node") | fields)
    return id
