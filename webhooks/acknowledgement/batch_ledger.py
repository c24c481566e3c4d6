"""The retry queue's ledger: which deliverer holds which of the due messages."""

from collections.abc import Iterable, Mapping

from attrs import Factory, define

from callboard.webhooks.acknowledgement.event_ledger import Holder


@define
class _Share:
    holder: Holder
    ids: dict[int, str]
    since: float
    accepted: bool = False


@define
class BatchLedger:
    """Shares and the delivery tags in them, by holder. Valid for one broker connection only."""

    _shares: dict[str, _Share] = Factory(dict)
    _holders: dict[str, tuple[Holder, int]] = Factory(dict)

    def __len__(self) -> int:
        """The number of tags that deliverers hold."""
        return sum(len(share.ids) for share in self._shares.values())

    @property
    def on_the_way(self) -> int:
        """The number of shares whose receipt no deliverer has confirmed."""
        return sum(not share.accepted for share in self._shares.values())

    def sent(self, share: str, holder: Holder, ids: Mapping[int, str], now: float) -> None:
        """Record that a share was sent to a deliverer. `ids`: its deliveries, by tag."""
        self._shares[share] = _Share(holder, dict(ids), now)
        for id in ids.values():
            _holder, copies = self._holders.get(id, (holder, 0))
            self._holders[id] = holder, copies + 1

    def holder_of(self, id: str) -> Holder | None:
        """The deliverer that holds a copy of this delivery, if one does."""
        return self._holders.get(id, (None, 0))[0]

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
        done = sorted(share.ids.keys() & set(tags))
        for tag in done:
            self._release(share.ids.pop(tag))
        if not share.ids:
            del self._shares[name]
        return done

    def died(self, holder: Holder) -> list[int]:
        """Forget a dead deliverer; returns the tags that it held."""
        return self.lost([name for name, share in self._shares.items() if share.holder == holder])

    def lost(self, names: Iterable[str]) -> list[int]:
        """Forget shares that no deliverer holds; returns their tags."""
        shares = [self._shares.pop(name) for name in names if name in self._shares]
        for share in shares:
            for id in share.ids.values():
                self._release(id)
        return sorted(tag for share in shares for tag in share.ids)

    def _release(self, id: str) -> None:
        holder, copies = self._holders.pop(id)
        if copies > 1:
            self._holders[id] = holder, copies - 1

    def stale(self, before: float) -> dict[str, list[str]]:
        """Shares sent before this time, by the path of their deliverer."""
        stale: dict[str, list[str]] = {}
        for name, share in self._shares.items():
            if share.since < before:
                stale.setdefault(share.holder[0], []).append(name)
        return stale
