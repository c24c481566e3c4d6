"""Shares of the slots for requests: however many endpoints hang, those that answer find one.

Two rules, which need not know beforehand who will hang:

- An endpoint has no more requests under way than there are slots free for others. Two that hang
  leave a third of the slots, three a quarter. (The dynamic threshold by which switches share a
  buffer: Choudhury and Hahne, 1998, there with a factor, here 1.)
- Endpoints that are not known to answer quickly have three quarters of the slots together, and an
  eighth more for the first request of any of them. So however many hang, an eighth is left to
  those that do answer, and a new endpoint gets a chance to show it.
"""

from collections import OrderedDict

QUICK_S = 1.0
"""An answer within this time is quick, and what is under way for longer no longer is."""
MAX_QUICK = 10_000
"""Endpoints that are known to be quick; beyond, the one is forgotten that answered longest ago."""


class SlotShares:
    """The requests under way, by endpoint, each with a number; and who may have one more."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._most_doubtful = max(1, slots * 3 // 4)
        self.most_with_first = max(1, slots * 7 // 8)
        """How many may be under way to doubtful endpoints, with the first request of each."""
        self._began: dict[str, dict[int, float]] = {}
        self._endpoints: dict[int, str] = {}
        self._quick: OrderedDict[str, None] = OrderedDict()

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

    def end(self, number: int, now: float, reached: bool | None) -> float:
        """A request has ended; how long it took. `reached`: see circuit.py."""
        endpoint = self._endpoints.pop(number)
        began = self._began[endpoint]
        took_s = now - began.pop(number)
        if not began:
            del self._began[endpoint]
        if reached and took_s <= QUICK_S:
            self._quick[endpoint] = None
            self._quick.move_to_end(endpoint)
            if len(self._quick) > MAX_QUICK:
                self._quick.popitem(last=False)
        elif reached is not None:
            self._quick.pop(endpoint, None)
        return took_s

    # Who may have one more

    def is_doubtful(self, endpoint: str, now: float) -> bool:
        """Whether it is not known to answer quickly."""
        return endpoint not in self._quick or self.oldest_s(endpoint, now) > QUICK_S

    def doubtful(self, now: float) -> int:
        """How many are under way to doubtful endpoints; more than that while it does not matter."""
        if len(self) < self._most_doubtful:
            return len(self)
        return sum(self.of(name) for name in self._began if self.is_doubtful(name, now))

    def room_for(self, endpoint: str) -> bool:
        """Whether there are slots for an endpoint, were it not doubtful."""
        return self.of(endpoint) < self.free

    def room_for_doubtful(self, endpoint: str, doubtful: int) -> bool:
        """Whether there are slots for a doubtful endpoint, by what `doubtful` says of all."""
        most = self._most_doubtful if self.of(endpoint) else self.most_with_first
        return doubtful < most and self.room_for(endpoint)
