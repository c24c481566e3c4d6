"""JSON schemas of the classes that responses show, from the classes' own types."""

from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import attrs

_PLAIN: Mapping[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    NoneType: {"type": "null"},
    Any: {},
}
UNSHOWN = frozenset({"version", "ref", "more"})
"""Members of the actors' answers that responses lack: `more` is shown as `next_start_key`."""


def schema_of(kind: Any) -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a type's value after `attrs.asdict`.

    A class becomes a reference to a component of the OpenAPI document. Raises TypeError for a type
    that JSON does not have.
    """
    if kind in _PLAIN:
        return dict(_PLAIN[kind])
    if attrs.has(kind):
        return {"$ref": f"#/components/schemas/{kind.__name__}"}
    arguments = get_args(kind)
    match get_origin(kind):
        case origin if origin in (Union, UnionType):
            return {"anyOf": [schema_of(one) for one in arguments]}
        case origin if origin is tuple and arguments[-1] is ...:
            return {"type": "array", "items": schema_of(arguments[0])}
        case origin if origin is tuple:
            size = len(arguments)
            items = [schema_of(one) for one in arguments]
            return {"type": "array", "prefixItems": items, "minItems": size, "maxItems": size}
        case origin if origin in (Mapping, dict):
            return {"type": "object", "additionalProperties": schema_of(arguments[1])}
    raise TypeError(f"{kind} has no JSON schema")


def components(*classes: type[Any]) -> dict[str, dict[str, Any]]:
    """The components for these classes and those of their fields, by name."""
    found: dict[str, dict[str, Any]] = {}
    left = list(classes)
    while left:
        cls = left.pop()
        if cls.__name__ not in found:
            hints = get_type_hints(cls)
            shown = {f.name: hints[f.name] for f in attrs.fields(cls) if f.name not in UNSHOWN}
            found[cls.__name__] = {
                "type": "object",
                "required": list(shown),
                "properties": {name: schema_of(kind) for name, kind in shown.items()},
            }
            left += [inner for kind in shown.values() for inner in _classes_in(kind)]
    return found


def _classes_in(kind: Any) -> list[type[Any]]:
    if attrs.has(kind):
        return [kind]
    return [inner for one in get_args(kind) for inner in _classes_in(one)]
