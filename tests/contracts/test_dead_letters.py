"""Dead letters in a store: added once, listed page by page, removed as they were read."""

import itertools

import pytest

from callboard.adapters.repositories.dead_letters import DeadLetterStore, Window

A, B = "a" * 32, "b" * 32


def letter(id, created, kind="delivery", account=A, hook="h", **more):
    owner = {"pvt_account_id": account, "hook_id": hook} if kind == "delivery" else {}
    return {
        "_id": id, "pvt_type": "dead_letter", "pvt_created": created, "kind": kind,
        "reason": "r", "body": "{}", **owner, **more,
    }  # fmt: skip


@pytest.fixture
def letters(store):
    made = DeadLetterStore(store)
    made.add([
        letter("1", 100),
        letter("2", 200, account=B, hook="g"),
        letter("3", 200, kind="event"),
        letter("4", 300),
        letter("5", 300, account=B),
        letter("6", 400, hook="g"),
    ])  # fmt: skip
    return made


def all_pages(letters, limit=2, **window):
    found, after = [], None
    for _page in itertools.count():
        rows, after = letters.page(Window(**window), after, limit)
        assert len(rows) <= limit
        found += [row.id for row in rows]
        if after is None:
            return found
    raise AssertionError


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
@pytest.mark.parametrize(
    ("window", "ids"),
    [
        ({}, "654321"),
        ({"account_id": A}, "641"),
        ({"hook_id": "h"}, "541"),
        ({"hook_id": "h", "account_id": B}, "5"),
        ({"kind": "event"}, "3"),
        ({"kind": "delivery", "since": 200, "until": 300}, "542"),
        ({"account_id": A, "since": 101, "until": 399}, "4"),
        ({"hook_id": "g", "until": 200}, "2"),
        ({"since": 401}, ""),
        ({"account_id": "nobody"}, ""),
    ],
)
def test_pages_show_the_newest_first_and_each_once(letters, window, ids, limit):
    assert all_pages(letters, limit, **window) == list(ids)


def test_a_full_page_that_is_the_last_has_none_after_it(letters):
    rows, after = letters.page(Window(), None, 6)
    assert (len(rows), after) == (6, None)


def test_a_reversed_period_holds_none(letters):
    assert all_pages(letters, since=300, until=299) == []
    assert letters.page(Window(since=300), (299, "4"), 2) == ([], None)


def test_without_a_letter_there_is_no_database_and_nothing_is_found(store):
    letters = DeadLetterStore(store)
    assert letters.page(Window(), None, 10) == ([], None)
    assert letters.older_than(1000, 10) == []
    assert letters.get(["1"]) == {}
    assert letters.remove([]) == []


def test_views_that_are_missing_are_made(store):
    store.ensure_database("callboard_dead_letters")
    letters = DeadLetterStore(store)
    letters.add([letter("1", 100)])
    assert all_pages(letters) == ["1"]


def test_a_letter_that_is_added_twice_is_a_conflict(letters):
    outcomes = letters.add([letter("1", 100), letter("7", 500)])
    assert [saved.error for saved in outcomes] == ["conflict", None]
    assert all_pages(letters) == list("7654321")


def test_those_are_removed_that_have_not_changed(store, letters):
    found = letters.get(["1", "2", "nobody"])
    assert sorted(found) == ["1", "2"]
    store.save("callboard_dead_letters", found["2"] | {"reason": "changed"})
    outcomes = letters.remove(list(found.values()))
    assert [saved.error for saved in outcomes] == [None, "conflict"]
    assert all_pages(letters) == list("65432")


def test_the_oldest_are_found_first(letters):
    assert letters.older_than(300, 10) in (["1", "2", "3"], ["1", "3", "2"])
    assert letters.older_than(300, 1) == ["1"]
    assert letters.older_than(100, 10) == []


def test_other_documents_are_no_letters(store, letters):
    store.save("callboard_dead_letters", {"_id": "note", "pvt_type": "note"})
    assert letters.get(["note"]) == {}
