"""Which hooks an event fires (webhooks_util:find_webhooks and maybe_fire_hook)."""

from collections.abc import Iterator, Mapping
from typing import Any

from callboard.webhooks.directory import Account
from callboard.webhooks.hook import ALL, Hook


class HookIndex:
    """Hooks by (account, event), and by (account, hook id); every look-up takes constant time."""

    def __init__(self) -> None:
        self._hooks: dict[tuple[str, str], Hook] = {}
        self._by_event: dict[tuple[str, str], dict[str, Hook]] = {}

    def __len__(self) -> int:
        return len(self._hooks)

    def __iter__(self) -> Iterator[Hook]:
        return iter(self._hooks.values())

    def put(self, hook: Hook) -> None:
        """Add a hook, or replace the one of that account and id."""
        self.remove(hook.account_id, hook.id)
        self._hooks[hook.account_id, hook.id] = hook
        self._by_event.setdefault((hook.account_id, hook.event), {})[hook.id] = hook

    def remove(self, account_id: str, hook_id: str) -> None:
        """Forget a hook; one that is not there is no error."""
        hook = self._hooks.pop((account_id, hook_id), None)
        if hook is not None:
            same = self._by_event[account_id, hook.event]
            del same[hook_id]
            if not same:
                del self._by_event[account_id, hook.event]

    def of(self, account_id: str, event: str) -> Iterator[Hook]:
        """The account's own hooks on that event, and on all events."""
        yield from self._by_event.get((account_id, event), {}).values()
        if event != ALL:
            yield from self._by_event.get((account_id, ALL), {}).values()


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
        for key, wanted in (hook.modifiers or {}).items()
        if key in payload
    )


def _lets_through(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, list):
        return not wanted or any(_same(one, value) for one in wanted)
    return _same(wanted, value)


def _same(one: Any, other: Any) -> bool:
    """JSON equality: true is not 1."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
