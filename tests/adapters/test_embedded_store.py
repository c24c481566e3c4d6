"""What is the embedded store's own: its file, its order of keys, several processes at once."""

import hashlib
import multiprocessing
import os
import resource
import signal
import sqlite3
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import cmp_to_key

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.adapters.store.embedded import EmbeddedStore, SqliteFile, sort_key
from callboard.adapters.store.protocol import Conflict, StoreError, StoreUnavailable, View
from callboard.adapters.store.views import ACCOUNTS, ALL
from support.patience import patient

BY_N = View("d", "by_n", "function(doc) { emit(doc.n, null); }", lambda doc: [(doc.get("n"), None)])

FORKED = multiprocessing.get_context("fork")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "store.sqlite3"


@pytest.fixture
def store(path):
    store = EmbeddedStore(path)
    store.ensure_database("db")
    yield store
    store.close()


def in_child(work):
    """Run this in a forked process; its exit status."""
    child = FORKED.Process(target=work)
    child.start()
    child.join(30)
    return child.exitcode


class TestFile:
    def test_is_for_its_owner_only(self, store, path):
        store.save("db", {"_id": "x"})
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        for file in path.parent.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600

    def test_readers_and_a_writer_do_not_wait_for_each_other(self, store, path):
        """SQLite's WAL, which is a property of the file."""
        store.save("db", {"_id": "x"})
        with closing(sqlite3.connect(path)) as other:
            assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)

    def test_is_made_at_the_first_use(self, path):
        EmbeddedStore(path).close()
        assert not path.exists()

    def test_keeps_everything_when_closed(self, store, path):
        store.ensure_views("db", [BY_N])
        store.save("db", {"_id": "x", "n": 1})
        store.close()
        assert store.get("db", "x")["n"] == 1
        other = EmbeddedStore(path, views=[BY_N])
        other.save("db", {"_id": "y", "n": 0})
        assert [row.id for row in other.view("db", "d/by_n")] == ["y", "x"]
        other.close()

    def test_what_was_saved_survives_a_kill(self, store):
        def save_and_die():
            store.save("db", {"_id": "x"})
            os.kill(os.getpid(), signal.SIGKILL)

        assert in_child(save_and_die) == -signal.SIGKILL
        assert store.get("db", "x") is not None

    def test_an_unfinished_bulk_leaves_nothing(self, store):
        def die_within():
            dying = View("d", "v", "", lambda doc: (doc.get("n") and os._exit(9)) or [])
            store.ensure_views("db", [dying])
            store.save_many("db", [{"_id": "x"}, {"_id": "y", "n": 1}])

        assert in_child(die_within) == 9
        assert store.get("db", "x") is None

    def test_that_cannot_be_opened(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(StoreUnavailable, match="file/store"):
            EmbeddedStore(tmp_path / "file" / "store.sqlite3").ensure_database("db")

    def test_that_is_something_else(self, tmp_path):
        (tmp_path / "text").write_text("This is no database at all. " * 100)
        with pytest.raises(StoreError, match="text: file is not a database"):
            EmbeddedStore(tmp_path / "text").ensure_database("db")

    def test_locked_by_another(self, path):
        store = EmbeddedStore(path, timeout_s=0.2)
        store.ensure_database("db")
        with sqlite3.connect(path, isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            began = time.monotonic()
            with pytest.raises(StoreUnavailable, match="locked"):
                store.save("db", {"_id": "x"})
            assert 0.1 < time.monotonic() - began < patient(2)
            assert store.get("db", "x") is None
        other.close()
        store.save("db", {"_id": "x"})
        store.close()

    def test_no_space(self, store, path):
        def fill():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
            with pytest.raises(StoreUnavailable, match=str(path)):
                store.save("db", {"_id": "large", "text": "x" * 2_000_000})
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
            store.save("db", {"_id": "small"})

        assert in_child(fill) == 0
        assert [doc["_id"] for doc in store.documents("db")] == ["small"]


class TestManyAtOnce:
    def test_processes(self, path):
        """Each opens the new file, and counts up one document as often as it may."""

        def work(name):
            store = EmbeddedStore(path, views=[BY_N])
            store.ensure_database("db")
            store.ensure_views("db", [BY_N])
            for n in range(25):
                store.save_many("db", [{"_id": f"{name}-{n}", "n": n}, {"n": n}])
                count_up(store)

        def count_up(store):
            while True:
                counter = store.get("db", "counter") or {"_id": "counter", "count": 0}
                try:
                    store.save("db", {**counter, "count": counter["count"] + 1})
                except Conflict:
                    continue
                return

        children = [FORKED.Process(target=work, args=(name,)) for name in range(4)]
        for child in children:
            child.start()
        for child in children:
            child.join(60)
        assert [child.exitcode for child in children] == [0] * 4
        store = EmbeddedStore(path)
        assert store.get("db", "counter")["count"] == 100
        assert len(list(store.view("db", "d/by_n"))) == 201
        store.close()

    def test_a_store_goes_on_in_parent_and_child(self, store):
        store.save("db", {"_id": "before"})

        def work():
            store.save("db", {"_id": "child", "seen": store.get("db", "before") is not None})

        assert in_child(work) == 0
        store.save("db", {"_id": "after"})
        assert [doc["_id"] for doc in store.documents("db")] == ["after", "before", "child"]
        assert store.get("db", "child")["seen"]

    def test_a_child_has_no_part_in_its_parents_transaction(self, store):
        statuses = []

        def fork_within(doc):
            if doc["_id"] == "second":
                statuses.append(in_child(lambda: os._exit(store.get("db", "first") is not None)))
            return []

        store.ensure_views("db", [View("d", "v", "", fork_within)])
        store.save_many("db", [{"_id": "first"}, {"_id": "second"}])
        assert statuses == [0]
        assert store.get("db", "first") is not None

    def test_threads(self, store):
        with ThreadPoolExecutor(8) as pool:
            revs = list(pool.map(lambda n: store.save("db", {"_id": f"{n}"}), range(200)))
            read = list(pool.map(lambda n: store.get("db", f"{n}"), range(200)))
        assert [doc["_rev"] for doc in read] == revs


class TestViews:
    def test_one_that_this_process_does_not_know(self, store, path):
        store.ensure_views("db", [BY_N])
        other = EmbeddedStore(path)
        with pytest.raises(StoreError, match=r"does not know.*d/by_n"):
            other.save("db", {"_id": "x"})
        assert other.get("db", "x") is None
        assert list(other.view("db", "d/by_n")) == []
        other.close()

    def test_a_changed_function_counts_as_another_view(self, store, path):
        store.ensure_views("db", [BY_N])
        store.save("db", {"_id": "x", "n": 1})
        newer = View("d", "by_n", "function(doc) { emit(-doc.n); }", lambda doc: [(-doc["n"], 0)])
        other = EmbeddedStore(path)
        other.ensure_views("db", [newer])
        assert [row.key for row in store.view("db", "d/by_n")] == [-1]
        with pytest.raises(StoreError, match="d/by_n"):
            store.save("db", {"_id": "y", "n": 2})
        other.close()

    def test_those_that_are_stored_wait_for_no_other_writer(self, path):
        store = EmbeddedStore(path, timeout_s=0.01)
        store.ensure_database("db")
        store.ensure_views("db", [BY_N])
        with closing(sqlite3.connect(path)) as other:
            other.execute("BEGIN IMMEDIATE")
            store.ensure_views("db", [BY_N])
            store.ensure_views("db", [])
            with pytest.raises(StoreUnavailable):
                store.ensure_views("db", [BY_N, View("d", "v", "", lambda doc: [])])
        store.close()

    def test_a_reduce_that_it_cannot_do(self, store):
        with pytest.raises(StoreError, match="_sum"):
            store.ensure_views("db", [View("d", "v", "", lambda doc: [], reduce="_sum")])

    def test_grouping_needs_a_reduce(self, store):
        store.ensure_views("db", [BY_N])
        with pytest.raises(StoreError, match="no reduce"):
            list(store.view("db", "d/by_n", group=True))


@pytest.mark.parametrize("name", ["", "Upper", "1st", "_users", "with space", "a%2Fb", "é"])
def test_names_that_couchdb_refuses(store, name):
    with pytest.raises(StoreError, match="no name"):
        store.ensure_database(name)


@pytest.mark.parametrize(
    "document", [{"_id": ""}, {"_id": "_x"}, {"_id": 1}, {"_id": "a", "_b": 1}]
)
def test_documents_that_couchdb_refuses(store, document):
    with pytest.raises(StoreError):
        store.save("db", document)
    assert list(store.documents("db")) == []


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=2),
    max_leaves=6,
)


def kind(value):
    kinds = [type(None), bool, (int, float), str, list, dict]
    return next(place for place, each in enumerate(kinds) if isinstance(value, each))


def compare(one, other):
    """CouchDB's order, said the other way: by comparing two values, not by making keys."""
    if kind(one) != kind(other):
        return kind(one) - kind(other)
    if isinstance(one, dict):
        one, other = ([part for item in each.items() for part in item] for each in (one, other))
    if isinstance(one, list):
        differences = (compare(a, b) for a, b in zip(one, other, strict=False))
        return next(filter(None, differences), len(one) - len(other))
    if isinstance(one, str):
        one, other = ((each.casefold(), swapped(each)) for each in (one, other))
    return (one > other) - (one < other) if one is not None else 0


def swapped(text):
    return "".join(each.swapcase() if each.isascii() else each for each in text)


@given(st.lists(JSON, min_size=2, max_size=6))
def test_sort_key_keeps_the_order_of_values(values):
    for one in values:
        for other in values:
            by_key = (sort_key(one) > sort_key(other)) - (sort_key(one) < sort_key(other))
            difference = compare(one, other)
            assert by_key == (difference > 0) - (difference < 0)


@pytest.mark.parametrize("tree", [1, True, None, "a", {"a": 1}])
def test_an_account_whose_tree_is_no_list_is_below_no_other(tmp_path, tree):
    store = EmbeddedStore(tmp_path / "store.sqlite3", views=ALL)
    store.ensure_database("accounts")
    store.ensure_views("accounts", ACCOUNTS)
    store.save("accounts", {"_id": "a", "pvt_type": "account", "pvt_tree": tree})
    assert list(store.view("accounts", "accounts/listing_by_descendants")) == []
    store.close()


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (None, b"\x01"),
        (False, b"\x02"),
        (True, b"\x03"),
        (0, b"\x04\x80" + bytes(7)),
        (-0.0, b"\x04\x80" + bytes(7)),
        (1, b"\x04\xbf\xf0" + bytes(6)),
        (-1.0, b"\x04\x40\x0f" + b"\xff" * 6),
        (10**400, b"\x04\xff\xef" + b"\xff" * 6),
        ("aB", b"\x05ab\x00Ab\x00"),
        ("\0", b"\x05\x00\xff\x00\x00\xff\x00"),
        ([], b"\x06\x00"),
        ((None, [True]), b"\x06\x01\x06\x03\x00\x00"),
        ({"a": False}, b"\x07\x05a\x00A\x00\x02\x00"),
    ],
)
def test_sort_keys_are_those_that_files_of_earlier_releases_hold(value, key):
    assert sort_key(value) == key


@pytest.mark.parametrize(
    ("options", "synchronous"), [({"synced": True}, 2), ({"synced": False}, 1), ({}, 1)]
)
def test_a_file_is_written_ahead_and_synced_where_that_is_wanted(tmp_path, options, synchronous):
    """https://www.sqlite.org/pragma.html: 1 is NORMAL, 2 is FULL."""
    file = SqliteFile(tmp_path / "f", "CREATE TABLE t (a)", 1.0, **options)
    with file.reading() as connection:
        found = [
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "user_version")
        ]
    file.close()
    assert found == ["wal", synchronous, 1]


def test_sort_key_sorts_names_as_icu_does():
    names = [
        "a",
        "A",
        "aa",
        "aB",
        "Ab",
        "b",
        "B",
        "Channel Answer",
        "channel bridge",
        "SMS",
        "sms!",
    ]
    assert sorted(names, key=sort_key) == names
    assert sorted(names, key=cmp_to_key(compare)) == names


@pytest.mark.parametrize("replaced", [False, True])
def test_one_connection_serves_until_the_file_is_another(tmp_path, replaced):
    file = SqliteFile(tmp_path / "a.sqlite3", "CREATE TABLE t (a)", 1.0, replaced=replaced)

    def used():
        with file.reading() as connection:
            return connection

    first = used()
    assert used() is first
    file.path.rename(tmp_path / "aside.sqlite3")
    # That of the store is never moved aside: a file of its own would hide all hooks.
    assert (used() is first) is not replaced
    again = used()
    assert used() is again
    file.close()
    assert used() is not again
    file.close()


def test_an_error_in_a_transaction_leaves_nothing_of_it(tmp_path):
    with closing(SqliteFile(tmp_path / "file", "CREATE TABLE t (n INTEGER)", 1.0)) as file:
        with pytest.raises(KeyError), file.writing() as connection:
            connection.execute("INSERT INTO t VALUES (1)")
            raise KeyError
        with file.reading() as connection:
            assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_databases_are_listed_by_name(tmp_path):
    store = EmbeddedStore(tmp_path / "store.sqlite3")
    names = [f"account/ab/cd/{n}-202611" for n in range(5)]
    for name in (*names, "account", "accounts"):
        store.ensure_database(name)
    assert store.list_databases("account/", "", 10) == names
    assert store.list_databases("account/", names[1], 2) == names[2:4]
    assert store.list_databases("account/", names[4], 2) == []
    assert store.list_databases("nothing", "", 2) == []
    store.close()


def test_a_document_without_an_id_is_in_the_views_by_its_new_one(store):
    store.ensure_views("db", (BY_N,))
    store.save("db", {"n": 1})
    (saved,) = store.save_many("db", [{"n": 2}])
    rows = list(store.view("db", "d/by_n", include_documents=True))
    assert [row.key for row in rows] == [1, 2]
    assert rows[1].id == saved.id
    assert [row.document["_id"] for row in rows] == [row.id for row in rows]


def test_a_python_that_has_no_md5_for_security_makes_revisions(store, monkeypatch):
    """As under FIPS 140."""

    def for_other_uses(data, *, usedforsecurity=True):
        assert not usedforsecurity
        return hashlib.md5(data, usedforsecurity=False)

    monkeypatch.setattr("callboard.adapters.store.embedded.md5", for_other_uses)
    assert store.save("db", {"_id": "x"}).startswith("1-")
