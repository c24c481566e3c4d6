"""The attempts of a hook, from the databases of several months."""

import calendar

import pytest

from callboard.adapters.repositories.stored_attempts import (
    AttemptWindow,
    list_attempts,
    read_attempts,
)
from callboard.adapters.store.views import MODB
from callboard.webhooks.values.kazoo_names import account_database, gregorian_s, modb

ACCOUNT = "a1" * 16


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
