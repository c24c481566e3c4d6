"""The subscribers of a tree, kept by its top supervisor."""

from collections.abc import Mapping
from typing import Any

from attrs import define
from thespian.actors import ActorAddress

from callboard.actors.base.notification_publisher import NotificationPublisher, subscription_path
from callboard.actors.messages import Refused
from callboard.actors.messages.notifications import (
    ChildRestarted,
    Notices,
    NoticesSeen,
    Subscribed,
    SubscribeToNotices,
    Unsubscribe,
    Unsubscribed,
)
from callboard.supervision import Peer, Supervisor

MAX_SUBSCRIBERS = 64
ASK_S = 20.0
"""How often a subscriber is asked whether it is there."""
MAX_UNANSWERED = 3


@define
class _Subscriber:
    """Somebody who wants notices. `unanswered`: questions since it last confirmed anything."""

    address: ActorAddress
    kinds: tuple[str, ...]
    unanswered: int = 0


class SubscriptionRegistry(Supervisor):
    """A top supervisor with subscribers.

    They are peers of the actors that have notices for them, and so get them straight from there;
    what the top itself has to tell is which children were restarted.
    """

    def __init__(self, capabilities: Mapping[str, Any] | None = None) -> None:
        super().__init__(capabilities)
        # The top's own notices go to its guests.
        self._notifications = NotificationPublisher(self.guests, self.send, self.timer)
        self._subscribers: dict[int, _Subscriber] = {}
        self._last_subscription = 0
        self._ask_due = self.timer(self._ask_all)
        self._known: dict[str, int] = {}
        self._restarts: dict[str, int] = {}

    def guests(self) -> Mapping[str, Peer]:
        """The subscribers, by kind and number."""
        paths = {
            subscription_path(kind, number): (number, subscriber.address)
            for number, subscriber in self._subscribers.items()
            for kind in subscriber.kinds
        }
        return {p: Peer(p, number, address, 0) for p, (number, address) in paths.items()}

    # Subscribing

    def receiveMsg_SubscribeToNotices(
        self, message: SubscribeToNotices, sender: ActorAddress
    ) -> None:
        """Somebody wants to be told, or to be told something else than before."""
        before = self._subscription_of(sender)
        if before is None and len(self._subscribers) >= MAX_SUBSCRIBERS:
            self.send(sender, Refused(f"there are {MAX_SUBSCRIBERS} subscribers already"))
            return
        if before is not None:
            del self._subscribers[before]
        self._last_subscription += 1
        self._subscribers[self._last_subscription] = _Subscriber(sender, message.kinds)
        self.guests_changed()
        self.send(sender, Subscribed(message.kinds))
        self._ask_later()

    def receiveMsg_Unsubscribe(self, _message: Unsubscribe, sender: ActorAddress) -> None:
        """Somebody has heard enough."""
        number = self._subscription_of(sender)
        if number is not None:
            self._drop(number, "it was asked for")
        else:
            self.send(sender, Unsubscribed("there was no subscription"))

    def receiveMsg_NoticesSeen(self, message: NoticesSeen, _sender: ActorAddress) -> None:
        """A subscriber is there."""
        self._notifications.seen(message)
        if message.subscription in self._subscribers:
            self._subscribers[message.subscription].unanswered = 0

    def _ask_all(self) -> None:
        # By questions, not by time: where one process runs all, it may have stood still.
        for number, subscriber in list(self._subscribers.items()):
            if subscriber.unanswered >= MAX_UNANSWERED:
                self.log.warning("subscriber_lost", subscription=number)
                self._drop(number, f"{MAX_UNANSWERED} questions were not confirmed")
            else:
                subscriber.unanswered += 1
                self.send(subscriber.address, Notices(number, "", 0))
        self._ask_later()

    def _drop(self, number: int, reason: str) -> None:
        subscriber = self._subscribers.pop(number)
        self.guests_changed()
        self.send(subscriber.address, Unsubscribed(reason))

    def _ask_later(self) -> None:
        if self._subscribers:
            self._ask_due.within(ASK_S)

    def _subscription_of(self, address: ActorAddress) -> int | None:
        for number, subscriber in self._subscribers.items():
            if subscriber.address == address:
                return number
        return None

    # Restarts

    def on_directory(self, directory: Mapping[str, Peer]) -> None:
        """Notice what came back as another incarnation."""
        for path, peer in directory.items():
            before = self._known.get(path)
            self._known[path] = peer.incarnation
            if before is not None and before != peer.incarnation:
                self._restarts[path] = self._restarts.get(path, 0) + 1
                restarted = ChildRestarted(path, peer.pid, self._restarts[path], peer.because)
                self._notifications.notify(restarted)
