"""Telling subscribers: batched, bounded, and without waiting for any of them."""

import itertools
from collections.abc import Callable, Mapping
from typing import Any

from attrs import Factory, define
from thespian.actors import ActorAddress

from callboard.actors.messages.notifications import KIND_OF, Notice, Notices, NoticesSeen
from callboard.supervision import Call, Peer, Timer

INTERVAL_S = 0.1
"""Time between two batches of a process; with more than one subscriber, so much for each."""
MAX_WAITING = 100
"""Notices that wait for a subscriber, and so the largest batch; more are counted, not kept."""


def subscription_path(kind: str, subscription: int) -> str:
    """The path under which a subscriber is a peer of those that have notices of that kind."""
    return f"subscribers/{kind}/{subscription}"


def subscribers_of(*kinds: str) -> tuple[str, ...]:
    """What the ChildSpec of an actor with such notices names as peers."""
    return tuple(f"subscribers/{kind}/*" for kind in kinds)


@define
class SubscriberQueue:
    """What one subscriber is to be told of one kind; one batch at a time is under way."""

    subscription: int
    kind: str
    _waiting: list[Notice] = Factory(list)
    _left_out: int = 0
    _under_way: int | None = None
    _numbers: Any = Factory(lambda: itertools.count(1))

    def add(self, notice: Notice) -> None:
        """Keep a notice, or count it when too many wait already."""
        if len(self._waiting) < MAX_WAITING:
            self._waiting.append(notice)
        else:
            self._left_out += 1

    def due(self) -> bool:
        """Whether there is a batch that may be sent now."""
        return self._under_way is None and bool(self._waiting)

    def batch(self) -> Notices:
        """All that waits; nothing more is due until it is seen."""
        self._under_way = next(self._numbers)
        batch = Notices(
            self.subscription, self.kind, self._under_way, tuple(self._waiting), self._left_out
        )
        self._waiting, self._left_out = [], 0
        return batch

    def seen(self, number: int) -> None:
        """The subscriber has that batch."""
        if number == self._under_way:
            self._under_way = None


class NotificationPublisher:
    """Sends an actor's notices to the subscribers, which that actor knows as peers.

    The actor's ChildSpec names `subscribers_of(kind)` among the peers; the actor passes on each
    `NoticesSeen` to `seen`. Without subscribers `notify` looks at the peers and does nothing.
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
        """Have every subscriber to this kind told soon."""
        kind = KIND_OF[type(notice)]
        for path, peer in self._peers().items():
            if path.startswith(f"subscribers/{kind}/"):
                queue = self._queues.setdefault(path, SubscriberQueue(peer.incarnation, kind))
                queue.add(notice)
                self._send_soon()

    def seen(self, message: NoticesSeen) -> None:
        """A subscriber has a batch: the next may follow."""
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
