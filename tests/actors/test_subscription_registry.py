"""Who is subscribed to notifications: so many, and only those that confirm what they are sent."""

import pytest

from callboard.actors.base.notification_publisher import subscription_path
from callboard.actors.messages import Refused
from callboard.actors.messages.notifications import (
    CHILD_RESTARTED,
    DELIVERY_FAILED,
    HOOK_DISABLED,
    ChildRestarted,
    Notices,
    NoticesSeen,
    Subscribed,
    SubscribeToNotices,
    Unsubscribe,
    Unsubscribed,
)
from callboard.actors.system.subscription_registry import SubscriptionRegistry
from callboard.supervision import Peer


class Registry(SubscriptionRegistry):
    """A registry without children, whose messages stay here, by addressee."""

    def __init__(self):
        self.sent, self.timers = {}, []
        super().__init__({"Thespian ActorSystem Name": "simpleSystem"})

    def send(self, address, message):
        self.sent.setdefault(address, []).append(message)

    def guests_changed(self):
        """Keep whom the actors are to notify."""
        self.notified = {path: (peer.incarnation, peer.pid) for path, peer in self.guests().items()}
        super().guests_changed()

    def after(self, seconds, call):
        self.timers.append((seconds, call))

    def subscribe(self, subscriber, *kinds):
        self.receiveMsg_SubscribeToNotices(
            SubscribeToNotices(kinds or (HOOK_DISABLED,)), subscriber
        )

    def check(self):
        """The timer's call, 20 s after the last one."""
        ((seconds, call),) = self.timers
        self.timers.clear()
        assert seconds == pytest.approx(20, abs=0.1)
        call()

    def confirm(self, subscriber):
        """The subscriber confirms what it has received."""
        for message in self.heard(subscriber, Notices):
            self.receiveMsg_NoticesSeen(message.seen(), subscriber)

    def heard(self, subscriber, kind):
        return [message for message in self.sent.pop(subscriber, ()) if isinstance(message, kind)]


@pytest.fixture
def registry():
    return Registry()


def test_there_are_64_subscribers_and_no_more(registry):
    names = [f"subscriber {number}" for number in range(64)]
    for name in names:
        registry.subscribe(name)
    registry.subscribe("one too many")
    (refused,) = registry.heard("one too many", Refused)
    assert "64 subscribers" in refused.reason
    assert len(registry.guests()) == 64
    registry.subscribe(names[0], DELIVERY_FAILED)  # in place of what it had
    assert registry.heard(names[0], Refused) == []
    assert len(registry.guests()) == 64
    registry.receiveMsg_Unsubscribe(Unsubscribe(), names[1])
    registry.subscribe("one too many")
    assert registry.heard("one too many", Subscribed) == [Subscribed((HOOK_DISABLED,))]


def test_who_confirms_nothing_is_dropped_after_three_checks_and_the_others_stay(registry):
    for name in ("deaf", "lively"):
        registry.subscribe(name)
    assert registry.notified == {subscription_path(HOOK_DISABLED, n): (n, 0) for n in (1, 2)}
    for _check in range(3):
        registry.check()
        registry.confirm("lively")
    assert registry.heard("deaf", Notices)[-3:] == [Notices(1, "", 0)] * 3
    assert registry.heard("deaf", Unsubscribed) == []
    registry.check()
    (dropped,) = registry.heard("deaf", Unsubscribed)
    assert "3 checks were not confirmed" in dropped.reason
    assert registry.notified == {subscription_path(HOOK_DISABLED, 2): (2, 0)}
    registry.receiveMsg_NoticesSeen(NoticesSeen(1, "", 0), "deaf")  # too late
    for _check in range(4):
        registry.confirm("lively")
        registry.check()
    assert registry.heard("lively", Unsubscribed) == []


def test_without_subscribers_there_is_nothing_to_check(registry):
    registry.subscribe("one")
    registry.receiveMsg_Unsubscribe(Unsubscribe(), "one")
    registry.check()
    assert registry.timers == []
    registry.receiveMsg_Unsubscribe(Unsubscribe(), "one")
    assert registry.heard("one", Unsubscribed) == [
        Unsubscribed("it was asked for"),
        Unsubscribed("there was no subscription"),
    ]


def test_subscribers_hear_how_often_an_actor_was_restarted_and_why(registry):
    registry.subscribe("one", CHILD_RESTARTED)
    because = "no answer from amqp://user:secret@h/"
    for incarnation in (1, 2, 2, 5):
        peer = Peer("api", incarnation, "address", 100 + incarnation, because)
        registry.on_directory({"api": peer, "metrics": Peer("metrics", 1, "other", 7)})
    _check, (_seconds, send) = registry.timers
    send()
    (batch,) = registry.heard("one", Notices)
    masked = "no answer from amqp://user:***@h/"
    assert batch.notices == (
        ChildRestarted("api", 102, 1, masked),
        ChildRestarted("api", 105, 2, masked),
    )


def test_one_confirmation_in_four_checks_is_enough(registry):
    registry.subscribe("one")
    for _round in range(3):
        for _check in range(3):
            registry.check()
        registry.confirm("one")
    assert registry.heard("one", Unsubscribed) == []
    for _check in range(3):
        registry.check()
    assert registry.heard("one", Unsubscribed) == []
    registry.check()
    assert len(registry.heard("one", Unsubscribed)) == 1


def test_its_own_notifications_follow_a_confirmation(registry):
    registry.subscribe("one", CHILD_RESTARTED)

    def restarted(incarnation):
        registry.on_directory({"api": Peer("api", incarnation, "address", 1, "it was killed")})
        due, registry.timers = registry.timers, []
        for seconds, call in due:
            if seconds < 10:
                call()
            else:
                registry.timers.append((seconds, call))
        return [batch for batch in registry.heard("one", Notices) if batch.notices]

    assert restarted(1) == []
    (first,) = restarted(2)
    assert restarted(3) == []
    registry.receiveMsg_NoticesSeen(first.seen(), "one")
    (second,) = restarted(4)
    assert len(second.notices) == 2
