"""The ledger of events between arrival and acknowledgement.

An event is *open* from its arrival until all work made from it is *settled*. Until then it waits
for each interested module to route it (in a *batch*), and then for each *share*: the part of a
routed batch that one deliverer holds. The ledger knows neither brokers nor actors; its methods
return the delivery tags to acknowledge or to give back to the broker.
"""

import itertools
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Generic, Protocol, TypeVar

from attrs import Factory, define, frozen

from callboard.webhooks.acknowledgement.outbox import BATCH_BYTES, Outbox
from callboard.webhooks.acknowledgement.releases import Released
from callboard.webhooks.acknowledgement.shares import Holder, Share, Shares

_WAITING = "waiting:"

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


@frozen
class Lost:
    """The tags of events that the broker is to redeliver. `in_order`: before all later ones."""

    tags: Sequence[int] = ()
    in_order: bool = False


@frozen
class BatchLimits:
    """The limits of the batches for a module's responder: see `Outbox`."""

    most_items: int = 200
    most_batches: float = 2
    most_bytes: int = BATCH_BYTES


@define
class EventLedger(Generic[E]):
    """All open events, batches and shares. Valid for one broker connection only.

    `numbers`: of the batches; those of a later connection are greater.
    """

    _limits: BatchLimits = BatchLimits()
    _numbers: Iterator[int] = Factory(lambda: itertools.count(1))
    _batches: dict[str, Outbox[E]] = Factory(dict)
    _modules: dict[int, str] = Factory(dict)
    _shares: Shares = Factory(Shares)
    _early: dict[str, set[int]] = Factory(dict)
    _open: dict[int, set[Mark]] = Factory(dict)
    _gone: set[Holder] = Factory(set)
    _in_order: bool = False
    _last: int = 0
    _routed_at: dict[str, float] = Factory(dict)

    @property
    def open(self) -> int:
        """The number of open events."""
        return len(self._open)

    @property
    def in_order(self) -> bool:
        """Whether a share of deliveries in order has been seen."""
        return self._in_order

    @property
    def shares(self) -> Shares:
        """The shares that deliverers hold."""
        return self._shares

    @property
    def batches(self) -> int:
        """The number of batches that are not routed yet."""
        return len(self._modules)

    @property
    def resent(self) -> int:
        """How often a batch that is not routed yet was sent again, the most of all."""
        return max((outbox.resent for outbox in self._batches.values()), default=0)

    @property
    def unanswered_since(self) -> float | None:
        """Since when a responder routes no batch, or a deliverer accepts no share; None if none is
        waited for.

        What a deliverer has accepted may wait for hours, for a rate limit, an order or a retry.
        """
        batches = (
            max(outbox.sent_at, self._routed_at.get(module, 0.0))
            for module, outbox in self._batches.items()
        )
        since = min(self._shares.unaccepted_since, *batches, math.inf)
        return None if since == math.inf else since

    def emptied(self) -> "EventLedger[E]":
        """A ledger for a new connection, which redelivers all events; known deaths are kept."""
        return EventLedger(
            self._limits, self._numbers, gone=self._gone, in_order=self._in_order, last=self._last
        )

    # In

    def take(self, event: E, modules: Iterable[str]) -> bool:
        """Open an event that these modules want. Returns False if no module does."""
        marks = set()
        for module in sorted(modules):  # the same order in every process
            if module not in self._batches:
                self._batches[module] = self._outbox()
            self._batches[module].add(event)
            marks.add(_by(module))
        if marks:
            self._open[event.tag] = marks
            self._last = event.tag
        return bool(marks)

    def _outbox(self) -> Outbox[E]:
        most = self._limits
        return Outbox(
            most.most_items, most.most_batches, _size, most.most_bytes, numbers=self._numbers
        )

    def waiting(self) -> list[str]:
        """Modules that have events to send."""
        return [module for module, outbox in self._batches.items() if outbox.waiting]

    def next(self, module: str, now: float) -> tuple[int, Sequence[E]] | None:
        """The module's next batch to send, with its number; None if its responder is to have no
        further one now."""
        batch = self._batches[module].next(now)
        if batch is not None:
            self._modules[batch[0]] = module
        return batch

    def take_back(self, module: str) -> None:
        """The module's responder was restarted: send its batches again, with other numbers."""
        if (outbox := self._batches.get(module)) is not None:
            for number in outbox.unconfirmed:
                del self._modules[number]
            outbox.take_back()
            self._discard_lost()

    def overdue(self, before: float, now: float) -> list[tuple[str, int, Sequence[E]]]:
        """Batches sent before `before`, to be sent again at `now`: module, number and events."""
        return [
            (module, *batch)
            for module, outbox in self._batches.items()
            for batch in outbox.overdue(before, now)
        ]

    # Routed

    def routed(
        self,
        id: int,
        shares: Mapping[str, Iterable[int]],
        holders: Mapping[str, Holder],
        now: float,
        in_order: Collection[str] = (),
    ) -> tuple[tuple[str, Sequence[E]] | None, list[int]]:
        """Record that a batch is routed; returns its module and events, and the tags that wait for
        nothing more.

        The former are None if it is unknown: the report was late or a duplicate. Shares whose
        deliverer died earlier are lost at once: see `lost`. `in_order`: the shares whose deliveries
        go on in the order of the events: see `released`.
        """
        module = self._modules.pop(id, None)
        if module is None:
            return None, []
        events = self._batches[module].confirmed(id)
        self._routed_at[module] = now
        for name, tags in shares.items():
            open_tags = {tag for tag in tags if tag in self._open}
            if open_tags:
                share = Share(holders[name], open_tags, now, in_order=name in in_order)
                self._shares.add(name, share)
                self._in_order |= name in in_order
            for tag in open_tags:
                self._open[tag].add(name)
        done = self._strike(_by(module), [event.tag for event in events])
        for name in shares:
            early = self._early.pop(name, None)
            if early is not None and name in self._shares:
                done += self._strike(name, self._shares.settled(name, early))
        return (module, events), done

    # In order

    def released(self) -> tuple[int, Released]:
        """The events that all modules have routed, as in `Releases.release`."""
        before = self._last + 1
        for tag, marks in self._open.items():
            if any(mark.startswith(_WAITING) for mark in marks):
                before = tag
                break
        found = (
            (name, tuple(sorted(tag for tag in share.tags if tag < before)))
            for name, share in self._shares.all.items()
            if share.in_order
        )
        return before, tuple((name, tags) for name, tags in found if tags)

    # Out

    def accepted(self, share: str) -> None:
        """Record that a deliverer has a share, possibly before its batch is known to be routed."""
        if not self._shares.accepted(share) and self._may_come(share):
            self._early.setdefault(share, set())

    def settled(self, share: str, tags: Iterable[int]) -> list[int]:
        """Record settled events of a share; returns the tags that wait for nothing more."""
        if share in self._shares:
            return self._strike(share, self._shares.settled(share, tags))
        if self._may_come(share):
            self._early.setdefault(share, set()).update(tags)
        return []

    def _may_come(self, share: str) -> bool:
        """Whether a report on this share may have overtaken the responder's report on its batch."""
        return batch_of(share) in self._modules

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

    def lost(self, shares: Iterable[str] = ()) -> Lost:
        """Forget the events of these shares and of all dead deliverers."""
        return self.withdraw(self._shares.tags_of(shares, self._gone))

    def withdraw(self, tags: Iterable[int]) -> Lost:
        """Forget those of these events that are open."""
        lost = [tag for tag in tags if tag in self._open]
        in_order = any(map(self._is_in_order, lost))
        for tag in lost:
            del self._open[tag]
        if lost:
            self._shares.drop(lost)
            self._discard_lost()
        return Lost(lost, in_order)

    def _is_in_order(self, tag: int) -> bool:
        """Whether it makes deliveries in order, or may make them: a module has not routed it."""
        return any(
            mark.startswith(_WAITING) or self._shares.all[mark].in_order for mark in self._open[tag]
        )

    def _discard_lost(self) -> None:
        for outbox in self._batches.values():
            outbox.discard(lambda event: event.tag not in self._open)


def _size(event: Tagged) -> int:
    return len(event.body)


def share_name(batch: int, number: int) -> str:
    """The name of a share of a routed batch."""
    return f"{batch}/{number}"


def batch_of(share: str) -> int:
    """The id of the batch that a share belongs to."""
    return int(share.partition("/")[0])


@cache
def _by(module: str) -> Mark:
    """The mark of an event that this module has not routed yet."""
    return f"{_WAITING}{module}"
