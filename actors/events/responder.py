"""The responder of one event module: finds the matching hooks and creates their deliveries."""

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from thespian.actors import ActorAddress

from callboard.actors.base.event_modules import event_modules
from callboard.actors.base.placement import Placement, deliverers_among
from callboard.actors.base.resequencer import Resequencer
from callboard.actors.base.role import Setup
from callboard.actors.base.tracing import tracing
from callboard.actors.delivery.hook_freshness import UsesHooks
from callboard.actors.delivery.transports import grants
from callboard.actors.events.event_guard import EventGuard
from callboard.actors.events.routing import Routing, message_of
from callboard.actors.events.slice_sender import SliceSender
from callboard.actors.events.unfired import UnfiredEvents
from callboard.actors.messages import (
    Applied,
    Barrier,
    DeliveryBatch,
    EventBatch,
    EventDeliveries,
    HookPage,
    HooksChanged,
    NextPage,
    NotHeld,
    Progress,
    RawEvent,
    Reconcile,
    Routed,
    Subscribe,
)
from callboard.actors.messages.paths import EVENT_BRIDGE, HOOK_TABLE, RETRY_QUEUE
from callboard.adapters.store.protocol import StoreError
from callboard.config.time_limits import RECONCILE_S
from callboard.supervision import Peer
from callboard.webhooks.acknowledgement.event_ledger import share_name
from callboard.webhooks.acknowledgement.outbox import cut
from callboard.webhooks.acknowledgement.receipts import Receipt, Source
from callboard.webhooks.deliveries.delivery import Delivery, FanOut, fan_out, new_event_id
from callboard.webhooks.deliveries.slicing import FanOuts, Refusal, made_or_refused
from callboard.webhooks.events.event import Event, PoisonEvent, parse_event, whole_event
from callboard.webhooks.events.trace_context import TraceContext
from callboard.webhooks.hooks.hook import ALL, Hook
from callboard.webhooks.hooks.matching import HookIndex
from callboard.webhooks.metrics import catalog
from callboard.webhooks.modules.bus_module import BusModule
from callboard.webhooks.modules.protocol import EventModule
from callboard.webhooks.retries.policy import with_choices
from callboard.webhooks.values.event_outcomes import FIRED, POISON

STORE_RETRY_S = 1.0
SUBSCRIBE_AGAIN_S = 10.0
WORK_S = 0.1
"""The time of matching after which it handles messages in between."""
SLICES_S = 0.02
"""The same of making slices of large fan-outs: other accounts' events wait so long for them."""
ORDERED_DELIVERIES = 200
"""The most deliveries for ordered queues in one message."""

_Matched = tuple[
    FanOut | None, tuple[Delivery, ...] | None, Sequence[tuple[Delivery, Refusal | None]]
]
"""An event's fan-out, its deliveries if they are few, and those for ordered queues."""


class Responder(UsesHooks):
    """Turns the events of one module into deliveries (Kazoo: the module's gen_listener responder).

    Events wait here until all hooks are loaded, a deliverer is up and the store responds. An event
    matched against some of the hooks would be lost for the others. So do they after this process
    slept, and those of a new connection to the broker, until it is known how the hooks are by now.

    The deliveries of a batch of events go to the deliverers at once, if they are few. Those of
    larger fan-outs are made in slices, fairly between accounts (webhooks/deliveries/slicing.py):
    the responder holds these events as a share, and settles it like a deliverer.
    """

    waits_for_store = True

    def begin(self, setup: Setup) -> None:
        """Find the module; the hooks arrive after the subscription to the hook table."""
        modules = event_modules(self.settings).modules
        self._module = next(module for module in modules if module.id == setup.module)
        self._parse = parser_of(self._module)
        self._directory = self.directory(self.connect_store())
        delivery = self.settings.delivery
        self._with_choices = partial(
            with_choices,
            node=delivery.retry_policy,
            event_steps_s=delivery.event_retry_steps_s.get(self._module.id, ()),
            grants=grants(self.settings),
        )
        self._tracing = self.own(
            tracing(self.settings, self.path, self.log, own_process=self.own_process)
        )
        self._hooks = HookIndex()
        self._incoming: HookIndex | None = None
        self._from_table: Resequencer[HookPage | HooksChanged | Barrier] = Resequencer()
        self._gap_due = self.timer(self._mend_gap)
        self.use_hooks(self._work)
        self._connection: tuple[int, int] | None = None
        self._stream = 0
        self._loaded = False
        self._held: deque[tuple[EventBatch, ActorAddress]] = deque()
        self._routing: Routing | None = None
        self._store_retry = self.timer(self._work)
        self._work_due = self.timer(self._work_on)
        self._guard = EventGuard(self.open_suspects(), self.settings.amqp.prefetch)
        self._fan_outs: FanOuts[Receipt] = FanOuts(self._finishing, self._guard.make)
        self._slices = SliceSender(
            self._fan_outs,
            made=self._guard.made,
            source=lambda: (self.path, self.incarnation),
            peers=lambda: self.peers,
            send=self.send,
            tally=self.tally,
        )
        self._shares = itertools.count()
        self._placement = Placement(remembered=2 * self.settings.amqp.prefetch)
        self._counts = {"events": 0, "deliveries": 0, "poison": 0}
        self._fired = 0
        self._unfired = UnfiredEvents(self._module, self.timer, self.log)
        self.every(RECONCILE_S, self._slices.reconcile)
        if pause_s := self._guard.pause_s(self.most_deaths):
            self._store_retry.within(pause_s)
        self.on_peers({})

    def stats(self) -> Mapping[str, Any]:
        """Counts since the start, loaded hooks and waiting batches."""
        return {
            **self._counts,
            "deliveries": self._counts["deliveries"] + self._slices.made,
            **self._unfired.stats(),
            "hooks": len(self._hooks),
            "held": len(self._held),
            "fan_outs": len(self._fan_outs),
            "unsettled": self._fan_outs.unsettled,
        }

    def measure(self) -> None:
        """Count events by result, and deliveries."""
        module, counts = self._module.id, self._counts
        self.tally.set(catalog.EVENTS, self._fired, module, FIRED)
        for outcome, count in self._unfired.counts.items():
            self.tally.set(catalog.EVENTS, count, module, outcome)
        self.tally.set(catalog.EVENTS, counts["poison"], module, POISON)
        self.tally.set(catalog.DELIVERIES_MADE, self.stats()["deliveries"], module)
        self.tally.set(catalog.HOOKS_LOADED, int(self._loaded), self.path)
        self.set_progress(self._progress_at if self._held else None)

    # Hooks

    def on_peers(self, before: Mapping[str, Peer]) -> None:
        """Subscribe to a new hook table; continue if a deliverer is up."""
        table = self.peers.get(HOOK_TABLE)
        known = before.get(HOOK_TABLE)
        if table and (known is None or known.incarnation != table.incarnation):
            self._subscribe(table)
        self._slices.on_peers(before)
        self._work()

    def _subscribe(self, table: Peer) -> None:
        self._incoming = HookIndex()
        self._pages_came = False
        self._stream = max(self._stream + 1, time.time_ns())
        events = (*self._module.events, ALL)
        subscribe = Subscribe(events, self._stream, self.path, self.incarnation)
        self.send(table.address, subscribe)
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
        self._drop_outdated(message)
        self._notice_connection(message)
        id = message.bridge, message.batch
        if all((held.bridge, held.batch) != id for held, _sender in self._held):
            if not self._held:
                self._progress_at = time.monotonic()
            self._held.append((message, sender))
        self._work()

    def _notice_connection(self, message: EventBatch) -> None:
        """While the bridge's connection was lost, that of the hook listener may have been, too."""
        known, connection = self._connection, (message.bridge, message.since)
        if known is not None and known[0] == connection[0] and known < connection:
            self.freshness.expire()
        self._connection = max(connection, known or connection)

    def _drop_outdated(self, latest: EventBatch) -> None:
        """Drop the batches of lost connections, which would add up while events wait here."""
        oldest = latest.bridge, latest.since
        routing = self._held[0] if self._routing else None
        self._held = deque(h for h in self._held if (h[0].bridge, h[0].batch) >= oldest)
        if routing is not None and (not self._held or self._held[0] is not routing):
            self._routing = None

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

    def _work_on(self) -> None:
        """Route events, and make slices of large fan-outs between messages."""
        self._work(slices=True)

    def _work(self, slices: bool = False) -> None:
        """Route events. Slices only if no message is to be handled first: see `_work_on`."""
        deliverers = deliverers_among(self.peers)
        if not (self._loaded and deliverers) or self._store_retry.is_set:
            return
        if self.freshness.is_pending:
            return
        until = time.monotonic() + WORK_S
        try:
            with self._guard.handling():
                goes_on = self._route_events(deliverers, until)
                if slices:
                    goes_on = self._slices.make(time.monotonic() + SLICES_S) or goes_on
                else:
                    goes_on = goes_on or self._fan_outs.wait
        except StoreError as problem:
            self.log.warning("store_unavailable", reason=str(problem), held=len(self._held))
            self._store_retry.within(STORE_RETRY_S)
            goes_on = False
        self._slices.report_ended()
        if goes_on:
            self._work_due.within(0)

    def _route_events(self, deliverers: list[Peer], until: float) -> bool:
        """Route the batches held; True if there are more, after one slice at least."""
        while self._held:
            batch, bridge = self._held[0]
            if self._routing is None:
                self._routing = Routing(batch)
            self._match_events(self._routing, until)
            self._progress_at = time.monotonic()
            if self._routing.routed < len(batch.events):
                self._slices.make(until)
                return True
            if self._routing.in_order and RETRY_QUEUE not in self.peers:
                return False  # It goes on once the retry queue is up.
            routing, self._routing = self._routing, None
            self._held.popleft()
            self._send_routed(routing, bridge, deliverers)
        return False

    def _match_events(self, routing: Routing, until: float) -> None:
        """Find the deliveries of the batch's further events, until that time. Raises StoreError."""
        match = partial(self._traced_match, routing)
        for raw in routing.batch.events[routing.routed :]:
            self._match(routing, raw, match)
            routing.routed += 1
            if time.monotonic() >= until:
                break

    def _match(
        self, routing: Routing, raw: RawEvent, match: Callable[[RawEvent], _Matched]
    ) -> None:
        """Find the deliveries of an event. Raises StoreError; the event then waits."""
        try:
            matched, made, in_order = self._guard.run(raw, match, _is_over)
        except StoreError:
            raise
        except PoisonEvent as problem:
            routing.poison.append((raw.tag, str(problem)))
        except Exception as problem:
            self.log.exception("module_failed", module=self._module.id, routing_key=raw.routing_key)
            routing.poison.append((raw.tag, f"{type(problem).__name__}: {problem}"))
        else:
            if in_order:
                routing.in_order += [(raw.tag, *made_or_not) for made_or_not in in_order]
            if made is not None:
                routing.place(raw, made)
            elif matched is not None:
                routing.slice(raw, matched)

    def _traced_match(self, routing: Routing, raw: RawEvent) -> _Matched:
        """The event's fan-out, and what of it is sent at once, in a span of its trace."""
        span = self._tracing.match(self._module.id, raw.trace)
        try:
            unfired: list[str] = []
            matched = self._fan_out(raw, span.context, unfired.append)
            made = None if matched is None else self._small(routing, matched)
            in_order = self._in_order(matched) if matched is not None and matched.in_order else ()
        except Exception as problem:
            span.fail(type(problem).__name__)  # Its text may contain private data.
            raise
        span.end(0 if matched is None else len(matched.hooks) + len(in_order))
        if unfired:
            routing.unfired.update(unfired)
            routing.unfired_key = raw.routing_key
        return matched, made, in_order

    def _in_order(self, matched: FanOut) -> list[tuple[Delivery, Refusal | None]]:
        found: list[tuple[Delivery, Refusal | None]] = []
        for hook in matched.in_order:
            made = made_or_refused(matched, hook, partial(matched.make, hook))
            if made is not None:
                delivery, refused = made
                found.append((self._finished(delivery), refused))
        return found

    def _small(self, routing: Routing, matched: FanOut) -> tuple[Delivery, ...] | None:
        """The deliveries of an event if they may go with those of the batch; None: in slices."""
        if self._fan_outs.delays(matched):
            return None
        return routing.small(matched, self._finished)

    def _send_routed(self, routing: Routing, bridge: ActorAddress, deliverers: list[Peer]) -> None:
        """Send the deliveries of small fan-outs, report to the bridge, and begin the large ones."""
        batch = routing.batch
        by_deliverer = self._placement.share_out(routing.events, deliverers)
        source = EVENT_BRIDGE, batch.bridge
        shares, holders = {}, {}
        for peer in deliverers:
            if by_tag := by_deliverer[peer.path]:
                # A batch that arrives again, when other deliverers are up, is other shares.
                share = share_name(batch.batch, next(self._shares))
                shares[share] = tuple(by_tag)
                holders[share] = (peer.path, peer.incarnation)
                count = sum(map(len, by_tag.values()))
                self._counts["deliveries"] += count
                self.tally.observe(catalog.BATCH_SIZE, count, "deliveries")
                taken_at = routing.taken_at
                batched = [EventDeliveries(t, tuple(ds), taken_at[t]) for t, ds in by_tag.items()]
                self.send(peer.address, DeliveryBatch(share, source, tuple(batched)))
        for share, tags in self._send_in_order(routing, source):
            shares[share], holders[share] = tags, (RETRY_QUEUE, self.peers[RETRY_QUEUE].incarnation)
        own = share_name(batch.batch, next(self._shares))
        if routing.large:
            shares[own] = tuple(raw.tag for raw, _matched in routing.large)
            holders[own] = self.path, self.incarnation
        self.send(bridge, Routed(batch.batch, shares, holders, tuple(routing.poison)))
        if routing.large:
            self.send(bridge, Progress(source, (own,), ()))
        for raw, matched in routing.large:
            waiter = Receipt(source, own, raw.tag)
            self._fan_outs.begin(message_of(raw), matched, raw.taken_at, waiter)
        self._counts["events"] += len(batch.events)
        self._counts["deliveries"] += len(routing.in_order)
        self._counts["poison"] += len(routing.poison)
        self._fired += len(batch.events) - len(routing.poison) - routing.unfired.total()
        self._unfired.add(routing.unfired, routing.unfired_key)

    def _send_in_order(
        self, routing: Routing, source: Source
    ) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Send deliveries to the retry queue; the shares, and the tags of each."""
        for part in cut(routing.in_order, ORDERED_DELIVERIES, lambda one: one[1].size):
            share = share_name(routing.batch.batch, next(self._shares))
            made: dict[int, list[Delivery]] = {}
            for tag, delivery, size in part:
                if size is None:
                    made.setdefault(tag, []).append(delivery)
            refused = tuple((tag, it, size) for tag, it, size in part if size is not None)
            events = tuple(EventDeliveries(tag, tuple(ds)) for tag, ds in made.items())
            message = DeliveryBatch(share, source, events, refused)
            self.send(self.peers[RETRY_QUEUE].address, message)
            yield share, tuple(dict.fromkeys(tag for tag, _delivery, _size in part))

    def _fan_out(
        self, raw: RawEvent, trace: TraceContext | None, unfired: Callable[[str], object]
    ) -> FanOut | None:
        event = self._parse(
            raw.body,
            raw.content_type,
            raw.content_encoding,
            raw.exchange,
            raw.routing_key,
            raw.message_id,
            trace,
            raw.headers,
        )
        return fan_out(
            event,
            self._module,
            self._hooks,
            self._directory,
            self._directory.cluster_id(),
            new_event_id,
            unfired,
        )

    # Large fan-outs

    def _finishing(self, account_id: str) -> Callable[[Delivery], Delivery]:
        """Completes the deliveries of an account's hooks. Raises StoreError."""
        return partial(self._with_choices, account=self._directory.choices_of(account_id))

    def _finished(self, delivery: Delivery) -> Delivery:
        return self._with_choices(delivery, self._directory.choices_of(delivery.account_id))

    def receiveMsg_Progress(self, message: Progress, _sender: ActorAddress) -> None:
        """A deliverer has settled deliveries of large fan-outs."""
        self._slices.progress(message)
        self._work()

    def receiveMsg_NotHeld(self, message: NotHeld, sender: ActorAddress) -> None:
        """A deliverer never received slices of large fan-outs."""
        self._slices.not_held(message, sender)

    def receiveMsg_Reconcile(self, message: Reconcile, sender: ActorAddress) -> None:
        """Report which of the bridge's shares this responder does not hold."""
        self.send(sender, NotHeld(message.source, self._slices.unknown(message.shares)))


def parser_of(module: EventModule) -> Callable[..., Event]:
    """Decodes the module's messages."""
    if isinstance(module, BusModule) and module.raw:
        return partial(whole_event, any_content=module.any_content)
    return parse_event


def _is_over(found: _Matched) -> bool:
    """Whether the event has no deliveries that are still to be made, in slices."""
    matched, made, _in_order = found
    return matched is None or made is not None


def _put(index: HookIndex, hooks: tuple[Hook, ...]) -> None:
    for hook in hooks:
        index.put(hook)
