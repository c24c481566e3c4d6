"""Lists a great number of hooks page by page in order, without sorting them all at once."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

from callboard.webhooks.hooks.failure_window import HookKey


class HookListing:
    """The hooks' keys by account and id, as of the creation of the listing.

    Accounts are sorted at once, an account's hooks only when a page reaches them.
    """

    def __init__(self, keys: Iterable[HookKey]) -> None:
        self._ids: dict[str, list[str]] = {}
        for account_id, hook_id in keys:
            self._ids.setdefault(account_id, []).append(hook_id)
        self._accounts = sorted(self._ids)
        self._sorted: set[str] = set()

    def after(self, key: HookKey | None, account_id: str | None = None) -> Iterator[HookKey]:
        """The keys after this one (None: all), of one account or of all."""
        start = "" if key is None else key[0]
        accounts = self._accounts if account_id is None else [account_id]
        for place in range(bisect_left(accounts, start), len(accounts)):
            account = accounts[place]
            ids = self._in_order(account)
            begin = bisect_right(ids, key[1]) if key is not None and account == start else 0
            for number in range(begin, len(ids)):
                yield account, ids[number]

    def _in_order(self, account_id: str) -> list[str]:
        ids = self._ids.get(account_id, [])
        if account_id not in self._sorted:
            ids.sort()
            self._sorted.add(account_id)
        return ids
