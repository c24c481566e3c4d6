"""The ledger of an event's way: who has it, and when it may be acknowledged.

An event is *open* from its arrival until all that was made of it is *settled*. In between it
waits for each module that wants it to route it (in a *batch*), and then for each *share*
of a routed batch that one deliverer has. Nothing here knows of a broker or of actors: every method
says which delivery tags are done with, or must go back.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, Protocol, TypeVar

from attrs import Factory, define, frozen

Mark = str
"""What an open event waits for: a module that has not routed it, or a share."""


class Tagged(Protocol):
    """An event as the broker delivered it: its delivery tag and its body."""

    @property
    def tag(self) -> int:
        """The broker's name for it."""

    @property
    def body(self) -> bytes:
        """Its content."""


E = TypeVar("E", bound=Tagged)

Holder = tuple[str, int]
"""A deliverer: its path and its incarnation."""


@frozen
class Batch(Generic[E]):
    """Events of one module that its responder (of that incarnation) was sent to route."""

    id: int
    module: str
    events: tuple[E, ...]
    incarnation: int
    sent_at: float


@define
class _Share:
    """Events that a deliverer has, or is about to get."""

    holder: Holder
    tags: set[int]
    since: float
    accepted: bool = False


@define
class EventLedger(Generic[E]):
    """Everything between the broker and the acknowledgement; void with the connection."""

    _waiting: dict[str, deque[E]] = Factory(dict)
    _batches: dict[int, Batch[E]] = Factory(dict)
    _shares: dict[str, _Share] = Factory(dict)
    _early: dict[str, set[int]] = Factory(dict)
    _open: dict[int, set[Mark]] = Factory(dict)
    _gone: set[Holder] = Factory(set)

    @property
    def open(self) -> int:
        """Events in hand."""
        return len(self._open)

    @property
    def shares(self) -> int:
        """Shares that deliverers have."""
        return len(self._shares)

    @property
    def batches(self) -> list[Batch[E]]:
        """Batches that are not routed."""
        return list(self._batches.values())

    @property
    def on_the_way(self) -> int:
        """Shares that no deliverer has confirmed to have."""
        return sum(not share.accepted for share in self._shares.values())

    def emptied(self) -> "EventLedger[E]":
        """A new ledger for a new connection, where all events come anew; the dead stay dead."""
        return EventLedger(gone=self._gone)

    # In

    def take(self, event: E, modules: Iterable[str]) -> bool:
        """An event that these modules want; whether there are any."""
        marks = set()
        for module in modules:
            self._waiting.setdefault(module, deque()).append(event)
            marks.add(_by(module))
        if marks:
            self._open[event.tag] = marks
        return bool(marks)

    def waiting(self) -> Iterator[str]:
        """Modules with events to be sent."""
        return (module for module, events in list(self._waiting.items()) if events)

    def batches_of(self, module: str) -> int:
        """How many batches of this module are not routed."""
        return sum(batch.module == module for batch in self._batches.values())

    def cut(self, module: str, most_events: int, most_bytes: int) -> tuple[E, ...]:
        """The module's next events, up to so many, and up to the one that reaches so many bytes.

        Those that went back to the broker meanwhile are left out, which may leave none.
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
        """A batch went to its responder."""
        self._batches[batch.id] = batch

    # Routed

    def resend(self, id: int) -> Batch[E]:
        """Take a batch back from a responder that is gone. Raises KeyError if it was routed."""
        return self._batches.pop(id)

    def routed(
        self,
        id: int,
        shares: Mapping[str, Iterable[int]],
        holders: Mapping[str, Holder],
        now: float,
    ) -> tuple[Batch[E] | None, list[int]]:
        """A responder has routed a batch; the batch, and the tags that wait for nothing more.

        None: the batch is unknown, its word came too late or twice. Shares whose deliverer died
        before are lost at once: see `lost`.
        """
        batch = self._batches.pop(id, None)
        if batch is None:
            return None, []
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
        """A deliverer has received a share, maybe before its batch is known to be routed."""
        if share in self._shares:
            self._shares[share].accepted = True
        elif self._may_come(share):
            self._early.setdefault(share, set())

    def settled(self, share: str, tags: Iterable[int]) -> list[int]:
        """A deliverer has settled events of a share; the tags that wait for nothing more."""
        if share in self._shares:
            return self._settle(share, tags)
        if self._may_come(share):
            self._early.setdefault(share, set()).update(tags)
        return []

    def _may_come(self, share: str) -> bool:
        """Whether a share's news may have overtaken the responder's word on its batch."""
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
        """Strike out one thing that events were waiting for; those that wait for nothing more."""
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
        """A deliverer is gone; a responder may not have noticed yet."""
        self._gone.add(holder)

    def lost(self, shares: Iterable[str] = ()) -> list[int]:
        """Forget the events of these shares and of all that the dead had; the tags to give back."""
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
        """Batches that were sent before then."""
        return [batch for batch in self._batches.values() if batch.sent_at < before]

    def stale_shares(self, before: float) -> dict[str, list[str]]:
        """Shares that are older than that, by the path of their deliverer."""
        stale: dict[str, list[str]] = {}
        for name, share in self._shares.items():
            if share.since < before:
                stale.setdefault(share.holder[0], []).append(name)
        return stale


def share_name(batch: int, number: int) -> str:
    """The name of a share of a routed batch."""
    return f"{batch}/{number}"


def batch_of(share: str) -> int:
    """The batch that a share belongs to."""
    return int(share.partition("/")[0])


def _by(module: str) -> Mark:
    """The mark of an event that this module has not routed yet."""
    return f"waiting:{module}"
