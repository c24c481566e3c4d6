"""Which deliverer a delivery goes to."""

import hashlib
import re
import zlib
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from operator import attrgetter

from attrs import frozen

from callboard.actors.messages.paths import DELIVERIES, ELSEWHERE
from callboard.supervision import Peer
from callboard.webhooks.deliveries.delivery import Delivery

WHOLE_EVENTS, WHOLE_DELIVERIES = 32, 64
"""A batch of up to so many goes to one deliverer: a second message costs more than it saves."""

_BY_ID = ""
"""In place of a path: each delivery went by its own id."""

_DELIVERER = re.compile(rf"({ELSEWHERE}/[^/]+|{DELIVERIES})/deliverer-\d+")


def is_deliverer(path: str) -> bool:
    """Whether it is a deliverer's path, on this machine or on one that has joined."""
    return _DELIVERER.fullmatch(path) is not None


def is_remote(path: str) -> bool:
    """Whether it is a deliverer's path on a machine that has joined, with a clock of its own."""
    return is_deliverer(path) and path.startswith(f"{ELSEWHERE}/")


def deliverers_among(peers: Mapping[str, Peer]) -> list[Peer]:
    """The deliverers that are up, always in the same order."""
    return [peers[path] for path in sorted(peers) if is_deliverer(path)]


def deliverer_for(delivery: Delivery, deliverers: Sequence[Peer]) -> Peer:
    """The same for the same delivery, which may be known there.

    What is ordered, or limited in rate, goes by its hook: one deliverer has all of it. If that
    one is down another takes over, and no other hook moves.
    """
    if _goes_by_hook(delivery):
        return max(deliverers, key=lambda peer: _rank(f"{delivery.hook_id} {peer.path}"))
    return deliverers[zlib.crc32(delivery.id.encode()) % len(deliverers)]


@frozen
class EventToPlace:
    """The deliveries of an event. `message`: what is the same whenever the event comes."""

    message: Hashable
    tag: int
    deliveries: Sequence[Delivery]


class Placement:
    """Shares deliveries out, a small batch whole, and remembers where those of an event went.

    An event comes again while its deliveries are under way if the connection to the broker was lost
    or the bridge died. It then goes where it went before, as they are known there, however the
    batches are cut this time. `remembered` events are; as many as can be in hand, twice.

    A successor of the responder remembers none, but the batches that it is sent again are the same
    ones, and so go to the same deliverers.
    """

    def __init__(self, remembered: int) -> None:
        self._remembered = remembered
        self._places: OrderedDict[Hashable, str] = OrderedDict()

    def __len__(self) -> int:
        """How many events are remembered."""
        return len(self._places)

    def share_out(
        self, events: Sequence[EventToPlace], deliverers: Sequence[Peer]
    ) -> dict[str, dict[int, list[Delivery]]]:
        """For each deliverer, by its path, the deliveries by the tags of their events."""
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
    """The path of the deliverer that a new batch goes to; _BY_ID where it is to be split."""
    made = [delivery for event in events for delivery in event.deliveries]
    small = len(events) <= WHOLE_EVENTS and 0 < len(made) <= WHOLE_DELIVERIES
    if not small or any(map(_goes_by_hook, made)):
        return _BY_ID
    return deliverer_for(made[0], deliverers).path


def _goes_by_hook(delivery: Delivery) -> bool:
    return delivery.options.ordered or delivery.options.rate_per_s is not None


def _rank(text: str) -> bytes:
    return hashlib.blake2b(text.encode(errors="replace"), digest_size=8).digest()
