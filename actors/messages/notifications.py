"""What subscribers are told, and how they say that they want to be: public messages, version 1.

An actor sends `SubscribeToNotices` to the top supervisor and hears `Subscribed`. From then on it
gets `Notices`: batches, at most some ten a second from each process, which it confirms:

    def receiveMsg_Notices(self, message, sender):
        self.send(sender, message.seen())
        for notice in message.notices: ...

Who confirms nothing for a minute is taken for dead and hears no more; an empty batch now and then
asks whether somebody is there. Nothing waits for a subscriber: when notices come too fast for it,
`left_out` says how many are missing. A notice can get lost with a process that dies; the log and
the stored attempts are the record.

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
            raise ValueError(f"there are no notices of the kind {kind!r}, only {', '.join(KINDS)}")


@frozen
class HookDisabled:
    """A hook fires no more because it failed too often, or whatever `reason` says."""

    account_id: str
    hook_id: str
    reason: str
    version: int = 1


@frozen
class ChildRestarted:
    """An actor of the tree has ended and runs again.

    `pid`: its process now; `restarts`: how often it has been restarted since the top supervisor
    began; `reason`: why its predecessor ended, as far as its supervisor knows.
    """

    path: str
    pid: int
    restarts: int
    reason: str
    version: int = 1


@frozen
class DeliveryFailed:
    """A delivery was given up: nothing more will be tried.

    `event_id` names this firing in the stored attempts; `delivery_id` is what the receiver would
    have seen as `webhook-id`.
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
    """To the top supervisor: tell me of these kinds from now on; replaces what was asked before.

    Answered with `Subscribed`, or `Refused` when there are too many subscribers. Raises ValueError
    for a kind that there is none of.
    """

    kinds: tuple[str, ...] = field(default=KINDS, converter=_kinds, validator=_known)
    version: int = 1


@frozen
class Subscribed:
    """These kinds are sent now; processes of the tree know within moments."""

    kinds: tuple[str, ...]
    version: int = 1


@frozen
class Unsubscribe:
    """To the top supervisor: tell me nothing more. Answered with `Unsubscribed`."""

    version: int = 1


@frozen
class Unsubscribed:
    """Nothing more is sent: it was asked for, or nothing was confirmed for too long."""

    reason: str
    version: int = 1


@frozen
class Notices:
    """A batch of notices; to be confirmed with `seen()`. Empty: are you there?

    `left_out`: how many before these are missing because there were too many.
    """

    subscription: int
    kind: str
    number: int
    notices: tuple[Notice, ...] = ()
    left_out: int = 0
    version: int = 1

    def seen(self) -> "NoticesSeen":
        """What to answer to the sender of the batch."""
        return NoticesSeen(self.subscription, self.kind, self.number)


@frozen
class NoticesSeen:
    """A subscriber has received a batch; the next may come."""

    subscription: int
    kind: str
    number: int
    version: int = 1
