"""JSON schemas of the payloads of modules for other buses (https://json-schema.org)."""

from collections.abc import Callable, Mapping
from typing import Any

OFF, MARK, REJECT = "off", "mark", "reject"
VALIDATE = (OFF, MARK, REJECT)
"""Whether payloads are checked: not at all, marked if they have a fault, or quarantined."""

MAX_FAULT = 200
"""The most characters of a fault."""


class InvalidSchema(ValueError):
    """A schema by which nothing can be checked; the text gives the reason."""


def checker(schema: Mapping[str, Any]) -> Callable[[Any], str]:
    """What returns the first fault of a payload by this schema, empty if there is none.

    By default the schema is of draft 2020-12. It may refer to parts of itself; others are never
    fetched. Raises InvalidSchema.
    """
    # Modules without a schema, which are most, do not load the library.
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    kind: Any = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as problem:
        raise InvalidSchema(f"the schema is no JSON schema: {_fault(problem)}") from None
    registry: Registry[Any] = Registry()
    validator = kind(schema, registry=registry)

    def fault(payload: Any) -> str:
        try:
            first = next(iter(validator.iter_errors(payload)), None)
        except Unresolvable as problem:
            return f"the schema refers to {problem.ref}, which it does not contain"[:MAX_FAULT]
        return "" if first is None else _fault(first)

    return fault


def _fault(error: Any) -> str:
    path = ".".join(str(part) for part in error.absolute_path)
    return f"{path or 'the whole'}: {error.message}"[:MAX_FAULT]
