"""Which deliverer a delivery goes to."""

import hashlib
import re
import zlib
from collections.abc import Mapping, Sequence

from callboard.supervision import Peer
from callboard.webhooks.deliveries.delivery import Delivery

DELIVERERS = "deliveries/*deliverer-*"
"""The peers to ask for by whoever has something for deliverers, here or elsewhere."""

_DELIVERER = re.compile(r"deliveries/(elsewhere/[^/]+/)?deliverer-\d+")


def is_deliverer(path: str) -> bool:
    """Whether it is a deliverer's path, on this machine or on one that has joined."""
    return _DELIVERER.fullmatch(path) is not None


def is_remote(path: str) -> bool:
    """Whether it is a deliverer's path on a machine that has joined, with a clock of its own."""
    found = _DELIVERER.fullmatch(path)
    return found is not None and found[1] is not None


def deliverers_among(peers: Mapping[str, Peer]) -> list[Peer]:
    """The deliverers that are up, always in the same order."""
    return [peers[path] for path in sorted(peers) if is_deliverer(path)]


def deliverer_for(delivery: Delivery, deliverers: Sequence[Peer]) -> Peer:
    """The same for the same delivery, which may be known there.

    What is ordered, or limited in rate, goes by its hook: one deliverer has all of it. If that
    one is down another takes over, and no other hook moves.
    """
    options = delivery.options
    if options.ordered or options.rate_per_s is not None:
        return max(deliverers, key=lambda peer: _rank(f"{delivery.hook_id} {peer.path}"))
    return deliverers[zlib.crc32(delivery.id.encode()) % len(deliverers)]


def _rank(text: str) -> bytes:
    return hashlib.blake2b(text.encode(errors="replace"), digest_size=8).digest()
