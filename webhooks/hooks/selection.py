"""Which hooks want an event, by their custom_data (webhooks_object, webhooks_notifications)."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from callboard.webhooks.hooks.hook import ALL, Hook
from callboard.webhooks.values.json_values import as_text


class _Absent:
    """The type of ABSENT."""


ABSENT: Final = _Absent()
"""The value of an event that has none, where null is another one."""


def by_custom_data(**told: Any) -> Callable[[Hook], bool]:
    """Selects the hooks whose custom_data has the event's value, or `all`, under each key.

    A hook without custom_data wants every event. One whose custom_data lacks a key, or is empty,
    wants only events whose value is ABSENT. A list of one text counts as this text (`as_text`). A
    hook on all events is not filtered: its custom_data is only sent along.
    """

    def selects(hook: Hook) -> bool:
        if hook.event == ALL or hook.custom_data is None:
            return True
        return _names(hook.custom_data, told)

    return selects


def _names(custom_data: Mapping[str, Any], told: Mapping[str, Any]) -> bool:
    return all(_wants(custom_data, key, value) for key, value in told.items())


def _wants(custom_data: Mapping[str, Any], key: str, value: Any) -> bool:
    wanted = as_text(custom_data[key]) if key in custom_data else None
    return value is ABSENT if wanted is None else wanted in (value, ALL)
