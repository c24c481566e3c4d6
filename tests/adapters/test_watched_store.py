"""The owner of a store learns of each call and row."""

from callboard.adapters.store.embedded import EmbeddedStore
from callboard.adapters.store.watched import watched


def test_each_call_and_row_is_announced(tmp_path):
    calls = []
    store = watched(EmbeddedStore(tmp_path / "store.sqlite3"), lambda: calls.append(True))
    store.ensure_database("db")
    store.save("db", {"_id": "a"})
    assert store.get("db", "a")["_id"] == "a"
    assert len(calls) == 3
    store.save("db", {"_id": "b"})
    assert [row["_id"] for row in store.documents("db")] == ["a", "b"]
    assert len(calls) == 4 + 1 + 2
    store.close()
