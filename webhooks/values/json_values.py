"""Kazoo's lenient reading of JSON values (kz_term, kz_json)."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

_MAX_DIGITS = 30
_MAX_INDEX_DIGITS = 18
"""No list is that long. Python refuses to read numbers of thousands of digits."""
# Python accepts more than JSON and Erlang do: "1_000", " 5", digits of other scripts.
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def as_bool(value: Any, default: bool) -> bool:
    """A boolean, also from the strings `true` and `false`; anything else is the default."""
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value, default) if isinstance(value, str) else default


def is_true(value: Any) -> bool:
    """Whether the value is true or `"true"` (kz_term:is_true)."""
    return as_bool(value, False)


def as_int(value: Any) -> int | None:
    """An integer, also from numeric strings and floats (rounded); None for other values.

    A half is rounded away from zero, as in Erlang.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        value = _number(value)
    if isinstance(value, int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        whole = math.trunc(value)
        half_or_more = abs(value - whole) >= 0.5
        return whole + int(math.copysign(half_or_more, value))
    return None


def as_number(value: Any) -> int | float | None:
    """A number, also from numeric strings; None for other values and numbers beyond all floats."""
    if isinstance(value, str):
        value = _number(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:  # a whole number beyond all floats
        return None


def as_text(value: Any) -> str | None:
    """A non-empty string; numbers and booleans are written out, null is `null`, else None."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, int | float):
        return str(value)
    return value if isinstance(value, str) and value else None


def as_object(value: Any) -> dict[str, Any]:
    """The object, or an empty one for other values."""
    return value if isinstance(value, dict) else {}


def value_at(value: Any, path: Sequence[str], default: Any = None) -> Any:
    """The value at a path of keys, within objects and (by number, from 0) lists."""
    for step in path:
        if isinstance(value, Mapping) and step in value:
            value = value[step]
        elif isinstance(value, list) and (index := _index(step, len(value))) is not None:
            value = value[index]
        else:
            return default
    return value


def _index(step: str, length: int) -> int | None:
    if not step.isdecimal() or len(step) > _MAX_INDEX_DIGITS:
        return None
    index = int(step)
    return index if index < length else None


def same(one: Any, other: Any) -> bool:
    """JSON equality: true is not 1."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _number(text: str) -> int | float | None:
    if len(text) > _MAX_DIGITS or not _NUMBER.fullmatch(text):
        return None
    return int(text) if text.lstrip("+-").isdigit() else float(text)
