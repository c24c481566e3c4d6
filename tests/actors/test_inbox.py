"""The inbox of an actor, filled by threads."""

import os
import select
import threading

import pytest

from callboard.actors.api.inbox import Inbox
from support.patience import patient


@pytest.fixture
def inbox():
    inbox = Inbox()
    yield inbox
    inbox.close()


def is_signalled(inbox):
    return bool(select.select([inbox], [], [], 0)[0])


def test_items_that_wait_together_have_one_signal(inbox):
    for number in range(3):
        inbox.put(number)
    assert os.read(inbox.fileno(), 100) == b"!"
    assert list(inbox.taken()) == [0, 1, 2]
    assert not is_signalled(inbox)


def test_an_item_after_the_others_were_taken_has_its_own(inbox):
    inbox.put(1)
    assert list(inbox.taken()) == [1]
    inbox.put(2)
    assert is_signalled(inbox)
    assert list(inbox.taken()) == [2]


def test_an_item_that_comes_while_others_are_taken_is_taken_or_signalled(inbox):
    inbox.put(1)
    taken = inbox.taken()
    assert next(taken) == 1
    inbox.put(2)
    assert is_signalled(inbox)
    assert list(taken) == [2]


def test_no_item_of_many_threads_is_lost(inbox):
    each, writers = 5_000, 4

    def write(writer):
        for number in range(each):
            inbox.put((writer, number))

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(writers)]
    for thread in threads:
        thread.start()
    found = []
    while len(found) < each * writers:
        ready, _, _ = select.select([inbox], [], [], patient(10))
        assert ready, "an item waits without a signal"
        found += inbox.taken()
    for writer in range(writers):
        assert [number for who, number in found if who == writer] == list(range(each))


def test_an_inbox_that_was_emptied_is_no_longer_signalled(inbox):
    for number in range(2):
        inbox.put(number)
        assert is_signalled(inbox)
        assert list(inbox.taken()) == [number]
        assert not is_signalled(inbox)
