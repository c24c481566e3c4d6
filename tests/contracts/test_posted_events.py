"""The notes of posted events in a store: found by their keys for a day, then swept."""

import threading

import pytest

from callboard.adapters.repositories.posted_events import PostedEvents
from callboard.adapters.store.protocol import Conflict
from callboard.webhooks.modules.posted_event import PostedEvent
from callboard.webhooks.values.kazoo_names import gregorian_s
from support.patience import patient
from support.stores import Meddled

NOW = 1_800_000_000.0
NOON = 12 * 3600


@pytest.fixture
def notes(store):
    return PostedEvents(store)


def note(notes, id, now=NOW, key="k", account="a"):
    event = PostedEvent(id, "n", account, gregorian_s(now), {})
    return notes.note(event, key, "f", now)


@pytest.mark.parametrize("later", [0, 1, NOON, 86_400 - 1])
def test_a_key_finds_its_event_for_a_day(notes, later):
    assert note(notes, "1").event_id == "1"
    again = note(notes, "2", NOW + later)
    assert (again.event_id, again.published, again.at) == ("1", False, gregorian_s(NOW))
    notes.published(again)
    assert note(notes, "3", NOW + later).published
    assert note(notes, "4", NOW + later, key="other").event_id == "4"
    assert note(notes, "5", NOW + later, account="b").event_id == "5"


def test_after_a_day_the_key_is_free(notes):
    note(notes, "1")
    assert note(notes, "2", NOW + 86_400).event_id == "2"
    assert note(notes, "3", NOW + 86_400 + 1).event_id == "2"


def test_one_that_is_forgotten_is_free_at_once(notes):
    noted = note(notes, "1")
    notes.forget(noted)
    notes.forget(noted)
    assert note(notes, "2").event_id == "2"


def test_of_many_at_once_one_is_noted(notes, store):
    store.ensure_database("callboard_posted_events")
    found, barrier = [], threading.Barrier(4)

    def post(id):
        barrier.wait(patient(10))
        found.append(note(notes, id).event_id)

    threads = [threading.Thread(target=post, args=(str(n),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(patient(30))
    assert len(found) == 4
    assert len(set(found)) == 1


def test_old_ones_are_swept_and_young_ones_stay(notes, store):
    assert notes.sweep(NOW) is False
    for day in range(4):
        note(notes, str(day), NOW + day * 86_400)
    assert notes.sweep(NOW + 3 * 86_400) is False
    assert sorted(d["event_id"] for d in store.documents("callboard_posted_events")) == ["2", "3"]


def test_a_key_that_others_keep_noting_is_given_up_after_two_saves(store):
    saves = []

    class Busy(Meddled):
        def save(self, _database, document):
            saves.append(document["_id"])
            raise Conflict("busy")

    store.ensure_database("callboard_posted_events")
    with pytest.raises(Conflict, match="this key is being used by others"):
        note(PostedEvents(Busy(store)), "1")
    assert len(saves) == 2
