"""What waits for a subscriber: one batch at a time, bounded, and what is left out counted."""

from callboard.actors.base.event_publisher import MAX_WAITING, Outbox
from callboard.actors.messages.notifications import HOOK_DISABLED, HookDisabled


def disabled(*numbers):
    return tuple(HookDisabled("account", str(number), "reason") for number in numbers)


def filled(*numbers):
    outbox = Outbox(1, HOOK_DISABLED)
    for notice in disabled(*numbers):
        outbox.add(notice)
    return outbox


def test_what_gathered_goes_in_one_batch():
    outbox = filled(1, 2)
    assert outbox.due()
    batch = outbox.batch()
    assert batch.notices == disabled(1, 2)
    assert not outbox.due()


def test_the_next_batch_waits_until_the_last_was_seen():
    outbox = filled(1)
    first = outbox.batch()
    outbox.add(*disabled(2))
    assert not outbox.due()
    outbox.seen(first.number - 1)
    assert not outbox.due()
    outbox.seen(first.seen().number)
    assert outbox.due()
    assert outbox.batch().notices == disabled(2)


def test_too_many_are_counted():
    outbox = filled(*range(MAX_WAITING + 7))
    batch = outbox.batch()
    assert batch.notices == disabled(*range(MAX_WAITING))
    assert batch.left_out == 7
    outbox.seen(batch.number)
    outbox.add(*disabled(1))
    assert outbox.batch().left_out == 0
