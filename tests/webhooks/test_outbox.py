"""Items on their way to an actor that is to keep them."""

from callboard.webhooks.acknowledgement.outbox import Outbox, cut


def filled(count, most_batches=2):
    outbox = Outbox(2, most_batches)
    for item in range(count):
        outbox.add(item)
    return outbox


def test_a_bounded_number_of_batches_is_out():
    outbox = filled(5)
    assert outbox.next(0.0) == (1, [0, 1])
    assert outbox.next(0.0) == (2, [2, 3])
    assert outbox.next(0.0) is None
    assert outbox.confirmed(1) == [0, 1]
    assert outbox.confirmed(1) == []
    assert outbox.next(0.0) == (3, [4])
    assert len(outbox) == 3
    assert outbox.waiting == 0


def test_what_its_keeper_had_not_kept_goes_out_first():
    outbox = filled(5)
    outbox.next(0.0)
    outbox.next(0.0)
    outbox.take_back()
    assert outbox.next(0.0) == (3, [0, 1])
    assert outbox.confirmed(1) == []


def test_a_batch_ends_with_the_item_that_makes_it_large():
    outbox = Outbox(10, 2, size=len, most_bytes=3)
    for item in ("ab", "cd", "ef"):
        outbox.add(item)
    assert outbox.next(0.0) == (1, ["ab", "cd"])


def test_a_batch_has_the_most_items_that_it_may():
    assert list(cut([5, 6, 7], 2, size=lambda _item: 0)) == [(5, 6), (7,)]


def test_of_an_unknown_batch_nothing_was_sent_and_an_emptied_one_counts_afresh():
    outbox = filled(2)
    assert (outbox.sent(7), outbox.settled(7, bool)) == ([], [])
    outbox.next(0.0)
    outbox.overdue(1.0, 1.0)
    assert outbox.emptied() == [0, 1]
    assert (outbox.resent, len(outbox)) == (0, 0)


def test_items_without_a_size_are_counted_only():
    outbox = Outbox(3, most_bytes=2)
    for item in range(4):
        outbox.add(item)
    assert [outbox.next(0.0), outbox.next(0.0)] == [(1, [0, 1, 2]), (2, [3])]


def test_by_default_a_batch_ends_with_the_item_that_makes_it_a_megabyte():
    assert list(cut([999_999, 1, 5], 10, size=int)) == [(999_999, 1), (5,)]
    outbox = Outbox(10, size=int)
    for item in (1_000_000, 999_999, 1, 5):
        outbox.add(item)
    batches = [outbox.next(0.0)[1] for _batch in range(3)]
    assert batches == [[1_000_000], [999_999, 1], [5]]


def test_overdue_batches_are_told_once_in_a_while():
    outbox = filled(3)
    outbox.next(0.0)
    outbox.next(50.0)
    assert outbox.overdue(before=10.0, now=70.0) == [(1, [0, 1])]
    assert outbox.overdue(before=10.0, now=71.0) == []


def test_batches_sent_again_are_counted_until_they_are_confirmed():
    outbox = Outbox(1, 3)
    for item in "abc":
        outbox.add(item)
    first, second, third = (outbox.next(0.0)[0] for _batch in range(3))
    assert outbox.resent == 0
    for time in (1.0, 2.0, 3.0):
        outbox.overdue(time, time)
    assert outbox.resent == 3
    outbox.confirmed(first)
    outbox.settled(second, lambda item: item == "b")
    assert outbox.resent == 3
    outbox.confirmed(third)
    assert outbox.resent == 0


def test_a_batch_that_was_taken_back_goes_on_counting():
    outbox = filled(3)
    outbox.next(0.0)
    for time in (1.0, 2.0):
        outbox.overdue(time, time)
    outbox.take_back()
    assert outbox.resent == 3
    assert outbox.next(3.0) == (2, [0, 1])
    assert outbox.resent == 3
    assert outbox.next(3.0) == (3, [2])
    outbox.confirmed(2)
    assert outbox.resent == 0
