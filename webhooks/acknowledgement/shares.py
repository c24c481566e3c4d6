"""The parts of the broker's messages that deliverers hold, until they are settled or lost.

The counterpart of `Receipts`, and of `Outbox` where the broker has the items: a lost share is not
sent again but given back to the broker, which redelivers it.
"""

import math
from collections.abc import Iterable, Mapping, Set

from attrs import Factory, define

Holder = tuple[str, int]
"""A deliverer: its path and its incarnation."""


@define
class Share:
    """Delivery tags that a deliverer holds, or is about to receive."""

    holder: Holder
    tags: set[int]
    since: float
    accepted: bool = False
    in_order: bool = False


@define
class Shares:
    """The shares that are not settled, by name."""

    _shares: dict[str, Share] = Factory(dict)

    def __len__(self) -> int:
        """The number of shares."""
        return len(self._shares)

    def __contains__(self, name: str) -> bool:
        """Whether a share is not settled."""
        return name in self._shares

    @property
    def all(self) -> Mapping[str, Share]:
        """The shares, by name."""
        return self._shares

    @property
    def on_the_way(self) -> int:
        """The number of shares whose receipt no deliverer has confirmed."""
        return sum(not share.accepted for share in self._shares.values())

    @property
    def unaccepted_since(self) -> float:
        """When the oldest of these was sent; infinite if there is none."""
        shares = self._shares.values()
        return min((share.since for share in shares if not share.accepted), default=math.inf)

    def add(self, name: str, share: Share) -> None:
        """Record that a share was sent to its deliverer."""
        self._shares[name] = share

    def accepted(self, name: str) -> bool:
        """Record that a deliverer has received a share; False if it is unknown."""
        share = self._shares.get(name)
        if share is None:
            return False
        share.accepted = True
        return True

    def settled(self, name: str, tags: Iterable[int]) -> set[int]:
        """Record that a deliverer has settled tags of a share; returns those that were open."""
        share = self._shares.get(name)
        if share is None:
            return set()
        share.accepted = True
        settled = share.tags.intersection(tags)
        share.tags -= settled
        if not share.tags:
            del self._shares[name]
        return settled

    def tags_of(self, names: Iterable[str], gone: Set[Holder]) -> set[int]:
        """The tags of these shares, and of all shares of dead deliverers."""
        found = {name for name, share in self._shares.items() if share.holder in gone}
        found.update(name for name in names if name in self._shares)
        return {tag for name in found for tag in self._shares[name].tags}

    def lost(self, names: Iterable[str], gone: Set[Holder] = frozenset()) -> set[int]:
        """Forget the tags of these shares, and of all shares of dead deliverers; returns them.

        Their messages are redelivered whole, so the other shares of these tags lose them, too.
        """
        tags = self.tags_of(names, gone)
        self.drop(tags)
        return tags

    def drop(self, tags: Iterable[int]) -> None:
        """Forget these tags in all shares."""
        tags = set(tags)
        for name in list(self._shares):
            self._shares[name].tags.difference_update(tags)
            if not self._shares[name].tags:
                del self._shares[name]

    def stale(self, before: float) -> dict[str, list[str]]:
        """Shares sent before this time, by the path of their deliverer."""
        stale: dict[str, list[str]] = {}
        for name, share in self._shares.items():
            if share.since < before:
                stale.setdefault(share.holder[0], []).append(name)
        return stale
