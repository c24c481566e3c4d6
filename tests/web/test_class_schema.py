"""JSON schemas of the classes that responses show (JSON Schema, draft 2020-12)."""

from collections.abc import Mapping
from typing import Any, Optional

import pytest
from attrs import frozen

from callboard.web.documents.class_schema import components, schema_of


@frozen
class Leaf:
    name: str


@frozen
class Branch:
    version: int
    leaf: Leaf | None
    others: tuple[Leaf, ...]
    by_name: Mapping[str, "tuple[int, Leaf]"]


REFERENCE = {"$ref": "#/components/schemas/Leaf"}


@pytest.mark.parametrize(
    ("kind", "schema"),
    [
        (str, {"type": "string"}),
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (type(None), {"type": "null"}),
        (Any, {}),
        (Leaf, REFERENCE),
        (str | None, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        (Optional[Leaf], {"anyOf": [REFERENCE, {"type": "null"}]}),  # noqa: UP045
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (
            tuple[int, str],
            {
                "type": "array",
                "prefixItems": [{"type": "integer"}, {"type": "string"}],
                "minItems": 2,
                "maxItems": 2,
            },
        ),
        (dict[str, float], {"type": "object", "additionalProperties": {"type": "number"}}),
        (Mapping[str, Leaf], {"type": "object", "additionalProperties": REFERENCE}),
    ],
)
def test_a_type_has_the_schema_of_its_json(kind, schema):
    assert schema_of(kind) == schema


def test_a_schema_may_be_changed_by_its_owner():
    schema_of(str)["title"] = "mine"
    assert schema_of(str) == {"type": "string"}


@pytest.mark.parametrize("kind", [bytes, set[int], object, list[int]])
def test_what_json_has_not_is_an_error(kind):
    with pytest.raises(TypeError, match="has no JSON schema"):
        schema_of(kind)


def test_a_class_comes_with_those_of_its_fields_and_without_unshown_members():
    found = components(Branch)
    assert found == components(Leaf, Branch, Leaf)
    assert found["Leaf"] == {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"type": "string"}},
    }
    assert found["Branch"]["required"] == ["leaf", "others", "by_name"]
    assert found["Branch"]["properties"]["others"] == {"type": "array", "items": REFERENCE}
    assert found.keys() == {"Branch", "Leaf"}
