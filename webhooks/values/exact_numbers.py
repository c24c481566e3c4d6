"""JSON numbers that keep their spelling, and JSON that is written with it.

A float has 15 to 17 significant digits, no trailing zeros and no exponent of the sender's choice:
`3.141592653589793238462643`, `1.10` and `1e2` would leave as other texts than they came.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn

import orjson

_OF_NUMBERS, _AFTER_NUMBERS = b"0123456789.-eE", b',}]"'
_SHAPE = bytes.maketrans(_OF_NUMBERS + _AFTER_NUMBERS, b"0111111111.-ee" + b"    ")
_OTHERS = bytes(set(range(256)) - set(_OF_NUMBERS + _AFTER_NUMBERS))
"""Map what decides about numbers to few bytes, their ends to blanks, and all else to nothing."""
_LENGTH = bytes.maketrans(b".1", b"00")
_LONG_INTEGER = b"0" * 19
"""As many digits as the largest 64-bit integer has; orjson turns longer integers into floats."""
_LONG_FLOAT = b"0" * 17
"""A point and 16 digits, one more than any float keeps."""
_TRAILING_ZERO = re.compile(rb"\.[01]*0 ")

_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS


class ExactNumber(float):
    """A number whose `str` is the text that was read. Compares and calculates as its float."""

    __slots__ = ("text",)

    text: str

    def __new__(cls, text: str) -> "ExactNumber":
        """The number written so in JSON."""
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __repr__(self) -> str:
        return self.text

    def __reduce__(self) -> tuple[type["ExactNumber"], tuple[str]]:
        return ExactNumber, (self.text,)


def numbers_are_plain(body: bytes) -> bool:
    """Whether orjson reads the numbers of this JSON so that Python spells them as they are.

    For a text that is no JSON the result has no meaning. A look at the whole message is quick and
    nearly always enough; an unusual number may be part of a text, so texts are left out then.
    """
    if _are_plain(body):
        return True
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    return _are_plain(b"".join(body.split(b'"')[::2]))


def _are_plain(text: bytes) -> bool:
    """Whether it has no exponent, zero's sign, trailing zero, nor too many digits.

    A few searches for fixed strings take a fraction of the time of a look at each number.
    """
    shape = text.translate(_SHAPE, _OTHERS)
    if b"1e" in shape or b"0e" in shape or (b"-" in shape and b"-0 " in shape):
        return False
    length = shape.translate(_LENGTH)
    if b"." not in shape:
        return _LONG_INTEGER not in length
    if _LONG_FLOAT in length or b"0.0000" in shape:
        return False
    return _TRAILING_ZERO.search(shape) is None


def plain_json(body: bytes) -> Any:
    """The decoded JSON, by orjson. Raises ValueError for numbers that it would spell otherwise, a
    lone surrogate, a byte order mark, UTF-16; and if it is no JSON at all."""
    if not numbers_are_plain(body):
        raise ValueError("it has numbers that would be spelt otherwise")
    return orjson.loads(body)


def json_read(body: bytes) -> Any:
    """The decoded JSON with its numbers as they are spelt. Raises ValueError, RecursionError.

    By orjson, else by `json`, which accepts more and explains errors. NaN, infinities and numbers
    beyond all floats are no JSON here (RFC 8259, 6).
    """
    try:
        return plain_json(body)
    except ValueError:
        return json.loads(
            body, parse_constant=_refuse_constant, parse_float=_number, parse_int=_whole
        )


def _number(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"the number {text} is too large")
    alike = repr(number) == text and "e" not in text  # orjson writes 0.00001 for 1e-05.
    return number if alike else ExactNumber(text)


def _whole(text: str) -> int | float:
    return ExactNumber(text) if text == "-0" else int(text)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value (RFC 8259, section 6)")


def _fragment(value: Any) -> orjson.Fragment:
    """For orjson's `default`: an exact number as it is spelt."""
    if isinstance(value, ExactNumber):
        return orjson.Fragment(value.text)
    raise TypeError(f"a {type(value).__name__} is no JSON value")


def json_bytes(value: Any, option: int = 0, indent: str = "", colon: str = ":") -> bytes:
    """JSON in UTF-8, by default without blanks. Raises ValueError for numbers that JSON lacks."""
    try:
        text = orjson.dumps(value, default=_fragment, option=_OPTIONS | option)
    except TypeError:  # An integer beyond 64 bits, a lone surrogate, or no JSON value.
        text = json_written(value, indent, colon).encode()
    else:
        if b"null" in text:  # orjson encodes NaN as null.
            json.dumps(value, allow_nan=False)
    return text


def json_written(value: Any, indent: str = "", colon: str = ": ") -> str:
    """JSON of any strings and numbers, which orjson and `json` cannot all write.

    A lone surrogate, which UTF-8 lacks, is escaped; other characters are not. `indent`: a line
    break and the blanks before a member; empty: everything on one line. Raises ValueError for
    numbers that JSON lacks, and TypeError for values that it lacks.
    """
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, ExactNumber):
        return value.text
    if isinstance(value, Mapping):
        members = [
            f"{_text(str(key))}{colon}{json_written(member, _deeper(indent), colon)}"
            for key, member in value.items()
        ]
        return _enclosed("{", members, "}", indent)
    if isinstance(value, list | tuple):
        members = [json_written(member, _deeper(indent), colon) for member in value]
        return _enclosed("[", members, "]", indent)
    return json.dumps(value, allow_nan=False)


def _deeper(indent: str) -> str:
    return indent and f"{indent}  "


def _enclosed(first: str, members: list[str], last: str, indent: str) -> str:
    if not members:
        return first + last
    return f"{first}{_deeper(indent)}{f',{_deeper(indent)}'.join(members)}{indent}{last}"


def _text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(text)
    return json.dumps(text, ensure_ascii=False)
