"""A batch of events while its responder routes it."""

from collections.abc import Callable, Sequence

from attrs import Factory, define

from callboard.actors.base.placement import EventToPlace
from callboard.actors.messages import EventBatch, RawEvent
from callboard.webhooks.deliveries.delivery import Delivery, FanOut
from callboard.webhooks.deliveries.slicing import EventKey, Refusal

ROOM, ROOM_BYTES = 1_000, 4_000_000
"""The most deliveries of a batch, and bytes of these, that go to the deliverers at once.

The events beyond are treated as large fan-outs, whatever their own size.
"""
ROOM_OF_EVENT = 64


@define
class Routing:
    """The results for the events of a batch so far.

    `events`: those whose deliveries are sent at once; `large`: those that are sliced; `in_order`:
    the deliveries for ordered queues, with the tags of their events before, and why a payload is
    refused after (slicing.py: made_or_refused). `poison`: as in `Routed`.
    `routed`: how many of the batch are.
    """

    batch: EventBatch
    room: int = ROOM
    room_bytes: int = ROOM_BYTES
    events: list[EventToPlace] = Factory(list)
    in_order: list[tuple[int, Delivery, Refusal | None]] = Factory(list)
    taken_at: dict[int, float] = Factory(dict)
    large: list[tuple[RawEvent, FanOut]] = Factory(list)
    poison: list[tuple[int, str]] = Factory(list)
    routed: int = 0
    _owners: set[str] = Factory(set)

    def small(
        self, matched: FanOut, finish: Callable[[Delivery], Delivery]
    ) -> tuple[Delivery, ...] | None:
        """The event's deliveries, with their room taken; None if they are to be sliced.

        They go at once if they are few, fit, can all be encoded, and are not behind those of a
        larger fan-out.
        """
        hooks = matched.hooks
        if len(hooks) > self.room or len(hooks) > ROOM_OF_EVENT:
            return None
        if self._owners and any(hook.account_id in self._owners for hook in hooks):
            return None
        made, room_bytes = [], self.room_bytes
        for hook in hooks:
            try:
                delivery = matched.make(hook)
            except Exception:  # noqa: BLE001 - the slices refuse this one, and send the others
                return None
            made.append(delivery := finish(delivery))
            room_bytes -= delivery.bare_size
            if matched.encoded_bytes > room_bytes:
                return None
        self.room -= len(made)
        self.room_bytes = room_bytes - matched.encoded_bytes
        return tuple(made)

    def place(self, raw: RawEvent, made: Sequence[Delivery]) -> None:
        """Send the deliveries of an event at once."""
        self.taken_at[raw.tag] = raw.taken_at
        self.events.append(EventToPlace(hash(message_of(raw)), raw.tag, made))

    def slice(self, raw: RawEvent, matched: FanOut) -> None:
        """Send the deliveries of an event in slices."""
        self.large.append((raw, matched))
        self._owners.update(hook.account_id for hook in matched.hooks)


def message_of(raw: RawEvent) -> EventKey:
    """A key of the event that is the same if it is redelivered."""
    return raw.exchange, raw.routing_key, raw.message_id, raw.body
