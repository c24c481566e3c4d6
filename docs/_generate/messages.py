"""The messages that hosts and administrators send and hear: their signatures and docstrings."""

import inspect
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import attrs

from callboard import admin, embed

WIDTH = 90


def administration() -> str:
    """The page of `callboard.admin`: every message it defines, in its own order."""
    defined = (
        value
        for value in vars(admin).values()
        if inspect.isclass(value) and value.__module__ == admin.__name__ and attrs.has(value)
    )
    return _page(admin, defined)


def embedding() -> str:
    """The page of `callboard.embed`: everything it offers."""
    offered = (getattr(embed, name) for name in embed.__all__)
    return _page(embed, (value for value in offered if callable(value)))


def _page(module: ModuleType, things: Iterable[Any]) -> str:
    return "\n\n".join([inspect.getdoc(module) or "", "## Messages", *map(_section, things)])


def _section(thing: Any) -> str:
    return f"### {thing.__name__}\n\n```python\n{_signature(thing)}\n```\n\n{inspect.getdoc(thing)}"


def _signature(thing: Any) -> str:
    """How it is made or called; an actor is made by the actor system alone."""
    if inspect.isclass(thing) and not attrs.has(thing):
        return f"class {thing.__name__}({', '.join(base.__name__ for base in thing.__bases__)})"
    parameters = [str(parameter) for parameter in inspect.signature(thing).parameters.values()]
    parts = _with_star(inspect.signature(thing), parameters)
    line = f"{thing.__name__}({', '.join(parts)})"
    if len(line) <= WIDTH:
        return line
    return f"{thing.__name__}(\n" + "".join(f"    {part},\n" for part in parts) + ")"


def _with_star(signature: inspect.Signature, parts: list[str]) -> list[str]:
    kinds = [parameter.kind for parameter in signature.parameters.values()]
    if inspect.Parameter.KEYWORD_ONLY in kinds:
        first = kinds.index(inspect.Parameter.KEYWORD_ONLY)
        return [*parts[:first], "*", *parts[first:]]
    return parts
