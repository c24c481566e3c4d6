"""The latest changes of hooks, by which decisions made before them are recognized."""

from collections import OrderedDict
from collections.abc import Iterable

from callboard.webhooks.hooks.failure_window import HookKey

REMEMBERED = 20_000
"""The latest changed hooks to remember."""


class OutdatedHooks:
    """Hooks by the number of their latest change, in the hook table's order of changes."""

    def __init__(self) -> None:
        self._changes: OrderedDict[HookKey, int] = OrderedDict()

    def __len__(self) -> int:
        """The number of remembered hooks."""
        return len(self._changes)

    def add(self, keys: Iterable[HookKey], change: int) -> None:
        """These hooks were changed or removed by the change with this number."""
        for key in keys:
            self._changes.pop(key, None)
            self._changes[key] = change
        while len(self._changes) > REMEMBERED:
            self._changes.popitem(last=False)

    def changed_since(self, key: HookKey, change: int) -> bool:
        """Whether the hook has a later change than this one."""
        return self._changes.get(key, 0) > change
