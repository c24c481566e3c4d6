"""The arguments in a request's data: what is refused names the member, the rule and the target."""

import pytest

from callboard.web.errors import ApiError
from callboard.web.operations.actor_requests import check_members, ids_of, member

MISSING = {"message": "Field is required but missing", "value": None}


def type_of(name, value):
    return {"message": f"Value did not match type(s): {name}", "target": name, "value": value}


@pytest.mark.parametrize(
    ("call", "found"),
    [
        (lambda: member({}, "a", str), {"a": {"required": MISSING}}),
        (lambda: member({"a": None}, "a", str), {"a": {"required": MISSING}}),
        (lambda: member({"a": 1}, "a", str), {"a": {"type": type_of("string", 1)}}),
        (lambda: member({"a": "1"}, "a", int), {"a": {"type": type_of("integer", "1")}}),
        (lambda: member({"a": True}, "a", int), {"a": {"type": type_of("integer", True)}}),
        (lambda: member({"a": 1}, "a", bool), {"a": {"type": type_of("boolean", 1)}}),
        (lambda: member({"a": {}}, "a", list), {"a": {"type": type_of("array", {})}}),
        (lambda: member({"a": []}, "a", dict), {"a": {"type": type_of("object", [])}}),
        (lambda: ids_of({}, 2), {"ids": {"required": MISSING}}),
        *(
            (
                lambda ids=ids: ids_of({"ids": ids}, 2),
                {"ids": {"type": {"message": "must be ids of at least one", "value": ids}}},
            )
            for ids in ([], [""], ["a", 5])
        ),
        (
            lambda: ids_of({"ids": ["a", "b", "c"]}, 2),
            {"ids": {"maxItems": {"message": "2 are taken at a time", "target": 2}}},
        ),
        (
            lambda: check_members({"a": 1, "c": 1}, ("b", "a")),
            {"c": {"additionalProperties": {"message": "there are only a, b"}}},
        ),
        (
            lambda: check_members({"a": 1}, ()),
            {"a": {"additionalProperties": {"message": "there are only none"}}},
        ),
    ],
)
def test_what_is_refused(call, found):
    with pytest.raises(ApiError) as refused:
        call()
    assert (refused.value.status, refused.value.data) == (400, found)


def test_what_is_taken():
    assert member({"a": 0}, "a", int) == 0
    assert member({"a": False}, "a", bool) is False
    assert member({}, "a", int, 7) == 7
    assert ids_of({"ids": ["b", "a", "b"]}, 3) == ("b", "a")
    check_members({"a": 1}, ("a", "b"))
