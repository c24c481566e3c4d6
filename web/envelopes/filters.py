"""Crossbar's generic filters of listings (crossbar_filter): `?filter_name=x&has_key=group`."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from callboard.webhooks.values.json_values import as_int, as_text, value_at

Condition = Callable[[Mapping[str, Any]], bool]

_NOTHING = object()


def filters_in(query: Iterable[tuple[str, str]]) -> Condition:
    """The condition in a query: documents must pass all of its filters.

    `filter_KEY`, `filter_not_KEY`, `has_key`, `key_missing`, `has_value`, `value_missing`,
    `modified_from`, `modified_to`. A dot in a KEY leads into an object. A value may be a JSON list,
    of which any element may match.
    """
    conditions = [condition for name, value in query if (condition := _condition(name, value))]
    return lambda document: all(condition(document) for condition in conditions)


def _condition(name: str, value: str) -> Condition | None:
    match name:
        case "has_key":
            return lambda document: _at(document, value) is not _NOTHING
        case "key_missing":
            return lambda document: _at(document, value) is _NOTHING
        case "has_value":
            return lambda document: not _empty(_at(document, value))
        case "value_missing":
            return lambda document: _empty(_at(document, value))
        case "modified_from":
            return _modified(value, lambda modified, bound: modified >= bound)
        case "modified_to":
            return _modified(value, lambda modified, bound: modified <= bound)
    if name.startswith("filter_not_"):
        key, unwanted = name.removeprefix("filter_not_"), _any_of(value)
        return lambda document: as_text(_at(document, key)) not in unwanted
    if name.startswith("filter_"):
        key, wanted = name.removeprefix("filter_"), _any_of(value)
        return lambda document: as_text(_at(document, key)) in wanted
    return None


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
