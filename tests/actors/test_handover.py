"""Items on their way to an actor that is to keep them."""

from callboard.actors.base.outbox import Handover


def filled(count, most_batches=2):
    handover = Handover(2, most_batches)
    for item in range(count):
        handover.add(item)
    return handover


def test_a_bounded_number_of_batches_is_out():
    handover = filled(5)
    assert handover.next(0.0) == (1, [0, 1])
    assert handover.next(0.0) == (2, [2, 3])
    assert handover.next(0.0) is None
    assert handover.kept(1) == [0, 1]
    assert handover.kept(1) == []
    assert handover.next(0.0) == (3, [4])
    assert len(handover) == 3
    assert handover.waiting == 0


def test_what_its_keeper_had_not_kept_goes_out_first():
    handover = filled(5)
    handover.next(0.0)
    handover.next(0.0)
    handover.take_back()
    assert handover.next(0.0) == (3, [0, 1])
    assert handover.kept(1) == []


def test_a_batch_ends_with_the_item_that_makes_it_large():
    handover = Handover(10, 2, size=len, most_bytes=3)
    for item in ("ab", "cd", "ef"):
        handover.add(item)
    assert handover.next(0.0) == (1, ["ab", "cd"])


def test_overdue_batches_are_told_once_in_a_while():
    handover = filled(3)
    handover.next(0.0)
    handover.next(50.0)
    assert handover.overdue(before=10.0, now=70.0) == [(1, [0, 1])]
    assert handover.overdue(before=10.0, now=71.0) == []
