"""The retry queue's books: which deliverer has which of the messages that are due."""

from collections.abc import Iterable

from attrs import Factory, define

from callboard.webhooks.acknowledgement.event_ledger import Holder


@define
class _Part:
    holder: Holder
    tags: set[int]
    since: float
    accepted: bool = False


@define
class HandedOut:
    """Parts, each with the delivery tags that its holder has; void with the connection."""

    _parts: dict[str, _Part] = Factory(dict)

    def __len__(self) -> int:
        """Tags that deliverers have."""
        return sum(len(part.tags) for part in self._parts.values())

    @property
    def on_the_way(self) -> int:
        """Parts that no deliverer has confirmed to have."""
        return sum(not part.accepted for part in self._parts.values())

    def sent(self, part: str, holder: Holder, tags: Iterable[int], now: float) -> None:
        """A part went to a deliverer."""
        self._parts[part] = _Part(holder, set(tags), now)

    def accepted(self, part: str) -> None:
        """A deliverer has received a part."""
        if part in self._parts:
            self._parts[part].accepted = True

    def settled(self, name: str, tags: Iterable[int]) -> list[int]:
        """A deliverer has settled tags of a part; those that were open."""
        part = self._parts.get(name)
        if part is None:
            return []
        part.accepted = True
        done = part.tags.intersection(tags)
        part.tags -= done
        if not part.tags:
            del self._parts[name]
        return sorted(done)

    def died(self, holder: Holder) -> list[int]:
        """A deliverer is gone; the tags that it had."""
        return self.lost([name for name, part in self._parts.items() if part.holder == holder])

    def lost(self, names: Iterable[str]) -> list[int]:
        """Parts that no deliverer has; their tags."""
        parts = [self._parts.pop(name) for name in names if name in self._parts]
        return sorted(tag for part in parts for tag in part.tags)

    def stale(self, before: float) -> dict[str, list[str]]:
        """Parts that are older than that, by the path of their deliverer."""
        stale: dict[str, list[str]] = {}
        for name, part in self._parts.items():
            if part.since < before:
                stale.setdefault(part.holder[0], []).append(name)
        return stale
