"""Who waits for the hooks as they are stored is answered, however many ask meanwhile."""

import pytest
import structlog
from structlog.testing import capture_logs

from callboard.actors.hooks.refreshing import GONE, HookRefreshing
from callboard.actors.messages import HooksRefreshed
from callboard.adapters.store.protocol import ChangedDocument, Changes


class Store:
    """A store without changes."""

    def changes(self, since):
        return Changes((), since)

    def get_many(self, ids):
        return {}


class Loading:
    """All hooks are loaded; barriers are kept here until they are passed."""

    complete = True
    since = "1"

    def __init__(self):
        self.barrier_tickets = []

    def barrier(self, ticket):
        self.barrier_tickets.append(ticket)


class Timer:
    def within(self, _seconds):
        pass


@pytest.fixture
def loading():
    return Loading()


@pytest.fixture
def sent():
    return []


@pytest.fixture
def refreshing(loading, sent):
    return HookRefreshing(
        Store(),
        loading,
        apply=None,
        load=None,
        send=lambda *message: sent.append(message),
        timer=lambda _call: Timer(),
        log=None,
    )


def test_a_further_question_does_not_delay_the_answer_to_an_earlier_one(refreshing, loading, sent):
    for number, sender in enumerate(("first", "second")):
        refreshing.ask(sender, number)
        refreshing.compare()
    earlier, later = loading.barrier_tickets
    refreshing.applied(earlier)
    assert sent == [("first", HooksRefreshed(0))]
    refreshing.applied(later)
    assert sent[1:] == [("second", HooksRefreshed(1))]


def test_those_who_ask_within_a_twentieth_of_a_second_share_a_comparison(loading):
    timer, within = Timer(), []
    timer.within = within.append
    HookRefreshing(Store(), loading, None, None, None, lambda _call: timer, None).ask("a", 1)
    assert within == [0.05]


def test_a_later_barrier_answers_all_and_each_once(refreshing, loading, sent):
    for number, sender in enumerate(("first", "second")):
        refreshing.ask(sender, number)
        refreshing.compare()
    for ticket in reversed(loading.barrier_tickets):
        refreshing.applied(ticket)
    assert sent == [("first", HooksRefreshed(0)), ("second", HooksRefreshed(1))]


def test_changes_that_the_bus_did_not_bring_are_counted_and_applied(loading):
    """Those that it did bring are known by their revision."""
    brought, edited, made = (ChangedDocument(id, "2", deleted=False) for id in ("b", "e", "m"))
    store, applied = Store(), []
    store.changes = lambda _since: Changes((brought, edited, made), "9")
    store.get_many = lambda ids: {id: {"_id": id} for id in ids}
    refreshing = HookRefreshing(
        store, loading, applied.append, None, None, lambda _call: Timer(), structlog.get_logger()
    )
    refreshing.saw("b", "2")
    refreshing.saw("e", "1")
    with capture_logs() as logs:
        refreshing.compare()
    assert applied == [[{"_id": "e"}, {"_id": "m"}]]
    assert refreshing.missed == 2
    assert [(log["event"], log["hooks"]) for log in logs] == [("hook_changes_missed", 2)]
    assert loading.since == "9"


@pytest.mark.parametrize(("barriers", "answered"), [(100, ["s0"]), (101, [])])
def test_of_more_than_a_hundred_barriers_the_oldest_are_forgotten(
    refreshing, loading, sent, barriers, answered
):
    for number in range(barriers):
        refreshing.ask(f"s{number}", number)
        refreshing.compare()
    refreshing.applied(loading.barrier_tickets[0])
    assert [sender for sender, _answer in sent] == answered
    refreshing.applied(loading.barrier_tickets[-1])
    assert [sender for sender, _answer in sent] == [f"s{number}" for number in range(barriers)]


def test_the_latest_hundred_thousand_hooks_are_remembered_with_their_revisions(refreshing):
    for number in range(100_000):
        refreshing.saw(f"h{number}", "1")
    assert refreshing.has_seen("h0", "1")
    refreshing.saw("h0", "2")
    refreshing.saw("new", "1")
    assert refreshing.has_seen("h0", "2"), "it was seen later than h1"
    assert not refreshing.has_seen("h1", "1")
    assert refreshing.has_seen("h2", "1")
    assert not refreshing.has_seen("h2", "2")
    assert not refreshing.has_seen("unknown", None)


def test_a_page_of_changes_that_were_seen_is_passed_and_the_next_one_read(loading):
    """While many hooks were stored, all of them were loaded again."""
    pages = {
        "1": Changes((ChangedDocument("a", "2", deleted=False),), "2", complete=False),
        "2": Changes((ChangedDocument("b", "2", deleted=False),), "3"),
    }
    store, applied, within = Store(), [], []
    store.changes = pages.__getitem__
    store.get_many = lambda ids: {id: {"_id": id} for id in ids}
    timer = Timer()
    timer.within = within.append
    refreshing = HookRefreshing(
        store, loading, applied.append, None, None, lambda _call: timer, structlog.get_logger()
    )
    refreshing.saw("a", "2")
    refreshing.ask("sender", 1)
    within.clear()
    refreshing.compare()
    assert (loading.since, within, loading.barrier_tickets) == ("2", [0], [])
    refreshing.compare()
    assert (loading.since, applied, within) == ("3", [[{"_id": "b"}]], [0])
    assert len(loading.barrier_tickets) == 1
    assert refreshing.has_seen("a", "2"), "its announcement may still come"


@pytest.mark.parametrize(
    ("missed", "loads_all"), [(0, True), (1, False), (100, False), (101, True)]
)
def test_all_hooks_are_loaded_where_the_store_cannot_list_few(loading, missed, loads_all):
    """It lists none after a position that is not its own."""
    many = tuple(ChangedDocument(f"h{number}", "2", deleted=False) for number in range(missed))
    store, loads = Store(), []
    store.changes = lambda _since: Changes(many, "9", complete=False)
    refreshing = HookRefreshing(
        store, loading, None, lambda: loads.append(1), None, lambda _call: Timer(), None
    )
    refreshing.compare()
    assert (loads, loading.since) == (([1], "1") if loads_all else ([], "9"))


def test_all_hooks_are_loaded_where_one_was_deleted_without_a_message(loading):
    """Its account, which is part of its key, is stored no more."""
    store, loads = Store(), []
    deleted = ChangedDocument("gone", "2", deleted=True)
    store.changes = lambda _since: Changes((deleted,), "9")
    refreshing = HookRefreshing(
        store, loading, None, lambda: loads.append(1), None, lambda _call: Timer(), None
    )
    refreshing.compare()
    assert (loads, loading.since) == ([1], "1")
    refreshing.saw("gone", GONE)
    refreshing.compare()
    assert (loads, loading.since) == ([1], "9")
