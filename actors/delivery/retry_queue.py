"""The durable retry queue: the broker stores deferred deliveries until they are due."""

import itertools
import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import define, frozen
from thespian.actors import ActorAddress

from callboard.actors.base.event_modules import event_modules
from callboard.actors.base.outbox import cut
from callboard.actors.base.placement import deliverer_for, deliverers_among, is_deliverer
from callboard.actors.base.role import BrokerRole, Setup
from callboard.actors.delivery.judging import HookJudge
from callboard.actors.delivery.waiting_deliveries import WaitingDeliveries
from callboard.actors.messages import (
    Defer,
    Deferred,
    DueBatch,
    HooksFound,
    HooksOutdated,
    NotHeld,
    Progress,
    Reconcile,
)
from callboard.actors.messages.paths import HOOK_TABLE
from callboard.adapters.broker.protocol import (
    BrokerEvent,
    Confirmed,
    ConnectionDown,
    ConnectionUp,
    DelayQueue,
    Depths,
    IncomingMessage,
    OutgoingMessage,
    Properties,
    Received,
    Returned,
    Topology,
    Unconfirmed,
    Unreadable,
)
from callboard.adapters.broker.publications import publication_of
from callboard.adapters.broker.queues import shared_queue
from callboard.adapters.repositories.hooks import HookStore
from callboard.config.settings import Settings
from callboard.supervision import Peer
from callboard.webhooks.acknowledgement.batch_ledger import BatchLedger
from callboard.webhooks.acknowledgement.receipts import Source
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.metrics import catalog
from callboard.webhooks.retries.delay_classes import DELAY_CLASSES, next_wait
from callboard.webhooks.retries.retry_message import (
    RetryMessage,
    UnreadableDelivery,
    as_json,
    from_json,
)
from callboard.webhooks.retries.standing import Cancel, Send, Wait

MAX_ITEMS = 200
MAX_SHARES_ON_THE_WAY = 20
"""Limit of shares sent to deliverers and not yet accepted; due deliveries wait meanwhile."""
REPUBLISH_S = 1.0
RECONCILE_S = 30.0
STALE_S = 60.0

DEPTHS_S = 5.0


@define
class _Batch:
    """Deliveries that a deliverer deferred together. `left`: those the broker has not confirmed."""

    id: tuple[Source, int]
    deliverer: ActorAddress
    left: int


@define
class _Publish:
    """A delivery to publish: deferred by a deliverer (`batch`), or received (`tag`) for its next
    wait and to be acknowledged once it is published.

    `reason`: why it is deferred; empty for the next of its waits. `message`: as published.
    """

    item: RetryMessage
    batch: _Batch | None = None
    tag: int | None = None
    reason: str = ""
    message: bytes = b""


@frozen
class _Decided:
    """A due delivery to send or to cancel. `change`: the hook table's latest at that time."""

    tag: int
    fate: Send | Cancel
    change: int


class RetryQueue(BrokerRole):
    """Keeps deliveries in delay queues at the broker, and sends due ones to the deliverers.

    A deferral is confirmed with `Deferred` once the broker has confirmed it. A message received
    from the due queue is acknowledged once a deliverer has settled it or the next delay queue has
    it. So if any process dies, the broker still has every delivery, at most twice. All nodes share
    the queues.

    A due delivery is sent as its hook would send it now, waits again if its hook is disabled for
    its failures, or is cancelled (judging.py).
    """

    set_aside_event = "retry_set_aside"

    def begin(self, setup: Setup) -> None:
        """Declare the queues and consume the due queue."""
        self._ids = itertools.count(1)
        self._connected = False
        self._to_publish: deque[_Publish] = deque()
        self._publishing: dict[int, _Publish] = {}
        self._returned: set[int] = set()
        self._batches: dict[tuple[Source, int], _Batch] = {}
        self._republish_due = self.timer(self._publish_all)
        self._due: deque[_Decided] = deque()
        store = self.connect_store()
        self._change = 0
        self._judge = HookJudge(
            self.settings,
            store=HookStore(store),
            directory=self.directory(store),
            known_events=frozenset(
                name
                for module in event_modules(self.settings).modules
                for name in (module.id, *module.events)
            ),
            table=lambda: self.peer(HOOK_TABLE),
            send=self.send,
            timer=self.timer,
            decide=self._decide,
            log=self.log,
        )
        self._ledger = BatchLedger()
        self._index = self.own(WaitingDeliveries(self.settings, HookStore(store), self.log))
        names = "received put_off kept rounds handed_out settled held outdated"
        self._counts = dict.fromkeys(names.split(), 0)
        self.connect_broker(topology(self.settings))
        self._names = {delay_queue(self.settings, name): name for name in DELAY_CLASSES}
        self._names[due_queue(self.settings)] = "due"
        self.every(RECONCILE_S, self._reconcile)
        self.every(DEPTHS_S, self.broker.ask_depths)

    def stats(self) -> Mapping[str, Any]:
        """Counts since the start, and deliveries in progress."""
        return {
            "broker": "up" if self._connected else "down",
            **self._counts,
            "poison": self.quarantine.count,
            "unconfirmed": len(self._to_publish) + len(self._publishing),
            "in_hand": len(self._ledger) + len(self._due) + len(self._judge),
        }

    def measure(self) -> None:
        """Count due deliveries; the broker reports the depths of the queues."""
        self.tally.set(catalog.RETRIES_HANDED_OUT, self._counts["handed_out"])
        self.tally.set(catalog.RETRIES_POISON, self.quarantine.count)

    # Broker events

    def on_broker(self, event: BrokerEvent) -> None:
        """Take due deliveries; publish unconfirmed ones again."""
        match event:
            case Received(messages):
                self._take(messages)
            case Unreadable(unreadable):
                self._counts["received"] += len(unreadable)
            case Confirmed(ids):
                self._confirmed(ids)
            case Unconfirmed(ids, reason):
                self._unconfirmed(ids, reason)
            case Returned(id, reason):
                self._returned.add(id)
                self.log.error("retry_queue_missing", reason=reason)
            case Depths(messages):
                for queue, depth in messages.items():
                    self.tally.set(catalog.RETRY_QUEUE_MESSAGES, depth, self._names[queue])
            case ConnectionUp(queue):
                self._connected = True
                self.log.info("broker_up", queue=queue)
                self.broker.ask_depths()
                self._publish_all()
            case ConnectionDown(reason, retry_in_s):
                self._connected = False
                self._forget_received()
                self.log.warning("broker_down", reason=reason, retry_in_s=round(retry_in_s, 2))

    def after_poll(self) -> None:
        """Find out about the hooks of the received deliveries, and send those that are decided."""
        self._judge.ask()
        self._dispatch()

    def _forget_received(self) -> None:
        """Drop received messages; the broker will redeliver those not acknowledged."""
        self._ledger = BatchLedger()
        self._judge.forget()
        self._due.clear()
        self._returned.clear()
        self._to_publish = deque(p for p in self._to_publish if p.tag is None)
        self._publishing = {id: p for id, p in self._publishing.items() if p.tag is None}

    def _take(self, messages: Iterable[IncomingMessage]) -> None:
        done, due = [], []
        for message in messages:
            self._counts["received"] += 1
            if self.set_aside_if_large(message):
                done.append(message.tag)
                continue
            try:
                item = from_json(message.body)
            except UnreadableDelivery as problem:
                self.set_aside(message.tag, publication_of(message), str(problem))
                done.append(message.tag)
                continue
            if next_wait(item.left, item.due_ms, int(time.time() * 1000)) is None:
                due.append((message.tag, item))
            else:
                self._counts["rounds"] += 1
                self._to_publish.append(_Publish(item, tag=message.tag))
        outdated = self._index.outdated(due)
        self._counts["outdated"] += len(outdated)
        done += outdated
        for tag, item in due:
            if tag not in outdated:
                self._judge.take(tag, item)
        self.quarantine.write()
        self.acknowledge(done)
        self._publish_all()

    # The hooks of due deliveries

    def receiveMsg_HooksFound(self, message: HooksFound, _sender: ActorAddress) -> None:
        """The hook table's response."""
        self._change = message.change
        self._judge.found(message)
        self._publish_all()
        self._dispatch()

    def receiveMsg_HooksOutdated(self, message: HooksOutdated, _sender: ActorAddress) -> None:
        """Hooks were changed or removed: a response on its way may be outdated."""
        self._judge.outdated(message)
        self._index.hooks_changed(message.keys)
        keys, decided = set(message.keys), list(self._due)
        self._due.clear()
        for due in decided:
            delivery = due.fate.retry.delivery
            if (delivery.account_id, delivery.hook_id) in keys:
                self._judge.take(due.tag, due.fate.retry)
            else:
                self._due.append(due)
        self._judge.ask()

    def _decide(self, tag: int, fate: Send | Wait | Cancel) -> None:
        if isinstance(fate, Wait):
            self._counts["held"] += 1
            self._to_publish.append(_Publish(fate.retry, tag=tag, reason=fate.reason))
        else:
            self._due.append(_Decided(tag, fate, self._change))

    # Into the delay queues

    def receiveMsg_Defer(self, message: Defer, sender: ActorAddress) -> None:
        """Publish deferred deliveries."""
        id = message.deliverer, message.batch
        if id in self._batches:
            return  # A repeated message; the broker has not confirmed the first yet.
        batch = self._batches[id] = _Batch(id, sender, len(message.items))
        self._counts["put_off"] += len(message.items)
        items = message.items
        self._to_publish.extend(_Publish(item, batch=batch, reason=item.reason) for item in items)
        self._publish_all()

    def _publish_all(self) -> None:
        while self._connected and self._to_publish:
            publish = self._to_publish.popleft()
            self._publishing[self.broker.publish(self._message(publish))] = publish

    def _message(self, publish: _Publish) -> OutgoingMessage:
        """A message to the delivery's next delay queue, or to the due queue if it is due."""
        item, name = publish.item, due_queue(self.settings)
        wait = next_wait(item.left, item.due_ms, int(time.time() * 1000))
        if wait is not None:
            name, item = delay_queue(self.settings, wait[0]), item.waiting_for(wait[1])
        publish.message = as_json(item)
        return _outgoing(name, item, publish.message)

    def _confirmed(self, ids: Iterable[int]) -> None:
        done, deferred = [], []
        for id in ids:
            publish = self._publishing.pop(id, None)
            if publish is None:
                continue
            if id in self._returned:
                self._returned.discard(id)
                self._publish_soon(publish)
                continue
            if publish.reason and publish.item.left:
                deferred.append((publish.item, publish.message, publish.reason))
            if publish.batch is not None:
                self._kept(publish.batch)
            elif publish.tag is not None:
                done.append(publish.tag)
        self._index.put(deferred)
        if done:
            self.broker.ack(done)

    def _kept(self, batch: _Batch) -> None:
        self._counts["kept"] += 1
        batch.left -= 1
        if not batch.left:
            del self._batches[batch.id]
            self.send(batch.deliverer, Deferred(batch.id[1]))

    def _unconfirmed(self, ids: Iterable[int], reason: str) -> None:
        for id in ids:
            if (publish := self._publishing.pop(id, None)) is not None:
                self._publish_soon(publish)
        self.log.warning("put_off_unconfirmed", reason=reason)

    def _publish_soon(self, publish: _Publish) -> None:
        self._to_publish.append(publish)
        self._republish_due.within(REPUBLISH_S)

    # Out to the deliverers

    def _dispatch(self) -> None:
        deliverers = deliverers_among(self.peers)
        if not deliverers or not self._due or self._ledger.on_the_way >= MAX_SHARES_ON_THE_WAY:
            return
        by_deliverer: dict[str, list[_Decided]] = {}
        while self._due:
            due = self._due.popleft()
            path = self._deliverer_of(due.fate.retry.delivery, deliverers)
            by_deliverer.setdefault(path, []).append(due)
        for path, decided in by_deliverer.items():
            for batch in cut(decided, MAX_ITEMS, lambda due: due.fate.retry.delivery.size):
                self._hand_out(self.peers[path], batch)

    def _deliverer_of(self, delivery: Delivery, deliverers: list[Peer]) -> str:
        """The path of the deliverer that has a copy already, even if others have come or gone."""
        path, incarnation = self._ledger.holder_of(delivery.id) or ("", 0)
        peer = self.peers.get(path)
        if peer is not None and peer.incarnation == incarnation:
            return path
        return deliverer_for(delivery, deliverers).path

    def _hand_out(self, peer: Peer, batch: tuple[_Decided, ...]) -> None:
        share = str(next(self._ids))
        holder = peer.path, peer.incarnation
        ids = {due.tag: due.fate.retry.delivery.id for due in batch}
        self._ledger.sent(share, holder, ids, time.monotonic())
        self._counts["handed_out"] += len(batch)
        items = tuple((due.tag, due.fate.retry) for due in batch if isinstance(due.fate, Send))
        cancelled = tuple(
            (due.tag, due.fate.retry, due.fate.reason)
            for due in batch
            if isinstance(due.fate, Cancel)
        )
        change = min(due.change for due in batch)
        source = self.path, self.incarnation
        self.send(peer.address, DueBatch(share, source, items, cancelled, change))

    def receiveMsg_Progress(self, message: Progress, _sender: ActorAddress) -> None:
        """A deliverer has accepted shares or settled deliveries."""
        if message.source != (self.path, self.incarnation):
            return
        for share in message.accepted:
            self._ledger.accepted(share)
        done = [tag for share, tags in message.settled for tag in self._ledger.settled(share, tags)]
        if done:
            self._counts["settled"] += len(done)
            self.broker.ack(done)
        self._dispatch()

    def receiveMsg_NotHeld(self, message: NotHeld, _sender: ActorAddress) -> None:
        """Requeue shares that a deliverer never received."""
        if message.source == (self.path, self.incarnation):
            self._requeue(self._ledger.lost(message.shares))

    def _requeue(self, tags: list[int]) -> None:
        if tags:
            self.broker.requeue(tags)

    # Deaths and losses

    def on_peers(self, before: Mapping[str, Peer]) -> None:
        """Requeue the shares of deliverers that died."""
        for path, peer in before.items():
            now = self.peers.get(path)
            if is_deliverer(path) and (now is None or now.incarnation != peer.incarnation):
                self._requeue(self._ledger.died((path, peer.incarnation)))
        if self.peers.get(HOOK_TABLE) != before.get(HOOK_TABLE):
            self._judge.ask_again()
        self._dispatch()

    def _reconcile(self) -> None:
        """Ask deliverers whether they have the shares that are unsettled for STALE_S."""
        source = self.path, self.incarnation
        for path, shares in self._ledger.stale(before=time.monotonic() - STALE_S).items():
            if address := self.peer(path):
                self.send(address, Reconcile(source, tuple(shares)))


def due_message(settings: Settings, item: RetryMessage) -> OutgoingMessage:
    """A message that puts a delivery into the due queue."""
    return _outgoing(due_queue(settings), item, as_json(item))


def _outgoing(queue: str, item: RetryMessage, message: bytes) -> OutgoingMessage:
    properties = Properties(
        content_type="application/json", delivery_mode=2, message_id=item.delivery.id
    )
    return OutgoingMessage("", queue, message, properties, mandatory=True)


def topology(settings: Settings) -> Topology:
    """The delay queues and the due queue, which all nodes share."""
    due = due_queue(settings)
    return Topology(
        queue=shared_queue(due, settings.amqp.queue_type),
        prefetch=settings.delivery.retry_prefetch,
        delays=tuple(
            DelayQueue(
                delay_queue(settings, name),
                delay_ms,
                due,
                quorum=settings.amqp.queue_type == "quorum",
            )
            for name, delay_ms in DELAY_CLASSES.items()
        ),
        priority=settings.amqp.consumer_priority,
    )


def due_queue(settings: Settings) -> str:
    """The name of the queue of due deliveries."""
    return f"{settings.amqp.queue}.retries"


def delay_queue(settings: Settings, name: str) -> str:
    """The name of the queue of a delay class."""
    return f"{settings.amqp.queue}.retry.{name}"
