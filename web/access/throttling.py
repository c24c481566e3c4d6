"""Slows down clients that guess a token: exponentially, in bounded memory.

Wrong tokens are counted by client and by the token's beginning. So what sends wrong tokens from an
operator's address, such as a web page in his browser, does not lock out his own token
(docs/adr/0034-wrong-tokens.md).
"""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from attrs import evolve, frozen

from callboard.adapters.repositories.tokens import beginning

FREE_TRIES = 5
"""The number of wrong tokens without a delay."""
FIRST_S = 1.0
LONGEST_S = 300.0
FORGOTTEN_S = 3600.0
"""How long a wrong token counts without another, in seconds."""
MAX_REMEMBERED = 10_000


@frozen
class Wrong:
    """A recent number of wrong tokens, and the time of the last. Times are monotonic."""

    count: int = 0
    last: float = 0.0

    def again(self, now: float) -> "Wrong":
        """One more wrong token."""
        count = 0 if now - self.last > FORGOTTEN_S else self.count
        return evolve(self, count=count + 1, last=now)

    def wait_s(self, now: float) -> float:
        """Seconds until such tokens are accepted again; 0: at once."""
        beyond = self.count - FREE_TRIES
        if beyond < 0:
            return 0.0
        pause = min(LONGEST_S, FIRST_S * 2.0 ** min(beyond, 30))
        return max(0.0, self.last + pause - now)


@lru_cache(MAX_REMEMBERED)
def network_of(address: str) -> str:
    """The network that counts as one client: an IPv4 address, or the /64 of an IPv6 host."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped:
            return str(ip.ipv4_mapped)
        return str(IPv6Address(int(ip) >> 64 << 64))
    return str(ip)


Guess = tuple[str, str]
"""A client's network, and the beginning of the tokens that it sends."""


def _guess(address: str, token: str) -> Guess:
    return network_of(address), beginning(token)


class Guard:
    """Remembers recent wrong tokens, up to a limit.

    Beyond the limit, the one that is longest ago is forgotten.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, most: int = MAX_REMEMBERED
    ) -> None:
        self._clock = clock
        self._most = most
        self._wrong: OrderedDict[Guess, Wrong] = OrderedDict()
        self._lock = threading.Lock()

    def wait_s(self, address: str, token: str) -> int:
        """Whole seconds for which tokens like this are refused from this address; 0: none."""
        with self._lock:
            wrong = self._wrong.get(_guess(address, token), Wrong())
            return math.ceil(wrong.wait_s(self._clock()))

    def wrong(self, address: str, token: str) -> None:
        """Record a wrong token from this address."""
        guess = _guess(address, token)
        with self._lock:
            self._wrong[guess] = self._wrong.pop(guess, Wrong()).again(self._clock())
            while len(self._wrong) > self._most:
                self._wrong.popitem(last=False)

    def right(self, address: str, token: str) -> None:
        """Record a valid token from this address, which resets the count of those like it."""
        with self._lock:
            self._wrong.pop(_guess(address, token), None)

    def __len__(self) -> int:
        """The number of clients' guesses remembered."""
        return len(self._wrong)
