"""The attempts that running systems stored."""

import time

from callboard.webhooks.values.kazoo_names import modb

DAY_S = 86400


def recorded_attempts(store, account):
    """Those of the account, also where a month began while the test ran."""
    now = time.time()
    databases = dict.fromkeys(modb(account, then) for then in (now - DAY_S, now))
    return [
        document
        for database in databases
        if store.database_exists(database)
        for document in store.documents(database)
        if document.get("pvt_type") == "webhook_attempt"
    ]
