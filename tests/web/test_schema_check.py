"""Faults and conversions as Crossbar's kz_json_schema words and makes them."""

import pytest

from callboard.web.documents.schema_check import checked


def of(member, **more):
    return {"type": "object", "properties": {"a": member}, **more}


@pytest.mark.parametrize(
    ("value", "member", "rule", "message", "target"),
    [
        (
            "c",
            {"type": "string", "enum": ["a", "b"]},
            "enum",
            "Value not found in enumerated list of values",
            ["a", "b"],
        ),
        (2, {"type": "integer", "minimum": 3}, "minimum", "Value must be at least 3", 3),
        (5, {"type": "integer", "maximum": 4}, "maximum", "Value must be at most 4", 4),
        ([], {"type": "boolean"}, "type", "Value did not match type(s): boolean", "boolean"),
        (
            "",
            {"type": "string", "minLength": 1},
            "minLength",
            "String must be at least 1 characters",
            1,
        ),
        ("xyz", {"type": "string", "maxLength": 2}, "maxLength", "'xyz' is too long", 2),
    ],
)
def test_a_fault_names_the_path_the_rule_and_its_target(value, member, rule, message, target):
    document, found = checked({"a": value}, of(member))
    assert found == {"a": {rule: {"message": message, "target": target, "value": value}}}
    assert document == {"a": value}


def test_a_missing_member_is_named_by_its_own_path():
    inner = {"type": "object", "required": ["b", "c"]}
    _document, found = checked({"a": {"c": 1}}, of(inner))
    wanted = {"message": "Field is required but missing", "value": None}
    assert found == {"a.b": {"required": wanted}}


@pytest.mark.parametrize("bound", [{"minimum": 3}, {"maximum": 3}])
def test_a_bound_is_allowed_itself(bound):
    assert checked({"a": 3}, of({"type": "integer", **bound})) == ({"a": 3}, {})


@pytest.mark.parametrize(
    ("kind", "value", "converted"),
    [
        ("boolean", "true", True),
        ("boolean", "false", False),
        ("integer", "12", 12),
        ("number", "1.5", 1.5),
        ("integer", 2.6, 3),
        ("integer", "2.6", 3),
    ],
)
def test_a_value_of_another_type_is_converted_where_it_is_clear_how(kind, value, converted):
    document, found = checked({"a": value}, of({"type": kind}))
    assert (document, type(document["a"]), found) == ({"a": converted}, type(converted), {})
    others = {"type": "object", "additionalProperties": {"type": kind}}
    assert checked({"b": value}, others) == ({"b": converted}, {})


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("boolean", "True"),
        ("boolean", "yes"),
        ("integer", "x"),
        ("number", "x"),
        ("string", []),
        ("string", 12),
    ],
)
def test_others_are_refused_and_then_nothing_is_converted(kind, value):
    schema = of({"type": kind}, additionalProperties={"type": "integer"})
    document, found = checked({"a": value, "b": "5"}, schema)
    assert (document, list(found), list(found["a"])) == ({"a": value, "b": "5"}, ["a"], ["type"])


def test_other_members_may_have_to_match_more_than_a_type():
    schema = of({"type": "string"}, additionalProperties={"type": "integer", "minimum": 3})
    assert checked({"a": "x", "b": 3}, schema) == ({"a": "x", "b": 3}, {})
    facts = {"message": "Value must be at least 3", "target": 3, "value": 2}
    assert checked({"a": "x", "b": 2}, schema)[1] == {"b": {"minimum": facts}}
    assert list(checked({"b": 2}, of({}, additionalProperties=False))[1]) == [""]


def test_defaults_are_filled_in():
    assert checked({}, of({"type": "string", "default": "x"})) == ({"a": "x"}, {})
