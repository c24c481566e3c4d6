"""Who waits for the hooks as they are stored is answered, however many ask meanwhile."""

import pytest
import structlog
from structlog.testing import capture_logs

from callboard.actors.hooks.refreshing import MAX_BARRIERS, HookRefreshing
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


def test_barriers_that_are_lost_are_forgotten(refreshing, loading, sent):
    for number in range(MAX_BARRIERS + 1):
        refreshing.ask("a", number)
        refreshing.compare()
    refreshing.applied(loading.barrier_tickets[0])
    assert sent == []
    refreshing.applied(loading.barrier_tickets[-1])
    assert sent == [("a", HooksRefreshed(MAX_BARRIERS))]
