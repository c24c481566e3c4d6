"""Kazoo's lenient reading of JSON values (kz_term, kz_json)."""

import math
import re
from typing import Any

_MAX_DIGITS = 30
# Python reads more than JSON and Erlang do: "1_000", " 5", digits of other scripts.
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def as_bool(value: Any, default: bool) -> bool:
    """A boolean, also from the strings `true` and `false`; anything else is the default."""
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value, default) if isinstance(value, str) else default


def is_true(value: Any) -> bool:
    """Whether the value says yes: true or `"true"` (kz_term:is_true)."""
    return as_bool(value, False)


def as_int(value: Any) -> int | None:
    """An integer, also from numeric strings and floats (rounded); None where there is none.

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
    """The object, or an empty one where it is none."""
    return value if isinstance(value, dict) else {}


def _number(text: str) -> int | float | None:
    if len(text) > _MAX_DIGITS or not _NUMBER.fullmatch(text):
        return None
    return int(text) if text.lstrip("+-").isdigit() else float(text)
