"""Sends notifications to subscribers in batches, with a bound, and without waiting for them."""

import itertools
from collections.abc import Callable, Mapping
from typing import Any

from attrs import Factory, define
from thespian.actors import ActorAddress

from callboard.actors.messages.notifications import KIND_OF, Notice, Notices, NoticesSeen
from callboard.supervision import Call, Peer, Timer

INTERVAL_S = 0.1
"""The interval between the batches of a process, multiplied by the number of subscribers."""
MAX_WAITING = 100
"""Limit of waiting notifications, and so of a batch; more are counted in `left_out` and dropped."""


def subscription_path(kind: str, subscription: int) -> str:
    """The path of a subscriber as a peer of the actors that send notifications of that kind."""
    return f"subscribers/{kind}/{subscription}"


def subscribers_of(*kinds: str) -> tuple[str, ...]:
    """The peers to name in the ChildSpec of an actor that sends these kinds of notifications."""
    return tuple(f"subscribers/{kind}/*" for kind in kinds)


@define
class SubscriberQueue:
    """The notifications of one kind for one subscriber, with one unconfirmed batch at a time."""

    subscription: int
    kind: str
    _waiting: list[Notice] = Factory(list)
    _left_out: int = 0
    _unconfirmed: int | None = None
    _numbers: Any = Factory(lambda: itertools.count(1))

    def add(self, notice: Notice) -> None:
        """Queue a notification, or count it if too many wait already."""
        if len(self._waiting) < MAX_WAITING:
            self._waiting.append(notice)
        else:
            self._left_out += 1

    def due(self) -> bool:
        """Whether there is a batch that may be sent now."""
        return self._unconfirmed is None and bool(self._waiting)

    def batch(self) -> Notices:
        """The next batch, with all waiting notifications; no other is due until it is `seen`."""
        self._unconfirmed = next(self._numbers)
        batch = Notices(
            self.subscription, self.kind, self._unconfirmed, tuple(self._waiting), self._left_out
        )
        self._waiting, self._left_out = [], 0
        return batch

    def seen(self, number: int) -> None:
        """The subscriber has confirmed the batch."""
        if number == self._unconfirmed:
            self._unconfirmed = None


class NotificationPublisher:
    """Sends an actor's notifications to the subscribers, which are its peers.

    The actor's ChildSpec names `subscribers_of(kind)` among the peers, and the actor passes each
    `NoticesSeen` to `seen`. Without subscribers `notify` does nothing.
    """

    def __init__(
        self,
        peers: Callable[[], Mapping[str, Peer]],
        send: Callable[[ActorAddress, Notices], None],
        timer: Callable[[Call], Timer],
    ) -> None:
        self._peers, self._send = peers, send
        self._queues: dict[str, SubscriberQueue] = {}
        self._batches_due = timer(self._send_batches)

    def notify(self, notice: Notice) -> None:
        """Queue a notification for every subscriber to its kind."""
        kind = KIND_OF[type(notice)]
        for path, peer in self._peers().items():
            if path.startswith(f"subscribers/{kind}/"):
                queue = self._queues.setdefault(path, SubscriberQueue(peer.incarnation, kind))
                queue.add(notice)
                self._send_soon()

    def seen(self, message: NoticesSeen) -> None:
        """A subscriber has confirmed a batch: the next may follow."""
        queue = self._queues.get(subscription_path(message.kind, message.subscription))
        if queue is not None:
            queue.seen(message.number)
            if queue.due():
                self._send_soon()

    def _send_batches(self) -> None:
        subscribers = self._peers()
        self._queues = {p: queue for p, queue in self._queues.items() if p in subscribers}
        for path, queue in self._queues.items():
            if queue.due():
                self._send(subscribers[path].address, queue.batch())

    def _send_soon(self) -> None:
        if not self._batches_due.is_set:
            self._batches_due.within(INTERVAL_S * max(1, len(self._queues)))
