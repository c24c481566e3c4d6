"""Kazoo's lenient reading of JSON values (kz_term, kz_json)."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

_MAX_DIGITS = 30
_MAX_INDEX_DIGITS = 18
"""No list is that long. Python refuses to read numbers of thousands of digits."""
# Python accepts more than Erlang does: "1_000", " 5", digits of other scripts; an exponent without
# a point, too.
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+([eE][+-]?[0-9]+)?)?")
_MOST_ZEROS = 5
"""Numbers with more zeros between their digits and their point are written with an exponent."""


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
    """A non-empty string; other values are written out; None for an empty one.

    (kz_json:get_ne_binary_value.) Null is `null`, an object its JSON, and a list the text that its
    members make, or None if they make none (`joined`).
    """
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, float):
        return _digits(value)
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if isinstance(value, list):
        return _decoded(joined(value)) or None
    return str(value)


def joined(members: Sequence[Any]) -> bytes | None:
    """The bytes that a list makes, of strings, numbers of bytes, and such lists; else None.

    (Erlang's iolist_to_binary.)
    """
    found = b""
    for member in members:
        if isinstance(member, str):
            part: bytes | None = member.encode(errors="replace")
        elif isinstance(member, list):
            part = joined(member)
        else:
            part = bytes((member,)) if type(member) is int and 0 <= member <= 0xFF else None
        if part is None:
            return None
        found += part
    return found


def _decoded(text: bytes | None) -> str | None:
    try:
        return None if text is None else text.decode()
    except UnicodeDecodeError:
        return None


def _digits(number: float) -> str:
    """The shortest text that reads as this float (kz_mochinum:digits): `100.0`, `1.0e+20`."""
    sign, digits, exponent = Decimal(float.__repr__(number)).as_tuple()
    assert isinstance(exponent, int)  # JSON has no infinities.
    written = "".join(map(str, digits)).lstrip("0")
    kept = written.rstrip("0")
    if not kept:
        return "0.0"
    point = len(written) + exponent  # The digits before the point; negative: zeros after it.
    if 0 < point < len(kept):
        text = f"{kept[:point]}.{kept[point:]}"
    elif 0 <= point - len(kept) <= _MOST_ZEROS:
        text = f"{kept.ljust(point, '0')}.0"
    elif -_MOST_ZEROS <= point <= 0:
        text = f"0.{'0' * -point}{kept}"
    else:
        text = f"{kept[0]}.{kept[1:] or '0'}e{point - 1:+d}"
    return f"-{text}" if sign else text


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


def identical(one: Any, other: Any) -> bool:
    """Erlang's equality (`=:=`): neither true nor 1.0 is 1, at any depth."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(identical(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(identical, one, other))
    floats = isinstance(one, float), isinstance(other, float)
    return floats[0] == floats[1] and same(one, other)


def _number(text: str) -> int | float | None:
    if len(text) > _MAX_DIGITS or not _NUMBER.fullmatch(text):
        return None
    return float(text) if "." in text else int(text)
