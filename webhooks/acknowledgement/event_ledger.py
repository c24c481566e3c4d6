"""The ledger of events between arrival and acknowledgement.

An event is *open* from its arrival until all work made from it is *settled*. Until then it waits
for each interested module to route it (in a *batch*), and then for each *share*: the part of a
routed batch that one deliverer holds. The ledger knows neither brokers nor actors; its methods
return the delivery tags to acknowledge or to give back to the broker.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Generic, Protocol, TypeVar

from attrs import Factory, define, frozen

Mark = str
"""A step that an open event waits for: a module that has not routed it, or a share."""


class Tagged(Protocol):
    """An event as the broker delivered it: its delivery tag and its body."""

    @property
    def tag(self) -> int:
        """The broker's delivery tag."""

    @property
    def body(self) -> bytes:
        """The message body."""


E = TypeVar("E", bound=Tagged)

Holder = tuple[str, int]
"""A deliverer: its path and its incarnation."""


@frozen
class Batch(Generic[E]):
    """Events of one module that were sent to its responder (of that incarnation) for routing.

    `resent`: how often they were sent before.
    """

    id: int
    module: str
    events: tuple[E, ...]
    incarnation: int
    sent_at: float
    resent: int = 0


@define
class _Share:
    """Events that a deliverer holds, or is about to receive."""

    holder: Holder
    tags: set[int]
    since: float
    accepted: bool = False


@define
class EventLedger(Generic[E]):
    """All open events, batches and shares. Valid for one broker connection only."""

    _waiting: dict[str, deque[E]] = Factory(dict)
    _batches: dict[int, Batch[E]] = Factory(dict)
    _shares: dict[str, _Share] = Factory(dict)
    _early: dict[str, set[int]] = Factory(dict)
    _open: dict[int, set[Mark]] = Factory(dict)
    _gone: set[Holder] = Factory(set)
    _routed_at: dict[str, float] = Factory(dict)

    @property
    def open(self) -> int:
        """The number of open events."""
        return len(self._open)

    @property
    def shares(self) -> int:
        """The number of shares that deliverers hold."""
        return len(self._shares)

    @property
    def batches(self) -> list[Batch[E]]:
        """Batches that are not routed yet."""
        return list(self._batches.values())

    @property
    def on_the_way(self) -> int:
        """The number of shares whose receipt no deliverer has confirmed."""
        return sum(not share.accepted for share in self._shares.values())

    @property
    def unanswered_since(self) -> float | None:
        """Since when a responder routes no batch, or a deliverer accepts no share; None if none is
        waited for.

        What a deliverer has accepted may wait for hours, for a rate limit, an order or a retry.
        """
        batches = (
            max(batch.sent_at, self._routed_at.get(batch.module, batch.sent_at))
            for batch in self._batches.values()
        )
        shares = (share.since for share in self._shares.values() if not share.accepted)
        return min(chain(batches, shares), default=None)

    def emptied(self) -> "EventLedger[E]":
        """A ledger for a new connection, which redelivers all events; known deaths are kept."""
        return EventLedger(gone=self._gone)

    # In

    def take(self, event: E, modules: Iterable[str]) -> bool:
        """Open an event that these modules want. Returns False if no module does."""
        marks = set()
        for module in sorted(modules):  # the same order in every process
            self._waiting.setdefault(module, deque()).append(event)
            marks.add(_by(module))
        if marks:
            self._open[event.tag] = marks
        return bool(marks)

    def waiting(self) -> Iterator[str]:
        """Modules that have events to send."""
        return (module for module, events in list(self._waiting.items()) if events)

    def batches_of(self, module: str) -> int:
        """The number of this module's batches that are not routed yet."""
        return sum(batch.module == module for batch in self._batches.values())

    def cut(self, module: str, most_events: int, most_bytes: int) -> tuple[E, ...]:
        """Take the module's next events: at most `most_events`, and up to `most_bytes`.

        The event that reaches `most_bytes` is included. Events given back to the broker in the
        meantime are skipped, so the result may be empty.
        """
        waiting = self._waiting.get(module, deque())
        events: list[E] = []
        size = 0
        while waiting and len(events) < most_events and size < most_bytes:
            event = waiting.popleft()
            if event.tag in self._open:
                events.append(event)
                size += len(event.body)
        return tuple(events)

    def sent(self, batch: Batch[E]) -> None:
        """Record that a batch was sent to its responder."""
        self._batches[batch.id] = batch

    # Routed

    def resend(self, id: int) -> Batch[E]:
        """Take back a batch from a dead responder. Raises KeyError if it was routed already."""
        return self._batches.pop(id)

    def routed(
        self,
        id: int,
        shares: Mapping[str, Iterable[int]],
        holders: Mapping[str, Holder],
        now: float,
    ) -> tuple[Batch[E] | None, list[int]]:
        """Record that a batch is routed; returns it, and the tags that wait for nothing more.

        The batch is None if it is unknown: the report was late or a duplicate. Shares whose
        deliverer died earlier are lost at once: see `lost`.
        """
        batch = self._batches.pop(id, None)
        if batch is None:
            return None, []
        self._routed_at[batch.module] = now
        for name, tags in shares.items():
            open_tags = {tag for tag in tags if tag in self._open}
            if open_tags:
                self._shares[name] = _Share(holders[name], open_tags, now)
            for tag in open_tags:
                self._open[tag].add(name)
        done = self._strike(_by(batch.module), [event.tag for event in batch.events])
        for name in shares:
            early = self._early.pop(name, None)
            if early is not None and name in self._shares:
                done += self._settle(name, early)
        return batch, done

    # Out

    def accepted(self, share: str) -> None:
        """Record that a deliverer has a share, possibly before its batch is known to be routed."""
        if share in self._shares:
            self._shares[share].accepted = True
        elif self._may_come(share):
            self._early.setdefault(share, set())

    def settled(self, share: str, tags: Iterable[int]) -> list[int]:
        """Record settled events of a share; returns the tags that wait for nothing more."""
        if share in self._shares:
            return self._settle(share, tags)
        if self._may_come(share):
            self._early.setdefault(share, set()).update(tags)
        return []

    def _may_come(self, share: str) -> bool:
        """Whether a report on this share may have overtaken the responder's report on its batch."""
        return batch_of(share) in self._batches

    def _settle(self, name: str, tags: Iterable[int]) -> list[int]:
        share = self._shares[name]
        share.accepted = True
        settled = share.tags.intersection(tags)
        share.tags -= settled
        if not share.tags:
            del self._shares[name]
        return self._strike(name, settled)

    def _strike(self, mark: Mark, tags: Iterable[int]) -> list[int]:
        """Remove a mark from events; returns the tags that wait for nothing more."""
        done = []
        for tag in tags:
            marks = self._open.get(tag)
            if marks is not None:
                marks.discard(mark)
                if not marks:
                    del self._open[tag]
                    done.append(tag)
        return done

    # Losses

    def died(self, holder: Holder) -> None:
        """Record a deliverer's death, which a responder may not have noticed yet."""
        self._gone.add(holder)

    def lost(self, shares: Iterable[str] = ()) -> list[int]:
        """Forget the events of these shares and of all dead deliverers; the tags to give back."""
        names = {name for name, share in self._shares.items() if share.holder in self._gone}
        names.update(name for name in shares if name in self._shares)
        tags = {tag for name in names for tag in self._shares[name].tags}
        given_back = [tag for tag in tags if self._open.pop(tag, None) is not None]
        if names:
            for name in list(self._shares):
                self._shares[name].tags.difference_update(tags)
                if not self._shares[name].tags:
                    del self._shares[name]
        return given_back

    def stale_batches(self, before: float) -> list[Batch[E]]:
        """Batches sent before this time."""
        return [batch for batch in self._batches.values() if batch.sent_at < before]

    def stale_shares(self, before: float) -> dict[str, list[str]]:
        """Shares sent before this time, by the path of their deliverer."""
        stale: dict[str, list[str]] = {}
        for name, share in self._shares.items():
            if share.since < before:
                stale.setdefault(share.holder[0], []).append(name)
        return stale


def share_name(batch: int, number: int) -> str:
    """The name of a share of a routed batch."""
    return f"{batch}/{number}"


def batch_of(share: str) -> int:
    """The id of the batch that a share belongs to."""
    return int(share.partition("/")[0])


def _by(module: str) -> Mark:
    """The mark of an event that this module has not routed yet."""
    return f"waiting:{module}"
