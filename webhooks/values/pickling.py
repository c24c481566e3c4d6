"""Small pickles for values that travel between processes in great numbers."""

from collections.abc import Callable
from functools import cache
from operator import attrgetter
from typing import Any

from attrs import fields


class Positional:
    """A mixin for attrs classes: pickles the class and values, without the fields' names.

    The values are passed to the constructor in order, so each must be a positional argument, and
    there must be at least two.
    """

    __slots__ = ()

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        kind: Any = type(self)
        return kind, _values_of(kind)(self)


@cache
def _values_of(kind: Any) -> Callable[[Any], tuple[Any, ...]]:
    return attrgetter(*(field.name for field in fields(kind)))
