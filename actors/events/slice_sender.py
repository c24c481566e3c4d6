"""Sends the slices of a responder's large fan-outs to deliverers, until they are settled."""

import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from thespian.actors import ActorAddress

from callboard.actors.base.placement import deliverer_for, deliverers_among
from callboard.actors.messages import (
    DeliveryBatch,
    EventDeliveries,
    NotHeld,
    Progress,
    Reconcile,
)
from callboard.actors.messages.paths import EVENT_BRIDGE
from callboard.config.time_limits import REPEATED_S
from callboard.supervision import Peer
from callboard.webhooks.acknowledgement.outbox import Outbox
from callboard.webhooks.acknowledgement.receipts import Receipt, Source
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.deliveries.slicing import SLICE_DELIVERIES, EventKey, FanOuts, Made
from callboard.webhooks.metrics import catalog
from callboard.webhooks.metrics.tally import Tally

SLICE_S = 0.1
"""The time after which a slice ends; one payload of 32 MiB takes a second to encode as a form."""

_Slice = Sequence[Made[Receipt]]


class SliceSender:
    """The source of the slices, for which it holds shares of the bridge.

    It sends the slices of a deliverer that died to the others, and reports to the bridge when all
    deliveries of an event are settled, and to `made`. `source`: its path and incarnation; `peers`:
    the current ones.
    """

    def __init__(
        self,
        fan_outs: FanOuts[Receipt],
        *,
        made: Callable[[EventKey], None],
        source: Callable[[], Source],
        peers: Callable[[], Mapping[str, Peer]],
        send: Callable[[ActorAddress, Any], None],
        tally: Tally,
    ) -> None:
        self._fan_outs, self._ended, self._source, self._peers = fan_outs, made, source, peers
        self._send, self._tally = send, tally
        self._outboxes: dict[str, Outbox[Made[Receipt]]] = {}
        self._numbers = itertools.count(1)
        self._homeless: list[Made[Receipt]] = []
        self.made = 0
        """The number of deliveries sent so far."""

    def make(self, until: float) -> bool:
        """Make and send slices until that time, at least one; True if there may be more."""
        while made := self._fan_outs.next(_late_after(SLICE_S)):
            self.made += len(made)
            self._place(made)
            if time.monotonic() >= until:
                return True
        return False

    def _place(self, made: Iterable[Made[Receipt]]) -> None:
        """Send deliveries; without a deliverer they wait for one."""
        deliverers = deliverers_among(self._peers())
        if not deliverers:
            self._homeless += made
            return
        for one in made:
            path = deliverer_for(one.delivery, deliverers).path
            if path not in self._outboxes:
                self._outboxes[path] = Outbox(
                    SLICE_DELIVERIES, size=attrgetter("size"), numbers=self._numbers
                )
            self._outboxes[path].add(one)
        now = time.monotonic()
        for peer in deliverers:
            outbox = self._outboxes.get(peer.path)
            while outbox is not None and (batch := outbox.next(now)) is not None:
                self._send_slice(peer.address, *batch)

    def _send_slice(self, deliverer: ActorAddress, number: int, batch: _Slice) -> None:
        self._tally.observe(catalog.BATCH_SIZE, len(batch), "deliveries")
        sent: dict[int, list[Delivery]] = {}
        for one in batch:
            if one.refused is None:
                sent.setdefault(one.event.number, []).append(one.delivery)
        taken_at = {one.event.number: one.event.taken_at for one in batch}
        events = tuple(EventDeliveries(tag, tuple(ds), taken_at[tag]) for tag, ds in sent.items())
        refused = tuple(
            (one.event.number, one.delivery, one.refused)
            for one in batch
            if one.refused is not None
        )
        self._send(deliverer, DeliveryBatch(str(number), self._source(), events, refused))

    # Reports

    def progress(self, message: Progress) -> None:
        """A deliverer has settled deliveries."""
        if message.source != self._source():
            return
        for share, tags in message.settled:
            for outbox in self._outboxes.values():
                self._fan_outs.settled(outbox.settled(int(share), _of_events(tags)))
        self.report_ended()

    def report_ended(self) -> None:
        """Settle at the bridge the events whose deliveries are all settled."""
        settled: dict[str, list[int]] = {}
        bridge = self._peers().get(EVENT_BRIDGE)
        for event in self._fan_outs.ended():
            self._ended(event.key)
            for waiter in event.waiters:
                if bridge is not None and waiter.source == (EVENT_BRIDGE, bridge.incarnation):
                    settled.setdefault(waiter.share, []).append(waiter.tag)
        if settled and bridge is not None:
            report = tuple((share, tuple(tags)) for share, tags in settled.items())
            self._send(bridge.address, Progress((EVENT_BRIDGE, bridge.incarnation), (), report))

    # Deaths and losses

    def on_peers(self, before: Mapping[str, Peer]) -> None:
        """Give the unsettled slices of deliverers that died to those that are up."""
        peers = self._peers()
        for path in list(self._outboxes):
            known = before.get(path)
            if path not in peers or (known and known.incarnation != peers[path].incarnation):
                self._homeless += self._outboxes.pop(path).emptied()
        homeless, self._homeless = self._homeless, []
        self._place(homeless)

    def not_held(self, message: NotHeld, deliverer: ActorAddress) -> None:
        """Send slices again that a deliverer never received."""
        if message.source == self._source():
            for number in map(int, message.shares):
                for outbox in self._outboxes.values():
                    if batch := outbox.sent(number):
                        self._send_slice(deliverer, number, batch)

    def unknown(self, shares: Iterable[str]) -> tuple[str, ...]:
        """The bridge's shares of which no event is in progress here."""
        held = {waiter.share for waiter in self._fan_outs.waiters}
        return tuple(share for share in shares if share not in held)

    def reconcile(self) -> None:
        """Ask the deliverers for slices that are unsettled for REPEATED_S."""
        now = time.monotonic()
        for path, outbox in self._outboxes.items():
            late = tuple(str(number) for number, _batch in outbox.overdue(now - REPEATED_S, now))
            if late and (deliverer := self._peers().get(path)):
                self._send(deliverer.address, Reconcile(self._source(), late))


def _late_after(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end


def _of_events(numbers: Iterable[int]) -> Callable[[Made[Receipt]], bool]:
    events = frozenset(numbers)
    return lambda one: one.event.number in events
