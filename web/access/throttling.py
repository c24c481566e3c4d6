"""Slows down clients that guess tokens: by address, exponentially, in bounded memory."""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

from attrs import evolve, frozen

FREE_TRIES = 5
"""The number of wrong tokens without a delay."""
FIRST_S = 1.0
LONGEST_S = 300.0
FORGOTTEN_S = 3600.0
"""How long a wrong token counts without another, in seconds."""
MAX_ADDRESSES = 10_000


@frozen
class Wrong:
    """An address's recent number of wrong tokens, and the time of the last. Times are monotonic."""

    count: int = 0
    last: float = 0.0

    def again(self, now: float) -> "Wrong":
        """One more wrong token."""
        count = 0 if now - self.last > FORGOTTEN_S else self.count
        return evolve(self, count=count + 1, last=now)

    def wait_s(self, now: float) -> float:
        """Seconds until requests from this address are accepted again; 0: at once."""
        beyond = self.count - FREE_TRIES
        if beyond < 0:
            return 0.0
        pause = min(LONGEST_S, FIRST_S * 2.0 ** min(beyond, 30))
        return max(0.0, self.last + pause - now)


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


class Guard:
    """Remembers the addresses of recent wrong tokens, up to a limit.

    Beyond the limit, the address with the oldest wrong token is forgotten.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, most: int = MAX_ADDRESSES
    ) -> None:
        self._clock = clock
        self._most = most
        self._wrong: OrderedDict[str, Wrong] = OrderedDict()
        self._lock = threading.Lock()

    def wait_s(self, address: str) -> int:
        """Whole seconds for which requests with a token from this address are refused; 0: none."""
        with self._lock:
            wrong = self._wrong.get(network_of(address), Wrong())
            return math.ceil(wrong.wait_s(self._clock()))

    def wrong(self, address: str) -> None:
        """Record a wrong token from this address."""
        network = network_of(address)
        with self._lock:
            self._wrong[network] = self._wrong.pop(network, Wrong()).again(self._clock())
            while len(self._wrong) > self._most:
                self._wrong.popitem(last=False)

    def right(self, address: str) -> None:
        """Record a valid token from this address, which resets its count."""
        with self._lock:
            self._wrong.pop(network_of(address), None)

    def __len__(self) -> int:
        """The number of addresses remembered."""
        return len(self._wrong)
