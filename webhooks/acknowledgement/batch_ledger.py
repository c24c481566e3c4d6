"""The retry queue's ledger: which deliverer holds which of the due messages."""

from collections.abc import Iterable, Mapping

from attrs import Factory, define

from callboard.webhooks.acknowledgement.shares import Holder, Share, Shares


@define
class BatchLedger:
    """Shares, and the deliveries of their tags. Valid for one broker connection only."""

    shares: Shares = Factory(Shares)
    _ids: dict[int, str] = Factory(dict)
    _holders: dict[str, tuple[Holder, int]] = Factory(dict)

    def __len__(self) -> int:
        """The number of tags that deliverers hold."""
        return len(self._ids)

    def __contains__(self, tag: int) -> bool:
        """Whether a deliverer holds this tag."""
        return tag in self._ids

    def sent(self, share: str, holder: Holder, ids: Mapping[int, str], now: float) -> None:
        """Record that a share was sent to a deliverer. `ids`: its deliveries, by tag."""
        self.shares.add(share, Share(holder, set(ids), now))
        self._ids.update(ids)
        for id in ids.values():
            _holder, copies = self._holders.get(id, (holder, 0))
            self._holders[id] = holder, copies + 1

    def holder_of(self, id: str) -> Holder | None:
        """The deliverer that holds a copy of this delivery, if one does."""
        held = self._holders.get(id)
        return held[0] if held else None

    def settled(self, name: str, tags: Iterable[int]) -> list[int]:
        """Record that a deliverer has settled tags of a share; returns those that were open."""
        return self._released(self.shares.settled(name, tags))

    def died(self, holder: Holder) -> list[int]:
        """Forget a dead deliverer; returns the tags that it held."""
        return self._released(self.shares.lost((), {holder}))

    def lost(self, names: Iterable[str]) -> list[int]:
        """Forget shares that no deliverer holds; returns their tags."""
        return self._released(self.shares.lost(names))

    def drop(self, tags: Iterable[int]) -> None:
        """Forget tags: their messages return to the broker."""
        tags = [tag for tag in tags if tag in self._ids]
        self.shares.drop(tags)
        self._released(tags)

    def _released(self, tags: Iterable[int]) -> list[int]:
        released = sorted(tags)
        for id in map(self._ids.pop, released):
            holder, copies = self._holders.pop(id)
            if copies > 1:
                self._holders[id] = holder, copies - 1
        return released
