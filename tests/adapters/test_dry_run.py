"""A dry run's store: what is shared stays as it is, and records are the node's own."""

import pytest

from callboard.adapters.store.dry_run import DryRunStore
from callboard.adapters.store.embedded import EmbeddedStore
from callboard.adapters.store.protocol import StoreError
from support.descriptors import open_descriptors, opening
from support.stores import Meddled

MONTH = "account/aa/aa/a-202611"


@pytest.fixture
def stores(tmp_path):
    stores = [EmbeddedStore(tmp_path / f"{name}.sqlite3") for name in ("shared", "records")]
    yield stores
    for store in stores:
        store.close()


def test_records_are_kept_beside_and_nothing_shared_is_changed(stores):
    shared, records = stores
    shared.ensure_database("webhooks")
    rev = shared.save("webhooks", {"_id": "h"})
    store = DryRunStore(shared, records)
    for database in (MONTH, "callboard_dead_letters", "callboard_posted_events"):
        assert store.ensure_database(database) is True
        store.save(database, {"_id": "x"})
        assert records.get(database, "x")
        assert not shared.database_exists(database)
    assert store.ensure_database("accounts") is False
    assert not shared.database_exists("accounts")
    assert store.get("webhooks", "h") == {"_id": "h", "_rev": rev}
    for change in (
        lambda: store.save("webhooks", {"_id": "new"}),
        lambda: store.save_many("webhooks", [{"_id": "new"}]),
        lambda: store.delete("webhooks", "h", rev),
    ):
        with pytest.raises(StoreError, match=r"webhooks is not changed during a dry run"):
            change()
    assert [document["_id"] for document in shared.documents("webhooks")] == ["h"]
    assert store.list_databases("", "", 9) == [
        MONTH,
        "callboard_dead_letters",
        "callboard_posted_events",
    ]


def test_only_views_of_records_are_made(stores):
    shared, records = map(Meddled, stores)
    store = DryRunStore(shared, records)
    store.ensure_database(MONTH)
    for database in (MONTH, "webhooks"):
        store.ensure_views(database, ())
    assert (shared.calls, records.calls) == ([], ["ensure_database", "ensure_views"])


def test_shared_documents_and_changes_are_read_as_in_the_store_itself(stores):
    shared, records = stores
    shared.ensure_database("webhooks")
    store = DryRunStore(shared, records)
    since = store.changes("webhooks", None).upto
    shared.save_many("webhooks", [{"_id": f"{number:04}"} for number in range(1001)])
    found = store.documents("webhooks", start="0003", end="0005", page_size=1)
    assert [document["_id"] for document in found] == ["0003", "0004", "0005"]
    assert len(list(store.documents("webhooks"))) == 1001
    first = store.changes("webhooks", since)
    assert (len(first.documents), first.complete) == (1000, False)
    (last,) = store.changes("webhooks", first.upto, limit=2).documents
    assert last.id == "1000"


def test_closing_closes_both(stores):
    store = DryRunStore(*stores)
    for database in ("webhooks", MONTH):
        with opening() as opened:
            assert not store.database_exists(database)
        assert opened
    store.close()
    assert opened.isdisjoint(open_descriptors())
