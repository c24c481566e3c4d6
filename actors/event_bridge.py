"""The bridge from the AMQP bus to the responders, and the keeper of its acknowledgements."""

import itertools
import time
from collections import deque
from collections.abc import Container, Iterable, Mapping
from operator import attrgetter
from typing import Any

from attrs import Factory, define
from thespian.actors import ActorAddress

from callboard.actors.event_modules import event_modules
from callboard.actors.messages import (
    EventBatch,
    NotHeld,
    Progress,
    Published,
    PublishEvents,
    Quiesce,
    Quiesced,
    RawEvent,
    Reconcile,
    Refused,
    Routed,
)
from callboard.actors.role import BrokerRole, Setup
from callboard.adapters.broker import (
    Binding,
    BrokerEvent,
    Confirmed,
    ConnectionDown,
    ConnectionUp,
    Exchange,
    IncomingMessage,
    OutgoingMessage,
    Properties,
    Queue,
    Received,
    Returned,
    Topology,
    Unconfirmed,
)
from callboard.adapters.spool import Spool
from callboard.adapters.topic import BOUND_BY
from callboard.supervision import Peer
from callboard.webhooks.module import BRIDGE_EXCHANGES

RESPONDERS = "responders/"

MAX_BATCH_EVENTS = 200
MAX_BATCH_BYTES = 1_000_000
MAX_BATCHES_PER_RESPONDER = 2
"""More would only wait; meanwhile events gather here into larger batches."""
MAX_PARTS_ON_THE_WAY = 100
"""Batches sent to deliverers and not yet seen there; Thespian stalls at some hundreds."""
RECONCILE_S = 30.0
STALE_S = 60.0
"""A batch or part older than this is asked after: its message may have been lost."""

_RECONCILE = "callboard: reconcile"

Part = str


@define
class _Batch:
    """A batch that a responder has not routed yet."""

    module: str
    events: tuple[RawEvent, ...]
    incarnation: int
    sent_at: float


@define
class _Part:
    """Events that a deliverer has, or is about to get."""

    deliverer: str
    incarnation: int
    tags: set[int]
    since: float
    accepted: bool = False


@define
class _Publishing:
    """A request from outside to publish, until the broker has confirmed it all."""

    requester: ActorAddress
    waiting: set[int]
    count: int
    unroutable: int = 0


@define
class _InHand:
    """Everything between the broker and the acknowledgement; void when the connection is."""

    waiting: dict[str, deque[RawEvent]] = Factory(dict)
    batches: dict[int, _Batch] = Factory(dict)
    parts: dict[Part, _Part] = Factory(dict)
    early: dict[Part, set[int]] = Factory(dict)
    open: dict[int, set[str]] = Factory(dict)


class EventBridge(BrokerRole):
    """AMQP -> responders, in batches; acknowledges (Kazoo: webhooks_shared_listener).

    A message is acknowledged when each of its deliveries is settled. If a responder dies, what it
    had not routed goes to its successor; if a deliverer dies, its events go back to the broker
    and come again; if the bridge dies, the broker gives everything again. Backpressure is the
    prefetch: never more messages are in hand.
    """

    def begin(self, setup: Setup) -> None:
        """Declare the exchanges and bindings of all event modules, and consume."""
        modules = event_modules(self.settings).modules
        exchanges = {*BRIDGE_EXCHANGES, *(exchange for m in modules for exchange in m.exchanges)}
        self._bindings = [(m.id, exchange, key) for m in modules for exchange, key in m.bindings]
        self._bound_by = {exchange.name: BOUND_BY[exchange.type] for exchange in exchanges}
        self._hand = _InHand()
        self._gone: set[tuple[str, int]] = set()
        self._ids = itertools.count(1)
        self._publishing: dict[int, _Publishing] = {}
        self._quiesced_for: ActorAddress | None = None
        self._connected = False
        names = ("received", "acknowledged", "requeued", "unclaimed", "poison")
        self._counts = dict.fromkeys(names, 0)
        self._poison = Spool(self.settings.data.dir / "poison.sqlite3")
        self.connect_broker(
            Topology(
                exchanges=tuple(
                    Exchange(exchange.name, exchange.type, exchange.durable)
                    for exchange in sorted(exchanges, key=attrgetter("name"))
                ),
                queue=Queue(self.settings.amqp.queue),
                bindings=tuple(Binding(exchange, key) for _m, exchange, key in self._bindings),
                prefetch=self.settings.amqp.prefetch,
            )
        )
        self.after(RECONCILE_S, _RECONCILE)

    def stats(self) -> Mapping[str, Any]:
        """Counts since the start, and what is in hand."""
        return {
            "broker": "up" if self._connected else "down",
            **self._counts,
            "in_hand": len(self._hand.open),
            "batches": len(self._hand.batches),
            "parts": len(self._hand.parts),
        }

    # The broker's side

    def on_broker(self, event: BrokerEvent) -> None:
        """Take in messages; forget everything when the connection is lost."""
        match event:
            case Received(messages):
                self._take(messages)
            case ConnectionUp(queue):
                self._connected = True
                self.log.info("broker_up", queue=queue)
            case ConnectionDown(reason, retry_in_s):
                self._connected = False
                self._hand = _InHand()
                self.log.warning("broker_down", reason=reason, retry_in_s=round(retry_in_s, 2))
                self._tell_if_quiet()
            case Confirmed(ids):
                self._publish_progress(ids)
            case Returned(id, reason):
                if id in self._publishing:
                    self._publishing[id].unroutable += 1
                    self.log.warning("event_unroutable", reason=reason)
            case Unconfirmed(ids, reason):
                self._publish_failed(ids, reason)

    def after_poll(self) -> None:
        """Send on what has arrived."""
        self._dispatch()

    def _take(self, messages: Iterable[IncomingMessage]) -> None:
        done = []
        for message in messages:
            self._counts["received"] += 1
            modules = self._modules_for(message)
            event = RawEvent(
                message.tag,
                message.exchange,
                message.routing_key,
                message.body,
                message.properties.content_type,
                message.properties.content_encoding,
                message.properties.message_id,
            )
            for module in modules:
                self._hand.waiting.setdefault(module, deque()).append(event)
            if modules:
                self._hand.open[message.tag] = {_waiting_for(module) for module in modules}
            else:
                # Of a binding that a module once asked for and does no more: the queue keeps it.
                self._counts["unclaimed"] += 1
                done.append(message.tag)
        self._acknowledge(done)

    def _modules_for(self, message: IncomingMessage) -> set[str]:
        return {
            module
            for module, exchange, key in self._bindings
            if exchange == message.exchange and self._bound_by[exchange](key, message.routing_key)
        }

    def _acknowledge(self, tags: list[int]) -> None:
        if tags:
            self._counts["acknowledged"] += len(tags)
            self.broker.ack(tags)
            self._tell_if_quiet()

    def _requeue(self, tags: Iterable[int]) -> None:
        """Give events back to the broker, and forget whatever is under way for them."""
        given_back = [tag for tag in tags if self._hand.open.pop(tag, None) is not None]
        if given_back:
            self._counts["requeued"] += len(given_back)
            for part in list(self._hand.parts):
                self._hand.parts[part].tags.difference_update(given_back)
                if not self._hand.parts[part].tags:
                    del self._hand.parts[part]
            self.broker.requeue(given_back)

    # The responders' side

    def _dispatch(self) -> None:
        on_the_way = sum(not part.accepted for part in self._hand.parts.values())
        if on_the_way >= MAX_PARTS_ON_THE_WAY:
            return
        for module, waiting in self._hand.waiting.items():
            responder = self.peers.get(RESPONDERS + module)
            while waiting and responder and self._batches_of(module) < MAX_BATCHES_PER_RESPONDER:
                if events := _cut(waiting, self._hand.open):
                    self._send_batch(next(self._ids), module, events, responder)

    def _batches_of(self, module: str) -> int:
        return sum(batch.module == module for batch in self._hand.batches.values())

    def _send_batch(
        self, id: int, module: str, events: tuple[RawEvent, ...], responder: Peer
    ) -> None:
        now = time.monotonic()
        self._hand.batches[id] = _Batch(module, events, responder.incarnation, now)
        self.send(responder.address, EventBatch(id, self.incarnation, events))

    def receiveMsg_Routed(self, message: Routed, _sender: ActorAddress) -> None:
        """A responder has sent a batch's deliveries on their way, or found that there are none."""
        batch = self._hand.batches.pop(message.batch, None)
        if batch is None:
            return
        for part, tags in message.parts.items():
            open_tags = {tag for tag in tags if tag in self._hand.open}
            self._hand.parts[part] = _Part(
                *message.deliverers[part], tags=open_tags, since=time.monotonic()
            )
            for tag in open_tags:
                self._hand.open[tag].add(part)
        for tag, reason in message.poison:
            self._set_aside(batch, tag, reason)
        routed = [event.tag for event in batch.events]
        self._acknowledge(self._done_with(_waiting_for(batch.module), routed))
        for part in message.parts:
            if (early := self._hand.early.pop(part, None)) is not None:
                self._settle(part, early)
        self._give_up_on_the_dead()
        self._dispatch()

    def _done_with(self, what: str, tags: Iterable[int]) -> list[int]:
        """Strike out one thing that events were waiting for; those that wait for nothing more."""
        done = []
        for tag in tags:
            still_open = self._hand.open.get(tag)
            if still_open is not None:
                still_open.discard(what)
                if not still_open:
                    del self._hand.open[tag]
                    done.append(tag)
        return done

    def _set_aside(self, batch: _Batch, tag: int, reason: str) -> None:
        """Keep an event that cannot be handled, so that it is neither lost nor in the way."""
        event = next(event for event in batch.events if event.tag == tag)
        self._counts["poison"] += 1
        self.log.warning(
            "event_set_aside", module=batch.module, key=event.routing_key, reason=reason
        )
        self._poison.append([("poison", _as_document(event, batch.module, reason))])

    # The deliverers' side

    def receiveMsg_Progress(self, message: Progress, _sender: ActorAddress) -> None:
        """A deliverer has received parts, or settled events of parts."""
        if message.bridge != self.incarnation:
            return
        for part in message.accepted:
            if part in self._hand.parts:
                self._hand.parts[part].accepted = True
            elif self._batch_is_open(part):
                self._hand.early.setdefault(part, set())
        for part, tags in message.settled:
            if part in self._hand.parts:
                self._settle(part, tags)
            elif self._batch_is_open(part):
                self._hand.early.setdefault(part, set()).update(tags)
        self._dispatch()

    def _batch_is_open(self, part: Part) -> bool:
        """Whether the news of a part may have come before the responder's word on its batch."""
        return int(part.partition("/")[0]) in self._hand.batches

    def _settle(self, part: Part, tags: Iterable[int]) -> None:
        held = self._hand.parts[part]
        held.accepted = True
        settled = held.tags.intersection(tags)
        held.tags -= settled
        if not held.tags:
            del self._hand.parts[part]
        self._acknowledge(self._done_with(part, settled))

    def receiveMsg_NotHeld(self, message: NotHeld, _sender: ActorAddress) -> None:
        """A deliverer does not know these parts: their messages were lost."""
        if message.bridge == self.incarnation:
            lost = [
                self._hand.parts[part].tags for part in message.parts if part in self._hand.parts
            ]
            self._requeue(set().union(*lost))

    # Deaths and losses

    def on_peers(self, before: Mapping[str, Peer]) -> None:
        """Take back what the dead had; give the new ones work."""
        for path, peer in before.items():
            now = self.peers.get(path)
            if now is None or now.incarnation != peer.incarnation:
                self._gone.add((path, peer.incarnation))
        self._give_up_on_the_dead()
        for id, batch in list(self._hand.batches.items()):
            responder = self.peers.get(RESPONDERS + batch.module)
            if responder and responder.incarnation != batch.incarnation:
                del self._hand.batches[id]
                self._send_batch(next(self._ids), batch.module, batch.events, responder)
        self._dispatch()

    def _give_up_on_the_dead(self) -> None:
        lost = [
            part.tags
            for part in self._hand.parts.values()
            if (part.deliverer, part.incarnation) in self._gone
        ]
        if lost:
            self._requeue(set().union(*lost))

    def on_timer(self, payload: Any) -> None:
        """Ask after what has been under way for suspiciously long."""
        if payload != _RECONCILE:
            super().on_timer(payload)
            return
        old = time.monotonic() - STALE_S
        for id, batch in list(self._hand.batches.items()):
            responder = self.peers.get(RESPONDERS + batch.module)
            if responder and batch.sent_at < old:
                self._send_batch(id, batch.module, batch.events, responder)
        stale: dict[str, list[Part]] = {}
        for name, part in self._hand.parts.items():
            if part.since < old:
                stale.setdefault(part.deliverer, []).append(name)
        for deliverer, parts in stale.items():
            if address := self.peer(deliverer):
                self.send(address, Reconcile(self.incarnation, tuple(parts)))
        self.after(RECONCILE_S, _RECONCILE)

    # Asked from outside

    def receiveMsg_Quiesce(self, _message: Quiesce, sender: ActorAddress) -> None:
        """Take no more; answer when all is settled."""
        self._quiesced_for = sender
        self.broker.stop_consuming()
        self._tell_if_quiet()

    def _tell_if_quiet(self) -> None:
        if self._quiesced_for is not None and not self._hand.open:
            requester, self._quiesced_for = self._quiesced_for, None
            self.send(requester, Quiesced())

    def receiveMsg_PublishEvents(self, message: PublishEvents, sender: ActorAddress) -> None:
        """Publish for somebody who has no connection of his own."""
        ids = {
            self.broker.publish(
                OutgoingMessage(
                    exchange,
                    key,
                    body,
                    Properties(content_type=content_type, delivery_mode=2),
                    mandatory=True,
                )
            )
            for exchange, key, body, content_type in message.events
        }
        request = _Publishing(sender, set(ids), len(ids))
        for id in ids:
            self._publishing[id] = request
        if not ids:
            self.send(sender, Published(0, 0))

    def _publish_progress(self, ids: Iterable[int]) -> None:
        for id in ids:
            request = self._publishing.pop(id, None)
            if request is not None:
                request.waiting.discard(id)
                if not request.waiting:
                    self.send(request.requester, Published(request.count, request.unroutable))

    def _publish_failed(self, ids: Iterable[int], reason: str) -> None:
        for id in ids:
            request = self._publishing.pop(id, None)
            if request is not None:
                for other in request.waiting:
                    self._publishing.pop(other, None)
                self.send(request.requester, Refused(f"the broker did not take it: {reason}"))

    def on_exit(self) -> None:
        """Give unacknowledged events back."""
        super().on_exit()
        if hasattr(self, "_poison"):
            self._poison.close()


def _waiting_for(module: str) -> str:
    """The mark of an event that this module has not routed yet."""
    return f"waiting:{module}"


def _cut(waiting: deque[RawEvent], wanted: Container[int]) -> tuple[RawEvent, ...]:
    """The next batch: what waits and was not requeued, up to a number of events and of bytes."""
    events: list[RawEvent] = []
    size = 0
    while waiting and len(events) < MAX_BATCH_EVENTS and size < MAX_BATCH_BYTES:
        event = waiting.popleft()
        if event.tag in wanted:
            events.append(event)
            size += len(event.body)
    return tuple(events)


def _as_document(event: RawEvent, module: str, reason: str) -> dict[str, Any]:
    return {
        "module": module,
        "reason": reason,
        "exchange": event.exchange,
        "routing_key": event.routing_key,
        "content_type": event.content_type,
        "content_encoding": event.content_encoding,
        "body": event.body.hex(),
        "set_aside_at": time.time(),
    }
