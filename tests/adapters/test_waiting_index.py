"""The index of deliveries that wait: what is listed, and which copies are outdated."""

import pytest
from attrs import evolve

from callboard.adapters.store.waiting_index import LATE_MS, WaitingIndex, Window
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.retries.retry_message import RetryMessage, as_json

NOW = 1_700_000_000_000
DELIVERY = Delivery("i", "e", "h", "a", "all", "http://x/", "POST", "http://x/", (), b"{}")


def waiting(id, deferrals=1, due_ms=NOW + 60_000, **changes):
    delivery = evolve(DELIVERY, id=id, **changes)
    return RetryMessage(delivery, 1, due_ms, ("1m",), deferrals=deferrals, taken_ms=NOW - 1000)


@pytest.fixture
def index(tmp_path):
    index = WaitingIndex(tmp_path / "waiting.sqlite3", 10_000_000)
    yield index
    index.close()


def put(index, *retries, now=NOW):
    index.put([(retry, as_json(retry), "status 503") for retry in retries], now)


def ids(index, **window):
    found = index.page(Window(**window), None, 1000)
    assert index.count(Window(**window)) == len(found)
    return [one.id for one in found]


def test_what_waits_is_listed_by_due_time_for_a_hook_and_an_account(index):
    put(
        index,
        waiting("late", due_ms=NOW + 9000),
        waiting("early", due_ms=NOW + 1000),
        waiting("other", due_ms=NOW + 5000, hook_id="o"),
        waiting("another", due_ms=NOW + 7000, account_id="b"),
    )
    assert ids(index) == ["early", "other", "another", "late"]
    assert ids(index, hook_id="h") == ["early", "another", "late"]
    assert ids(index, account_id="a") == ["early", "other", "late"]
    assert ids(index, account_id="a", hook_id="o") == ["other"]
    first = index.page(Window(), None, 2)
    assert [one.id for one in index.page(Window(), first[-1].place, 9)] == ["another", "late"]
    assert (first[0].reason, first[0].taken_ms) == ("status 503", NOW - 1000)


def test_it_is_gone_when_it_arrives_and_back_when_it_is_deferred_again(index):
    put(index, waiting("a"))
    assert index.arrived([waiting("a"), waiting("unknown")], NOW) == [False, False]
    assert ids(index) == []
    put(index, waiting("a", 2), waiting("b"))
    assert ids(index) == ["a", "b"]


def test_the_copy_that_waits_is_outdated_once_another_was_sent(index):
    put(index, waiting("a"), waiting("b"))
    index.sent_early([one for one in index.page(Window(), None, 9) if one.id == "a"])
    assert ids(index) == ["b"]
    assert index.arrived([waiting("a", 2)], NOW) == [False]
    assert index.arrived([waiting("a", 1), waiting("b", 1)], NOW + 60_000) == [True, False]


def test_so_it_is_after_the_early_copy_was_deferred_again_and_arrived(index):
    """It may be due before the old one."""
    put(index, waiting("a", due_ms=NOW + 9_000_000))
    index.sent_early(index.page(Window(), None, 9))
    index.arrived([waiting("a", 2)], NOW)
    put(index, waiting("a", 3, NOW + 5000))
    assert ids(index) == ["a"]
    assert index.arrived([waiting("a", 3)], NOW + 5000) == [False]
    assert ids(index) == []
    put(index, waiting("b"), now=NOW + 9_000_000)
    assert index.arrived([waiting("a", 1)], NOW + 9_000_000) == [True]


@pytest.mark.parametrize("again", [2, 3])
def test_a_copy_may_be_quicker_than_the_word_that_it_was_sent(index, again):
    put(index, waiting("a"))
    chosen = index.page(Window(), None, 9)
    assert index.arrived([waiting("a", 2)], NOW) == [False]
    if again == 3:
        put(index, waiting("a", 3))
    index.sent_early(chosen)
    assert ids(index) == (["a"] if again == 3 else [])
    assert index.arrived([waiting("a", 1)], NOW + 60_000) == [True]


def test_an_older_copy_does_not_take_the_place_of_a_newer_one(index):
    put(index, waiting("a", 3, NOW + 5000))
    put(index, waiting("a", 2, NOW + 1000))
    (one,) = index.page(Window(), None, 9)
    assert (one.deferrals, one.due_ms) == (3, NOW + 5000)


def test_what_was_put_after_a_request_began_is_not_chosen(index):
    put(index, waiting("a"))
    put(index, waiting("b"), now=NOW + 1)
    assert ids(index, put_until_ms=NOW) == ["a"]


def test_what_is_cancelled_is_gone(index):
    put(index, waiting("a"), waiting("b", hook_id="o"))
    assert sorted(index.hooks_among(["h", "o", "x"])) == ["h", "o"]
    index.cancelled("h", NOW - 1001)
    assert ids(index, hook_id="h") == ["a"]
    index.cancelled("h", NOW - 1000)
    assert ids(index) == ["b"]
    assert index.hooks_among(["h", "o"]) == ["o"]


def test_what_is_long_past_is_gone(index):
    put(index, waiting("a", due_ms=NOW))
    put(index, waiting("b", due_ms=NOW + 5000), now=NOW + LATE_MS)
    assert ids(index) == ["a", "b"]
    put(index, waiting("c", due_ms=NOW + LATE_MS), now=NOW + LATE_MS + 1)
    assert ids(index) == ["b", "c"]


def test_it_does_not_grow_beyond_its_bytes(tmp_path):
    index = WaitingIndex(tmp_path / "waiting.sqlite3", 4_000_000)
    for first in range(0, 3000, 100):
        put(index, *(waiting(f"{n:05}", due_ms=NOW + n, body=b"x" * 4000) for n in
                     range(first, first + 100)))  # fmt: skip
    kept = ids(index)
    assert 400 <= len(kept) <= 1000
    assert kept[:400] == [f"{n:05}" for n in range(400)]
    index.close()
    assert (tmp_path / "waiting.sqlite3").stat().st_size < 8_000_000


def test_half_characters_are_no_fault(index):
    put(index, waiting("a", hook_id="h\ud800"))
    assert index.hooks_among(["h\ud800"]) == ["h\ud800"]
    index.cancelled("h\ud800", NOW)
    assert ids(index) == []
