"""Large fan-outs: their deliveries are made in slices, fairly between accounts.

An account is here the owner of the hooks: it has a queue of the events that fire its hooks, and
gets a slice in each turn. So the deliveries of a hook are made in the order of its events, and an
account with many hooks delays itself, not the others. At most a *window* of an account's deliveries
is unsettled, which bounds the memory and lets the slices of all accounts come in time.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Generic, TypeVar

from attrs import Factory, define, field, frozen

from callboard.webhooks.deliveries.delivery import Delivery, FanOut
from callboard.webhooks.deliveries.shaping import NotWanted, Unshapable
from callboard.webhooks.hooks.hook import Hook

W = TypeVar("W")

EventKey = tuple[str, str, str | None, bytes]
"""Exchange, routing key, message id and body: the same if an event is redelivered."""

SLICE_DELIVERIES, SLICE_BYTES = 200, 1_000_000
"""A slice has at most this number of deliveries, and ends with the one that reaches this size."""
ACCOUNT_DELIVERIES, ACCOUNT_BYTES = 2_000, 8_000_000
"""An account that has so many unsettled deliveries, or bytes of them, gets no further slice."""
ALL_DELIVERIES, ALL_BYTES = 20_000, 64_000_000
"""Beyond these for all accounts, only an account without an unsettled delivery gets a slice."""

MAX_DELIVERY_BYTES = 32 * 2**20
"""A larger delivery fits in no message between actors, of 64 MiB: it is refused."""
PAYLOAD_REFUSED = "refused: payload"
"""The reason for a delivery whose payload is too large, or cannot be encoded."""

Refusal = int | str
"""Why a delivery is not sent: the bytes of its payload, or 0 if it cannot be encoded; or how an
expression of its hook failed, as the reason to record."""


def reason_of(refusal: Refusal) -> tuple[str, int]:
    """The reason to record for a delivery that is not sent, and the size of its payload."""
    return (refusal, 0) if isinstance(refusal, str) else (PAYLOAD_REFUSED, refusal)


@define(eq=False)
class Event(Generic[W]):
    """An event in progress. `waiters`: what to report once all its deliveries are settled.

    `number`: its tag in the messages to deliverers. `left`: accounts whose deliveries are not all
    made, and deliveries that are not settled.
    """

    number: int
    key: EventKey
    fan_out: FanOut
    taken_at: float
    waiters: list[W]
    left: int = 0


def made_or_refused(
    fan_out: FanOut, hook: Hook, make: Callable[[], Delivery]
) -> tuple[Delivery, Refusal | None] | None:
    """The delivery that `make` makes for a hook, and None; or the one that is not to be sent.

    That has no payload, and comes with the reason. None: the hook does not want the event.
    """
    try:
        delivery = make()
    except NotWanted:
        return None
    except Unshapable as problem:
        return fan_out.without_payload(hook), f"refused: {problem.member}: {problem.reason}"
    except Exception:  # noqa: BLE001 - a dead letter records whatever it is
        return fan_out.without_payload(hook), 0
    if delivery.size > MAX_DELIVERY_BYTES:
        return fan_out.without_payload(hook), len(delivery.body)
    return delivery, None


@frozen(eq=False)
class Made(Generic[W]):
    """A delivery of an event. `size`: its bytes, without a payload that its slice has already.

    `refused`: why it is not to be sent; None: it is.
    """

    event: Event[W]
    delivery: Delivery
    size: int
    refused: Refusal | None = None


@define(eq=False)
class _Account(Generic[W]):
    """An account's events with the hooks left to make deliveries for, and its unsettled ones."""

    queue: deque[tuple[Event[W], Iterator[Hook]]] = Factory(deque)
    deliveries: int = 0
    bytes: int = 0

    @property
    def is_full(self) -> bool:
        return self.deliveries >= ACCOUNT_DELIVERIES or self.bytes >= ACCOUNT_BYTES


@define
class FanOuts(Generic[W]):
    """Events whose deliveries are made in slices.

    `finishing`: returns for an account the function that completes each delivery of its hooks; it
    may raise, which changes nothing here. `guard`: returns the result of a call for an event.
    """

    _finishing: Callable[[str], Callable[[Delivery], Delivery]]
    _guard: Callable[[EventKey, Callable[[], Delivery]], Delivery]
    _events: dict[EventKey, Event[W]] = Factory(dict)
    _accounts: dict[str, _Account[W]] = Factory(dict)
    _turns: "OrderedDict[str, None]" = Factory(OrderedDict)
    _numbers: int = 0
    _ended: list[Event[W]] = field(factory=list)
    unsettled: int = 0
    """The number of deliveries that are made and not settled."""
    bytes: int = 0
    """The size of these."""

    def __len__(self) -> int:
        """The number of events in progress."""
        return len(self._events)

    @property
    def waiters(self) -> Iterator[W]:
        """The waiters of all events in progress."""
        return (waiter for event in self._events.values() for waiter in event.waiters)

    @property
    def wait(self) -> bool:
        """Whether there are deliveries to make, as soon as their accounts' windows have room."""
        return bool(self._turns)

    def delays(self, fan_out: FanOut) -> bool:
        """Whether its hooks have deliveries of earlier events before them."""
        if not self._turns:
            return False
        return any(hook.account_id in self._turns for hook in fan_out.hooks)

    def begin(self, key: EventKey, fan_out: FanOut, taken_at: float, waiter: W) -> None:
        """Queue an event. `key`: the same if it is redelivered while it is in progress."""
        event = self._events.get(key)
        if event is not None:
            event.waiters.append(waiter)
            return
        self._numbers += 1
        event = self._events[key] = Event(self._numbers, key, fan_out, taken_at, [waiter])
        for owner, hooks in groupby(fan_out.hooks, attrgetter("account_id")):
            event.left += 1
            account = self._accounts.setdefault(owner, _Account())
            account.queue.append((event, iter(list(hooks))))
            self._turns.setdefault(owner)

    def next(self, is_late: Callable[[], bool]) -> list[Made[W]]:
        """The next slice, of one account; empty if none may be made now.

        `is_late`: whether the slice is to end with the delivery just made. Payloads that are
        encoded and then refused take time, and none of the slice's bytes.
        """
        full = self.unsettled >= ALL_DELIVERIES or self.bytes >= ALL_BYTES
        for owner in list(self._turns):
            account = self._accounts[owner]
            if account.is_full or (full and account.deliveries):
                continue
            finish = self._finishing(owner)
            made = self._slice(account, finish, is_late)
            if account.queue:
                self._turns.move_to_end(owner)
            else:
                del self._turns[owner]
            self._count(owner, made, 1)
            if made:
                return made
        return []

    def settled(self, made: Iterable[Made[W]]) -> None:
        """Record that deliveries are settled."""
        for one in made:
            self._count(one.delivery.account_id, (one,), -1)
            self._strike(one.event)

    def ended(self) -> list[Event[W]]:
        """The events that have ended since the last call."""
        ended, self._ended = self._ended, []
        return ended

    def _slice(
        self,
        account: _Account[W],
        finish: Callable[[Delivery], Delivery],
        is_late: Callable[[], bool],
    ) -> list[Made[W]]:
        made: list[Made[W]] = []
        size = 0
        bodies: set[int] = set()
        while account.queue and len(made) < SLICE_DELIVERIES and size < SLICE_BYTES:
            event, hooks = account.queue[0]
            hook = next(hooks, None)
            if hook is None:
                account.queue.popleft()
                self._strike(event)
                continue
            one = self._made(event, hook, finish, bodies)
            if one is not None:
                event.left += 1
                size += one.size
                made.append(one)
            if is_late():
                break
        return made

    def _made(
        self,
        event: Event[W],
        hook: Hook,
        finish: Callable[[Delivery], Delivery],
        bodies: set[int],
    ) -> Made[W] | None:
        """The event's delivery for a hook, if it wants one. `bodies`: payloads counted already."""
        make = partial(self._guard, event.key, partial(event.fan_out.make, hook))
        found = made_or_refused(event.fan_out, hook, make)
        if found is None:
            return None
        delivery, refused = found
        if refused is not None:
            bare = finish(delivery)
            return Made(event, bare, 0 if refused == 0 else bare.size, refused)
        size = delivery.size
        if id(delivery.body) in bodies:
            size = delivery.bare_size
        bodies.add(id(delivery.body))
        return Made(event, finish(delivery), size)

    def _count(self, owner: str, made: Iterable[Made[W]], sign: int) -> None:
        account = self._accounts[owner]
        for one in made:
            account.deliveries += sign
            account.bytes += sign * one.size
            self.unsettled += sign
            self.bytes += sign * one.size
        if not account.deliveries and not account.queue:
            del self._accounts[owner]

    def _strike(self, event: Event[W]) -> None:
        event.left -= 1
        if not event.left:
            del self._events[event.key]
            self._ended.append(event)
