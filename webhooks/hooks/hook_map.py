"""Finds one of a great number of hooks by its account and id."""

from collections.abc import Iterator

from callboard.webhooks.hooks.failure_window import HookKey
from callboard.webhooks.hooks.hook import Hook


class HookMap:
    """Hooks by (account, hook id), without a key object for each: an id is nearly always unique.

    An entry is the hook, or a dictionary by account if several accounts have a hook with this id.
    """

    def __init__(self) -> None:
        self._hooks: dict[str, Hook | dict[str, Hook]] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Hook]:
        for entry in self._hooks.values():
            if isinstance(entry, Hook):
                yield entry
            else:
                yield from entry.values()

    def get(self, key: HookKey) -> Hook | None:
        """The hook with this account and id."""
        account_id, hook_id = key
        entry = self._hooks.get(hook_id)
        if isinstance(entry, dict):
            return entry.get(account_id)
        return entry if entry is not None and entry.account_id == account_id else None

    def put(self, hook: Hook) -> None:
        """Add a hook, or replace the one with this account and id."""
        entry = self._hooks.get(hook.id)
        if isinstance(entry, dict):
            self._size += hook.account_id not in entry
            entry[hook.account_id] = hook
        elif entry is None or entry.account_id == hook.account_id:
            self._size += entry is None
            self._hooks[hook.id] = hook
        else:
            self._size += 1
            self._hooks[hook.id] = {entry.account_id: entry, hook.account_id: hook}

    def remove(self, key: HookKey) -> None:
        """Forget a hook, if it is present."""
        if self.get(key) is None:
            return
        account_id, hook_id = key
        entry = self._hooks[hook_id]
        if isinstance(entry, dict) and len(entry) > 1:
            del entry[account_id]
        else:
            del self._hooks[hook_id]
        self._size -= 1


def key_of(hook: Hook) -> HookKey:
    """A hook's key: its account and id."""
    return hook.account_id, hook.id
