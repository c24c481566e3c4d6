"""The attempts of a hook, from the databases of several months."""

import calendar

import pytest

from callboard.adapters.repositories.attempt_history import attempts, delete_older
from callboard.adapters.repositories.stored_attempts import (
    AttemptWindow,
    list_attempts,
    read_attempts,
)
from callboard.adapters.store.protocol import CONFLICT, Saved
from callboard.adapters.store.views import MODB
from callboard.webhooks.values.kazoo_names import account_database, gregorian_s, modb
from support.stores import Meddled

ACCOUNT, B = "a1" * 16, "b2" * 16


def at(year, month, day):
    return calendar.timegm((year, month, day, 12, 0, 0))


def attempt(id, at_s, hook="h", event="e", **more):
    return {
        "_id": id, "pvt_type": "webhook_attempt", "pvt_created": gregorian_s(at_s), "hook_id": hook,
        "event_id": event, "method": "post", "req_headers": {"webhook-id": "w"}, "req_body": "{}",
        "result": "failure", "client_error": "timeout", **more,
    }  # fmt: skip


@pytest.fixture
def filled(store):
    """October and November of 2026 and January of 2027; no database of December."""
    for at_s, documents in [
        (at(2026, 10, 15), [attempt("a", at(2026, 10, 15)), attempt("x", at(2026, 10, 15), "g")]),
        (
            at(2026, 11, 1),
            [
                attempt("b", at(2026, 11, 1), event="f", result="success", client_error=None,
                        resp_status_code="200"),
                *(attempt(f"c{n:03}", at(2026, 11, 2)) for n in range(120)),
                attempt("d", at(2026, 11, 3), req_body="{…[cut]"),
            ],
        ),
        (at(2027, 1, 1), [attempt("z", at(2027, 1, 1))]),
    ]:  # fmt: skip
        database = modb(ACCOUNT, at_s)
        store.ensure_database(database)
        store.ensure_views(database, MODB)
        store.save_many(database, documents)
    return store


def test_views_that_another_process_has_not_stored_yet_are_stored(store):
    day = at(2026, 11, 1)
    database = modb(ACCOUNT, day)
    for read in (
        lambda: [one.id for one in listed(store, day, day)],
        lambda: [each["_id"] for each in attempts(store, ACCOUNT, None, *[gregorian_s(day)] * 2)],
    ):
        store.ensure_database(database)
        assert read() == []
        store.save(database, attempt("a", day))
        (found,) = read()
        assert found.endswith("a")
        store.delete(database, "a", store.get(database, "a")["_rev"])
    store.save(database, attempt("a", day))
    store.ensure_database(other := modb(B, day))
    assert not list(attempts(store, B, "h", *[gregorian_s(day)] * 2))
    assert list(store.view(other, "webhooks/attempts_by_hook_listing")) == []


def listed(store, since, until, limit=30):
    """All that is found page by page, as an actor takes it: until a step ends the page."""
    window = AttemptWindow(ACCOUNT, "h", since, until)
    found, after, ended = [], (), False
    while not ended:
        ended = True
        for step in list_attempts(store, window, after, limit):
            found += step.found
            after = step.after
            if step.page_ends:
                ended = False
                break
    return found


@pytest.mark.parametrize("limit", [1, 50, 1000])
def test_all_of_a_window_the_oldest_first_and_each_once(filled, limit):
    found = listed(filled, at(2026, 10, 1), at(2027, 2, 1), limit)
    ids = ["202610/a", "202611/b", *(f"202611/c{n:03}" for n in range(120)), "202611/d", "202701/z"]
    assert [one.id for one in found] == ids


@pytest.mark.parametrize("limit", [51, 100])
def test_a_step_reads_fifty_and_each_month_ends_with_one(filled, limit):
    window = AttemptWindow(ACCOUNT, "h", at(2026, 10, 1), at(2027, 1, 31))
    steps = list(list_attempts(filled, window, (), limit))
    assert [(step.after[0], len(step.found), step.page_ends) for step in steps] == [
        *(("202610", 1, False), ("202610", 0, False)),
        *(("202611", 50, False), ("202611", 50, True), ("202611", 22, True), ("202611", 0, False)),
        ("202612", 0, False),
        *(("202701", 1, False), ("202701", 0, False)),
    ]
    later = list_attempts(filled, window, steps[5].after, limit)
    assert [one.id for step in later for one in step.found] == ["202701/z"]


def test_only_what_lies_in_the_window(filled):
    found = listed(filled, at(2026, 11, 2), at(2026, 12, 31))
    assert [one.id for one in found][:1] == ["202611/c000"]
    assert [one.id for one in found][-1:] == ["202611/d"]
    assert len(found) == 121
    assert listed(filled, at(2020, 1, 1), at(2020, 3, 1)) == []


def test_an_attempt_in_short(filled):
    found = {one.id: one for one in listed(filled, at(2026, 10, 1), at(2027, 2, 1))}
    failed, succeeded, cut = (found[id] for id in ("202610/a", "202611/b", "202611/d"))
    assert (failed.event_id, failed.failed, failed.outcome, failed.problem) == (
        "e", True, "timeout", "",
    )  # fmt: skip
    assert failed.at_s == at(2026, 10, 15)
    assert (succeeded.event_id, succeeded.failed, succeeded.outcome) == ("f", False, "200")
    assert cut.problem == "its body was cut (attempts.body_limit)"
    database = modb(ACCOUNT, at(2026, 10, 16))
    document = attempt("plain", at(2026, 10, 16), client_error=None)
    del document["event_id"]
    filled.save(database, document)
    (plain,) = listed(filled, at(2026, 10, 16), at(2026, 10, 17))
    assert (plain.id, plain.event_id, plain.outcome) == ("202610/plain", "", "")


def test_attempts_are_read_by_their_ids_and_only_those_of_the_hook(filled):
    ids = ["202610/a", "202610/x", "202611/d", "202612/a", "202611/nobody", "a", "../x/a", ""]
    found = read_attempts(filled, ACCOUNT, "h", ids)
    assert {id: document["_id"] for id, document in found.items()} == {
        "202610/a": "a",
        "202611/d": "d",
    }


def test_the_months_of_a_window():
    def months(*ends):
        return AttemptWindow(ACCOUNT, "h", *(float(at(*end)) for end in ends)).months

    assert months((2026, 11, 1), (2026, 11, 30)) == ("202611",)
    assert months((2026, 11, 1), (2027, 2, 1)) == ("202611", "202612", "202701", "202702")
    assert months((2026, 11, 2), (2026, 10, 1)) == ()
    assert account_database(ACCOUNT) + "-202611" == modb(ACCOUNT, at(2026, 11, 1))


# Their end


class Listing(Meddled):
    """The store; pouchdb-server lists databases without the slashes of their names."""

    def list_databases(self, prefix, after, limit):
        months = [f"{account_database(ACCOUNT)}-{month}" for month in (202610, 202611, 202701)]
        others = [account_database(ACCOUNT), f"{account_database('shop')}-202610"]
        names = sorted(name for name in (*months, *others) if name > after)
        return names[: min(limit, 2)]


def ids(store, month):
    database = f"{account_database(ACCOUNT)}-{month}"
    return sorted(document["_id"] for document in store.documents(database))


def test_older_ones_are_deleted_a_few_at_a_time_and_nothing_else(filled):
    november = f"{account_database(ACCOUNT)}-202611"
    filled.save(november, {"_id": "cdr", "pvt_type": "cdr", "pvt_created": 0})
    filled.ensure_database(f"{account_database('shop')}-202610")  # Without views.
    filled.ensure_database(account_database(ACCOUNT))
    filled.save(account_database(ACCOUNT), attempt("no-month", at(2026, 10, 15)))
    done = set()
    before = gregorian_s(at(2026, 11, 3))
    steps = list(delete_older(Listing(filled), before, done))
    assert (max(steps), sum(steps)) == (20, 123)
    # A pause after each of three pages of names, and after each of three databases.
    assert steps.count(0) == 6
    assert ids(filled, "202610") == []
    assert ids(filled, "202611") == ["cdr", "d"]  # That of the very second stays.
    assert ids(filled, "202701") == ["z"]
    assert filled.get(account_database(ACCOUNT), "no-month") is not None
    assert done >= {f"{account_database(ACCOUNT)}-202610"}
    assert november not in done
    meddled = Listing(filled)
    assert sum(delete_older(meddled, before + 1, done)) == 1
    assert (
        meddled.calls.count("view") == 2
    )  # Both of November. The months that are done are not read again.


def test_an_attempt_that_is_changed_meanwhile_ends_the_turn_of_its_database(filled):
    class Refusing(Listing):
        def save_many(self, _database, documents):
            return [Saved(document["_id"], error=CONFLICT) for document in documents]

    assert sum(delete_older(Refusing(filled), gregorian_s(at(2026, 11, 4)), set())) == 0
    assert ids(filled, "202610") == ["a", "x"]
