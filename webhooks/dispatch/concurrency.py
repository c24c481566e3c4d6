"""Shares of the slots for requests: however many endpoints hang, those that answer find one.

Two rules, which need not know beforehand who will hang:

- An endpoint has no more requests under way than there are slots free for others. Two that hang
  leave a third of the slots, three a quarter. (The dynamic threshold by which switches share a
  buffer: Choudhury and Hahne, 1998, there with a factor, here 1.)
- Endpoints that are not known to answer quickly have three quarters of the slots together, and an
  eighth more for the first request of any of them. So however many hang, an eighth is left to
  those that do answer, and a new endpoint gets a chance to show it.
"""

from collections import Counter, OrderedDict, deque

QUICK_S = 1.0
"""An answer within this time is quick, and what is under way for longer no longer is."""
MAX_QUICK = 10_000
"""Endpoints that are known to be quick; beyond, the one is forgotten that answered longest ago."""


class ConcurrencyLimiter:
    """The requests under way, by endpoint, each with a number; and who may have one more."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._most_doubtful = max(1, slots * 3 // 4)
        self.most_with_first = max(1, slots * 7 // 8)
        """How many may be under way to doubtful endpoints, with the first request of each."""
        self._began: dict[str, dict[int, float]] = {}
        self._endpoints: dict[int, str] = {}
        self._quick: OrderedDict[str, None] = OrderedDict()
        # Requests that are not known to be late, in the order they began in, and some that ended;
        # endpoints with late ones; and how many are under way to doubtful endpoints.
        self._young: deque[tuple[float, int]] = deque()
        self._late: Counter[str] = Counter()
        self._doubtful = 0

    def __len__(self) -> int:
        """How many requests are under way."""
        return len(self._endpoints)

    def __contains__(self, number: int) -> bool:
        return number in self._endpoints

    @property
    def free(self) -> int:
        """How many more there may be."""
        return self._slots - len(self._endpoints)

    def of(self, endpoint: str) -> int:
        """How many are under way to an endpoint."""
        return len(self._began.get(endpoint, ()))

    def oldest_s(self, endpoint: str, now: float) -> float:
        """How long the oldest of an endpoint has taken so far; 0 if there is none."""
        return now - next(iter(self._began.get(endpoint, {}).values()), now)

    def begin(self, endpoint: str, number: int, now: float) -> None:
        """A request goes."""
        self._began.setdefault(endpoint, {})[number] = now
        self._endpoints[number] = endpoint
        self._young.append((now, number))
        self._doubtful += self._is_doubtful(endpoint)

    def end(self, number: int, now: float, reached: bool | None) -> float:
        """A request has ended; how long it took. `reached`: see circuit_breaker.py."""
        self._pass_time(now)
        endpoint = self._endpoints.pop(number)
        began = self._began[endpoint]
        self._doubtful -= len(began) * self._is_doubtful(endpoint)
        took_s = now - began.pop(number)
        if took_s > QUICK_S:
            self._late[endpoint] -= 1
            if not self._late[endpoint]:
                del self._late[endpoint]
        if reached and took_s <= QUICK_S:
            self._quick[endpoint] = None
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
        """Some requests are late now."""
        while self._young and now - self._young[0][0] > QUICK_S:
            _began, number = self._young.popleft()
            endpoint = self._endpoints.get(number)
            if endpoint is not None:
                self._doubtful += self.of(endpoint) * (not self._is_doubtful(endpoint))
                self._late[endpoint] += 1

    # Who may have one more

    def is_doubtful(self, endpoint: str, now: float) -> bool:
        """Whether it is not known to answer quickly."""
        self._pass_time(now)
        return self._is_doubtful(endpoint)

    def _is_doubtful(self, endpoint: str) -> bool:
        return endpoint not in self._quick or endpoint in self._late

    def doubtful(self, now: float) -> int:
        """How many are under way to doubtful endpoints."""
        self._pass_time(now)
        return self._doubtful

    def room_for_doubtful(self, doubtful: int) -> int:
        """How many a doubtful endpoint must have fewer of, to have one more; others: `free`.

        `doubtful`: how many are under way to all such.
        """
        if doubtful < self._most_doubtful:
            return self.free
        return min(1, self.free) if doubtful < self.most_with_first else 0
