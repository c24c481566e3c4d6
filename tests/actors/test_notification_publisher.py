"""What waits for a subscriber: one batch at a time, bounded, and what is left out counted."""

import pytest

from callboard.actors.base.notification_publisher import (
    NotificationPublisher,
    SubscriberQueue,
)
from callboard.actors.messages import notifications
from callboard.actors.messages.notifications import HOOK_DISABLED, HookDisabled, NoticesSeen
from callboard.supervision import Peer, Timer


def disabled(*numbers):
    return tuple(HookDisabled("account", str(number), "reason") for number in numbers)


def filled(*numbers):
    queue = SubscriberQueue(1, HOOK_DISABLED)
    for notice in disabled(*numbers):
        queue.add(notice)
    return queue


def test_what_gathered_goes_in_one_batch():
    queue = filled(1, 2)
    assert queue.batch().notices == disabled(1, 2)
    assert queue.batch() is None


def test_the_next_batch_waits_until_the_last_was_seen():
    queue = filled(1)
    first = queue.batch()
    queue.add(*disabled(2))
    assert queue.batch() is None
    queue.seen(first.number - 1)
    assert queue.batch() is None
    assert queue.seen(first.seen().number)
    assert queue.batch().notices == disabled(2)


def test_too_many_are_counted():
    queue = filled(*range(100 + 7))
    batch = queue.batch()
    assert batch.notices == disabled(*range(100))
    assert batch.left_out == 7
    queue.seen(batch.number)
    queue.add(*disabled(1))
    assert queue.batch().left_out == 0


class Publishing:
    """A publisher with its peers, the batches that it has sent, and `due()`: its timer's call."""

    def __init__(self, *subscriptions):
        self.peers = {
            path(number): Peer(path(number), number, f"of {number}", 1) for number in subscriptions
        }
        self.sent = []
        self._set = []
        self.publisher = NotificationPublisher(
            lambda: self.peers,
            lambda address, batch: self.sent.append((address, batch)),
            lambda call: Timer(lambda _seconds, due: self._set.append(due), call),
        )

    def due(self):
        calls, self._set = self._set, []
        for call in calls:
            call()
        return len(calls)


def path(number):
    return f"subscribers/hook_disabled/{number}"


def test_a_subscriber_that_leaves_with_notices_waiting_is_forgotten():
    publishing = Publishing(1, 2)
    publishing.publisher.notify(*disabled(1))
    del publishing.peers[path(1)]
    assert publishing.due() == 1
    assert [(address, batch.notices) for address, batch in publishing.sent] == [
        ("of 2", disabled(1))
    ]
    publishing.publisher.seen(NoticesSeen(1, "hook_disabled", 1))
    assert publishing.due() == 0


def test_a_subscriber_that_leaves_after_its_batch_is_forgotten():
    publishing = Publishing(1)
    publishing.publisher.notify(*disabled(1))
    assert publishing.due() == 1
    publishing.publisher.notify(*disabled(2))
    ((_address, batch),) = publishing.sent
    publishing.peers.clear()
    publishing.publisher.seen(batch.seen())
    publishing.due()
    assert publishing.due() == 0
    assert len(publishing.sent) == 1


def test_each_subscriber_is_sent_all_and_others_kinds_go_nowhere():
    publishing = Publishing(1, 2)
    publishing.peers["subscribers/child_restarted/3"] = Peer(
        "subscribers/child_restarted/3", 3, "of 3", 1
    )
    publishing.publisher.notify(*disabled(1))
    publishing.publisher.notify(*disabled(2))
    assert publishing.due() == 1
    assert {address: batch.notices for address, batch in publishing.sent} == {
        "of 1": disabled(1, 2),
        "of 2": disabled(1, 2),
    }
    publishing.publisher.notify(*disabled(3))
    assert publishing.due() == 1
    assert len(publishing.sent) == 2
    publishing.publisher.seen(publishing.sent[0][1].seen())
    assert publishing.due() == 1
    assert publishing.sent[2][1].notices == disabled(3)


@pytest.mark.parametrize(
    "message",
    [
        *disabled(1),
        notifications.ChildRestarted("event_bridge", 1, 2, "killed"),
        notifications.DeliveryFailed("a", "h", "d", "e", "https://x.example/", "status 500"),
        notifications.SubscribeToNotices(),
        notifications.Subscribed(()),
        notifications.Unsubscribe(),
        notifications.Unsubscribed("asked"),
        notifications.Notices(1, HOOK_DISABLED, 1),
        NoticesSeen(1, HOOK_DISABLED, 1),
    ],
)
def test_messages_of_programs_that_embed_it_are_of_the_first_version(message):
    """Such a program may run with another version of these classes."""
    assert message.version == 1


def test_only_the_confirmation_of_the_last_batch_lets_another_follow():
    queue = filled(1)
    first = queue.batch()
    assert not queue.seen(first.number), "none waits"
    queue.add(*disabled(2))
    second = queue.batch()
    queue.add(*disabled(3))
    assert not queue.seen(first.number), "it was confirmed before"
    assert queue.seen(second.number)
