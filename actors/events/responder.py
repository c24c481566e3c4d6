"""The responder of one event module: finds the matching hooks and creates their deliveries."""

import itertools
import time
from collections import deque
from collections.abc import Mapping
from functools import partial
from typing import Any

from thespian.actors import ActorAddress

from callboard.actors.base.event_modules import event_modules
from callboard.actors.base.placement import EventToPlace, Placement, deliverers_among
from callboard.actors.base.resequencer import Resequencer
from callboard.actors.base.role import Role, Setup
from callboard.actors.base.tracing import tracing
from callboard.actors.events.event_guard import EventGuard
from callboard.actors.messages import (
    Applied,
    Barrier,
    DeliveryBatch,
    EventBatch,
    EventDeliveries,
    HookPage,
    HooksChanged,
    NextPage,
    RawEvent,
    Routed,
    Subscribe,
)
from callboard.actors.messages.paths import EVENT_BRIDGE, HOOK_TABLE
from callboard.adapters.store.protocol import StoreError
from callboard.supervision import Peer
from callboard.webhooks.acknowledgement.event_ledger import share_name
from callboard.webhooks.deliveries.delivery import Delivery, deliveries, new_event_id
from callboard.webhooks.events.event import PoisonEvent, parse_event
from callboard.webhooks.events.trace_context import TraceContext
from callboard.webhooks.hooks.hook import ALL, Hook
from callboard.webhooks.hooks.matching import HookIndex
from callboard.webhooks.metrics import catalog
from callboard.webhooks.retries.policy import with_policy

STORE_RETRY_S = 1.0
SUBSCRIBE_AGAIN_S = 10.0


class Responder(Role):
    """Turns the events of one module into deliveries (Kazoo: the module's gen_listener responder).

    Events wait here until all hooks are loaded, a deliverer is up and the store responds. An event
    matched against some of the hooks would be lost for the others.
    """

    def begin(self, setup: Setup) -> None:
        """Find the module; the hooks arrive after the subscription to the hook table."""
        modules = event_modules(self.settings).modules
        self._module = next(module for module in modules if module.id == setup.module)
        self._directory = self.directory(self.connect_store())
        self._tracing = self.own(
            tracing(self.settings, self.path, self.log, own_process=self.own_process)
        )
        self._hooks = HookIndex()
        self._incoming: HookIndex | None = None
        self._from_table: Resequencer[HookPage | HooksChanged | Barrier] = Resequencer()
        self._gap_due = self.timer(self._mend_gap)
        self._stream = 0
        self._loaded = False
        self._held: deque[tuple[EventBatch, ActorAddress]] = deque()
        self._store_retry = self.timer(self._work)
        self._shares = itertools.count()
        self._placement = Placement(remembered=2 * self.settings.amqp.prefetch)
        self._counts = {"events": 0, "deliveries": 0, "poison": 0}
        self._fired = 0
        self._guard = EventGuard(self.open_suspects(), self.settings.amqp.prefetch)
        if pause_s := self._guard.pause_s(self.most_deaths):
            self._store_retry.within(pause_s)
        self.on_peers({})

    def stats(self) -> Mapping[str, Any]:
        """Counts since the start, loaded hooks and waiting batches."""
        return {**self._counts, "hooks": len(self._hooks), "held": len(self._held)}

    def measure(self) -> None:
        """Count events by result, and deliveries."""
        module, counts = self._module.id, self._counts
        no_hook = counts["events"] - self._fired - counts["poison"]
        self.tally.set(catalog.EVENTS, self._fired, module, catalog.FIRED)
        self.tally.set(catalog.EVENTS, no_hook, module, catalog.NO_HOOK)
        self.tally.set(catalog.EVENTS, counts["poison"], module, catalog.POISON)
        self.tally.set(catalog.DELIVERIES_MADE, counts["deliveries"], module)

    # Hooks

    def on_peers(self, before: Mapping[str, Peer]) -> None:
        """Subscribe to a new hook table; continue if a deliverer is up."""
        table = self.peers.get(HOOK_TABLE)
        known = before.get(HOOK_TABLE)
        if table and (known is None or known.incarnation != table.incarnation):
            self._subscribe(table)
        self._work()

    def _subscribe(self, table: Peer) -> None:
        self._incoming = HookIndex()
        self._pages_came = False
        self._stream = max(self._stream + 1, time.time_ns())
        self.send(table.address, Subscribe((*self._module.events, ALL), self._stream))
        self.after(SUBSCRIBE_AGAIN_S, partial(self._check_subscription, table.incarnation))

    def receiveMsg_HookPage(self, message: HookPage, sender: ActorAddress) -> None:
        """A page of the hooks; the old ones are used until all new ones have arrived."""
        self._take_in(message, sender)

    def receiveMsg_HooksChanged(self, message: HooksChanged, sender: ActorAddress) -> None:
        """Hooks were created, edited or removed."""
        self._take_in(message, sender)

    def receiveMsg_Barrier(self, message: Barrier, sender: ActorAddress) -> None:
        """The hook table asks for a message once its earlier changes are in effect."""
        self._take_in(message, sender)

    def _take_in(self, message: HookPage | HooksChanged | Barrier, sender: ActorAddress) -> None:
        if message.stream != self._stream:
            return
        for due in self._from_table.take(message.stream, message.number, message):
            if isinstance(due, HookPage):
                self._load_page(due, sender)
            elif isinstance(due, Barrier):
                self.send(sender, Applied(due.ticket))
            else:
                self._change(due)
        if self._from_table.has_gap:
            self._gap_due.within(SUBSCRIBE_AGAIN_S)

    def _mend_gap(self) -> None:
        """Subscribe again if changes still wait for one before them: it was lost."""
        table = self.peers.get(HOOK_TABLE)
        if table is not None and self._from_table.has_gap:
            self._subscribe(table)

    def _load_page(self, message: HookPage, sender: ActorAddress) -> None:
        if self._incoming is None:
            return
        self._pages_came = True
        _put(self._incoming, message.hooks)
        if not message.last:
            self.send(sender, NextPage())
            return
        self._hooks, self._incoming, self._loaded = self._incoming, None, True
        self.freeze()
        self.log.info("hooks_known", hooks=len(self._hooks))
        self._work()

    def _change(self, message: HooksChanged) -> None:
        for index in (self._hooks, self._incoming):
            if index is not None:
                _put(index, message.put)
                for account_id, hook_id in message.removed:
                    index.remove(account_id, hook_id)

    # Events

    def receiveMsg_EventBatch(self, message: EventBatch, sender: ActorAddress) -> None:
        """Queue a batch of events, unless it is a repeated message."""
        if all(held.batch != message.batch for held, _sender in self._held):
            self._held.append((message, sender))
        self._work()

    def _check_subscription(self, incarnation: int) -> None:
        """Subscribe again if no page came: the message was lost, or no hooks are loaded yet."""
        table = self.peers.get(HOOK_TABLE)
        if self._incoming is None or table is None or table.incarnation != incarnation:
            return
        if self._pages_came:
            self._pages_came = False
            self.after(SUBSCRIBE_AGAIN_S, partial(self._check_subscription, incarnation))
        else:
            self._subscribe(table)

    def _work(self) -> None:
        while self._held and self._loaded and not self._store_retry.is_set:
            deliverers = deliverers_among(self.peers)
            if not deliverers:
                return
            batch, bridge = self._held[0]
            try:
                self._route(batch, bridge, deliverers)
            except StoreError as problem:
                self.log.warning("store_unavailable", reason=str(problem), held=len(self._held))
                self._store_retry.within(STORE_RETRY_S)
                return
            self._held.popleft()

    def _route(self, batch: EventBatch, bridge: ActorAddress, deliverers: list[Peer]) -> None:
        events: list[EventToPlace] = []
        poison = []
        made = fired = 0
        for raw in batch.events:
            try:
                event_deliveries = self._guard.run(raw, self._traced_deliveries)
            except StoreError:
                raise  # The event is valid; it waits.
            except PoisonEvent as problem:
                poison.append((raw.tag, str(problem)))
                continue
            except Exception as problem:
                self.log.exception("module_failed", module=self._module.id, key=raw.routing_key)
                poison.append((raw.tag, f"{type(problem).__name__}: {problem}"))
                continue
            made += len(event_deliveries)
            fired += bool(event_deliveries)
            message = raw.exchange, raw.routing_key, raw.message_id, raw.body
            events.append(EventToPlace(hash(message), raw.tag, event_deliveries))
        by_deliverer = self._placement.share_out(events, deliverers)
        taken_at = {raw.tag: raw.taken_at for raw in batch.events}
        source = EVENT_BRIDGE, batch.bridge
        shares, addressees = {}, {}
        for peer in deliverers:
            if by_tag := by_deliverer[peer.path]:
                # A batch that arrives again, when other deliverers are up, is other shares.
                share = share_name(batch.batch, next(self._shares))
                shares[share] = tuple(by_tag)
                addressees[share] = (peer.path, peer.incarnation)
                batched = tuple(
                    EventDeliveries(tag, tuple(ds), taken_at[tag]) for tag, ds in by_tag.items()
                )
                self.tally.observe(
                    catalog.BATCH_SIZE, sum(len(e.deliveries) for e in batched), "deliveries"
                )
                self.send(peer.address, DeliveryBatch(share, source, batched))
        self.send(bridge, Routed(batch.batch, shares, addressees, tuple(poison)))
        self._counts["events"] += len(batch.events)
        self._counts["deliveries"] += made
        self._counts["poison"] += len(poison)
        self._fired += fired

    def _traced_deliveries(self, raw: RawEvent) -> tuple[Delivery, ...]:
        """The deliveries of an event; the span of the match is the parent of their spans."""
        span = self._tracing.match(self._module.id, raw.trace)
        try:
            made = self._deliveries(raw, span.context)
        except Exception as problem:
            span.fail(type(problem).__name__)  # Its text may contain private data.
            raise
        span.end(len(made))
        return made

    def _deliveries(self, raw: RawEvent, trace: TraceContext | None) -> tuple[Delivery, ...]:
        event = parse_event(
            raw.body,
            raw.content_type,
            raw.content_encoding,
            raw.exchange,
            raw.routing_key,
            raw.message_id,
            trace,
        )
        made = deliveries(
            event,
            self._module,
            self._hooks,
            self._directory,
            self._directory.cluster_id(),
            new_event_id,
        )
        return tuple(map(self._with_policy, made))

    def _with_policy(self, delivery: Delivery) -> Delivery:
        """Set the retry policy: that of the hook, else of the account, else of the node."""
        if delivery.options.policy is not None:
            return delivery
        account = self._directory.retry_policy_of(delivery.account_id)
        return with_policy(delivery, account, self.settings.delivery.retry_policy)


def _put(index: HookIndex, hooks: tuple[Hook, ...]) -> None:
    for hook in hooks:
        index.put(hook)
