"""The choice of a deliverer for each delivery."""

import hashlib
import zlib
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from operator import attrgetter

from attrs import frozen

from callboard.actors.messages.paths import is_deliverer
from callboard.supervision import Peer
from callboard.webhooks.deliveries.delivery import Delivery

WHOLE_EVENTS, WHOLE_DELIVERIES = 32, 64
"""A batch of at most these numbers goes to one deliverer; splitting it costs more than it saves."""

_BY_ID = ""
"""In place of a path: the deliverer was chosen by the id of each delivery."""


def deliverers_among(peers: Mapping[str, Peer]) -> list[Peer]:
    """The deliverers that are up, ordered by path."""
    return [peers[path] for path in sorted(peers) if is_deliverer(path)]


def deliverer_for(delivery: Delivery, deliverers: Sequence[Peer]) -> Peer:
    """Choose the same deliverer for a repeated delivery, which it then recognizes.

    Deliveries of a hook with an order or a rate limit all go to one deliverer, by rendezvous
    hashing: if that deliverer is down, another takes over, and other hooks do not move.
    """
    if _goes_by_hook(delivery):
        return max(deliverers, key=lambda peer: _rank(f"{delivery.hook_id} {peer.path}"))
    return deliverers[zlib.crc32(delivery.id.encode()) % len(deliverers)]


@frozen
class EventToPlace:
    """The deliveries of an event. `message`: a key that is the same if it is redelivered."""

    message: Hashable
    tag: int
    deliveries: Sequence[Delivery]


class Placement:
    """Distributes deliveries, small batches whole, and remembers the deliverer of each event.

    If the connection to the broker is lost or the bridge dies, an event is redelivered while its
    deliveries are in progress. It then goes to the same deliverer, which recognizes them, even if
    the batches differ. `remembered`: the number of events, twice the prefetch.

    A responder's successor remembers none, but it receives the same batches again, which therefore
    go to the same deliverers.
    """

    def __init__(self, remembered: int) -> None:
        self._remembered = remembered
        self._places: OrderedDict[Hashable, str] = OrderedDict()

    def __len__(self) -> int:
        """The number of remembered events."""
        return len(self._places)

    def share_out(
        self, events: Sequence[EventToPlace], deliverers: Sequence[Peer]
    ) -> dict[str, dict[int, list[Delivery]]]:
        """The deliveries by the tags of their events, by the path of the deliverer."""
        shares: dict[str, dict[int, list[Delivery]]] = {peer.path: {} for peer in deliverers}
        known, new = {*shares, _BY_ID}, _whole(events, deliverers)
        for event in filter(attrgetter("deliveries"), events):
            place = self._places.pop(event.message, new)
            place = self._places[event.message] = place if place in known else new
            for delivery in event.deliveries:
                by_itself = place == _BY_ID or _goes_by_hook(delivery)
                path = deliverer_for(delivery, deliverers).path if by_itself else place
                shares[path].setdefault(event.tag, []).append(delivery)
        while len(self._places) > self._remembered:
            self._places.popitem(last=False)
        return shares


def _whole(events: Sequence[EventToPlace], deliverers: Sequence[Peer]) -> str:
    """The path of the deliverer for a new batch; _BY_ID if it is to be split."""
    made = [delivery for event in events for delivery in event.deliveries]
    small = len(events) <= WHOLE_EVENTS and 0 < len(made) <= WHOLE_DELIVERIES
    if not small or any(map(_goes_by_hook, made)):
        return _BY_ID
    return deliverer_for(made[0], deliverers).path


def _goes_by_hook(delivery: Delivery) -> bool:
    return delivery.options.ordered or delivery.options.rate_per_s is not None


def _rank(text: str) -> bytes:
    return hashlib.blake2b(text.encode(errors="replace"), digest_size=8).digest()
