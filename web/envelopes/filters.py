"""Crossbar's generic filters of listings (crossbar_filter): `?filter_name=x&has_key=group`."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from starlette.datastructures import QueryParams

from callboard.webhooks.values.json_values import as_int, as_text, value_at

Condition = Callable[[Mapping[str, Any]], bool]

_NOTHING = object()


def filters_in(query: QueryParams) -> Condition:
    """The condition in a query: documents must pass all of its filters.

    `filter_KEY`, `filter_not_KEY`, `has_key`, `key_missing`, `has_value`, `value_missing`,
    `modified_from`, `modified_to`. A dot in a KEY leads into an object. A value may be a JSON list,
    of which any element may match.
    """
    conditions = [
        condition
        for name in (*_NAMED, *(name for name in query if name.startswith("filter_")))
        for value in query.getlist(name)
        if (condition := _condition(name, value))
    ]
    return lambda document: all(condition(document) for condition in conditions)


def _condition(name: str, value: str) -> Condition | None:
    if name in _NAMED:
        return _NAMED[name](value)
    if name.startswith("filter_not_"):
        key, unwanted = name.removeprefix("filter_not_"), _any_of(value)
        return lambda document: as_text(_at(document, key)) not in unwanted
    key, wanted = name.removeprefix("filter_"), _any_of(value)
    return lambda document: as_text(_at(document, key)) in wanted


def _at(document: Mapping[str, Any], key: str) -> Any:
    if key == "id":
        key = "_id"
    return value_at(document, key.split("."), _NOTHING)


def _empty(value: Any) -> bool:
    return value is _NOTHING or value is None or value in ("", [], {})


def _any_of(value: str) -> frozenset[str | None]:
    try:
        listed = json.loads(value) if value.startswith("[") else None
    except (ValueError, RecursionError):
        listed = None
    if not isinstance(listed, list):
        return frozenset({value})
    return frozenset(text for one in listed if (text := as_text(one)) is not None)


def _modified(value: str, holds: Callable[[int, int], bool]) -> Condition | None:
    bound = as_int(value)
    if bound is None:
        return None

    def within(document: Mapping[str, Any]) -> bool:
        modified = as_int(document.get("pvt_modified"))
        return modified is not None and holds(modified, bound)

    return within


_NAMED: Mapping[str, Callable[[str], Condition | None]] = {
    "has_key": lambda key: lambda document: _at(document, key) is not _NOTHING,
    "key_missing": lambda key: lambda document: _at(document, key) is _NOTHING,
    "has_value": lambda key: lambda document: not _empty(_at(document, key)),
    "value_missing": lambda key: lambda document: _empty(_at(document, key)),
    "modified_from": lambda value: _modified(value, lambda modified, bound: modified >= bound),
    "modified_to": lambda value: _modified(value, lambda modified, bound: modified <= bound),
}
