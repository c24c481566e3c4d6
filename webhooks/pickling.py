"""Small pickles for the values that travel between processes in great numbers."""

from typing import Any

from attrs import fields


class Positional:
    """Mixed into an attrs class: pickled as its class and values, without the fields' names.

    The values are given to the constructor in order, so each must be a positional argument.
    """

    __slots__ = ()

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        kind: Any = type(self)
        return kind, tuple(getattr(self, field.name) for field in fields(kind))
