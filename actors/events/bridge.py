"""The bridge from the AMQP bus to the responders, which also acknowledges the events."""

import itertools
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

from thespian.actors import ActorAddress

from callboard.actors.base.event_modules import declared, event_exchanges, event_modules
from callboard.actors.base.role import BrokerRole, Setup
from callboard.actors.base.tracing import tracing
from callboard.actors.events.claims import Claims
from callboard.actors.events.event_publisher import EventPublisher
from callboard.actors.events.event_spans import EventSpans
from callboard.actors.events.unclaimed import NO_MODULE, UnclaimedEvents
from callboard.actors.messages import (
    EventBatch,
    NotHeld,
    Progress,
    PublishEvents,
    Quiesce,
    Quiesced,
    RawEvent,
    Reconcile,
    Release,
    Routed,
)
from callboard.actors.messages.paths import RETRY_QUEUE, responder_path
from callboard.adapters.broker.edge import as_published, offers_of
from callboard.adapters.broker.protocol import (
    BrokerEvent,
    Confirmed,
    ConnectionDown,
    ConnectionUp,
    ExchangesRefused,
    IncomingMessage,
    Queue,
    Received,
    Returned,
    Topology,
    Unblocked,
    Unconfirmed,
    Unreadable,
)
from callboard.adapters.broker.publications import Publication, publication_of
from callboard.adapters.broker.queues import queue_of_running_nodes, shared_queue
from callboard.config.settings import Settings
from callboard.config.time_limits import LOOK_S, RECONCILE_S, REPEATED_S
from callboard.supervision import Peer
from callboard.webhooks.acknowledgement.event_ledger import EventLedger, Lost
from callboard.webhooks.acknowledgement.releases import Released
from callboard.webhooks.metrics import catalog
from callboard.webhooks.modules.protocol import EventModule

KAZOO_QUEUE = Queue(
    "webhooks_shared_listener",
    durable=False,
    auto_delete=True,
    arguments={"x-message-ttl": 60_000, "x-max-length": 100},
)
"""The queue of Kazoo's own application, as it declares it (kz_amqp_util:new_queue).

It is the only one that RabbitMQ 4 calls deprecated.
"""

MAX_SHARES_ON_THE_WAY = 100
"""Limit of shares sent to deliverers and not yet accepted; Thespian stalls at a few hundred."""
WITHOUT_EXCHANGE = "it was put into the queue directly, so that its exchange is unknown"
"""The reason for quarantining a message that no module can claim, such as a shovel's."""
IN_ORDER = "to have lost events redelivered in order"
"""The reason for a new connection to the broker."""
CONFIRMED_WITHIN_S = 1.0
"""The most seconds that it waits for the broker's confirmations of events that clients publish."""


class EventBridge(BrokerRole):
    """Sends events to the responders in batches, and acknowledges them at the broker.

    In Kazoo this is webhooks_shared_listener.

    A message is acknowledged when all its deliveries are settled. If a responder dies, its
    successor receives the batches not yet routed; if a deliverer dies, its events are requeued at
    the broker; if the bridge dies, the broker redelivers all unacknowledged messages. The prefetch
    limits the number of unsettled events. An event that no module claims is offered to the other
    nodes, and then becomes a dead letter.
    """

    def begin(self, setup: Setup) -> None:
        """Declare the exchanges and bindings of all event modules, and consume."""
        modules = self._modules = event_modules(self.settings).modules
        self._claims = Claims(modules, event_exchanges(self.settings))
        self._left_out: dict[str, str] = {}
        self._ids = itertools.count(1)
        self._ledger: EventLedger[RawEvent] = EventLedger(numbers=self._ids)
        self._releases = itertools.count(1)
        self._released: tuple[int, Released] = 0, ()
        self._since = 0
        self._reconnecting = False
        self._quiesced_for: ActorAddress | None = None
        self._connected = False
        self._takes_events = True
        names = ("received", "acknowledged", "requeued")
        self._counts = dict.fromkeys(names, 0)
        traced = tracing(self.settings, self.path, self.log, own_process=self.own_process)
        self._spans = self.own(EventSpans(traced, event_queue(self.settings).name))
        self.connect_broker(topology(self.settings, modules))
        self._publisher = EventPublisher(self.broker, self.log)
        self._unclaimed = UnclaimedEvents(
            self.settings,
            self.broker,
            lambda: bool(self._publisher.gate.blocked),
            self.acknowledge,
            self._requeue,
            self._refuse_unclaimed,
            self.timer,
            self.log,
        )
        self.every(RECONCILE_S, self._reconcile)
        self.every(LOOK_S, self._publisher.gate.look)

    def stats(self) -> Mapping[str, Any]:
        """Counts since the start, and unsettled events."""
        return {
            "broker": "up" if self._connected else "down",
            **self._counts,
            **self._unclaimed.counts,
            "poison": self.quarantine.count,
            "in_hand": self._ledger.open,
            "batches": self._ledger.batches,
            "parts": len(self._ledger.shares),
            "left_out": ",".join(self._left_out) or 0,
        }

    def measure(self) -> None:
        """Count messages and unsettled events."""
        self.tally.set(catalog.MESSAGES_RECEIVED, self._counts["received"])
        self.tally.set(catalog.MESSAGES_ACKNOWLEDGED, self._counts["acknowledged"])
        self.tally.set(catalog.MESSAGES_REQUEUED, self._counts["requeued"])
        self.tally.set(catalog.MESSAGES_UNCLAIMED, self._unclaimed.counts["unclaimed"])
        self.tally.set(catalog.MESSAGES_NO_MODULE, self._unclaimed.counts["no_module"])
        self.tally.set(catalog.EVENTS_IN_HAND, self._ledger.open)
        self.tally.set(catalog.BATCH_RESENDS, self._ledger.resent, self.path)
        self.set_progress(self._ledger.unanswered_since)

    # Broker events

    def on_broker(self, event: BrokerEvent) -> None:
        """Take messages; drop all of them if the connection is lost."""
        self._publisher.on_broker(event)
        match event:
            case ExchangesRefused(reasons):
                self._leave_out(reasons)
            case Received(messages):
                self._take(messages)
            case Unreadable(unreadable):
                self._counts["received"] += len(unreadable)
            case ConnectionUp(queue):
                self._connected = True
                self.log.info("broker_up", queue=queue)
                self._publisher.gate.look()
                self._reconnected()
            case ConnectionDown(reason, retry_in_s):
                self._connected = False
                self._ledger = self._ledger.emptied()
                self._since = next(self._ids)
                self._unclaimed.forget()
                self._spans.fail("the connection to the broker was lost")
                self.log.warning("broker_down", reason=reason, retry_in_s=round(retry_in_s, 2))
                if reason != IN_ORDER:
                    self._reconnected()
                self._report_if_quiet()
            case Unblocked():
                self._unclaimed.offer()
            case Confirmed(ids):
                self._unclaimed.confirmed(ids)
                self._reconnect()
            case Returned(id):
                self._unclaimed.returned(id)
            case Unconfirmed(ids):
                self._unclaimed.unconfirmed(ids)

    def _leave_out(self, reasons: Mapping[str, str]) -> None:
        """Go on without the modules whose exchanges the broker refuses."""
        left_out = {
            module.id: f"exchange {each.name}: {reasons[each.name]}"
            for module in self._modules
            for each in module.exchanges
            if each.name in reasons
        }
        for module, reason in left_out.items():
            if self._left_out.get(module) != reason:
                self.log.warning("module_left_out", module=module, reason=reason)
        for module, reason in self._left_out.items():
            if left_out.get(module) != reason:
                self.tally.set(catalog.LEFT_OUT, 0, module, reason)
            if module not in left_out:
                self.log.info("module_taken_in", module=module)
        now = time.time()
        for module, reason in left_out.items():
            if self._left_out.get(module) != reason:
                self.tally.set(catalog.LEFT_OUT, now, module, reason)
        self._left_out = left_out

    def after_poll(self) -> None:
        """Send the received events to the responders."""
        self._dispatch()

    def _take(self, messages: Iterable[IncomingMessage]) -> None:
        done = []
        now = time.monotonic()
        for received in messages if self._takes_events and not self._reconnecting else ():
            message = as_published(received)
            self._counts["received"] += 1
            if self.set_aside_if_large(message):
                done.append(message.tag)
                continue
            event = RawEvent(
                message.tag,
                message.exchange,
                message.routing_key,
                message.body,
                message.properties.content_type,
                message.properties.content_encoding,
                message.properties.message_id,
                self._spans.begin(message),
                message.properties.headers,
                now,
            )
            if not self._ledger.take(event, self._claims.of(message)):
                if message.exchange:
                    self._unclaimed.take(message.tag, publication_of(message), offers_of(received))
                else:
                    done.append(message.tag)
                    self.set_aside(message.tag, publication_of(message), WITHOUT_EXCHANGE)
        self.quarantine.write()
        self.acknowledge(done)

    def _refuse_unclaimed(self, tag: int, message: Publication) -> None:
        self.set_aside(tag, message, NO_MODULE, log=False)
        self.quarantine.write()
        self.acknowledge([tag])

    def on_acknowledged(self, tags: list[int]) -> None:
        """Count the events, and end their spans."""
        self._counts["acknowledged"] += len(tags)
        self._spans.end(tags)
        self._report_if_quiet()

    def _requeue(self, tags: Sequence[int]) -> None:
        """Return events to the broker, which redelivers them."""
        if tags:
            self._counts["requeued"] += len(tags)
            self.broker.requeue(tags)
            self._spans.fail("requeued at the broker", tags)
            self._report_if_quiet()

    def on_overdue(self, tags: set[int]) -> None:
        """Have the broker redeliver events that were not settled in time."""
        self._requeue(self._unclaimed.drop(tags))
        self._give_back(self._ledger.withdraw(tags))

    def _give_back(self, lost: Lost) -> None:
        """Have the broker redeliver lost events, and where order counts, all later ones after them.

        Later events may be on their way from the broker. Only a new connection is certain to get
        them after those that are requeued.
        """
        if lost.in_order:
            self._counts["requeued"] += len(lost.tags) + self._ledger.open
            self._ledger = self._ledger.emptied()
            self._reconnecting = True
            self._publisher.hold()
            self._reconnect()
            self.after(CONFIRMED_WITHIN_S, partial(self._reconnect, now=True))
        else:
            self._requeue(lost.tags)

    def _reconnect(self, now: bool = False) -> None:
        """Connect again, once the broker has confirmed what clients publish."""
        if self._reconnecting and (now or not self._publisher.is_waiting):
            self.broker.reconnect(IN_ORDER)

    def _reconnected(self) -> None:
        self._reconnecting = False
        self._publisher.go_on()

    # Responders

    def _dispatch(self) -> None:
        if self._ledger.shares.on_the_way >= MAX_SHARES_ON_THE_WAY:
            return
        for module in self._ledger.waiting():
            if responder := self.peer(responder_path(module)):
                while (batch := self._ledger.next(module, time.monotonic())) is not None:
                    self._send_batch(responder, *batch)

    def _send_batch(self, responder: ActorAddress, id: int, events: Sequence[RawEvent]) -> None:
        self.tally.observe(catalog.BATCH_SIZE, len(events), "events")
        self.send(responder, EventBatch(id, self.incarnation, tuple(events), self._since))

    def receiveMsg_Routed(self, message: Routed, _sender: ActorAddress) -> None:
        """A responder has sent a batch's deliveries to the deliverers, or there are none."""
        in_order = {
            share
            for share, (path, _incarnation) in message.deliverers.items()
            if path == RETRY_QUEUE
        }
        batch, done = self._ledger.routed(
            message.batch, message.shares, message.deliverers, time.monotonic(), in_order
        )
        if batch is None:
            return
        module, events = batch
        for tag, reason in message.poison:
            event = next(event for event in events if event.tag == tag)
            self.set_aside(tag, _publication(event), reason, module=module)
        self.quarantine.write()
        self.acknowledge(done)
        self._give_back(self._ledger.lost())
        self._release()
        self._dispatch()

    def _release(self, again: bool = False) -> None:
        """Let the deliveries that go on in order do so, once all earlier ones are made."""
        if not self._ledger.in_order:
            return
        released = self._ledger.released()
        if again or released != self._released:
            self._released = released
            if retry_queue := self.peer(RETRY_QUEUE):
                number = next(self._releases)
                self.send(retry_queue, Release(self.incarnation, number, *released))

    # Deliverers

    def receiveMsg_Progress(self, message: Progress, _sender: ActorAddress) -> None:
        """A deliverer has accepted shares or settled their events."""
        if message.source != (self.path, self.incarnation):
            return
        for share in message.accepted:
            self._ledger.accepted(share)
        done = [self._ledger.settled(share, tags) for share, tags in message.settled]
        self.acknowledge(chain.from_iterable(done))
        self._dispatch()

    def receiveMsg_NotHeld(self, message: NotHeld, _sender: ActorAddress) -> None:
        """Requeue shares that a deliverer never received."""
        if message.source == (self.path, self.incarnation):
            self._give_back(self._ledger.lost(message.shares))
            self._release()

    # Deaths and losses

    def on_peers(self, before: Mapping[str, Peer]) -> None:
        """Requeue the shares of dead deliverers; send new responders their batches."""
        for path, peer in before.items():
            now = self.peers.get(path)
            if now is None or now.incarnation != peer.incarnation:
                self._ledger.died((path, peer.incarnation))
        self._give_back(self._ledger.lost())
        self._release()
        for module in self._modules:
            path = responder_path(module.id)
            if path in self.peers and self.peers[path] != before.get(path):
                self._ledger.take_back(module.id)
        self._dispatch()

    def _reconcile(self) -> None:
        """Repeat batches, and ask for shares, that are unsettled for REPEATED_S."""
        self._release(again=True)
        now = time.monotonic()
        for module, number, events in self._ledger.overdue(now - REPEATED_S, now):
            if responder := self.peer(responder_path(module)):
                self._send_batch(responder, number, events)
        for deliverer, shares in self._ledger.shares.stale(now - REPEATED_S).items():
            if address := self.peer(deliverer):
                self.send(address, Reconcile((self.path, self.incarnation), tuple(shares)))

    # Requests from clients

    def receiveMsg_Quiesce(self, _message: Quiesce, sender: ActorAddress) -> None:
        """Take no new events; respond when all others are settled."""
        self._quiesced_for = sender
        if self.settings.amqp.single_active_consumer:
            # Without a consumer here, the next node would receive events while this one settles
            # earlier ones. With one, it receives all from the first that this node did not take.
            self._takes_events = False
        else:
            self.broker.stop_consuming()
        self._report_if_quiet()

    def _report_if_quiet(self) -> None:
        held = self._ledger.open + len(self._unclaimed)
        if self._quiesced_for is not None and not held:
            requester, self._quiesced_for = self._quiesced_for, None
            self.send(requester, Quiesced())

    def receiveMsg_PublishEvents(self, message: PublishEvents, sender: ActorAddress) -> None:
        """Publish events for a client without a connection to the broker."""
        self._publisher.publish(message.events, partial(self.send, sender))


def topology(settings: Settings, modules: Sequence[EventModule]) -> Topology:
    """The exchanges and bindings of these modules, and the queue of their events."""
    amqp, exchanges = settings.amqp, event_exchanges(settings)
    return Topology(
        exchanges=tuple(map(declared, exchanges)),
        queue=event_queue(settings),
        bindings=tuple(binding for _module, binding in Claims(modules, exchanges).bindings),
        prefetch=amqp.prefetch,
        priority=amqp.consumer_priority,
    )


def event_queue(settings: Settings) -> Queue:
    """The queue of events, which all nodes share."""
    amqp = settings.amqp
    if amqp.join_kazoo:
        return KAZOO_QUEUE
    if settings.delivery.dry_run:
        return queue_of_running_nodes(amqp.queue, amqp.queue_type)
    return shared_queue(amqp.queue, amqp.queue_type, single=amqp.single_active_consumer)


def _publication(event: RawEvent) -> Publication:
    return Publication(
        event.body,
        event.exchange,
        event.routing_key,
        event.content_type,
        event.content_encoding,
        event.message_id,
        event.headers,
    )
