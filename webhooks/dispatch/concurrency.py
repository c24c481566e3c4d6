"""Shares the request slots among endpoints, so that hanging endpoints leave slots for the others.

Two rules, which need no prior knowledge of the endpoints:

- An endpoint has at most as many requests in flight as there are free slots. Two hanging endpoints
  leave a third of the slots, three a quarter. (The dynamic threshold by which switches share a
  buffer: Choudhury and Hahne, 1998, there with a factor, here 1.)
- Endpoints not known to respond quickly share three quarters of the slots, and an eighth more for
  the first request of each. So an eighth always remains for endpoints that do respond, and a new
  endpoint gets a chance to prove itself.
"""

import math
from collections import Counter, OrderedDict, deque
from operator import itemgetter

QUICK_S = 1.0
"""A response within this time is quick; a request in flight for longer counts as late."""
MAX_QUICK = 10_000
"""The most quick endpoints to remember; beyond, the one with the oldest response is forgotten."""


class ConcurrencyLimiter:
    """The numbered requests in flight, by endpoint, and which endpoint may have one more."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._most_doubtful = max(1, slots * 3 // 4)
        self.most_with_first = max(1, slots * 7 // 8)
        """The limit for all doubtful endpoints together, including the first request of each."""
        self._began: dict[str, dict[int, float]] = {}
        self._endpoints: dict[int, str] = {}
        self._quick: OrderedDict[str, float] = OrderedDict()
        # Requests not known to be late, in order of their start, including some that have ended;
        # endpoints with late requests; and the number of requests in flight to doubtful endpoints.
        self._young: deque[tuple[float, int, str]] = deque()
        self._late: Counter[str] = Counter()
        self._became_late: list[tuple[int, str]] = []
        self._doubtful = 0

    def __len__(self) -> int:
        """The number of requests in flight."""
        return len(self._endpoints)

    def __contains__(self, number: int) -> bool:
        return number in self._endpoints

    @property
    def free(self) -> int:
        """The number of free slots."""
        return self._slots - len(self._endpoints)

    def of(self, endpoint: str) -> int:
        """The number of requests in flight to an endpoint."""
        return len(self._began.get(endpoint, ()))

    def oldest_s(self, endpoint: str, now: float) -> float:
        """The age in seconds of an endpoint's oldest request in flight; 0 if there is none."""
        return now - next(iter(self._began.get(endpoint, {}).values()), now)

    def endpoint(self, number: int) -> str:
        """The endpoint of a request in flight."""
        return self._endpoints[number]

    def age_s(self, number: int, now: float) -> float:
        """The age in seconds of a request in flight."""
        return now - self._began[self._endpoints[number]][number]

    def quick_at(self, endpoint: str) -> float:
        """When the latest request to the endpoint that has ended got a quick response.

        Minus infinity if it was not quick, or got none.
        """
        return self._quick.get(endpoint, -math.inf)

    def became_late(self, now: float) -> list[tuple[int, str]]:
        """The requests in flight that have become late since the last call, and their hooks."""
        self._pass_time(now)
        if not self._became_late:
            return []
        late, self._became_late = self._became_late, []
        return [(number, hook_id) for number, hook_id in late if number in self._endpoints]

    def move(self, number: int, endpoint: str, now: float) -> None:
        """Count a late request in flight as one to another endpoint."""
        self._pass_time(now)
        before = self._endpoints[number]
        both = (before, endpoint)
        self._doubtful -= sum(self.of(name) * self._is_doubtful(name) for name in both)
        began = self._began[before].pop(number)
        if not self._began[before]:
            del self._began[before]
        self._end_late(before)
        self._endpoints[number] = endpoint
        there = {number: began, **self._began.get(endpoint, {})}
        self._began[endpoint] = dict(sorted(there.items(), key=itemgetter(1)))
        self._late[endpoint] += 1
        self._doubtful += sum(self.of(name) * self._is_doubtful(name) for name in both)

    def _end_late(self, endpoint: str) -> None:
        self._late[endpoint] -= 1
        if not self._late[endpoint]:
            del self._late[endpoint]

    def begin(self, endpoint: str, number: int, now: float, hook_id: str) -> None:
        """Record the start of a request."""
        self._began.setdefault(endpoint, {})[number] = now
        self._endpoints[number] = endpoint
        self._young.append((now, number, hook_id))
        self._doubtful += self._is_doubtful(endpoint)

    def end(self, number: int, now: float, reached: bool | None) -> float:
        """Record the end of a request; returns its duration. `reached`: see circuit_breaker.py."""
        self._pass_time(now)
        endpoint = self._endpoints.pop(number)
        began = self._began[endpoint]
        self._doubtful -= len(began) * self._is_doubtful(endpoint)
        took_s = now - began.pop(number)
        if took_s > QUICK_S:
            self._end_late(endpoint)
        if reached and took_s <= QUICK_S:
            self._quick[endpoint] = now
            self._quick.move_to_end(endpoint)
        elif reached is not None:
            self._quick.pop(endpoint, None)
        if not began:
            del self._began[endpoint]
        self._doubtful += len(began) * self._is_doubtful(endpoint)
        if len(self._quick) > MAX_QUICK:
            self._forget_quick()
        return took_s

    def _forget_quick(self) -> None:
        forgotten, _ = self._quick.popitem(last=False)
        if forgotten not in self._late:
            self._doubtful += self.of(forgotten)

    def _pass_time(self, now: float) -> None:
        """Mark requests that have become late."""
        while self._young and now - self._young[0][0] > QUICK_S:
            _began, number, hook_id = self._young.popleft()
            endpoint = self._endpoints.get(number)
            if endpoint is not None:
                self._doubtful += self.of(endpoint) * (not self._is_doubtful(endpoint))
                self._late[endpoint] += 1
                self._became_late.append((number, hook_id))

    # Who may have one more

    def is_doubtful(self, endpoint: str, now: float) -> bool:
        """Whether the endpoint is not known to respond quickly."""
        self._pass_time(now)
        return self._is_doubtful(endpoint)

    def _is_doubtful(self, endpoint: str) -> bool:
        return endpoint not in self._quick or endpoint in self._late

    def doubtful(self, now: float) -> int:
        """The number of requests in flight to doubtful endpoints."""
        self._pass_time(now)
        return self._doubtful

    def room_for_doubtful(self, doubtful: int) -> int:
        """The number of requests at which a doubtful endpoint may start no more; others: `free`.

        `doubtful`: the number in flight to all doubtful endpoints.
        """
        if doubtful < self._most_doubtful:
            return self.free
        return min(1, self.free) if doubtful < self.most_with_first else 0
