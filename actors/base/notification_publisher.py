"""Sends notifications to subscribers in batches, with a bound, and without waiting for them."""

from collections.abc import Callable, Mapping

from attrs import Factory, define
from thespian.actors import ActorAddress

from callboard.actors.messages.notifications import KIND_OF, Notice, Notices, NoticesSeen
from callboard.supervision import Call, Peer, Timer
from callboard.webhooks.acknowledgement.outbox import Outbox

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
    _outbox: Outbox[Notice] = Factory(lambda: Outbox(MAX_WAITING, most_batches=1))
    _left_out: int = 0

    def add(self, notice: Notice) -> None:
        """Queue a notification, or count it if too many wait already."""
        if self._outbox.waiting < MAX_WAITING:
            self._outbox.add(notice)
        else:
            self._left_out += 1

    def batch(self) -> Notices | None:
        """The next batch, with all waiting notifications; None until the last is `seen`.

        It is not sent again: nothing waits for a subscriber.
        """
        if (batch := self._outbox.next(0.0)) is None:
            return None
        number, notices = batch
        left_out, self._left_out = self._left_out, 0
        return Notices(self.subscription, self.kind, number, tuple(notices), left_out)

    def seen(self, number: int) -> bool:
        """The subscriber has confirmed the batch; whether there is another."""
        return bool(self._outbox.confirmed(number) and self._outbox.waiting)


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
        if queue is not None and queue.seen(message.number):
            self._send_soon()

    def _send_batches(self) -> None:
        subscribers = self._peers()
        self._queues = {p: queue for p, queue in self._queues.items() if p in subscribers}
        for path, queue in self._queues.items():
            if (batch := queue.batch()) is not None:
                self._send(subscribers[path].address, batch)

    def _send_soon(self) -> None:
        if not self._batches_due.is_set:
            self._batches_due.within(INTERVAL_S * max(1, len(self._queues)))
