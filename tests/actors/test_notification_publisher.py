"""What waits for a subscriber: one batch at a time, bounded, and what is left out counted."""

from callboard.actors.base.notification_publisher import MAX_WAITING, SubscriberQueue
from callboard.actors.messages.notifications import HOOK_DISABLED, HookDisabled


def disabled(*numbers):
    return tuple(HookDisabled("account", str(number), "reason") for number in numbers)


def filled(*numbers):
    queue = SubscriberQueue(1, HOOK_DISABLED)
    for notice in disabled(*numbers):
        queue.add(notice)
    return queue


def test_what_gathered_goes_in_one_batch():
    queue = filled(1, 2)
    assert queue.due()
    batch = queue.batch()
    assert batch.notices == disabled(1, 2)
    assert not queue.due()


def test_the_next_batch_waits_until_the_last_was_seen():
    queue = filled(1)
    first = queue.batch()
    queue.add(*disabled(2))
    assert not queue.due()
    queue.seen(first.number - 1)
    assert not queue.due()
    queue.seen(first.seen().number)
    assert queue.due()
    assert queue.batch().notices == disabled(2)


def test_too_many_are_counted():
    queue = filled(*range(MAX_WAITING + 7))
    batch = queue.batch()
    assert batch.notices == disabled(*range(MAX_WAITING))
    assert batch.left_out == 7
    queue.seen(batch.number)
    queue.add(*disabled(1))
    assert queue.batch().left_out == 0
