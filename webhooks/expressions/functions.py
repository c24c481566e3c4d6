"""The functions of JMESPath, each counting its work.

https://jmespath.org/specification.html#built-in-functions; what the specification leaves to the
implementation is as in its Python library.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from attrs import frozen

from callboard.webhooks.events.event import MAX_NESTING
from callboard.webhooks.expressions.work import TEXT_UNIT, TooMuchWork, Work
from callboard.webhooks.values.exact_numbers import json_bytes

ANY, EXPRESSION = "any", "expression"
ARRAY, BOOLEAN, NULL, NUMBER, OBJECT, STRING = (
    *("array", "boolean", "null", "number", "object", "string"),
)
STRINGS, NUMBERS = "array of strings", "array of numbers"

Expression = Callable[[Any, Work], Any]
_JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_MAX_DIGITS = 400
_MAX_DEPTH = MAX_NESTING + 50
"""Of values that are compared: a message's with an expression's around them."""


class WrongType(ValueError):
    """A function got a value that it has no result for, such as null for a missing member."""


@frozen
class Function:
    """A function. `types`: of each argument the permitted ones. `variadic`: the last may repeat."""

    name: str
    run: Callable[..., Any]
    types: tuple[tuple[str, ...], ...]
    variadic: bool = False

    def wrong_number(self, given: int) -> str:
        """The fault of this number of arguments; empty if there is none."""
        wanted = len(self.types)
        if given == wanted or (self.variadic and given > wanted):
            return ""
        least = "at least " if self.variadic else ""
        return f"takes {least}{wanted} argument{'s' * (wanted != 1)}, and has {given}"

    def types_of(self, number: int) -> tuple[str, ...]:
        """The permitted types of an argument."""
        return self.types[min(number, len(self.types) - 1)]

    def call(self, arguments: Sequence[Any], work: Work) -> Any:
        """The result. Raises WrongType, TooMuchWork."""
        for number, value in enumerate(arguments):
            types = self.types_of(number)
            if types not in (_ANYTHING, _REFERENCE) and not any(
                _is_of(value, type, work) for type in types
            ):
                raise WrongType(
                    f"argument {number + 1} of {self.name} must be of the type "
                    f"{' or '.join(types)}, and is of the type {type_of(value)}"
                )
        try:
            result = self.run(work, *arguments)
        except OverflowError:  # an integer beyond all floats
            result = math.inf
        if isinstance(result, float) and not math.isfinite(result):
            raise WrongType(f"the result of {self.name} is larger than any number")
        return result


_ANYTHING, _REFERENCE = (ANY,), (EXPRESSION,)


def type_of(value: Any) -> str:
    """The JSON type of a value."""
    if value is None:
        return NULL
    if isinstance(value, bool):
        return BOOLEAN
    if isinstance(value, int | float):
        return NUMBER
    if isinstance(value, str):
        return STRING
    return ARRAY if isinstance(value, list) else OBJECT


def _is_of(value: Any, type: str, work: Work) -> bool:
    if type not in (STRINGS, NUMBERS):
        return type_of(value) == type
    if not isinstance(value, list):
        return False
    work.take(len(value))
    wanted = STRING if type == STRINGS else NUMBER
    return all(type_of(member) == wanted for member in value)


def equal(one: Any, other: Any, work: Work, depth: int = 0) -> bool:
    """JSON equality: true is not 1, and 1 is 1.0. Raises TooMuchWork, also for their depth."""
    if type_of(one) != type_of(other):
        return False
    if depth > _MAX_DEPTH:
        raise TooMuchWork(f"values are compared that are nested deeper than {_MAX_DEPTH} levels")
    if isinstance(one, str):
        if len(one) == len(other):
            work.take(len(one) // TEXT_UNIT)
    elif isinstance(one, list):
        work.take(len(one))
        return len(one) == len(other) and all(
            equal(mine, yours, work, depth + 1) for mine, yours in zip(one, other, strict=True)
        )
    elif isinstance(one, dict):
        work.take(len(one))
        return len(one) == len(other) and all(
            key in other and equal(value, other[key], work, depth + 1) for key, value in one.items()
        )
    return bool(one == other)


def _sortable(values: Iterable[Any], work: Work) -> None:
    """Count comparisons of a sort. The values are all texts, or all numbers."""
    members = list(values)
    rounds = max(1, len(members).bit_length())
    work.take(len(members) * rounds)
    if members and isinstance(members[0], str):
        work.take(sum(map(len, members)) // TEXT_UNIT * rounds)


def _keys(name: str, items: list[Any], expression: Expression, work: Work) -> list[Any]:
    """The values by which the items are compared. Raises WrongType."""
    keys = [expression(item, work) for item in items]
    kinds = {type_of(key) for key in keys}
    if len(kinds) > 1 or not kinds <= {STRING, NUMBER}:
        raise WrongType(
            f"{name} compares by strings, or by numbers, and has {' and '.join(sorted(kinds))}"
        )
    _sortable(keys, work)
    return keys


def _contains(work: Work, subject: Any, search: Any) -> bool:
    if isinstance(subject, str):
        work.take(1 + len(subject) // TEXT_UNIT)
        return isinstance(search, str) and search in subject
    work.take(len(subject))
    return any(equal(member, search, work) for member in subject)


def _join(work: Work, glue: str, texts: list[str]) -> str:
    work.take_texts(texts)
    work.take(len(glue) * len(texts) // TEXT_UNIT)
    return glue.join(texts)


def _reverse(work: Work, subject: Any) -> Any:
    work.take(len(subject) // (TEXT_UNIT if isinstance(subject, str) else 1))
    return subject[::-1]


def _merge(work: Work, *objects: dict[str, Any]) -> dict[str, Any]:
    work.take(sum(map(len, objects)))
    return {key: value for one in objects for key, value in one.items()}


def _sort(work: Work, items: list[Any]) -> list[Any]:
    _sortable(items, work)
    return sorted(items)


def _sort_by(work: Work, items: list[Any], expression: Expression) -> list[Any]:
    keys = _keys("sort_by", items, expression, work)
    order = sorted(range(len(items)), key=keys.__getitem__)
    return [items[at] for at in order]


def _min(work: Work, items: list[Any]) -> Any:
    _sortable(items, work)
    return min(items, default=None)


def _max(work: Work, items: list[Any]) -> Any:
    _sortable(items, work)
    return max(items, default=None)


def _min_by(work: Work, items: list[Any], expression: Expression) -> Any:
    keys = _keys("min_by", items, expression, work)
    return items[min(range(len(items)), key=keys.__getitem__)] if items else None


def _max_by(work: Work, items: list[Any], expression: Expression) -> Any:
    keys = _keys("max_by", items, expression, work)
    return items[max(range(len(items)), key=keys.__getitem__)] if items else None


def _listed(work: Work, items: Iterable[Any], count: int) -> list[Any]:
    work.take(count)
    return list(items)


def _number(value: Any) -> int | float | None:
    """A number as JSON writes it; None for other texts and values."""
    if type_of(value) == NUMBER:
        found: int | float = value
        return found
    if not isinstance(value, str) or len(value) > _MAX_DIGITS or not _JSON_NUMBER.fullmatch(value):
        return None
    number = float(value) if set(value) & set(".eE") else int(value)
    return None if isinstance(number, float) and math.isinf(number) else number


def _text(work: Work, value: Any) -> str:
    if isinstance(value, str):
        return value
    work.take_whole(value)
    return json_bytes(value).decode()


def _function(
    name: str, run: Callable[..., Any], *types: str | tuple[str, ...], variadic: bool = False
) -> Function:
    given = tuple((type,) if isinstance(type, str) else type for type in types)
    return Function(name, run, given, variadic)


_SORTED = (NUMBERS, STRINGS)

FUNCTIONS: Mapping[str, Function] = {
    function.name: function
    for function in (
        _function("abs", lambda _work, n: abs(n), NUMBER),
        _function("avg", lambda _work, ns: sum(ns) / len(ns) if ns else None, NUMBERS),
        _function("ceil", lambda _work, n: math.ceil(n), NUMBER),
        _function("contains", _contains, (ARRAY, STRING), ANY),
        _function("ends_with", lambda _work, text, end: text.endswith(end), STRING, STRING),
        _function("floor", lambda _work, n: math.floor(n), NUMBER),
        _function("join", _join, STRING, STRINGS),
        _function("keys", lambda work, o: _listed(work, o, len(o)), OBJECT),
        _function("length", lambda _work, value: len(value), (STRING, ARRAY, OBJECT)),
        _function("map", lambda work, run, items: [run(i, work) for i in items], EXPRESSION, ARRAY),
        _function("max", _max, _SORTED),
        _function("max_by", _max_by, ARRAY, EXPRESSION),
        _function("merge", _merge, OBJECT, variadic=True),
        _function("min", _min, _SORTED),
        _function("min_by", _min_by, ARRAY, EXPRESSION),
        _function(
            "not_null",
            lambda _work, *values: next((v for v in values if v is not None), None),
            ANY,
            variadic=True,
        ),
        _function("reverse", _reverse, (STRING, ARRAY)),
        _function("sort", _sort, _SORTED),
        _function("sort_by", _sort_by, ARRAY, EXPRESSION),
        _function("starts_with", lambda _work, text, start: text.startswith(start), STRING, STRING),
        _function("sum", lambda _work, ns: sum(ns), NUMBERS),
        _function("to_array", lambda _work, v: v if isinstance(v, list) else [v], ANY),
        _function("to_number", lambda _work, value: _number(value), ANY),
        _function("to_string", _text, ANY),
        _function("type", lambda _work, value: type_of(value), ANY),
        _function("values", lambda work, o: _listed(work, o.values(), len(o)), OBJECT),
    )
}
