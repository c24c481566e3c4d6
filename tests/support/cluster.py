"""A store like a Kazoo cluster's before any webhooks application has started."""

import couchdb

from callboard.adapters.store import stores
from callboard.adapters.store.views import ACCOUNTS, WEBHOOKS
from support.running import ACCOUNT


def empty(couchdb_url):
    """Drop every database: all tests of a run share the server."""
    server = couchdb.Server(couchdb_url)
    for name in list(server):
        if not name.startswith("_"):
            server.delete(name)


def prepared(url, data_dir, **system_config):
    """A connection to the store with one account, and with these system_config documents."""
    if url.startswith("http"):
        empty(url)
    store = stores.connect(url, data_dir)
    for name, views in (("webhooks", WEBHOOKS), ("accounts", ACCOUNTS), ("system_config", ())):
        store.ensure_database(name)
        if views:
            store.ensure_views(name, views)
    account = {"_id": ACCOUNT, "pvt_type": "account", "pvt_account_id": ACCOUNT, "pvt_tree": []}
    store.save("accounts", account | {"pvt_created": 63_800_000_000})
    for category, default in system_config.items():
        store.save("system_config", {"_id": category, "default": default})
    return store
