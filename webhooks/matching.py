"""Which hooks an event fires (webhooks_util:find_webhooks and maybe_fire_hook)."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from callboard.webhooks.directory import Account
from callboard.webhooks.hook import ALL, Hook
from callboard.webhooks.values import same


class HookIndex:
    """Hooks by account and event, so lean that a process may hold a million.

    One entry for each (account, event): the hook itself, or a dictionary of them by hook id where
    there are several. As there are few kinds of events, looking for a hook by its id alone means
    to look under each of them. Every look-up takes constant time.
    """

    def __init__(self) -> None:
        self._hooks: dict[tuple[str, str], Hook | dict[str, Hook]] = {}
        self._events: set[str] = set()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Hook]:
        for entry in self._hooks.values():
            yield from _each(entry)

    def put(self, hook: Hook) -> None:
        """Add a hook, or replace the one of that account and id."""
        self.remove(hook.account_id, hook.id)
        key = hook.account_id, hook.event
        match self._hooks.get(key):
            case None:
                self._hooks[key] = hook
            case Hook() as other:
                self._hooks[key] = {other.id: other, hook.id: hook}
            case several:
                several[hook.id] = hook
        self._events.add(hook.event)
        self._size += 1

    def get(self, account_id: str, hook_id: str) -> Hook | None:
        """The hook of that account and id."""
        for event in self._events:
            entry = self._hooks.get((account_id, event))
            hook = entry.get(hook_id) if isinstance(entry, dict) else entry
            if hook is not None and hook.id == hook_id:
                return hook
        return None

    def remove(self, account_id: str, hook_id: str) -> bool:
        """Forget a hook; whether it was there."""
        hook = self.get(account_id, hook_id)
        if hook is None:
            return False
        entry = self._hooks[account_id, hook.event]
        if isinstance(entry, dict) and len(entry) > 1:
            del entry[hook_id]
        else:
            del self._hooks[account_id, hook.event]
        self._size -= 1
        return True

    def remove_account(self, account_id: str) -> int:
        """Forget all hooks of an account; how many there were."""
        entries = [self._hooks.pop((account_id, event), None) for event in self._events]
        removed = sum(len(_each(entry)) for entry in entries if entry is not None)
        self._size -= removed
        return removed

    def clear(self) -> None:
        """Forget all hooks."""
        self._hooks.clear()
        self._events.clear()
        self._size = 0

    def of(self, account_id: str, event: str) -> Iterator[Hook]:
        """The account's own hooks on that event, and on all events."""
        for name in dict.fromkeys((event, ALL)):
            entry = self._hooks.get((account_id, name))
            if entry is not None:
                yield from _each(entry)


def _each(entry: Hook | dict[str, Hook]) -> Collection[Hook]:
    return (entry,) if isinstance(entry, Hook) else entry.values()


def candidates(index: HookIndex, account: Account, event: str) -> Iterator[Hook]:
    """Hooks of the account, then those of its ancestors that include their subaccounts."""
    yield from index.of(account.id, event)
    for ancestor in account.tree:
        if ancestor != account.id:
            yield from (hook for hook in index.of(ancestor, event) if hook.include_subaccounts)


def fires(hook: Hook, payload: Mapping[str, Any]) -> bool:
    """Whether the hook's `modifiers` let this payload through: keys that are absent do."""
    return all(
        _lets_through(wanted, payload[key])
        for key, wanted in hook.modifiers.items()
        if key in payload
    )


def _lets_through(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, list):
        return not wanted or any(same(one, value) for one in wanted)
    return same(wanted, value)
