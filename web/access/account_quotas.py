"""The accounts' quotas as the API applies them to requests: cached, and counted by this node."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from attrs import define

from callboard.adapters.repositories.account_quotas import account_quotas
from callboard.adapters.store.protocol import DocumentStore, StoreError
from callboard.webhooks.hooks.quotas import Quotas

TTL_S = 30.0
"""How long an account's quotas are cached, in seconds."""
MAX_ACCOUNTS = 10_000
"""How many accounts are remembered; beyond, the one read longest ago is forgotten."""


@define
class _Account:
    """An account's quotas until `believed_until`, and the events that it may post from `at` on.

    Times are monotonic seconds.
    """

    quotas: Quotas
    believed_until: float
    events_left: float
    at: float


class AccountQuotas:
    """The quotas of the accounts that have sent requests lately. Threads may share it."""

    def __init__(
        self, store: DocumentStore, node: Quotas, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.node = node
        self._store, self._clock = store, clock
        self._accounts: OrderedDict[str, _Account] = OrderedDict()
        self._lock = threading.Lock()

    def known(self, account_id: str) -> Quotas:
        """The quotas as last read, without reading the store."""
        with self._lock:
            account = self._accounts.get(account_id)
        return self.node if account is None else account.quotas

    def of(self, account_id: str) -> Quotas:
        """The quotas, read again after TTL_S. While the store is away, those known apply."""
        now = self._clock()
        with self._lock:
            account = self._accounts.get(account_id)
            if account is not None and now < account.believed_until:
                return account.quotas
        try:
            quotas = account_quotas(self._store, account_id, self.node)
        except StoreError:
            return self.known(account_id)
        with self._lock:
            account = self._accounts.pop(account_id, None)
            left, at = (account.events_left, account.at) if account else (quotas.events_per_s, now)
            self._accounts[account_id] = _Account(quotas, now + TTL_S, left, at)
            while len(self._accounts) > MAX_ACCOUNTS:
                self._accounts.popitem(last=False)
        return quotas

    def is_fresh(self, account_id: str) -> bool:
        """Whether `of` returns at once."""
        with self._lock:
            account = self._accounts.get(account_id)
        return account is not None and self._clock() < account.believed_until

    def may_post(self, account_id: str, count: int = 1) -> bool:
        """Whether the account may post so many more events now; counts them.

        An account that paused may post the events of one second at once (a token bucket), or more
        in one request.
        """
        rate, now = self.known(account_id).events_per_s, self._clock()
        with self._lock:
            account = self._accounts.get(account_id)
            if account is None:  # The store is away since the start, or the account was forgotten.
                account = self._accounts[account_id] = _Account(self.node, now, rate, now)
            account.events_left += (now - account.at) * rate
            account.events_left, account.at = min(account.events_left, rate), now
            allowed = account.events_left >= min(count, rate)
            account.events_left -= count * allowed
        return allowed
