"""Events from the broker to the deliverers, and the reports by which they are acknowledged."""

from collections.abc import Mapping
from typing import Any

from attrs import Factory, field, frozen

from callboard.webhooks.acknowledgement.receipts import Source
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.deliveries.slicing import Refusal
from callboard.webhooks.events.trace_context import TraceContext
from callboard.webhooks.values.pickling import Positional


@frozen
class RawEvent(Positional):
    """An event as the broker delivered it. `tag`: its delivery tag.

    `trace`: the parent of the spans that follow from it. `taken_at`: the time of its arrival by
    `time.monotonic`, which all processes of a machine share.
    """

    tag: int
    exchange: str
    routing_key: str
    body: bytes = field(repr=False)
    content_type: str | None
    content_encoding: str | None
    message_id: str | None = None
    trace: TraceContext | None = None
    headers: Mapping[str, Any] = Factory(dict)
    taken_at: float = 0.0


@frozen
class EventBatch:
    """EventBridge to Responder: events of its bindings. -> `Routed`.

    `since`: the broker redelivers the events of all batches with a lower number.
    """

    batch: int
    bridge: int
    events: tuple[RawEvent, ...] = field(repr=False)
    since: int = 0


@frozen
class Routed:
    """Responder to EventBridge: the results for the events of a batch.

    `shares`: the tags of the events sent to deliverers, by share; an event in no share fires no
    hook. The responder itself holds the share of the events with large fan-outs, and settles it.
    `poison`: tags of events that cannot be handled, with the reason.
    """

    batch: int
    shares: Mapping[str, tuple[int, ...]] = field(repr=False)
    deliverers: Mapping[str, tuple[str, int]]
    poison: tuple[tuple[int, str], ...] = field(repr=False)


@frozen
class EventDeliveries(Positional):
    """The deliveries of one event. `taken_at`: as in `RawEvent`."""

    tag: int
    deliveries: tuple[Delivery, ...]
    taken_at: float = 0.0


@frozen
class DeliveryBatch:
    """Responder to Deliverer: a share of a batch, to be settled at `source`.

    `source`: the bridge, or the responder itself for a slice of a large fan-out. `refused`: tags
    and deliveries that are not to be sent, with the reason.
    """

    share: str
    source: Source
    events: tuple[EventDeliveries, ...] = field(repr=False)
    refused: tuple[tuple[int, Delivery, Refusal], ...] = field(default=(), repr=False)


@frozen
class Progress:
    """Holder of shares to their source: shares that arrived, (share, tags) settled.

    Settled: every delivery of the event has succeeded, is recorded as exhausted, or is stored in
    the durable retry queue. `returned`: the tags of the settled deliveries of ordered hooks that
    are to be attempted again, so that they keep their places.
    """

    source: Source
    accepted: tuple[str, ...]
    settled: tuple[tuple[str, tuple[int, ...]], ...] = field(repr=False)
    returned: tuple[int, ...] = field(default=(), repr=False)


@frozen
class Reconcile:
    """The source of shares to Deliverer: do you have these? -> `NotHeld`."""

    source: Source
    shares: tuple[str, ...]


@frozen
class NotHeld:
    """Deliverer to the source of shares: these never arrived; redeliver their events."""

    source: Source
    shares: tuple[str, ...]


@frozen
class PublishEvents:
    """To EventBridge: publish these (exchange, routing key, body, content type). -> `Published`."""

    events: tuple[tuple[str, str, bytes, str], ...]


@frozen
class Published:
    """The broker has confirmed `count` messages, `unroutable` of which matched no queue."""

    count: int
    unroutable: int


@frozen
class Quiesce:
    """To EventBridge: take no new events and settle those in progress. -> `Quiesced`."""


@frozen
class Quiesced:
    """EventBridge: all events are settled."""
