"""An event whose matching ends the responder's process is found, and the others are matched."""

import pytest

from callboard.actors.base.intake import DEADLY
from callboard.actors.events.event_guard import EventGuard
from callboard.actors.events.routing import message_of
from callboard.actors.messages import RawEvent
from callboard.adapters.local.suspects import Suspects
from callboard.adapters.store.protocol import StoreUnavailable
from callboard.webhooks.events.event import PoisonEvent


class Death(BaseException):
    """kill -9: nothing of the process runs after it."""


class Killed(Suspects):
    """A process that dies leaves its mark."""

    dead = False

    def mark(self, one=b""):
        if not self.dead:
            super().mark(one)

    def unmark(self):
        if not self.dead:
            super().unmark()

    def clear(self, digest):
        if not self.dead:
            super().clear(digest)


def event(number):
    return RawEvent(number, "e", "k", str(number).encode(), None, None)


def ends(_result):
    return True


def life(folder, events, deadly):
    """Match events until the process dies: the results, or None."""
    suspects = Killed(folder / "responder", None)
    guard = EventGuard(suspects, held=100)

    def match(raw):
        if raw.tag in deadly:
            suspects.dead = True
            raise Death
        return raw.tag

    results = {}
    try:
        with guard.handling():
            for raw in events:
                try:
                    results[raw.tag] = guard.run(raw, match, ends)
                except PoisonEvent as problem:
                    results[raw.tag] = str(problem)
    except Death:
        return None
    return results


def test_an_event_that_kills_the_process_is_refused_at_last(tmp_path):
    events = [event(number) for number in range(50)]
    lives = [life(tmp_path, events, deadly={7}) for _ in range(4)]
    assert lives[:3] == [None] * 3
    assert lives[3] == {number: number for number in range(50)} | {7: DEADLY}


def sliced_life(folder, deadly):
    """Match events, and make three deliveries of each, until the process dies."""
    suspects = Killed(folder / "responder", None)
    guard = EventGuard(suspects, held=100)

    def make(number):
        if number in deadly:
            suspects.dead = True
            raise Death
        return number

    results = {}
    try:
        with guard.handling():
            for raw in map(event, range(20)):
                try:
                    guard.run(raw, lambda raw: raw.tag, lambda _result: False)
                except PoisonEvent as problem:
                    results[raw.tag] = str(problem)
                    continue
                key = message_of(raw)
                made = [guard.make(key, lambda tag=raw.tag: make(tag)) for _ in range(3)]
                guard.made(key)
                results[raw.tag] = made[0]
    except Death:
        return None
    assert len(suspects) == 0
    return results


def test_an_event_whose_encoding_kills_the_process_is_refused_at_last(tmp_path):
    lives = [sliced_life(tmp_path, deadly={7}) for _ in range(4)]
    assert lives[:3] == [None] * 3
    assert lives[3] == {number: number for number in range(20)} | {7: DEADLY}


def test_a_store_that_is_away_is_no_death(tmp_path):
    guard = EventGuard(Suspects(tmp_path / "responder", None), held=100)

    def away(_raw):
        raise StoreUnavailable("away")

    for _ in range(5):
        with pytest.raises(StoreUnavailable), guard.handling():
            guard.run(event(1), away, ends)
    assert EventGuard(Suspects(tmp_path / "responder", None), 100).run(event(1), len_of, ends) == 1


def len_of(raw):
    return len(raw.body)


def test_many_deaths_make_the_next_process_wait(tmp_path):
    for _ in range(2):
        life(tmp_path, [event(1)], deadly={1})
    guard = EventGuard(Suspects(tmp_path / "responder", None), held=100)
    assert 0 < guard.pause_s(2) <= 10
    assert guard.pause_s(3) == 0


def test_after_a_refused_event_a_death_is_still_one_of_some_event(tmp_path):
    assert life(tmp_path, [event(0)], deadly={0}) is None
    suspects = Killed(tmp_path / "responder", None)
    guard = EventGuard(suspects, held=100)

    def refuse(_raw):
        raise PoisonEvent("odd")

    with guard.handling():
        with pytest.raises(PoisonEvent):
            guard.run(event(1), refuse, ends)
        suspects.dead = True
    assert Suspects(tmp_path / "responder", None).wary


def test_an_event_that_is_made_after_all_is_suspected_no_longer(tmp_path):
    assert [sliced_life(tmp_path, deadly={7}) for _ in range(2)] == [None, None]
    assert len(Suspects(tmp_path / "responder", None)) == 1
    assert sliced_life(tmp_path, deadly=()) == {number: number for number in range(20)}


def test_a_death_after_a_slice_is_one_of_some_event(tmp_path):
    assert life(tmp_path, [event(0)], deadly={0}) is None
    suspects = Killed(tmp_path / "responder", None)
    guard, key = EventGuard(suspects, held=100), message_of(event(1))
    with guard.handling():
        guard.run(event(1), lambda raw: raw.tag, lambda _result: False)
        assert guard.make(key, lambda: "made") == "made"
        suspects.dead = True
    heir = Suspects(tmp_path / "responder", None)
    assert (heir.wary, len(heir)) == (True, 0)


def test_as_many_events_are_marked_by_their_digests_as_may_be_redelivered(tmp_path):
    assert life(tmp_path, [event(0)], deadly={0}) is None
    suspects = Killed(tmp_path / "responder", None)
    guard, marked = EventGuard(suspects, held=2), []
    mark = suspects.mark
    suspects.mark = lambda one=b"": (marked.append(bool(one)), mark(one))
    for number in range(3):
        guard.run(event(number), len_of, ends)
    assert marked == [True, False, True, False]


def test_an_event_that_is_handled_after_all_is_suspected_no_longer(tmp_path):
    events = [event(number) for number in range(5)]
    assert [life(tmp_path, events, deadly={3}) for _ in range(2)] == [None, None]
    assert len(Suspects(tmp_path / "responder", None)) == 1
    assert life(tmp_path, events, deadly=()) == {number: number for number in range(5)}
    assert len(Suspects(tmp_path / "responder", None)) == 0


def test_before_any_death_events_are_not_marked_by_themselves(tmp_path):
    suspects, marked = Suspects(tmp_path / "responder", None), []
    guard, suspects.mark = EventGuard(suspects, held=100), marked.append
    assert guard.run(event(1), len_of, ends) == 1
    assert guard.make(message_of(event(1)), lambda: "made") == "made"
    assert marked == []


def test_a_death_while_no_event_is_handled_is_none_of_an_event(tmp_path):
    suspects = Killed(tmp_path / "responder", None)
    guard = EventGuard(suspects, held=100)
    with guard.handling():
        guard.run(event(1), len_of, ends)
    suspects.dead = True
    assert not Suspects(tmp_path / "responder", None).wary


def test_an_event_that_is_refused_for_another_reason_is_suspected_no_longer(tmp_path):
    assert [life(tmp_path, [event(1)], deadly={1}) for _ in range(2)] == [None, None]
    suspects = Suspects(tmp_path / "responder", None)
    assert len(suspects) == 1

    def refuse(_raw):
        raise PoisonEvent("odd")

    with pytest.raises(PoisonEvent):
        EventGuard(suspects, held=100).run(event(1), refuse, ends)
    assert len(suspects) == 0
