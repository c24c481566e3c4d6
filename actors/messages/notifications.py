"""Notifications for subscribed actors, and the subscription: public messages, version 1.

An actor sends `SubscribeToNotices` to the top supervisor and receives `Subscribed`. From then on it
receives `Notices`: batches, at most some ten per second from each process, which it confirms:

    def receiveMsg_Notices(self, message, sender):
        self.send(sender, message.seen())
        for notice in message.notices: ...

A subscriber that confirms nothing for a minute is considered dead and unsubscribed; empty batches
check whether it is alive. Callboard never waits for a subscriber: if notifications arrive faster
than it confirms them, `left_out` counts the missing ones. A notification can be lost with a process
that dies; the log and the stored attempts are the record.

In later versions fields may be added, at the end and with a default; nothing is renamed.
"""

from collections.abc import Iterable
from typing import Any

from attrs import field, frozen

HOOK_DISABLED = "hook_disabled"
CHILD_RESTARTED = "child_restarted"
DELIVERY_FAILED = "delivery_failed"

KINDS = (HOOK_DISABLED, CHILD_RESTARTED, DELIVERY_FAILED)


def _kinds(wanted: str | Iterable[str]) -> tuple[str, ...]:
    return (wanted,) if isinstance(wanted, str) else tuple(wanted)


def _known(_instance: Any, _attribute: Any, kinds: tuple[str, ...]) -> None:
    for kind in kinds:
        if kind not in KINDS:
            raise ValueError(f"there is no kind of notification {kind!r}, only {', '.join(KINDS)}")


@frozen
class HookDisabled:
    """A hook was disabled because it failed too often, or for another `reason`."""

    account_id: str
    hook_id: str
    reason: str
    version: int = 1


@frozen
class ChildRestarted:
    """An actor of the tree has ended and runs again.

    `pid`: its new process; `restarts`: its restarts since the top supervisor started; `reason`:
    why its predecessor ended, if its supervisor knows.
    """

    path: str
    pid: int
    restarts: int
    reason: str
    version: int = 1


@frozen
class DeliveryFailed:
    """A delivery is exhausted; there will be no further attempt.

    `event_id` identifies this delivery in the stored attempts; `delivery_id` is its `webhook-id`.
    """

    account_id: str
    hook_id: str
    delivery_id: str
    event_id: str
    uri: str
    reason: str
    version: int = 1


Notice = HookDisabled | ChildRestarted | DeliveryFailed

KIND_OF: dict[type, str] = {
    HookDisabled: HOOK_DISABLED,
    ChildRestarted: CHILD_RESTARTED,
    DeliveryFailed: DELIVERY_FAILED,
}


@frozen
class SubscribeToNotices:
    """To the top supervisor: subscribe to these kinds; replaces an earlier subscription.

    The response is `Subscribed`, or `Refused` if there are too many subscribers. Raises ValueError
    for an unknown kind.
    """

    kinds: tuple[str, ...] = field(default=KINDS, converter=_kinds, validator=_known)
    version: int = 1


@frozen
class Subscribed:
    """The subscription to these kinds; it takes effect within moments."""

    kinds: tuple[str, ...]
    version: int = 1


@frozen
class Unsubscribe:
    """To the top supervisor: end the subscription. The response is `Unsubscribed`."""

    version: int = 1


@frozen
class Unsubscribed:
    """The subscription has ended: on request, or because no batch was confirmed for too long."""

    reason: str
    version: int = 1


@frozen
class Notices:
    """A batch of notifications, to be confirmed with `seen()`; empty as a check for life.

    `left_out`: the number of notifications dropped before these.
    """

    subscription: int
    kind: str
    number: int
    notices: tuple[Notice, ...] = ()
    left_out: int = 0
    version: int = 1

    def seen(self) -> "NoticesSeen":
        """The confirmation, for the sender of the batch."""
        return NoticesSeen(self.subscription, self.kind, self.number)


@frozen
class NoticesSeen:
    """Confirms a batch; the sender may send the next."""

    subscription: int
    kind: str
    number: int
    version: int = 1
