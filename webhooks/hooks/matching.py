"""Which hooks an event fires (webhooks_util:find_webhooks and maybe_fire_hook)."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from callboard.webhooks.events.directory import Account
from callboard.webhooks.hooks.hook import ALL, Hook
from callboard.webhooks.values.json_values import identical


class HookIndex:
    """Hooks by event and account, small enough to hold a million in one process.

    For each event and account there is one entry: the hook itself, or a dictionary by hook id if
    there are several. There are few kinds of events, so a look-up by the hook's id alone searches
    each of them. Every look-up takes constant time.
    """

    def __init__(self) -> None:
        self._hooks: dict[str, dict[str, _Entry]] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Hook]:
        for accounts in self._hooks.values():
            for entry in accounts.values():
                yield from _each(entry)

    def put(self, hook: Hook) -> None:
        """Add a hook, or replace the one with this account and id."""
        self.remove(hook.account_id, hook.id)
        accounts = self._hooks.setdefault(hook.event, {})
        match accounts.get(hook.account_id):
            case None:
                accounts[hook.account_id] = hook
            case Hook() as other:
                accounts[hook.account_id] = {other.id: other, hook.id: hook}
            case several:
                several[hook.id] = hook
        self._size += 1

    def get(self, account_id: str, hook_id: str) -> Hook | None:
        """The hook with this account and id."""
        for accounts in self._hooks.values():
            entry = accounts.get(account_id)
            hook = entry.get(hook_id) if isinstance(entry, dict) else entry
            if hook is not None and hook.id == hook_id:
                return hook
        return None

    def remove(self, account_id: str, hook_id: str) -> bool:
        """Forget a hook; returns whether it was present."""
        hook = self.get(account_id, hook_id)
        if hook is None:
            return False
        accounts = self._hooks[hook.event]
        entry = accounts[account_id]
        if isinstance(entry, dict) and len(entry) > 1:
            del entry[hook_id]
        else:
            del accounts[account_id]
        self._size -= 1
        return True

    def remove_account(self, account_id: str) -> int:
        """Forget all hooks of an account; returns their number."""
        entries = [accounts.pop(account_id, None) for accounts in self._hooks.values()]
        removed = sum(len(_each(entry)) for entry in entries if entry is not None)
        self._size -= removed
        return removed

    def clear(self) -> None:
        """Forget all hooks."""
        self._hooks.clear()
        self._size = 0

    def of(self, account_id: str, event: str) -> Iterator[Hook]:
        """The account's own hooks on this event, and on all events."""
        for name in dict.fromkeys((event, ALL)):
            accounts = self._hooks.get(name)
            entry = None if accounts is None else accounts.get(account_id)
            if entry is not None:
                yield from _each(entry)


_Entry = Hook | dict[str, Hook]


def _each(entry: _Entry) -> Collection[Hook]:
    return (entry,) if isinstance(entry, Hook) else entry.values()


def candidates(index: HookIndex, account: Account, event: str) -> Iterator[Hook]:
    """Hooks of the account, then those of its ancestors that include their subaccounts."""
    yield from index.of(account.id, event)
    for ancestor in account.tree:
        if ancestor != account.id:
            yield from (hook for hook in index.of(ancestor, event) if hook.include_subaccounts)


def fires(hook: Hook, payload: Mapping[str, Any]) -> bool:
    """Whether the hook's `modifiers` accept this payload; keys missing from it match."""
    return all(
        _lets_through(wanted, payload[key])
        for key, wanted in hook.modifiers.items()
        if key in payload
    )


def _lets_through(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, list):
        return not wanted or any(identical(one, value) for one in wanted)
    return identical(wanted, value)
