"""Bulkheads: endpoints and hooks take fair turns, and none can fill the ship.

An endpoint has only so many requests under way and so many waiting; what finds no room is to be
parked, in the durable retry queue. Endpoints that could run something take turns, and so do the
hooks of an endpoint. Those that could not are kept apart, so that a turn costs the same however
many there are. The rules of one hook stand in hook_queue.py, of circuits in circuit_breaker.py, and
of the slots that endpoints share in concurrency.py.
"""

import heapq
from collections import OrderedDict
from collections.abc import Iterator
from functools import lru_cache
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from attrs import Factory, define, field, frozen, validators

from callboard.webhooks.dispatch.circuit_breaker import CLOSED, Circuits
from callboard.webhooks.dispatch.concurrency import QUICK_S, SlotShares
from callboard.webhooks.dispatch.hook_queue import HookLane
from callboard.webhooks.dispatch.round_robin import EndpointTurns
from callboard.webhooks.hooks.options import Options
from callboard.webhooks.values.priority_map import Ranking

T = TypeVar("T")
K = TypeVar("K")

KEEPS_UP_S = 2.5
"""What has its turn within this time would not be back before if it were parked (policy.py)."""
PROBE_SOON_S = 10.0
"""What cannot run for longer, as a circuit is open, does not wait for it: thousands of endpoints
that are down would hold as many events in hand, and fill the prefetch."""
LATEST = 0.1
"""How much the latest request counts in how long requests of an endpoint take."""

FULL, CIRCUIT_OPEN = "full", "circuit open"

_PORTS = {"http": 80, "https": 443}


@lru_cache(maxsize=4096)
def endpoint_of(uri: str) -> str:
    """The endpoint of a uri: scheme, host and port; the uri itself where it has none."""
    try:
        parts = urlsplit(uri)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return uri
    if not parts.hostname or port is None:
        return uri
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port}"


@frozen
class BulkheadLimits:
    """`in_flight`: requests under way to an endpoint, at most. `waiting`: items that wait for it.

    Hooks that are ordered or limited in rate wait by themselves, `hook_waiting` items each, lest
    they take the room of others while they may not run. While a circuit is not closed
    no more than `open_waiting` wait of either, and none while no request may go for `PROBE_SOON_S`.

    `slots`: requests under way in all, of which concurrency.py gives each endpoint its share.

    An endpoint that keeps up may have up to `keeping_up` items waiting: one where the last of them
    would have its turn within `KEEPS_UP_S`, by how long requests take. By default no more than
    others.
    """

    in_flight: int = field(default=16, validator=validators.ge(1))
    waiting: int = field(default=100, validator=validators.ge(1))
    hook_waiting: int = field(default=20, validator=validators.ge(1))
    open_waiting: int = field(default=1, validator=validators.ge(1))
    keeping_up: int = field(default=0, validator=validators.ge(0))
    slots: int = field(default=1024, validator=validators.ge(1))


@frozen
class Added(Generic[T]):
    """The item waits for its turn. `displaced`: those that lost their room by it; to be parked."""

    displaced: tuple[T, ...] = ()


@frozen
class Park:
    """There is no room: the item is not held here. `reason`: `full` or `circuit open`."""

    reason: str


@frozen
class Turn(Generic[T]):
    """An item whose turn it is; `done` wants it back. `probe`: whether it tries a circuit."""

    item: T
    key: str
    endpoint: str
    hook: str
    number: int
    place: int
    probe: bool


@frozen
class EndpointFigures:
    """What an endpoint does at the moment; `failures`: errors in a row, of its circuit."""

    endpoint: str
    in_flight: int
    waiting: int
    circuit: str
    failures: int


@define
class _Lane(Generic[T]):
    """An endpoint. `common`: how many items wait of hooks that do not wait by themselves.

    `takes_s`: how long requests take.
    """

    endpoint: str
    hooks: dict[str, HookLane[T]] = Factory(dict)
    ready: "OrderedDict[str, HookLane[T]]" = Factory(OrderedDict)
    takes_s: float = 0.0
    waiting: int = 0
    common: int = 0

    def took(self, seconds: float) -> None:
        """A request has ended."""
        self.takes_s += LATEST * (seconds - self.takes_s)


class Bulkhead(Generic[T]):
    """Items in, turns out. Times are seconds of any one clock that does not jump.

    Keys name items, as delivery ids do: an item that is parked, or fails and is tried again, comes
    back under its key, and an ordered hook waits for it.
    """

    def __init__(self, limits: BulkheadLimits, circuits: Circuits) -> None:
        self._limits = limits
        self._circuits = circuits
        self._lanes: dict[str, _Lane[T]] = {}
        self._shares = SlotShares(limits.slots)
        self._turns = EndpointTurns(self._shares)
        self._probes: Ranking[str] = Ranking()
        self._wakes: Ranking[tuple[str, str]] = Ranking()
        self._sweeps: Ranking[tuple[str, str]] = Ranking()
        self._numbers = 0
        self._size = 0
        self.parked = 0
        """How often an item found no room, or lost it."""

    def __len__(self) -> int:
        """How many items wait."""
        return self._size

    @property
    def in_flight(self) -> int:
        """How many items are under way."""
        return len(self._shares)

    @property
    def endpoints(self) -> int:
        """How many endpoints have something waiting, under way, or to be remembered."""
        return len(self._lanes)

    # Items

    def add(
        self, item: T, key: str, endpoint: str, hook_id: str, options: Options, now: float
    ) -> Added[T] | Park:
        """Let an item wait for its turn, if there is room.

        In an ordered hook one that comes back displaces the last that waits, if its place is before
        that: so what the hook waits for always finds room. Of `options` those about order and rate
        matter, the latest for the whole hook.
        """
        self._pass_time(now)
        lane = self._lanes.get(endpoint)
        if lane is None:
            lane = self._lanes[endpoint] = _Lane(endpoint)
        hook = lane.hooks.get(hook_id)
        if hook is None:
            hook = lane.hooks[hook_id] = HookLane(hook_id)
        lane.common -= hook.common
        hook.set_options(options.ordered, options.rate_per_s)
        lane.common += hook.common
        reason = self._no_room(lane, hook, now)
        displaces = reason is not None and hook.precedes(key)
        answer: Added[T] | Park
        if reason is None or displaces:
            hook.put(key, item)
            self._count(lane, hook, 1)
            answer = Added((self._take_last(lane, hook, now),) if displaces else ())
        else:
            hook.keep_place(key, now)
            self.parked += 1
            answer = Park(reason)
        self._place(lane, hook, now)
        return answer

    def next(self, now: float) -> Turn[T] | None:
        """The item whose turn it is, now under way; None if nothing may run."""
        self._pass_time(now)
        endpoint = self._turns.next(now)
        if endpoint is None:
            return None
        lane = self._lanes[endpoint]
        hook_id, hook = lane.ready.popitem(last=False)
        place, key, item = hook.take(now)
        self._count(lane, hook, -1)
        self._numbers += 1
        self._shares.begin(endpoint, self._numbers, now)
        probe = self._circuits.begin(endpoint)
        self._place(lane, hook, now)
        return Turn(item, key, endpoint, hook_id, self._numbers, place, probe)

    def done(
        self,
        turn: Turn[T],
        now: float,
        reached: bool | None,
        back_in_s: float | None = None,
    ) -> list[T]:
        """A turn has ended; the items that lost their room by it, and are to be parked.

        `reached`: see circuit_breaker.py. `back_in_s`: the item will be added again after about so
        long, and the later ones of an ordered hook wait for it; None: it needs nothing more.
        Raises ValueError if the turn has ended before.
        """
        if turn.number not in self._shares:
            raise ValueError(f"turn {turn.number} of {turn.key} has ended before")
        self._pass_time(now)
        lane = self._lanes[turn.endpoint]
        hook = lane.hooks[turn.hook]
        lane.took(self._shares.end(turn.number, now, reached))
        hook.end(turn.key, turn.place, now, back_in_s)
        self._circuits.end(turn.endpoint, now, reached, probe=turn.probe)
        shed = []
        if not self._circuits.is_closed(turn.endpoint):
            shed = list(self._shed(lane, self._room_while_open(turn.endpoint, now), now))
        self._place(lane, hook, now)
        return shed

    def gone(self, key: str, endpoint: str, hook_id: str, now: float) -> None:
        """An item that was to come back will not: nothing waits for it any longer."""
        if (found := self._find(endpoint, hook_id)) is not None:
            lane, hook = found
            hook.forget(key)
            self._place(lane, hook, now)

    def turn_in_s(self, key: str, endpoint: str, hook_id: str, now: float) -> float | None:
        """In about how many seconds it may be the turn of an item that is parked.

        None where nobody knows: its hook is not ordered, or the circuit of its endpoint not closed.
        """
        found = self._find(endpoint, hook_id)
        if found is None or not self._circuits.is_closed(endpoint):
            return None
        return found[1].turn_in_s(key, now)

    def expect(self, key: str, endpoint: str, hook_id: str, now: float, back_in_s: float) -> None:
        """An item that is parked will be added again after about so long."""
        if (found := self._find(endpoint, hook_id)) is not None:
            lane, hook = found
            hook.expect(key, now, back_in_s)
            self._place(lane, hook, now)

    def _find(self, endpoint: str, hook_id: str) -> tuple[_Lane[T], HookLane[T]] | None:
        lane = self._lanes.get(endpoint)
        hook = None if lane is None else lane.hooks.get(hook_id)
        return None if lane is None or hook is None else (lane, hook)

    def withdraw(self, now: float, patience_s: float) -> list[T]:
        """Take what could not run for so long yet even if nothing else wanted to; to be parked.

        That is what waits behind an item of an ordered hook that is not expected back by then, or
        for a low rate; and what fills an endpoint that does not keep up any more.
        """
        items: list[T] = []
        for lane in list(self._lanes.values()):
            if lane.common > (room := self._room(lane, now)):
                items += self._shed(lane, room, now)
            for hook in [hook for hook in lane.hooks.values() if hook.apart]:
                at = hook.expected_at(now)
                while len(hook) and at is not None and at > now + patience_s:
                    items.append(self._take_last(lane, hook, now))
                self._place(lane, hook, now)
        return items

    def drain(self) -> list[T]:
        """Take all that waits; what is under way is still to be `done`."""
        items: list[T] = []
        for lane in list(self._lanes.values()):
            for hook in list(lane.hooks.values()):
                items += hook.drain()
                if not hook.running:
                    self._forget(lane, hook)
            lane.ready.clear()
            lane.waiting = lane.common = 0
            self._turns.drop(lane.endpoint)
            if not self._shares.of(lane.endpoint):
                del self._lanes[lane.endpoint]
        self._probes, self._wakes = Ranking(), Ranking()
        self._size = 0
        return items

    def wake_at(self) -> float | None:
        """When `next` may give something that it does not give now, whatever else happens."""
        times = [first[0] for first in (self._probes.first(), self._wakes.first()) if first]
        return min(times, default=None)

    # Figures

    def figures(self, now: float, most: int = 100) -> list[EndpointFigures]:
        """The endpoints with an open circuit, then those with the most to do; so many at most."""
        names = {**dict.fromkeys(self._circuits.failing()), **dict.fromkeys(self._lanes)}
        return heapq.nsmallest(
            most,
            (self._figures(name, now) for name in names),
            key=lambda f: (f.circuit == CLOSED, -f.waiting - f.in_flight, f.endpoint),
        )

    def _figures(self, endpoint: str, now: float) -> EndpointFigures:
        lane = self._lanes.get(endpoint)
        return EndpointFigures(
            endpoint,
            in_flight=self._shares.of(endpoint),
            waiting=lane.waiting if lane else 0,
            circuit=self._circuits.state(endpoint, now),
            failures=self._circuits.failures(endpoint),
        )

    # Room

    def _no_room(self, lane: _Lane[T], hook: HookLane[T], now: float) -> str | None:
        """Why there is no room for one more item of the hook; None if there is."""
        waiting = len(hook) if hook.apart else lane.common
        if waiting >= (self._limits.hook_waiting if hook.apart else self._room(lane, now)):
            return FULL
        if self._circuits.is_closed(lane.endpoint):
            return None
        return CIRCUIT_OPEN if waiting >= self._room_while_open(lane.endpoint, now) else None

    def _room_while_open(self, endpoint: str, now: float) -> int:
        """How many items may wait for a circuit that is not closed, of a hook or in common."""
        soon = self._circuits.probe_in_s(endpoint, now) <= PROBE_SOON_S
        return self._limits.open_waiting if soon else 0

    def _room(self, lane: _Lane[T], now: float) -> int:
        """How many items may wait for the endpoint, of hooks that do not wait by themselves."""
        limits = self._limits
        if limits.keeping_up <= limits.waiting or lane.common < limits.waiting:
            return limits.waiting
        oldest_s = self._shares.oldest_s(lane.endpoint, now)
        takes_s = max(lane.takes_s, oldest_s if oldest_s > QUICK_S else 0.0)
        wait_s = lane.common / limits.in_flight * takes_s
        return limits.keeping_up if wait_s <= KEEPS_UP_S else limits.waiting

    def _shed(self, lane: _Lane[T], limit: int, now: float) -> Iterator[T]:
        """Take what waits beyond a limit, the latest items first."""
        if lane.waiting <= limit:
            return
        for hook in list(lane.hooks.values()):
            while len(hook) and (len(hook) if hook.apart else lane.common) > limit:
                yield self._take_last(lane, hook, now)
            self._place(lane, hook, now)

    def _take_last(self, lane: _Lane[T], hook: HookLane[T], now: float) -> T:
        item = hook.take_last(now)
        self._count(lane, hook, -1)
        self.parked += 1
        return item

    def _count(self, lane: _Lane[T], hook: HookLane[T], items: int) -> None:
        self._size += items
        lane.waiting += items
        if not hook.apart:
            lane.common += items

    # Places

    def _pass_time(self, now: float) -> None:
        """Let what waited for this time be ready, and forget what need not be remembered longer."""
        for key in self._wakes.pop_until(now):
            self._look_again(key, now)
        for key in self._sweeps.pop_until(now):
            self._look_again(key, now)
        for endpoint in self._probes.pop_until(now):
            self._place_lane(self._lanes[endpoint], now)

    def _look_again(self, key: tuple[str, str], now: float) -> None:
        lane = self._lanes[key[0]]
        self._place(lane, lane.hooks[key[1]], now)

    def _place(self, lane: _Lane[T], hook: HookLane[T], now: float) -> None:
        """Put a hook and its endpoint where they belong: ready, waiting for a time, or nowhere."""
        key = lane.endpoint, hook.id
        hook.forget_lost(now)
        at = hook.runs_at()
        if at is not None and at <= now:
            lane.ready.setdefault(hook.id, hook)
            self._wakes.drop(key)
        else:
            lane.ready.pop(hook.id, None)
            _set(self._wakes, key, at)
        if hook.is_idle(now):
            self._forget(lane, hook)
        else:
            _set(self._sweeps, key, hook.sweep_at(now))
        self._place_lane(lane, now)

    def _place_lane(self, lane: _Lane[T], now: float) -> None:
        endpoint = lane.endpoint
        in_flight = self._shares.of(endpoint)
        wants = bool(lane.ready) and in_flight < self._limits.in_flight
        if wants and self._circuits.allows(endpoint, now):
            self._turns.put(endpoint, now)
            self._probes.drop(endpoint)
            return
        self._turns.drop(endpoint)
        _set(self._probes, endpoint, self._circuits.probe_at(endpoint) if wants else None)
        if not lane.hooks and not in_flight:
            self._lanes.pop(endpoint, None)

    def _forget(self, lane: _Lane[T], hook: HookLane[T]) -> None:
        lane.hooks.pop(hook.id, None)
        self._wakes.drop((lane.endpoint, hook.id))
        self._sweeps.drop((lane.endpoint, hook.id))


def _set(ranking: Ranking[K], key: K, at: float | None) -> None:
    if at is None:
        ranking.drop(key)
    else:
        ranking.set(key, at)
