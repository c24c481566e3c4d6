"""Hooks, their documents, and the store that a system finds them in."""

import itertools

from callboard.adapters.store import stores
from callboard.adapters.store.views import ACCOUNTS, WEBHOOKS
from callboard.webhooks.hooks.hook import Hook, new_hook
from callboard.webhooks.hooks.matching import HookIndex

AUTO_DISABLED = {"enabled": False, "pvt_disabled_message": "too many failed attempts"}


def hooks_with(**defaults):
    """`hook(id, account_id, event, uri, **fields) -> Hook`, each with a default."""
    defaults = {
        "id": "h",
        "account_id": "a",
        "event": "all",
        "uri": "https://x.example/",
    } | defaults

    def hook(*first, **fields):
        return Hook(**defaults | dict(zip(defaults, first, strict=False)) | fields)

    return hook


def index_of(*hooks):
    """An index of these hooks."""
    index = HookIndex()
    for one in hooks:
        index.put(one)
    return index


def documents_with(**defaults):
    """`hook(id, account_id, event, **fields)` -> the document of a hook, as it is stored."""

    def hook(id, account_id=None, event="all", **fields):
        stored = {"_id": id, "pvt_type": "webhook", "name": id, "uri": "https://e.example/"}
        mine = {"pvt_account_id": account_id} if account_id is not None else {}
        return {"hook": event, **stored, **defaults, **mine, **fields}

    return hook


_numbers = itertools.count(1)


def prepared_store(url, folder):
    """A store with accounts and hooks to come, at the URL or in the folder."""
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
    """Store a hook; its id."""
    id = f"{next(_numbers):032x}"
    public = {"name": "n", "uri": uri, "hook": hook, "format": "json", "pvt_account_id": account_id}
    store.save("webhooks", new_hook(public, 0, id, "node") | fields)
    return id
