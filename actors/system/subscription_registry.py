"""The subscribers to notifications, managed by the top supervisor."""

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
from callboard.config.rules import mask
from callboard.supervision import Peer, Supervisor

MAX_SUBSCRIBERS = 64
CHECK_S = 20.0
"""The interval for checking that a subscriber is alive, by an empty batch."""
MAX_UNCONFIRMED = 3


@define
class _Subscriber:
    """A subscriber. `unconfirmed`: checks since it last confirmed a batch."""

    address: ActorAddress
    kinds: tuple[str, ...]
    unconfirmed: int = 0


class SubscriptionRegistry(Supervisor):
    """A top supervisor with subscribers.

    They are peers of the actors that send notifications, and receive these directly. The top
    supervisor itself sends only notifications of restarted children.
    """

    def __init__(self, capabilities: Mapping[str, Any] | None = None) -> None:
        super().__init__(capabilities)
        # Guests are the subscribers, as peers.
        self._notifications = NotificationPublisher(self.guests, self.send, self.timer)
        self._subscribers: dict[int, _Subscriber] = {}
        self._last_subscription = 0
        self._check_due = self.timer(self._check_all)
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
        """Add a subscription; it replaces an earlier one of the same subscriber."""
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
        self._check_later()

    def receiveMsg_Unsubscribe(self, _message: Unsubscribe, sender: ActorAddress) -> None:
        """Remove a subscription."""
        number = self._subscription_of(sender)
        if number is not None:
            self._drop(number, "it was asked for")
        else:
            self.send(sender, Unsubscribed("there was no subscription"))

    def receiveMsg_NoticesSeen(self, message: NoticesSeen, _sender: ActorAddress) -> None:
        """A subscriber has confirmed a batch, so it is alive."""
        self._notifications.seen(message)
        if message.subscription in self._subscribers:
            self._subscribers[message.subscription].unconfirmed = 0

    def _check_all(self) -> None:
        # Count checks, not time: this process may have been suspended.
        for number, subscriber in list(self._subscribers.items()):
            if subscriber.unconfirmed >= MAX_UNCONFIRMED:
                self.log.warning("subscriber_lost", subscription=number)
                self._drop(number, f"{MAX_UNCONFIRMED} checks were not confirmed")
            else:
                subscriber.unconfirmed += 1
                self.send(subscriber.address, Notices(number, "", 0))
        self._check_later()

    def _drop(self, number: int, reason: str) -> None:
        subscriber = self._subscribers.pop(number)
        self.guests_changed()
        self.send(subscriber.address, Unsubscribed(reason))

    def _check_later(self) -> None:
        if self._subscribers:
            self._check_due.within(CHECK_S)

    def _subscription_of(self, address: ActorAddress) -> int | None:
        for number, subscriber in self._subscribers.items():
            if subscriber.address == address:
                return number
        return None

    # Restarts

    def on_directory(self, directory: Mapping[str, Peer]) -> None:
        """Notify subscribers of restarted actors."""
        for path, peer in directory.items():
            before = self._known.get(path)
            self._known[path] = peer.incarnation
            if before is not None and before != peer.incarnation:
                self._restarts[path] = self._restarts.get(path, 0) + 1
                because = mask(peer.because)
                restarted = ChildRestarted(path, peer.pid, self._restarts[path], because)
                self._notifications.notify(restarted)
