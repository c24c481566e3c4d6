"""Checks documents by a JSON schema, with Crossbar's errors (kz_json_schema).

Not strict, like Crossbar's default: a value of the wrong type is converted where the schema wants a
number or a boolean. The work is linear in the document: each value is converted and checked once,
the members of a map (`custom_data`) by their type alone. At most MAX_FAULTS faults are collected.
"""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from jsonschema import Draft4Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from callboard.web.errors import MAX_FAULTS, path_part
from callboard.webhooks.values.json_values import as_int, as_number

Found = dict[str, dict[str, dict[str, Any]]]


def checked(document: Mapping[str, Any], schema: Mapping[str, Any]) -> tuple[dict[str, Any], Found]:
    """The document with the schema's defaults, converted where needed; and its first faults.

    If there is any, nothing is converted.
    """
    filled = {**_defaults(schema), **document}
    converted: dict[str, Any] = _converted(filled, schema)
    if found := _faults(converted, schema):
        return filled, found
    return converted, {}


def _defaults(schema: Mapping[str, Any]) -> dict[str, Any]:
    members = schema.get("properties", {}).items()
    return {name: member["default"] for name, member in members if "default" in member}


def _other_members(
    validator: Any, others: Any, value: Any, schema: Mapping[str, Any]
) -> Iterator[ValidationError]:
    """The rule `additionalProperties`, by the types of the members where these are all it demands.

    The library makes a validator for each member, which costs some hundred calls.
    """
    if not isinstance(others, Mapping) or set(others) != {"type"}:
        yield from _MEMBER_BY_MEMBER(validator, others, value, schema)
    elif isinstance(value, Mapping):
        kind, named = others["type"], schema.get("properties", {})
        for name, member in value.items():
            if name not in named and not validator.is_type(member, kind):
                yield ValidationError("", "type", (name,), validator_value=kind, instance=member)


_MEMBER_BY_MEMBER = Draft4Validator.VALIDATORS["additionalProperties"]
_Validator: Any = extend(  # type: ignore[no-untyped-call]
    Draft4Validator, {"additionalProperties": _other_members}
)


def _faults(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Found:
    found: Found = {}
    errors = _Validator(schema).iter_errors(document)
    worded = (fault for error in errors for fault in _worded(error))
    for path, rule, facts in islice(worded, MAX_FAULTS):
        found.setdefault(path, {}).setdefault(rule, facts)
    return found


def _worded(error: ValidationError) -> Iterator[tuple[str, str, dict[str, Any]]]:
    parts = [path_part(str(part)) for part in error.absolute_path]
    path, rule = ".".join(parts), str(error.validator)
    target: Any = error.validator_value
    value: Any = error.instance
    match rule:
        case "required":
            missing = [name for name in target if name not in value]
            for name in missing:
                yield (
                    ".".join([*parts, path_part(name)]),
                    rule,
                    {"message": "Field is required but missing", "value": None},
                )
        case "enum":
            message = "Value not found in enumerated list of values"
            yield path, rule, {"message": message, "target": list(target), "value": value}
        case "minimum":
            message = f"Value must be at least {target}"
            yield path, rule, {"message": message, "target": target, "value": value}
        case "maximum":
            message = f"Value must be at most {target}"
            yield path, rule, {"message": message, "target": target, "value": value}
        case "type":
            message = f"Value did not match type(s): {target}"
            yield path, rule, {"message": message, "target": target, "value": value}
        case "minLength":
            message = f"String must be at least {target} characters"
            yield path, rule, {"message": message, "target": target, "value": value}
        case _:
            yield path, rule, {"message": error.message, "target": target, "value": value}


def _converted(value: Any, schema: Mapping[str, Any]) -> Any:
    """The value converted to the schema's type, where that is unambiguous."""
    match schema.get("type"):
        case "boolean" if value in ("true", "false"):
            return value == "true"
        case "integer" if isinstance(value, str | float) and as_int(value) is not None:
            return as_int(value)
        case "number" if isinstance(value, str) and as_number(value) is not None:
            return as_number(value)
        case "object" if isinstance(value, Mapping):
            members = schema.get("properties", {})
            others = schema.get("additionalProperties")
            others = others if isinstance(others, Mapping) else {}
            return {
                name: _converted(member, members.get(name, others))
                for name, member in value.items()
            }
    return value
