"""What every document store keeps to, asked of each of them alike.

Where PouchDB's server departs from CouchDB (it sorts strings by code points only, has no
`startkey_docid`, takes any name for a database, answers a bad member with HTTP 500), the tests
assert what both do.
"""

import itertools
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callboard.adapters.store.protocol import (
    Changes,
    Conflict,
    DatabaseMissing,
    Saved,
    StoreError,
    View,
    ViewMissing,
)
from support.stores import STORES, opened

ACCOUNT = "account/ab/cd/ef0123456789abcdef0123456789-202611"
UNKNOWN_REV = "3-0123456789abcdef0123456789abcdef"

PEOPLE = View(
    "people",
    "by_age",
    "function(doc) { if ('age' in doc) emit(doc.age, doc.name); }",
    lambda doc: [(doc["age"], doc.get("name"))] if "age" in doc else [],
)
COUNTED = View(
    "people",
    "counted",
    "function(doc) { if ('age' in doc) emit(doc.age, null); }",
    lambda doc: [(doc["age"], None)] if "age" in doc else [],
    reduce="_count",
)
TAGS = View(
    "tags",
    "by_tag",
    "function(doc) { (doc.tags || []).forEach(function(tag) { emit(tag, null); }); }",
    lambda doc: [(tag, None) for tag in doc.get("tags", [])],
)


@pytest.fixture(params=STORES)
def store(request, tmp_path):
    made = opened(request, tmp_path, ())
    yield made
    made.close()


@pytest.fixture
def people(store):
    """A store whose database `people` has the views above."""
    store.ensure_database("people")
    store.ensure_views("people", [PEOPLE, COUNTED, TAGS])
    return store


def ids(rows):
    return [row.id for row in rows]


def keys(rows):
    return [row.key for row in rows]


class TestDatabases:
    def test_is_made_once(self, store):
        assert not store.database_exists(ACCOUNT)
        assert store.ensure_database(ACCOUNT)
        assert store.database_exists(ACCOUNT)
        assert not store.ensure_database(ACCOUNT)

    def test_names_with_slashes_are_names_of_their_own(self, store):
        for name in ("account/ab", "account/ab/cd"):
            store.ensure_database(name)
            store.save(name, {"_id": "where", "name": name})
        assert store.get("account/ab", "where")["name"] == "account/ab"
        assert store.get("account/ab/cd", "where")["name"] == "account/ab/cd"
        assert not store.database_exists("account")

    def test_a_missing_one_holds_nothing(self, store):
        assert store.get("nowhere", "x") is None
        assert store.get_many("nowhere", ["x"]) == {}

    @pytest.mark.parametrize(
        "use",
        [
            lambda store: store.save("nowhere", {"_id": "x"}),
            lambda store: store.save_many("nowhere", [{"_id": "x"}]),
            lambda store: store.delete("nowhere", "x", UNKNOWN_REV),
            lambda store: store.ensure_views("nowhere", [PEOPLE]),
            lambda store: list(store.view("nowhere", "people/by_age")),
            lambda store: list(store.documents("nowhere")),
        ],
        ids=["save", "save_many", "delete", "ensure_views", "view", "documents"],
    )
    def test_a_missing_one_is_told(self, store, use):
        with pytest.raises(DatabaseMissing, match="nowhere"):
            use(store)


class TestDocuments:
    def test_comes_back_as_it_was_saved(self, people):
        document = {
            "_id": "x",
            "text": 'é 😀 "quoted" \\ \n\t\0',
            "number": 1.5,
            "large": 9007199254740991,
            "deep": {"list": [1, None, True, {}], "": []},
        }
        rev = people.save("people", document)
        assert people.get("people", "x") == {**document, "_rev": rev}
        assert re.fullmatch("1-[0-9a-f]{32}", rev)

    @pytest.mark.parametrize(
        "id", ["", ".", "..", "_all_docs", "_security", "_local/x", "_design", "_design/.."]
    )
    def test_what_stands_beside_the_documents_is_none(self, people, id):
        people.save("people", {"_id": "x"})
        assert people.get("people", id) is None

    def test_ids_may_hold_what_addresses_are_made_of(self, people):
        for id in ("a/b", "a/..", "...", "a?b=c", "%2e", "x_y"):
            people.save("people", {"_id": id})
            assert people.get("people", id)["_id"] == id

    def test_leaves_what_was_passed_in_alone(self, people):
        document = {"name": "Ann"}
        people.save("people", document)
        people.save_many("people", [document])
        assert document == {"name": "Ann"}

    def test_gets_an_id_where_it_has_none(self, people):
        people.save("people", {"name": "Ann"})
        people.save_many("people", [{"name": "Bea"}])
        assert all(re.fullmatch("[0-9a-f]{32}", doc["_id"]) for doc in people.documents("people"))
        assert {doc["name"] for doc in people.documents("people")} == {"Ann", "Bea"}

    def test_an_update_needs_the_current_revision(self, people):
        first = people.save("people", {"_id": "x", "n": 1})
        second = people.save("people", {"_id": "x", "_rev": first, "n": 2})
        assert second.startswith("2-")
        for rev in ({}, {"_rev": first}, {"_rev": UNKNOWN_REV}):
            with pytest.raises(Conflict):
                people.save("people", {"_id": "x", "n": 3, **rev})
        assert people.get("people", "x") == {"_id": "x", "_rev": second, "n": 2}

    def test_a_new_one_has_no_revision_to_name(self, people):
        with pytest.raises(Conflict):
            people.save("people", {"_id": "new", "_rev": UNKNOWN_REV})
        assert people.get("people", "new") is None

    def test_deleting(self, people):
        first = people.save("people", {"_id": "x"})
        second = people.save("people", {"_id": "x", "_rev": first, "n": 2})
        with pytest.raises(Conflict):
            people.delete("people", "x", first)
        people.delete("people", "x", second)
        assert people.get("people", "x") is None
        assert list(people.documents("people")) == []

    def test_deleting_what_is_gone_is_no_error(self, people):
        rev = people.save("people", {"_id": "x"})
        people.save("people", {"_id": "y"})
        people.delete("people", "x", rev)
        people.delete("people", "x", rev)
        people.delete("people", "never", UNKNOWN_REV)
        assert people.get("people", "x") is None
        assert [document["_id"] for document in people.documents("people")] == ["y"]

    def test_a_deleted_one_may_be_made_again(self, people):
        rev = people.save("people", {"_id": "x", "age": 1})
        people.delete("people", "x", rev)
        rev = people.save("people", {"_id": "x", "age": 2})
        assert rev.startswith("3-")
        assert people.get("people", "x") == {"_id": "x", "_rev": rev, "age": 2}
        assert keys(people.view("people", "people/by_age")) == [2]

    @pytest.mark.parametrize(
        "id", ["with/slash", "with space+plus?&#%2F", "é", "😀", "a:b", "webhooks_{"]
    )
    def test_ids_of_all_kinds(self, people, id):
        rev = people.save("people", {"_id": id, "age": 4})
        document = {"_id": id, "_rev": rev, "age": 4}
        assert people.get("people", id) == document
        assert people.get_many("people", [id]) == {id: document}
        assert ids(people.view("people", "people/by_age")) == [id]
        people.delete("people", id, rev)
        assert people.get("people", id) is None

    @pytest.mark.parametrize("value", [float("nan"), "\ud800", b"bytes"], ids=repr)
    def test_what_is_not_json_is_refused(self, people, value):
        with pytest.raises(StoreError, match=r"'?bad'?"):
            people.save("people", {"_id": "bad", "value": value})
        assert people.get("people", "bad") is None

    def test_several_by_id(self, people):
        documents = [{"_id": id, "n": id} for id in "abc"]
        people.save_many("people", documents)
        people.delete("people", "b", people.get("people", "b")["_rev"])
        found = people.get_many("people", ["c", "b", "a", "z"])
        assert {id: doc["n"] for id, doc in found.items()} == {"a": "a", "c": "c"}
        assert all(doc["_rev"].startswith("1-") for doc in found.values())
        assert people.get_many("people", []) == {}

    def test_by_range_and_page(self, people):
        people.save_many("people", [{"_id": f"webhooks_{n}"} for n in range(10)])
        people.save_many("people", [{"_id": id} for id in ("a", "webhook", "webhooks`", "z")])
        found = people.documents("people", start="webhooks_", end="webhooks_{", page_size=3)
        assert [doc["_id"] for doc in found] == [f"webhooks_{n}" for n in range(10)]
        assert len(list(people.documents("people", page_size=7))) == 14


class TestBulk:
    def test_each_for_itself(self, people):
        rev = people.save("people", {"_id": "b", "n": 1})
        results = people.save_many(
            "people",
            [{"_id": "a"}, {"_id": "b", "n": 2}, {"_id": "c", "bad": float("inf")}, {"_id": "d"}],
        )
        assert [saved.id for saved in results] == ["a", "b", "c", "d"]
        assert results[1] == Saved("b", error="conflict")
        assert results[2].rev is None
        assert results[2].error not in (None, "conflict")
        assert people.get("people", "a")["_rev"] == results[0].rev
        assert people.get("people", "b") == {"_id": "b", "_rev": rev, "n": 1}
        assert people.get("people", "c") is None
        assert people.get("people", "d")["_rev"] == results[3].rev

    def test_updates_and_deletes(self, people):
        first, second = people.save_many("people", [{"_id": "a"}, {"_id": "b"}])
        people.save_many(
            "people",
            [
                {"_id": "a", "_rev": first.rev, "n": 2},
                {"_id": "b", "_rev": second.rev, "_deleted": True},
            ],
        )
        assert people.get("people", "a")["n"] == 2
        assert people.get("people", "b") is None

    def test_of_nothing(self, people):
        assert people.save_many("people", []) == []

    def test_in_the_order_given(self, people):
        wanted = [f"{n * 7919 % 500:03}" for n in range(500)]
        assert [s.id for s in people.save_many("people", [{"_id": i} for i in wanted])] == wanted


class TestViews:
    def test_declaring_leaves_others_in_place(self, people):
        people.save("people", {"_id": "x", "age": 3, "tags": ["t"]})
        changed = View(
            "people",
            "by_age",
            "function(doc) { if ('age' in doc) emit(-doc.age, 'new'); }",
            lambda doc: [(-doc["age"], "new")] if "age" in doc else [],
        )
        people.ensure_views("people", [changed])
        assert [(r.key, r.value) for r in people.view("people", "people/by_age")] == [(-3, "new")]
        assert keys(people.view("people", "people/counted", reduce=False)) == [3]
        assert ids(people.view("people", "tags/by_tag")) == ["x"]

    def test_documents_saved_before_are_found(self, store):
        store.ensure_database("people")
        store.save_many("people", [{"_id": "x", "age": 2}, {"_id": "y", "age": 1}])
        store.ensure_views("people", [PEOPLE])
        assert ids(store.view("people", "people/by_age")) == ["y", "x"]

    def test_design_documents_are_not_listed(self, people):
        people.save("people", {"_id": "x"})
        assert [doc["_id"] for doc in people.documents("people")] == ["x"]

    def test_rows_follow_their_documents(self, people):
        rev = people.save("people", {"_id": "x", "age": 30, "name": "Ann"})
        (row,) = people.view("people", "people/by_age")
        assert (row.id, row.key, row.value, row.document) == ("x", 30, "Ann", None)
        rev = people.save("people", {"_id": "x", "_rev": rev, "age": 31})
        assert keys(people.view("people", "people/by_age")) == [31]
        rev = people.save("people", {"_id": "x", "_rev": rev})
        assert keys(people.view("people", "people/by_age")) == []
        rev = people.save("people", {"_id": "x", "_rev": rev, "age": 32})
        people.delete("people", "x", rev)
        assert keys(people.view("people", "people/by_age")) == []

    def test_order_of_keys(self, people):
        ordered = [
            None, False, True, -1e300, -2.5, -1, 0, 0.5, 1, 2, 10, 2**40, 1e300,
            "", "0", "9", "a", "a0", "aa", "b", "z",
            [], [None], [1], [1, None], [1, 2], [2], ["a"], ["a", 1], ["a", "a"], ["b"], [[]],
            {}, {"a": 1}, {"a": 2}, {"b": 0}, {"b": 0, "c": 0},
        ]  # fmt: skip
        documents = [{"_id": f"{n:02}", "age": key} for n, key in enumerate(ordered)]
        people.save_many("people", documents[::-1])
        assert keys(people.view("people", "people/by_age")) == ordered
        assert keys(people.view("people", "people/by_age", descending=True)) == ordered[::-1]
        for first, last in itertools.combinations([4, 9, 13, 20, 21, 30, 32], 2):
            between = people.view(
                "people", "people/by_age", start=ordered[first], end=ordered[last]
            )
            assert keys(between) == ordered[first : last + 1]

    def test_equal_keys_come_by_id(self, people):
        people.save_many("people", [{"_id": id, "age": 1} for id in "cab"])
        assert ids(people.view("people", "people/by_age")) == ["a", "b", "c"]
        assert ids(people.view("people", "people/by_age", descending=True)) == ["c", "b", "a"]

    def test_key_and_ranges(self, people):
        people.save_many("people", [{"_id": f"{n:02}", "age": n // 2} for n in range(20)])

        def ages(**options):
            return keys(people.view("people", "people/by_age", **options))

        assert ages(key=3) == [3, 3]
        assert ages(key=99) == []
        assert ages(start=8) == [8, 8, 9, 9]
        assert ages(end=1) == [0, 0, 1, 1]
        assert ages(start=3, end=4) == [3, 3, 4, 4]
        assert ages(start=4, end=3, descending=True) == [4, 4, 3, 3]
        assert ages(start=1, descending=True) == [1, 1, 0, 0]
        assert ages(keys=[7, 99, 2]) == [7, 7, 2, 2]
        assert ages(keys=[]) == []
        assert ages(limit=3) == [0, 0, 1]
        assert ages(limit=3, page_size=2) == [0, 0, 1]
        assert ages(limit=4, page_size=2) == [0, 0, 1, 1]
        assert ages(limit=3, page_size=2, keys=[5, 6, 7]) == [5, 5, 6]
        assert ages(limit=0) == []

    def test_a_range_the_wrong_way_round(self, people):
        with pytest.raises(StoreError, match=r"[Nn]o rows can match"):
            list(people.view("people", "people/by_age", start=2, end=1))
        with pytest.raises(StoreError, match=r"[Nn]o rows can match"):
            list(people.view("people", "people/by_age", start=1, end=2, descending=True))

    def test_null_is_a_key_too(self, people):
        people.save_many("people", [{"_id": "n", "age": None}, {"_id": "z", "age": 0}])
        assert ids(people.view("people", "people/by_age", key=None)) == ["n"]
        assert ids(people.view("people", "people/by_age", end=None)) == ["n"]

    def test_an_object_is_the_high_end_of_an_array_range(self, people):
        people.save_many(
            "people",
            [
                {"_id": "1", "age": ["a", 1]},
                {"_id": "2", "age": ["a", "zz"]},
                {"_id": "3", "age": ["a", ["x"]]},
                {"_id": "4", "age": ["ab", 1]},
                {"_id": "5", "age": ["b"]},
                {"_id": "6", "age": ["A"]},
            ],
        )
        between = {"start": ["a"], "end": ["a", {}]}
        assert ids(people.view("people", "people/by_age", **between)) == ["1", "2", "3"]
        between = {"start": ["a", {}], "end": ["a"], "descending": True}
        assert ids(people.view("people", "people/by_age", **between)) == ["3", "2", "1"]

    @pytest.mark.parametrize("key", ["é", "日本", "😀", 'with "quotes" & more', "a\0b", "ß", "K"])
    def test_keys_of_all_kinds(self, people, key):
        people.save_many(
            "people",
            [{"_id": "it", "age": key}, {"_id": "ss", "age": "ss"}, {"_id": "k", "age": "k"}],
        )
        assert ids(people.view("people", "people/by_age", key=key)) == ["it"]
        assert ids(people.view("people", "people/by_age", keys=[key])) == ["it"]

    def test_with_documents(self, people):
        rev = people.save("people", {"_id": "x", "age": 1, "name": "Ann"})
        (row,) = people.view("people", "people/by_age", include_documents=True)
        assert row.document == {"_id": "x", "_rev": rev, "age": 1, "name": "Ann"}

    def test_groups(self, people):
        people.save_many("people", [{"_id": f"{n:02}", "age": n % 5} for n in range(23)])

        def groups(**options):
            rows = list(people.view("people", "people/counted", group=True, **options))
            assert {row.id for row in rows} <= {None}
            return {row.key: row.value for row in rows}

        counts = {0: 5, 1: 5, 2: 5, 3: 4, 4: 4}
        assert groups() == counts
        assert groups(page_size=2) == counts
        assert list(groups(page_size=2, descending=True)) == [4, 3, 2, 1, 0]
        assert groups(start=3) == {3: 4, 4: 4}
        assert groups(key=2) == {2: 5}
        assert groups(keys=[4, 0]) == {4: 4, 0: 5}
        assert groups(limit=2) == {0: 5, 1: 5}

    def test_rows_of_a_reduced_view(self, people):
        people.save_many("people", [{"_id": id, "age": 1} for id in "ab"])
        assert ids(people.view("people", "people/counted", reduce=False)) == ["a", "b"]
        with pytest.raises(StoreError, match=r"people/counted.*reduce=False"):
            list(people.view("people", "people/counted"))

    def test_unknown_views(self, people):
        for name in ("people/nothing", "nothing/by_age"):
            with pytest.raises(ViewMissing, match=name):
                list(people.view("people", name))


class TestPaging:
    """Every row once and in order, whatever the page size and however many keys are equal."""

    def test_more_rows_than_a_page_has(self, people):
        numbers = range(1300)
        people.save_many("people", [{"_id": f"{n:04}", "age": n} for n in numbers])
        assert keys(people.view("people", "people/by_age")) == list(numbers)
        down = people.view("people", "people/by_age", descending=True, include_documents=True)
        assert [row.document["age"] for row in down] == list(numbers)[::-1]
        assert keys(people.view("people", "people/by_age", limit=1100)) == list(range(1100))

    @pytest.mark.parametrize("descending", [False, True])
    def test_equal_keys_over_many_pages(self, people, descending):
        documents = [{"_id": f"{n:03}", "age": min(n // 40, 2)} for n in range(160)]
        people.save_many("people", documents)
        rows = list(people.view("people", "people/by_age", page_size=7, descending=descending))
        assert ids(rows) == sorted((doc["_id"] for doc in documents), reverse=descending)
        ones = people.view("people", "people/by_age", page_size=7, key=2, descending=descending)
        assert len(set(ids(ones))) == 80
        several = people.view("people", "people/by_age", page_size=7, keys=[1, 0, 2])
        assert keys(several) == [1] * 40 + [0] * 40 + [2] * 80

    def test_true_is_not_one(self, people):
        documents = [{"_id": f"{n:02}", "age": n < 6 or 1} for n in range(12)]
        people.save_many("people", documents)
        rows = list(people.view("people", "people/by_age", page_size=5))
        assert ids(rows) == [f"{n:02}" for n in range(12)]
        assert [row.key is True for row in rows] == [True] * 6 + [False] * 6

    @settings(
        max_examples=15,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(
        tags=st.lists(st.lists(st.sampled_from("abc"), max_size=5), max_size=8),
        page_size=st.integers(1, 4),
        descending=st.booleans(),
        limit=st.none() | st.integers(0, 12),
    )
    def test_documents_that_emit_one_key_often(self, people, tags, page_size, descending, limit):
        numbered = itertools.count(next(RUN) * 1000)
        documents = [{"_id": f"{next(numbered):06}", "tags": each} for each in tags]
        saved = people.save_many("people", documents)
        expected = sorted((tag, doc["_id"]) for doc in documents for tag in doc["tags"])
        if descending:
            expected.reverse()
        rows = people.view(
            "people", "tags/by_tag", page_size=page_size, descending=descending, limit=limit
        )
        found = [(row.key, row.id) for row in rows]
        people.save_many("people", [{"_id": s.id, "_rev": s.rev, "_deleted": True} for s in saved])
        assert found == expected[:limit]

    def test_pages_are_read_as_they_are_wanted(self, people):
        people.save_many("people", [{"_id": f"{n:02}", "age": n} for n in range(20)])
        rows = people.view("people", "people/by_age", page_size=5)
        assert [next(rows).key for _ in range(5)] == [0, 1, 2, 3, 4]
        people.save("people", {"_id": "late", "age": 15.5})
        assert keys(rows) == [*range(5, 16), 15.5, *range(16, 20)]


RUN = itertools.count()


class TestChanges:
    def test_each_document_is_listed_once_with_its_latest_revision(self, people):
        people.save("people", {"_id": "before"})
        since = people.changes("people", None)
        assert since.documents == ()
        first = people.save("people", {"_id": "b"})
        people.save("people", {"_id": "a"})
        last = people.save("people", {"_id": "b", "_rev": first, "n": 2})
        gone = people.save("people", {"_id": "c"})
        people.delete("people", "c", gone)
        found = people.changes("people", since.upto)
        assert found.complete
        assert [(c.id, c.deleted) for c in found.documents] == [
            ("a", False),
            ("b", False),
            ("c", True),
        ]
        assert found.documents[1].rev == last
        assert people.changes("people", found.upto) == Changes((), found.upto, complete=True)

    def test_those_of_other_databases_and_design_documents_are_none(self, people):
        since = people.changes("people", None).upto
        people.ensure_database("others")
        people.save("others", {"_id": "a"})
        people.ensure_views("people", [PEOPLE, COUNTED, TAGS])
        people.save("people", {"_id": "a"})
        assert [c.id for c in people.changes("people", since).documents] == ["a"]

    def test_more_than_the_limit_are_not_complete(self, people):
        since = people.changes("people", None).upto
        people.save_many("people", [{"_id": f"d{number}"} for number in range(4)])
        first = people.changes("people", since, limit=3)
        assert not first.complete
        others = people.changes("people", first.upto)
        assert others.complete
        found = [change.id for change in (*first.documents, *others.documents)]
        assert sorted(found) == ["d0", "d1", "d2", "d3"]
        assert people.changes("people", since, limit=5).complete

    def test_a_position_beyond_the_last_one_is_not_of_this_database(self, people):
        """The database was deleted and created again, or restored."""
        assert not people.changes("people", "100000").complete

    def test_a_missing_database_is_an_error(self, people):
        with pytest.raises(DatabaseMissing):
            people.changes("nothing", None)
        with pytest.raises(DatabaseMissing):
            people.changes("nothing", "0")
