"""The views that Kazoo and Callboard both read, on every store."""

import pytest

from callboard.adapters.store import views
from support.stores import STORES, opened

A, B = "a1" * 16, "b2" * 16
HOOK = {"pvt_type": "webhook", "pvt_account_id": A, "name": "n", "uri": "u", "hook": "all"}
SHORT = {"hook": "all", "name": "n", "uri": "u"}
ATTEMPT = {"pvt_type": "webhook_attempt", "hook_id": "h"}

DOCUMENTS = {
    "webhooks": [
        HOOK | {"_id": "1"},
        HOOK | {"_id": "2", "pvt_account_id": B, "hook": "object", "enabled": True, "group": "g"},
        HOOK | {"_id": "3", "enabled": False, "pvt_disabled_message": "m"},
        HOOK | {"_id": "4", "pvt_deleted": True},
        HOOK | {"_id": "5", "pvt_type": "user"},
    ],
    "account/a1/a1/a-202611": [
        ATTEMPT | {"_id": "1", "pvt_created": 2},
        ATTEMPT | {"_id": "2", "pvt_created": 1},
        ATTEMPT | {"_id": "3", "pvt_created": 3, "hook_id": "g"},
        ATTEMPT | {"_id": "4", "pvt_created": 4, "pvt_deleted": True},
        ATTEMPT | {"_id": "5", "pvt_created": 5, "pvt_type": "cdr"},
    ],
    "account/a1/a1/a": [
        {"_id": "webhooks_sms", "pvt_type": "webhook_meta", "name": "SMS"},
        {"_id": "webhooks_mms", "pvt_type": "webhook_meta", "name": "MMS"},
        {"_id": "webhooks_old", "pvt_type": "webhook_meta", "name": "Old", "pvt_deleted": True},
        {"_id": "device", "pvt_type": "device", "name": "Phone"},
    ],
}
VIEWS = dict(zip(DOCUMENTS, (views.WEBHOOKS, views.MODB, views.ACCOUNT), strict=True))
HOOKS, ATTEMPTS, METADATA = DOCUMENTS


@pytest.fixture(params=STORES)
def store(request, tmp_path):
    made = opened(request, tmp_path)
    for database, documents in DOCUMENTS.items():
        made.ensure_database(database)
        made.ensure_views(database, VIEWS[database])
        made.save_many(database, documents)
    yield made
    made.close()


WANTED = {
    (HOOKS, "webhooks_listing"): [
        ([A, "1"], {"id": "1", **SHORT}),
        ([B, "2"], {"id": "2", **SHORT, "hook": "object"}),
    ],
    (HOOKS, "hook_listing"): [("all", A), ("all", A), ("object", B)],
    (HOOKS, "crossbar_listing"): [
        ([A, "1"], {"id": "1", **SHORT, "enabled": True}),
        ([A, "3"], {"id": "3", **SHORT, "enabled": False, "disable_reason": "m"}),
        ([B, "2"], {"id": "2", **SHORT, "hook": "object", "enabled": True, "group": "g"}),
    ],
    (ATTEMPTS, "attempts_by_hook_listing"): [(["g", 3], None), (["h", 1], None), (["h", 2], None)],
    (ATTEMPTS, "attempts_by_time_listing"): [(1, None), (2, None), (3, None)],
    (METADATA, "webhook_meta_listing"): [("MMS", None), ("SMS", None)],
}


def test_the_rows_of_every_view(store):
    found = {
        (database, view): [(row.key, row.value) for row in store.view(database, f"webhooks/{view}")]
        for database, view in WANTED
    }
    assert found == WANTED


def test_accounts_listing_counts_the_hooks_of_accounts(store):
    rows = store.view(HOOKS, "webhooks/accounts_listing", group=True)
    assert [(row.key, row.value) for row in rows] == [(A, 2), (B, 1)]
    rows = store.view(HOOKS, "webhooks/accounts_listing", reduce=False, key=A)
    assert sorted((row.id, row.value) for row in rows) == [("1", None), ("3", None)]
