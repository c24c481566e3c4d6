"""The durable retry queue: the broker stores deferred deliveries until they are due."""

import itertools
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from itertools import chain
from typing import Any

from attrs import define, frozen
from thespian.actors import ActorAddress

from callboard.actors.base.event_modules import event_modules
from callboard.actors.base.placement import deliverer_for, deliverers_among
from callboard.actors.base.role import BrokerRole, Setup
from callboard.actors.delivery.earlier_deliveries import take_over
from callboard.actors.delivery.hook_freshness import UsesHooks
from callboard.actors.delivery.judging import HookJudge
from callboard.actors.delivery.ordered_queues import (
    OrderedQueues,
    OrderedRun,
    Publication,
    delay_queue,
    due_queue,
    message_for,
)
from callboard.actors.delivery.waiting_deliveries import WaitingDeliveries
from callboard.actors.messages import (
    Defer,
    Deferred,
    DeliveryBatch,
    DueBatch,
    FindOrdered,
    HooksFound,
    HooksOutdated,
    ListHookQueues,
    NotHeld,
    OrderedFound,
    Progress,
    Reconcile,
    Release,
)
from callboard.actors.messages.paths import EVENT_BRIDGE, HOOK_TABLE, is_deliverer
from callboard.adapters.broker.protocol import (
    BrokerEvent,
    Confirmed,
    ConnectionDown,
    ConnectionUp,
    Declared,
    DelayQueue,
    Depths,
    IncomingMessage,
    OutgoingMessage,
    Received,
    Removed,
    Returned,
    Topology,
    Unblocked,
    Unconfirmed,
    Unreadable,
)
from callboard.adapters.broker.publications import publication_of
from callboard.adapters.broker.queues import shared_queue
from callboard.adapters.local.ordered_file import OrderedFile
from callboard.adapters.repositories.hooks import HookStore
from callboard.adapters.store.protocol import StoreError
from callboard.config.settings import Settings
from callboard.config.time_limits import RECONCILE_S, REPEATED_S
from callboard.supervision import Peer
from callboard.webhooks.acknowledgement.batch_ledger import BatchLedger
from callboard.webhooks.acknowledgement.outbox import cut
from callboard.webhooks.acknowledgement.receipts import Receipt, Receipts, Source
from callboard.webhooks.acknowledgement.releases import Releases
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.deliveries.slicing import Refusal, reason_of
from callboard.webhooks.hooks.hook import is_deleted
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

DEPTHS_S = 5.0
FIND_ORDERED_S = 10.0
MAX_PUBLISHED_BYTES = 16 * 2**20 - 64 * 1024
"""RabbitMQ 4 closes the channel for a message above 16 MiB (max_message_size)."""


@define
class _Publish:
    """A delivery to publish: deferred by a deliverer (`receipt`), or received (`tag`) for its next
    wait and to be acknowledged once it is published.

    `reason`: why it is deferred; empty for the next of its waits. `message`: as published.
    """

    item: RetryMessage
    receipt: Receipt | None = None
    tag: int | None = None
    reason: str = ""
    message: bytes = b""


@frozen
class _Decided:
    """A due delivery to send or to cancel. `change`: the hook table's latest at that time."""

    tag: int
    fate: Send | Cancel
    change: int


class RetryQueue(UsesHooks, BrokerRole):
    """Keeps deliveries in delay queues at the broker, and sends due ones to the deliverers.

    A deferral is confirmed with `Deferred` once the broker has confirmed it. A message received
    from the due queue is acknowledged once a deliverer has settled it or the next delay queue has
    it. So if any process dies, the broker still has every delivery, at most twice. All nodes share
    the queues.

    A due delivery is sent as its hook would send it now, waits again if its hook is disabled for
    its failures, or is cancelled (judging.py). Those of ordered and of paused hooks go through
    queues of their own (ordered_queues.py).
    """

    waits_for_store = True

    set_aside_event = "retry_set_aside"

    def begin(self, setup: Setup) -> None:
        """Declare the queues and consume the due queue."""
        self._ids = itertools.count(1)
        self._connected = self._was_lost = False
        self._to_publish: deque[_Publish] = deque()
        self._publishing: dict[int, _Publish] = {}
        self._returned: set[int] = set()
        self._republish_due = self.timer(self._publish_all)
        self._due: deque[_Decided] = deque()
        store = self.connect_store()
        self._change = 0
        self.use_hooks(self._go_on)
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
        self._receipts = Receipts()
        self._releases: Releases[list[tuple[Receipt, Delivery, Refusal | None]]] = Releases()
        self._bridge = 0
        self._refused: dict[int, tuple[Publication, str, int | None]] = {}
        self._refusals = itertools.count(-1, -1)
        file = self.own(
            OrderedFile(self.settings.data.dir / "ordered.sqlite3", self._not_kept, time.time)
        )
        self._ordered = OrderedQueues(
            self.settings,
            file,
            broker=lambda: self.broker,
            is_blocked=lambda: bool(self.blocked),
            deleted=partial(_deleted, HookStore(store)),
            judge=self._judge.take,
            settle=self._receipts.settle,
            refuse=self._refuse,
            go_on=self._go_on,
            timer=self.timer,
            log=self.log,
        )
        self._index = self.own(WaitingDeliveries(self.settings, HookStore(store), self.log))
        names = "received put_off kept rounds handed_out settled held outdated"
        self._counts = dict.fromkeys(names.split(), 0)
        take_over_first = partial(take_over, self.settings, file, self._ordered.add_queue, self.log)
        self.connect_broker(topology(self.settings), first=take_over_first if file.is_new else None)
        self._names = {delay_queue(self.settings, name): name for name in DELAY_CLASSES}
        self._names[due_queue(self.settings)] = "due"
        self.every(RECONCILE_S, self._reconcile)
        self.every(DEPTHS_S, self._ask_depths)
        self.every(FIND_ORDERED_S, self._find_ordered)

    def stats(self) -> Mapping[str, Any]:
        """Counts since the start, and deliveries in progress."""
        return {
            "broker": "up" if self._connected else "down",
            **self._counts,
            "poison": self.quarantine.count,
            "unconfirmed": len(self._to_publish)
            + len(self._publishing)
            + self._ordered.unconfirmed
            + len(self._releases),
            "in_hand": len(self._ledger) + len(self._due) + len(self._judge),
            "in_order": len(self._ordered),
            "ordered_hooks": self._ordered.hook_count,
        }

    def measure(self) -> None:
        """Count due deliveries; the broker reports the depths of the queues."""
        self.tally.set(catalog.RETRIES_HANDED_OUT, self._counts["handed_out"])
        self.tally.set(catalog.RETRIES_POISON, self.quarantine.count)
        waiting, paused = self._ordered.waiting, self._ordered.paused
        self.tally.set(catalog.RETRY_QUEUE_MESSAGES, waiting - paused, "ordered")
        self.tally.set(catalog.RETRY_QUEUE_MESSAGES, paused, "paused")

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
            case Declared():
                self._ordered.declared(event)
            case Removed():
                self._ordered.removed(event)
            case Depths(messages):
                for queue, depth in messages.items():
                    self.tally.set(catalog.RETRY_QUEUE_MESSAGES, depth, self._names[queue])
            case Unblocked():
                self._ordered.publish_all()
                self._publish_all()
            case ConnectionUp(queue):
                self._connected = True
                self.log.info("broker_up", queue=queue)
                if self._was_lost:
                    self.freshness.expire()  # The hook listener's was lost, too, perhaps.
                self.broker.ask_depths()
                self._ordered.up()
                self._find_ordered()
                self._publish_all()
            case ConnectionDown(reason, retry_in_s):
                self._was_lost = self._was_lost or self._connected
                self._connected = False
                self._forget_received()
                self.log.warning("broker_down", reason=reason, retry_in_s=round(retry_in_s, 2))

    def after_poll(self) -> None:
        """Find out about the hooks of the received deliveries, and send those that are decided."""
        self._go_on()
        self._report_progress()

    def _go_on(self) -> None:
        """Begin runs that are due, and hand out decided deliveries."""
        self._ordered.begin_runs()
        self._judge.ask()
        self._dispatch()

    def _forget_received(self) -> None:
        """Drop received messages; the broker will redeliver those not acknowledged."""
        self._ledger = BatchLedger()
        self._ordered.down()
        self._returned.clear()
        self._forget(lambda _tag: True)

    def _forget(self, is_gone: Callable[[int], bool]) -> None:
        """Drop received messages with these tags that no deliverer has."""

        def stays(tag: int | None) -> bool:
            return tag is None or not is_gone(tag)

        self._judge.forget(is_gone)
        self._refused = {t: it for t, it in self._refused.items() if stays(it[0].tag)}
        self._due = deque(due for due in self._due if stays(due.tag))
        self._to_publish = deque(p for p in self._to_publish if stays(p.tag))
        self._publishing = {id: p for id, p in self._publishing.items() if stays(p.tag)}

    def on_overdue(self, tags: set[int]) -> None:
        """Have the broker redeliver deliveries that wait for the hook table, the store, a blocked
        broker or a deliverer; of ordered hooks all, so that they keep their order."""
        tags = {*tags, *self._ordered.overdue(tags)}
        self._ledger.drop(tags)
        self._forget(tags.__contains__)
        self.broker.requeue(sorted(tags))

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
            if self._ordered.is_ordered(message):
                self._ordered.take(message, item)
            elif next_wait(item.left, item.due_ms, int(time.time() * 1000)) is None:
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
        self._find_ordered()
        self._ordered.outdated(set(message.keys))
        self._index.hooks_changed(message.keys)
        keys, decided = set(message.keys), list(self._due)
        self._due.clear()
        for due in decided:
            delivery = due.fate.retry.delivery
            if (delivery.account_id, delivery.hook_id) in keys:
                self._judge.take(due.tag, due.fate.retry)
            else:
                self._due.append(due)
        self._go_on()

    def _decide(self, tag: int, fate: Send | Wait | Cancel) -> None:
        if self._ordered.decide(tag, fate, self._change):
            return
        if isinstance(fate, Send) and fate.retry.delivery.options.in_order:
            self._ordered.put(Publication(fate.retry, tag=tag))
        elif isinstance(fate, Wait):
            self._counts["held"] += 1
            self._to_publish.append(_Publish(fate.retry, tag=tag, reason=fate.reason))
        else:
            self._due.append(_Decided(tag, fate, self._change))

    # Into the ordered queues

    def _find_ordered(self) -> None:
        if table := self.peer(HOOK_TABLE):
            self.send(table, FindOrdered())

    def receiveMsg_OrderedFound(self, message: OrderedFound, _sender: ActorAddress) -> None:
        """The hook table's response."""
        if message.ordered_queues is not None:
            self._ordered.hooks(message.ordered_queues)
            self._go_on()

    def receiveMsg_ListHookQueues(self, message: ListHookQueues, sender: ActorAddress) -> None:
        """Respond with the queues of hooks in which deliveries wait."""
        self.send(sender, self._ordered.listed(message))

    def _ask_depths(self) -> None:
        self.broker.ask_depths()
        if self._connected:
            self._ordered.renew()
            self._ordered.ask_depths()

    def receiveMsg_DeliveryBatch(self, message: DeliveryBatch, _sender: ActorAddress) -> None:
        """A responder's deliveries for ordered queues, until the bridge releases them."""
        refusals = {(tag, delivery.id): why for tag, delivery, why in message.refused}
        made: dict[int, list[Delivery]] = {e.tag: list(e.deliveries) for e in message.events}
        for tag, delivery, _why in message.refused:
            made.setdefault(tag, []).append(delivery)
        self._serve(message.source)
        counts = {tag: len(deliveries) for tag, deliveries in made.items()}
        if self._receipts.take(message.source, message.share, counts):
            self._releases.hold(
                message.share,
                {
                    tag: [
                        (
                            Receipt(message.source, message.share, tag),
                            delivery,
                            refusals.get((tag, delivery.id)),
                        )
                        for delivery in deliveries
                    ]
                    for tag, deliveries in made.items()
                },
            )
        self._put_released()

    def _serve(self, source: Source) -> None:
        """Drop what a bridge that has died has not released: the broker redelivers its events."""
        if source[1] > self._bridge:
            self._bridge, self._releases = source[1], Releases()
            self._receipts.serve(source)

    def receiveMsg_Release(self, message: Release, _sender: ActorAddress) -> None:
        """The bridge says which deliveries may go into their ordered queues."""
        source = EVENT_BRIDGE, message.bridge
        self._serve(source)
        if message.bridge == self._bridge:
            void = self._releases.release(message.number, message.before, message.released)
            for receipt, _delivery, _refusal in chain.from_iterable(void):
                self._receipts.settle(receipt)
            self._put_released()

    def _put_released(self) -> None:
        now_ms = int(time.time() * 1000)
        for deliveries in self._releases.ready():
            for receipt, delivery, refusal in deliveries:
                item = RetryMessage(delivery, 0, 0, deferrals=0, taken_ms=now_ms)
                publication = Publication(item, receipt)
                size = len(delivery.body)
                if refusal is None and size > MAX_PUBLISHED_BYTES / 8:
                    refusal = size if len(as_json(item)) > MAX_PUBLISHED_BYTES else None
                if refusal is not None:
                    self._refuse(publication, *reason_of(refusal))
                else:
                    self._ordered.put(publication)
        self._dispatch()
        self._report_progress()

    def _refuse(self, publication: Publication, reason: str, size: int | None) -> None:
        """Have a deliverer write a dead letter."""
        self._refused[next(self._refusals)] = publication, reason, size

    def receiveMsg_Reconcile(self, message: Reconcile, sender: ActorAddress) -> None:
        """Report which of the bridge's shares never arrived here."""
        unknown = self._receipts.unknown(message.source, message.shares)
        self.send(sender, NotHeld(message.source, unknown))

    def _report_progress(self) -> None:
        """Report to the bridge which shares have arrived, and which events are settled; and to the
        deliverers which of their batches the broker has."""
        for path in self._receipts.paths():
            if (address := self.peer(path)) is None:
                continue
            report = self._receipts.report(path)
            if path == EVENT_BRIDGE:
                self.send(address, Progress(report.source, report.accepted, report.settled))
            else:
                for batch, _tags in report.settled:
                    self.send(address, Deferred(int(batch)))

    def _not_kept(self, error: Exception) -> None:
        self.log.warning("ordered_not_kept", reason=str(error))

    # Into the delay queues

    def receiveMsg_Defer(self, message: Defer, sender: ActorAddress) -> None:
        """Publish deferred deliveries."""
        items = [item for item in message.items if not item.delivery.options.ordered]
        receipt = Receipt(message.deliverer, str(message.batch), 0)
        if items and not self._receipts.take(receipt.source, receipt.share, {0: len(items)}):
            return  # A repeated message; the broker has not confirmed the first yet.
        self._counts["put_off"] += len(message.items)
        for item in message.items:
            if item.delivery.options.ordered:
                self._ordered.back(item)
        if not items:
            self.send(sender, Deferred(message.batch))
            return
        self._to_publish.extend(_Publish(item, receipt, reason=item.reason) for item in items)
        self._publish_all()

    def _publish_all(self) -> None:
        while self._connected and not self.blocked and self._to_publish:
            publish = self._to_publish.popleft()
            self._publishing[self.broker.publish(self._message(publish))] = publish

    def _message(self, publish: _Publish) -> OutgoingMessage:
        """A message to the delivery's next delay queue, or to the due queue if it is due."""
        item, name = publish.item, due_queue(self.settings)
        wait = next_wait(item.left, item.due_ms, int(time.time() * 1000))
        if wait is not None:
            name, item = delay_queue(self.settings, wait[0]), item.waiting_for(wait[1])
        publish.message = as_json(item)
        return message_for(name, item, publish.message)

    def _confirmed(self, ids: Iterable[int]) -> None:
        done = self._ordered.confirmed(ids, self._returned)
        deferred = []
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
            if publish.receipt is not None:
                self._counts["kept"] += 1
                self._receipts.settle(publish.receipt)
            elif publish.tag is not None:
                done.append(publish.tag)
        self._index.put(deferred)
        if done:
            self.broker.ack(done)
        self._report_progress()

    def _unconfirmed(self, ids: Iterable[int], reason: str) -> None:
        self._ordered.unconfirmed_are(ids)
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
        shares = self._ledger.shares
        if not deliverers or shares.on_the_way >= MAX_SHARES_ON_THE_WAY:
            return
        if self.freshness.is_pending:
            return
        self._hand_out_refused(deliverers)
        while shares.on_the_way < MAX_SHARES_ON_THE_WAY and (run := self._ordered.next_run()):
            self._hand_out_run(run, deliverers)
        by_deliverer: dict[str, list[_Decided]] = {}
        while self._due:
            due = self._due.popleft()
            path = self._deliverer_of(due.fate.retry.delivery, deliverers)
            by_deliverer.setdefault(path, []).append(due)
        for path, decided in by_deliverer.items():
            for batch in cut(decided, MAX_ITEMS, lambda due: due.fate.retry.delivery.size):
                self._hand_out(self.peers[path], batch)

    def _hand_out_run(self, run: OrderedRun, deliverers: list[Peer]) -> None:
        peer = self.peers[self._deliverer_of(run.first.delivery, deliverers)]
        share, source = self._new_share(peer, run.ids)
        self.send(peer.address, DueBatch(share, source, run.items, run.cancelled, run.change))

    def _hand_out_refused(self, deliverers: list[Peer]) -> None:
        waiting = [(tag, *it) for tag, it in self._refused.items() if tag not in self._ledger]
        for tag, publication, reason, size in waiting:
            delivery = publication.item.delivery
            peer = deliverer_for(delivery, deliverers)
            share, source = self._new_share(peer, {tag: delivery.id})
            refused = ((tag, publication.item, reason, size),)
            self.send(peer.address, DueBatch(share, source, (), refused=refused))

    def _deliverer_of(self, delivery: Delivery, deliverers: list[Peer]) -> str:
        """The path of the deliverer that has a copy already, even if others have come or gone."""
        holder = self._ledger.holder_of(delivery.id)
        if holder is not None:
            peer = self.peers.get(holder[0])
            if peer is not None and peer.incarnation == holder[1]:
                return peer.path
        return deliverer_for(delivery, deliverers).path

    def _new_share(self, peer: Peer, ids: dict[int, str]) -> tuple[str, Source]:
        share = str(next(self._ids))
        self._ledger.sent(share, (peer.path, peer.incarnation), ids, time.monotonic())
        self._counts["handed_out"] += len(ids)
        return share, (self.path, self.incarnation)

    def _hand_out(self, peer: Peer, batch: tuple[_Decided, ...]) -> None:
        ids = {due.tag: due.fate.retry.delivery.id for due in batch}
        share, source = self._new_share(peer, ids)
        items = tuple((due.tag, due.fate.retry) for due in batch if isinstance(due.fate, Send))
        cancelled = tuple(
            (due.tag, due.fate.retry, due.fate.reason)
            for due in batch
            if isinstance(due.fate, Cancel)
        )
        change = min(due.change for due in batch)
        self.send(peer.address, DueBatch(share, source, items, cancelled, change))

    def receiveMsg_Progress(self, message: Progress, _sender: ActorAddress) -> None:
        """A deliverer has accepted shares or settled deliveries."""
        if message.source != (self.path, self.incarnation):
            return
        for share in message.accepted:
            self._ledger.shares.accepted(share)
        for share, tags in message.settled:
            self._settled(self._ledger.settled(share, tags), message.returned)
        self._go_on()
        self._report_progress()

    def _settled(self, tags: list[int], returned: Collection[int]) -> None:
        of_ordered = self._ordered.tags(tags)
        done = [tag for tag in tags if tag >= 0 and tag not in of_ordered]
        done += self._ordered.settled(of_ordered, returned)
        for tag in tags:
            if (refused := self._refused.pop(tag, None)) is not None:
                publication = refused[0]
                if publication.receipt is not None:
                    self._receipts.settle(publication.receipt)
                elif publication.tag is not None:
                    done.append(publication.tag)
        if done:
            self._counts["settled"] += len(done)
            self.broker.ack(done)

    def receiveMsg_NotHeld(self, message: NotHeld, _sender: ActorAddress) -> None:
        """Requeue shares that a deliverer never received."""
        if message.source == (self.path, self.incarnation):
            self._requeue(self._ledger.lost(message.shares))

    def _requeue(self, tags: list[int]) -> None:
        tags = [tag for tag in self._ordered.lost(tags) if tag >= 0]
        if tags:
            self.broker.requeue(tags)
        self._go_on()

    # Deaths and losses

    def on_peers(self, before: Mapping[str, Peer]) -> None:
        """Requeue the shares of deliverers that died."""
        for path, peer in before.items():
            now = self.peers.get(path)
            if is_deliverer(path) and (now is None or now.incarnation != peer.incarnation):
                self._requeue(self._ledger.died((path, peer.incarnation)))
        if self.peers.get(HOOK_TABLE) != before.get(HOOK_TABLE):
            self._judge.ask_again()
            self._find_ordered()
        self._report_progress()
        self._dispatch()

    def _reconcile(self) -> None:
        """Ask deliverers whether they have the shares that are unsettled for REPEATED_S."""
        source = self.path, self.incarnation
        stale = self._ledger.shares.stale(before=time.monotonic() - REPEATED_S)
        for path, shares in stale.items():
            if address := self.peer(path):
                self.send(address, Reconcile(source, tuple(shares)))


def _deleted(store: HookStore, hook_ids: Collection[str]) -> Collection[str]:
    """Those hooks that do not exist any more; none if the store is away."""
    try:
        documents = store.get_many(hook_ids)
    except StoreError:
        return ()
    return {id for id in hook_ids if id not in documents or is_deleted(documents[id])}


def due_message(settings: Settings, item: RetryMessage) -> OutgoingMessage:
    """A message that puts a delivery into the due queue."""
    return message_for(due_queue(settings), item, as_json(item))


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
