"""Which hooks want an event, by their custom_data (webhooks_object, webhooks_notifications)."""

from collections.abc import Callable, Mapping
from typing import Any

from callboard.webhooks.hooks.hook import ALL, Hook


def by_custom_data(**told: Any) -> Callable[[Hook], bool]:
    """Selects the hooks whose custom_data has the event's value, or `all`, under each key.

    A hook without custom_data wants every event; one whose custom_data lacks a key wants none. A
    hook on all events is not filtered: its custom_data is only sent along.
    """

    def selects(hook: Hook) -> bool:
        if hook.event == ALL or not hook.custom_data:
            return True
        return _names(hook.custom_data, told)

    return selects


def _names(custom_data: Mapping[str, Any], told: Mapping[str, Any]) -> bool:
    return all(
        isinstance(wanted := custom_data.get(key), str) and wanted in (value, ALL)
        for key, value in told.items()
    )
