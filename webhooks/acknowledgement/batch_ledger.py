"""The retry queue's ledger: which deliverer holds which of the due messages."""

from collections.abc import Iterable

from attrs import Factory, define

from callboard.webhooks.acknowledgement.event_ledger import Holder


@define
class _Share:
    holder: Holder
    tags: set[int]
    since: float
    accepted: bool = False


@define
class BatchLedger:
    """Shares and the delivery tags in them, by holder. Valid for one broker connection only."""

    _shares: dict[str, _Share] = Factory(dict)

    def __len__(self) -> int:
        """The number of tags that deliverers hold."""
        return sum(len(share.tags) for share in self._shares.values())

    @property
    def tags(self) -> set[int]:
        """The tags that deliverers hold."""
        return {tag for share in self._shares.values() for tag in share.tags}

    @property
    def on_the_way(self) -> int:
        """The number of shares whose receipt no deliverer has confirmed."""
        return sum(not share.accepted for share in self._shares.values())

    def sent(self, share: str, holder: Holder, tags: Iterable[int], now: float) -> None:
        """Record that a share was sent to a deliverer."""
        self._shares[share] = _Share(holder, set(tags), now)

    def accepted(self, share: str) -> None:
        """Record that a deliverer has received a share."""
        if share in self._shares:
            self._shares[share].accepted = True

    def settled(self, name: str, tags: Iterable[int]) -> list[int]:
        """Record that a deliverer has settled tags of a share; returns those that were open."""
        share = self._shares.get(name)
        if share is None:
            return []
        share.accepted = True
        done = share.tags.intersection(tags)
        share.tags -= done
        if not share.tags:
            del self._shares[name]
        return sorted(done)

    def died(self, holder: Holder) -> list[int]:
        """Forget a dead deliverer; returns the tags that it held."""
        return self.lost([name for name, share in self._shares.items() if share.holder == holder])

    def lost(self, names: Iterable[str]) -> list[int]:
        """Forget shares that no deliverer holds; returns their tags."""
        shares = [self._shares.pop(name) for name in names if name in self._shares]
        return sorted(tag for share in shares for tag in share.tags)

    def stale(self, before: float) -> dict[str, list[str]]:
        """Shares sent before this time, by the path of their deliverer."""
        stale: dict[str, list[str]] = {}
        for name, share in self._shares.items():
            if share.since < before:
                stale.setdefault(share.holder[0], []).append(name)
        return stale
