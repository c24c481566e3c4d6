"""What a user who is no administrator of a CouchDB may do, and what the store says of the rest."""

import pytest

from callboard.adapters.store.couchdb import CouchdbStore
from callboard.adapters.store.protocol import StoreForbidden, View
from support.stores import calls_on

VIEW = View("d", "v", "function(doc) { emit(doc.n, null); }", lambda doc: [(doc.get("n"), None)])
OTHER = View("d", "w", "function(doc) { emit(1, null); }", lambda doc: [(1, None)])
KAZOOS = View("d", "v", "function(doc) {\n  emit(doc.n, null);\n}", VIEW.map_document)

pytestmark = pytest.mark.couchdb


@pytest.fixture
def store(restricted):
    store = CouchdbStore(restricted.url, timeout_s=60)
    yield store
    store.close()


def test_a_database_that_an_administrator_made_is_used(restricted, store):
    restricted.make("db", [VIEW])
    assert store.ensure_database("db") is False
    store.ensure_views("db", [VIEW])
    rev = store.save("db", {"_id": "x", "n": 1})
    assert [saved.error for saved in store.save_many("db", [{"_id": "y", "n": 2}])] == [None]
    assert [row.key for row in store.view("db", "d/v")] == [1, 2]
    assert {each.id for each in store.changes("db", "0").documents} == {"x", "y"}
    store.delete("db", "x", rev)
    assert [document["_id"] for document in store.documents("db")] == ["y"]
    assert restricted.refused() == {("PUT", "/db")}


def test_one_that_is_missing_is_not_made(restricted, store):
    assert not store.database_exists("db")
    with pytest.raises(StoreForbidden, match="database db: credentials refused: You are not"):
        store.ensure_database("db")
    assert not restricted.admin.database_exists("db")


def test_views_that_are_missing_are_named(restricted, store):
    restricted.make("db", [VIEW])
    with pytest.raises(StoreForbidden, match=r"saving db _design/d: .*\(missing: w\)$"):
        store.ensure_views("db", [VIEW, OTHER])
    assert restricted.admin.get("db", "_design/d")["views"].keys() == {"v"}


def test_views_of_the_same_names_will_do(restricted, store):
    restricted.make("db", [KAZOOS])
    store.ensure_views("db", [VIEW])
    assert restricted.admin.get("db", "_design/d")["views"]["v"]["map"] == KAZOOS.map_javascript


def test_an_administrator_of_the_database_stores_views_and_creates_none(restricted, store):
    restricted.make("db", admin=True)
    store.ensure_views("db", [VIEW])
    assert "v" in restricted.admin.get("db", "_design/d")["views"]
    assert store.security("db")["admins"]["names"] == [restricted.user]
    with pytest.raises(StoreForbidden):
        store.ensure_database("another")


def test_databases_are_listed_for_administrators_alone(restricted, store):
    restricted.make("db")  # pouchdb-server lists names without their slashes
    assert restricted.admin.list_databases("d", "", 9) == ["db"]
    with pytest.raises(StoreForbidden, match="listing databases d: credentials refused"):
        store.list_databases("d", "", 9)


CALLS = [
    *calls_on("db", VIEW),
    lambda store: store.security("db"),
    lambda store: store.changes("db", None),
]


def test_a_database_of_others_is_refused_by_every_call(restricted, store):
    restricted.make("db", [VIEW], member=False)
    restricted.admin.save("db", {"_id": "x"})
    for call in CALLS:
        with pytest.raises(StoreForbidden, match="credentials refused"):
            call(store)


def test_a_wrong_password_is_not_permitted_either(restricted):
    restricted.make("db")
    store = CouchdbStore(restricted.front.url_of(restricted.user, "wrong"), timeout_s=60)
    with pytest.raises(StoreForbidden, match="Name or password is incorrect"):
        store.get("db", "x")
    store.close()
