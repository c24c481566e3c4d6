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
    `created_from`, `created_to`, `modified_from`, `modified_to`. A dot in a KEY leads into an
    object. A value may be a JSON list, of which any text may match; an empty one matches an absent
    member. No document passes a time that is no number.
    """
    conditions = [
        _condition(name, value)
        for name in (*_NAMED, *(name for name in query if name.startswith("filter_")))
        for value in query.getlist(name)
    ]
    return lambda document: all(condition(document) for condition in conditions)


def _condition(name: str, value: str) -> Condition:
    if name in _NAMED:
        return _NAMED[name](value)
    if name.startswith("filter_not_"):
        key, unwanted = name.removeprefix("filter_not_"), _any_of(value)
        return lambda document: _text(document, key) not in unwanted
    key, wanted = name.removeprefix("filter_"), _any_of(value)
    return lambda document: _text(document, key) in wanted


def _text(document: Mapping[str, Any], key: str) -> str:
    """The value as a text; empty for one that is absent or has none (kz_json:get_binary_value)."""
    value = _at(document, key)
    return "" if value is _NOTHING else as_text(value) or ""


def _at(document: Mapping[str, Any], key: str) -> Any:
    if key == "id":
        key = "_id"
    return value_at(document, key.split("."), _NOTHING)


def _empty(value: Any) -> bool:
    return value is _NOTHING or value is None or value in ("", [], {})


def _any_of(value: str) -> frozenset[str]:
    try:
        listed = json.loads(value) if value.startswith("[") else None
    except (ValueError, RecursionError):
        listed = None
    members = listed if isinstance(listed, list) else []
    return frozenset({value, *(one for one in members if isinstance(one, str))})


def _from(member: str) -> Callable[[str], Condition]:
    return lambda value: _timed(member, as_int(value), lambda time, bound: time >= bound)


def _to(member: str) -> Callable[[str], Condition]:
    return lambda value: _timed(member, as_int(value), lambda time, bound: time <= bound)


def _timed(member: str, bound: int | None, holds: Callable[[int, int], bool]) -> Condition:
    def within(document: Mapping[str, Any]) -> bool:
        time = as_int(document.get(member))
        return bound is not None and time is not None and holds(time, bound)

    return within


_NAMED: Mapping[str, Callable[[str], Condition]] = {
    "has_key": lambda key: lambda document: _at(document, key) is not _NOTHING,
    "key_missing": lambda key: lambda document: _at(document, key) is _NOTHING,
    "has_value": lambda key: lambda document: not _empty(_at(document, key)),
    "value_missing": lambda key: lambda document: _empty(_at(document, key)),
    "created_from": _from("pvt_created"),
    "created_to": _to("pvt_created"),
    "modified_from": _from("pvt_modified"),
    "modified_to": _to("pvt_modified"),
}
