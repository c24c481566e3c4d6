"""Schedules deliveries fairly across endpoints and hooks, with a limit for each endpoint.

An endpoint has a limit of requests in flight and of items waiting; an item beyond them is to be
deferred, in the durable retry queue. Accounts take turns, so do the runnable endpoints of an
account, the accounts of an endpoint, and the hooks of an account there. Endpoints that cannot run
are kept apart, so that their number does not affect the cost of a turn. hook_queue.py has the rules
of one hook, circuit_breaker.py those of circuits, and concurrency.py those of the slots that
endpoints share.

The hooks of an endpoint that are in trouble (trouble.py) have a side queue: it is treated as an
endpoint, with items, a circuit and slots of its own: a quarter of those of its endpoint.
"""

import heapq
import math
from collections import OrderedDict
from collections.abc import Collection, Iterator
from typing import Generic, TypeVar

from attrs import Factory, define, field, frozen, validators

from callboard.webhooks.dispatch.circuit_breaker import CLOSED, Circuits
from callboard.webhooks.dispatch.concurrency import QUICK_S, ConcurrencyLimiter
from callboard.webhooks.dispatch.hook_queue import HookQueue
from callboard.webhooks.dispatch.round_robin import RoundRobin
from callboard.webhooks.dispatch.trouble import Trouble, endpoint_of_side, is_side, side_of
from callboard.webhooks.hooks.options import Options
from callboard.webhooks.values.priority_map import PriorityMap

T = TypeVar("T")
K = TypeVar("K")

KEEPS_UP_S = 2.5
"""Deliveries expected to run within this time stay queued; deferring takes longer (policy.py)."""
PROBE_SOON_S = 10.0
"""Items blocked for longer by an open circuit do not wait for it.

Thousands of unreachable endpoints would each keep events in progress, and fill the prefetch.
"""
LATEST = 0.1
"""The weight of the latest request in the average duration of an endpoint's requests."""

FULL, CIRCUIT_OPEN = "full", "circuit open"


@frozen
class DispatchLimits:
    """`in_flight`: the most requests in flight to an endpoint, a quarter for its side queue.

    `waiting`: the most items waiting for it.

    Ordered and rate-limited hooks have a queue of their own, `hook_waiting` items each, so that
    they take no room from others while they may not run. While a circuit is not closed, at most
    `open_waiting` items wait in either, and none while no request may be sent for `PROBE_SOON_S`.

    `slots`: all requests in flight, of which concurrency.py gives each endpoint its share.

    An endpoint that keeps up may have up to `keeping_up` items waiting: one where the last of them
    would have its turn within `KEEPS_UP_S`, by the average duration of its requests. By default the
    limit is that of the others.
    """

    in_flight: int = field(default=16, validator=validators.ge(1))
    waiting: int = field(default=100, validator=validators.ge(1))
    hook_waiting: int = field(default=20, validator=validators.ge(1))
    open_waiting: int = field(default=1, validator=validators.ge(1))
    keeping_up: int = field(default=0, validator=validators.ge(0))
    slots: int = field(default=1024, validator=validators.ge(1))

    def in_flight_of(self, endpoint: str) -> int:
        """The most requests in flight to an endpoint, or from its side queue."""
        return self.in_flight // 4 if is_side(endpoint) else self.in_flight


@frozen
class Turn(Generic[T]):
    """An item whose turn it is; it ends with `done`. `probe`: whether it probes a circuit."""

    item: T
    key: str
    endpoint: str
    hook: str
    number: int
    probe: bool


@frozen
class EndpointFigures:
    """An endpoint's current load; `failures`: consecutive errors, from its circuit.

    `error`: the latest of them; `failing_s`: seconds since the first.
    """

    endpoint: str
    in_flight: int
    waiting: int
    circuit: str
    failures: int
    error: str = ""
    failing_s: float = 0.0


class _ReadyHooks(Generic[T]):
    """The runnable hooks of an endpoint: accounts take turns, and so do the hooks of each."""

    def __init__(self) -> None:
        self._accounts: OrderedDict[str, OrderedDict[str, HookQueue[T]]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._accounts)

    def __contains__(self, hook: HookQueue[T]) -> bool:
        return hook.id in self._accounts.get(hook.account_id, ())

    def next_account(self) -> str:
        """The account whose turn it is."""
        return next(iter(self._accounts))

    def put(self, hook: HookQueue[T]) -> None:
        """Add a hook at the end, unless it has a place already."""
        hooks = self._accounts.get(hook.account_id)
        if hooks is None:
            hooks = self._accounts[hook.account_id] = OrderedDict()
        hooks.setdefault(hook.id, hook)

    def drop(self, hook: HookQueue[T]) -> None:
        """Remove a hook that is no longer runnable."""
        hooks = self._accounts.get(hook.account_id)
        if hooks is not None:
            hooks.pop(hook.id, None)
            if not hooks:
                del self._accounts[hook.account_id]

    def take(self) -> HookQueue[T]:
        """Take the hook whose turn it is."""
        account_id, hooks = self._accounts.popitem(last=False)
        _id, hook = hooks.popitem(last=False)
        if hooks:
            self._accounts[account_id] = hooks
        return hook

    def clear(self) -> None:
        """Remove all hooks."""
        self._accounts.clear()


@define
class _EndpointQueue(Generic[T]):
    """An endpoint. `common`: the number of waiting items of hooks without a queue of their own.

    `takes_s`: the average duration of its requests.
    """

    endpoint: str
    hooks: dict[str, HookQueue[T]] = Factory(dict)
    ready: "_ReadyHooks[T]" = Factory(lambda: _ReadyHooks())
    takes_s: float = 0.0
    waiting: int = 0
    common: int = 0

    def took(self, seconds: float) -> None:
        """Record the duration of a request that has ended."""
        self.takes_s += LATEST * (seconds - self.takes_s)


class Dispatcher(Generic[T]):
    """Accepts items and returns turns. Times are seconds of any clock that does not jump."""

    def __init__(self, limits: DispatchLimits, circuits: Circuits) -> None:
        self._limits = limits
        self._circuits = circuits
        self._queues: dict[str, _EndpointQueue[T]] = {}
        self._trouble = Trouble()
        self._sides = 0
        self._limiter = ConcurrencyLimiter(limits.slots)
        self._round_robin = RoundRobin(self._limiter)
        self._probes: PriorityMap[str] = PriorityMap()
        self._wakes: PriorityMap[tuple[str, str]] = PriorityMap()
        self._sweeps: PriorityMap[tuple[str, str]] = PriorityMap()
        self._numbers = 0
        self._size = 0
        self._passed = -math.inf
        self.deferred = 0
        """How many times an item found no room, or lost it."""

    def __len__(self) -> int:
        """The number of waiting items."""
        return self._size

    @property
    def in_flight(self) -> int:
        """The number of items in flight."""
        return len(self._limiter)

    @property
    def endpoints(self) -> int:
        """The number of endpoints with an item waiting or in flight, or with other state."""
        return len(self._queues)

    # Items

    def add(
        self,
        item: T,
        key: str,
        endpoint: str,
        hook_id: str,
        options: Options,
        now: float,
        account_id: str = "",
    ) -> str | None:
        """Let an item wait for its turn; the reason (FULL, CIRCUIT_OPEN) if there is no room.

        Of `options` only order and rate matter; the latest apply to the whole hook.
        """
        self._pass_time(now)
        queue = self._queue_for(endpoint, hook_id)
        hook = queue.hooks.get(hook_id)
        if hook is None:
            hook = queue.hooks[hook_id] = HookQueue(hook_id, account_id)
        if options.ordered != hook.ordered or options.rate_per_s != hook.rate_per_s:
            self._set_options(queue, hook, options)
        reason = self._no_room(queue, hook, now)
        if reason is None:
            hook.put(key, item)
            self._count(queue, hook, 1)
        else:
            self.deferred += 1
        if hook.apart or hook not in queue.ready:  # Else its place is the same.
            self._place(queue, hook, now)
        return reason

    def next(self, now: float) -> Turn[T] | None:
        """The item whose turn it is, now in flight; None if nothing may run."""
        self._pass_time(now)
        endpoint = self._round_robin.next(now)
        if endpoint is None:
            return None
        queue = self._queues[endpoint]
        hook = queue.ready.take()
        key, item = hook.take(now)
        self._count(queue, hook, -1)
        self._numbers += 1
        self._limiter.begin(endpoint, self._numbers, now, hook.id)
        probe = self._circuits.begin(endpoint)
        self._place(queue, hook, now)
        if self._sides:
            self._place_other(endpoint, now)
        return Turn(item, key, endpoint, hook.id, self._numbers, probe)

    def done(self, turn: Turn[T], now: float, reached: bool | None, error: str = "") -> list[T]:
        """End a turn; returns the items that lost their room by it and are to be deferred.

        `reached`, `error`: see circuit_breaker.py. Raises ValueError if the turn has ended before.
        """
        if turn.number not in self._limiter:
            raise ValueError(f"turn {turn.number} of {turn.key} has ended before")
        self._pass_time(now)
        endpoint = self._limiter.endpoint(turn.number)
        queue = self._queues[endpoint]
        if self._trouble or not reached:
            reached = self._judged(turn.number, turn.hook, now, reached)
        queue.took(self._limiter.end(turn.number, now, reached))
        self._circuits.end(endpoint, now, reached, probe=turn.probe, error=error)
        home = self._queue_for(endpoint, turn.hook)
        hook = home.hooks[turn.hook]
        hook.end()
        if self._sides or self._trouble:
            home = self._moved(home, hook, now)
        shed = []
        if not self._circuits.is_closed(endpoint):
            shed = list(self._shed(queue, self._room_while_open(endpoint, now), now))
        self._place(home, hook, now)
        if home is not queue:
            self._place_queue(queue, now)
        if self._sides:
            self._place_other(endpoint, now)
        return shed

    def close_circuit(self, endpoint: str, now: float) -> bool:
        """Send requests to an endpoint again; whether its circuit was not closed."""
        was_open = self._circuits.close(endpoint)
        if endpoint in self._queues:
            self._place_queue(self._queues[endpoint], now)
        return was_open

    # Hooks in trouble

    def _queue_for(self, endpoint: str, hook_id: str) -> _EndpointQueue[T]:
        """The queue where the hook's items are, or are to be: an endpoint's or its side queue."""
        if self._sides or self._trouble:
            host, side = endpoint_of_side(endpoint), side_of(endpoint)
            for name in (host, side):
                if (queue := self._queues.get(name)) is not None and hook_id in queue.hooks:
                    return queue
            endpoint = side if (host, hook_id) in self._trouble else host
        return self._queues.get(endpoint) or self._made(endpoint)

    def _made(self, name: str) -> _EndpointQueue[T]:
        queue = self._queues[name] = _EndpointQueue(name)
        self._sides += is_side(name)
        return queue

    def _judged(self, number: int, hook_id: str, now: float, reached: bool | None) -> bool | None:
        """How a request has ended for its endpoint, which hears nothing of hooks in trouble."""
        endpoint = self._limiter.endpoint(number)
        if reached:
            quickly = self._limiter.age_s(number, now) <= QUICK_S
            self._trouble.responded((endpoint_of_side(endpoint), hook_id), quickly)
        elif reached is False and self._fails(endpoint, hook_id, now) and not is_side(endpoint):
            return None
        return reached

    def _fails(self, endpoint: str, hook_id: str, now: float) -> bool:
        """Record a request that gets no response; whether its hook is in trouble."""
        host = endpoint_of_side(endpoint)
        if not self._limits.in_flight_of(side_of(host)) or not self._circuits.is_closed(host):
            return False
        return self._trouble.failed((host, hook_id), now, self._limiter.quick_at(host))

    def _late(self, number: int, hook_id: str, now: float) -> None:
        """Look at a request that has become late: its hook may be in trouble by it."""
        endpoint = self._limiter.endpoint(number)
        if self._fails(endpoint, hook_id, now) and not is_side(endpoint):
            home = self._queue_for(endpoint, hook_id)
            hook = home.hooks[hook_id]
            home = self._moved(home, hook, now)
            self._limiter.move(number, home.endpoint, now)
            self._place(home, hook, now)
            self._place_other(home.endpoint, now)

    def _moved(self, queue: _EndpointQueue[T], hook: HookQueue[T], now: float) -> _EndpointQueue[T]:
        """The queue that a hook belongs to now: its items and what it is doing go with it."""
        host = endpoint_of_side(queue.endpoint)
        name = side_of(host) if (host, hook.id) in self._trouble else host
        to = self._queues.get(name) or self._made(name)
        if to is not queue:
            queue.ready.drop(hook)
            self._drop_times(queue, hook)
            del queue.hooks[hook.id]
            queue.waiting -= len(hook)
            queue.common -= hook.common
            to.hooks[hook.id] = hook
            to.waiting += len(hook)
            to.common += hook.common
            self._place_queue(queue, now)
        return to

    def _place_other(self, endpoint: str, now: float) -> None:
        """Look again at the queue that shares slots: an endpoint's side queue, or its endpoint."""
        other = self._queues.get(_other(endpoint))
        if other is not None:
            self._place_queue(other, now)

    def _set_options(self, queue: _EndpointQueue[T], hook: HookQueue[T], options: Options) -> None:
        queue.common -= hook.common
        hook.set_options(options.ordered, options.rate_per_s)
        queue.common += hook.common
        if not hook.apart:
            self._drop_times(queue, hook)

    def withdraw(self, now: float, patience_s: float) -> list[T]:
        """Take the items that could not run within `patience_s` even alone, to be deferred.

        These are items held by a low rate, and items beyond the limit of an endpoint that no longer
        keeps up.
        """
        items: list[T] = []
        for queue in list(self._queues.values()):
            if queue.common > (room := self._room(queue, now)):
                items += self._shed(queue, room, now)
            for hook in [hook for hook in queue.hooks.values() if hook.apart]:
                at = hook.runs_at()
                while len(hook) and at is not None and at > now + patience_s:
                    items.append(self._take_last(queue, hook))
                self._place(queue, hook, now)
        return items

    def take_back(self, hook_ids: Collection[str], now: float) -> list[T]:
        """Take all waiting items of these hooks, to be deferred; each hook's in order."""
        items: list[T] = []
        for queue in list(self._queues.values()):
            for hook in [queue.hooks[id] for id in hook_ids if id in queue.hooks]:
                taken = [self._take_last(queue, hook) for _item in range(len(hook))]
                items += reversed(taken)
                self._place(queue, hook, now)
        return items

    def drain(self) -> list[T]:
        """Take all waiting items; those in flight still need `done`."""
        items: list[T] = []
        for queue in list(self._queues.values()):
            for hook in list(queue.hooks.values()):
                items += hook.drain()
                if not hook.running:
                    self._forget(queue, hook)
            queue.ready.clear()
            queue.waiting = queue.common = 0
            self._round_robin.drop(queue.endpoint)
            self._drop_if_idle(queue)
        self._probes, self._wakes = PriorityMap(), PriorityMap()
        self._size = 0
        return items

    def wake_at(self) -> float | None:
        """When `next` may return an item that it does not return now, without any other change."""
        times = [first[0] for first in (self._probes.first(), self._wakes.first()) if first]
        return min(times, default=None)

    # Figures

    def figures(self, now: float, most: int = 100) -> list[EndpointFigures]:
        """The endpoints with an open circuit, then the busiest; at most `most`."""
        names = {**dict.fromkeys(self._circuits.failing()), **dict.fromkeys(self._queues)}
        return heapq.nsmallest(
            most,
            (self._figures(name, now) for name in names),
            key=lambda f: (f.circuit == CLOSED, -f.waiting - f.in_flight, f.endpoint),
        )

    def _figures(self, endpoint: str, now: float) -> EndpointFigures:
        queue = self._queues.get(endpoint)
        return EndpointFigures(
            endpoint,
            in_flight=self._limiter.of(endpoint),
            waiting=queue.waiting if queue else 0,
            circuit=self._circuits.state(endpoint, now),
            failures=self._circuits.failures(endpoint),
            error=self._circuits.error(endpoint),
            failing_s=self._circuits.failing_s(endpoint, now),
        )

    # Room

    def _no_room(self, queue: _EndpointQueue[T], hook: HookQueue[T], now: float) -> str | None:
        """The reason why there is no room for one more item of the hook; None if there is."""
        waiting = len(hook) if hook.apart else queue.common
        if waiting >= (self._limits.hook_waiting if hook.apart else self._room(queue, now)):
            return FULL
        if self._circuits.is_closed(queue.endpoint):
            return None
        return CIRCUIT_OPEN if waiting >= self._room_while_open(queue.endpoint, now) else None

    def _room_while_open(self, endpoint: str, now: float) -> int:
        """How many items may wait for a circuit that is not closed, of a hook or in common."""
        soon = self._circuits.probe_in_s(endpoint, now) <= PROBE_SOON_S
        return self._limits.open_waiting if soon else 0

    def _room(self, queue: _EndpointQueue[T], now: float) -> int:
        """How many items of hooks without a queue of their own may wait for the endpoint."""
        limits = self._limits
        if limits.keeping_up <= limits.waiting or queue.common < limits.waiting:
            return limits.waiting
        oldest_s = self._limiter.oldest_s(queue.endpoint, now)
        takes_s = max(queue.takes_s, oldest_s if oldest_s > QUICK_S else 0.0)
        wait_s = queue.common / limits.in_flight_of(queue.endpoint) * takes_s
        return limits.keeping_up if wait_s <= KEEPS_UP_S else limits.waiting

    def _shed(self, queue: _EndpointQueue[T], limit: int, now: float) -> Iterator[T]:
        """Take the waiting items beyond a limit, the latest first."""
        if queue.waiting <= limit:
            return
        for hook in list(queue.hooks.values()):
            while len(hook) and (len(hook) if hook.apart else queue.common) > limit:
                yield self._take_last(queue, hook)
            self._place(queue, hook, now)

    def _take_last(self, queue: _EndpointQueue[T], hook: HookQueue[T]) -> T:
        item = hook.take_last()
        self._count(queue, hook, -1)
        self.deferred += 1
        return item

    def _count(self, queue: _EndpointQueue[T], hook: HookQueue[T], items: int) -> None:
        self._size += items
        queue.waiting += items
        if not hook.apart:
            queue.common += items

    # Places

    def _pass_time(self, now: float) -> None:
        """Make ready the items that waited for this time, and drop unneeded state."""
        if now == self._passed:
            return
        self._passed = now
        for number, hook_id in self._limiter.became_late(now):
            self._late(number, hook_id, now)
        for key in self._wakes.pop_until(now):
            self._look_again(key, now)
        for key in self._sweeps.pop_until(now):
            self._look_again(key, now)
        for endpoint in self._probes.pop_until(now):
            self._place_queue(self._queues[endpoint], now)

    def _look_again(self, key: tuple[str, str], now: float) -> None:
        queue = self._queues[key[0]]
        self._place(queue, queue.hooks[key[1]], now)

    def _place(self, queue: _EndpointQueue[T], hook: HookQueue[T], now: float) -> None:
        """Sort a hook and its endpoint: ready, waiting for a time, or neither."""
        if hook.apart:
            self._place_apart(queue, hook, now)
        elif len(hook):
            queue.ready.put(hook)
        else:
            queue.ready.drop(hook)
            if not hook.running:
                queue.hooks.pop(hook.id, None)
        self._place_queue(queue, now)

    def _place_apart(self, queue: _EndpointQueue[T], hook: HookQueue[T], now: float) -> None:
        key = queue.endpoint, hook.id
        at = hook.runs_at()
        if at is not None and at <= now:
            queue.ready.put(hook)
            self._wakes.drop(key)
        else:
            queue.ready.drop(hook)
            _set(self._wakes, key, at)
        if hook.is_idle(now):
            self._forget(queue, hook)
        else:
            _set(self._sweeps, key, hook.sweep_at())

    def _place_queue(self, queue: _EndpointQueue[T], now: float) -> None:
        endpoint = queue.endpoint
        in_flight = self._limiter.of(endpoint)
        limits = self._limits
        most = limits.in_flight
        if self._sides:
            most = min(limits.in_flight_of(endpoint), most - self._limiter.of(_other(endpoint)))
        wants = bool(queue.ready) and in_flight < most
        if wants and self._circuits.allows(endpoint, now):
            self._round_robin.put(endpoint, now, queue.ready.next_account)
            self._probes.drop(endpoint)
            return
        self._round_robin.drop(endpoint)
        _set(self._probes, endpoint, self._circuits.probe_at(endpoint) if wants else None)
        if not queue.hooks and not in_flight:
            self._drop_if_idle(queue)

    def _drop_if_idle(self, queue: _EndpointQueue[T]) -> None:
        endpoint = queue.endpoint
        if not queue.hooks and not self._limiter.of(endpoint) and endpoint in self._queues:
            del self._queues[endpoint]
            self._sides -= is_side(endpoint)

    def _forget(self, queue: _EndpointQueue[T], hook: HookQueue[T]) -> None:
        queue.hooks.pop(hook.id, None)
        self._drop_times(queue, hook)

    def _drop_times(self, queue: _EndpointQueue[T], hook: HookQueue[T]) -> None:
        self._wakes.drop((queue.endpoint, hook.id))
        self._sweeps.drop((queue.endpoint, hook.id))


def _other(name: str) -> str:
    return endpoint_of_side(name) if is_side(name) else side_of(name)


def _set(priorities: PriorityMap[K], key: K, at: float | None) -> None:
    if at is None:
        priorities.drop(key)
    else:
        priorities.set(key, at)
