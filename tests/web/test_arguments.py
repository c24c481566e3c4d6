"""The arguments in a request's data: what is refused names the member, the rule and the target."""

import pytest

from callboard.web.errors import ApiError
from callboard.web.operations.actor_requests import check_members, ids_of, member
from support.api import PARENT

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


ENUM, TEXT = "Value not found in enumerated list of values", "must be Gregorian seconds"
SORTED = "name", "hook", "uri", "account_id"
AT, ALL = f"/v2/accounts/{PARENT}", "/v2/callboard"
OLD_KEY = {"error": {"message": "is no next_start_key of an earlier page"}}
ODD_KEY = {"error": OLD_KEY["error"] | {"value": "odd"}}


def enum(value, *target):
    return {"enum": {"message": ENUM, "target": [*target], "value": value}}


@pytest.mark.parametrize(
    ("method", "path", "data", "found"),
    [
        ("GET", f"{AT}/webhooks?page_size=0", None, {"page_size": {"minimum": {
            "message": "Value must be at least 1", "target": 1, "value": "0"}}}),
        ("GET", f"{AT}/webhooks?start_key=odd", None, {"start_key": ODD_KEY}),
        ("GET", f"{AT}/webhooks/attempts?start_key=odd", None, {"start_key": ODD_KEY}),
        ("GET", f"{AT}/webhooks/deliveries?start_key=odd", None, {"start_key": ODD_KEY}),
        ("GET", f"{ALL}/dead_letters?start_key=odd", None, {"start_key": ODD_KEY}),
        *(
            ("GET", f"{path}?start_key=WzFd", None, {"start_key": {"error": OLD_KEY["error"] | {
                "value": "WzFd"}}})
            for path in (f"{AT}/webhooks/attempts", f"{AT}/webhooks/deliveries",
                         f"{ALL}/dead_letters")
        ),
        ("GET", f"{ALL}/hooks?sort=name&start_key=WzFd", None, {"start_key": {"error": OLD_KEY[
            "error"] | {"value": "WzFd"}}}),
        ("GET", f"{ALL}/hooks?sort=size", None, {"sort": enum("size", *SORTED)}),
        ("GET", f"{ALL}/hooks?enabled=maybe", None, {"enabled": {"type": {
            "message": "Value did not match type(s): boolean", "value": "maybe"}}}),
        ("GET", f"{ALL}/dead_letters?kind=odd", None, {"kind": enum("odd", "delivery", "event")}),
        ("GET", f"{ALL}/dead_letters?created_from=x", None, {"created_from": {"date_range": {
            "message": TEXT, "cause": "x"}}}),
        ("GET", f"{ALL}/dead_letters?created_to=x", None, {"created_to": {"date_range": {
            "message": TEXT, "cause": "x"}}}),
        ("GET", f"{ALL}/dead_letters?ascending=true", None, {"ascending": {"error": {
            "message": "dead letters are listed the newest first"}}}),
        ("PATCH", f"{ALL}/dead_letters", {"action": "x", "ids": ["a"]}, {
            "action": enum("x", "retry", "purge")}),
        ("GET", f"{AT}/webhooks/attempts?created_to=x", None, {"created_to": {"date_range": {
            "message": TEXT, "cause": "x"}}}),
        ("GET", f"{AT}/webhooks/attempts?created_from=63000000002&created_to=63000000001", None, {
            "created_from": {"date_range": {"message": "created_to is prior to created_from",
            "cause": 63_000_000_002}}}),
        ("GET", f"{AT}/webhooks/attempts?created_from=63000000000&created_to=64000000000", None, {
            "created_from": {"date_range": {"message": "max range is 2682000 seconds",
            "cause": 63_000_000_000}}}),
        ("GET", f"{AT}/webhooks/HOOK/statistics?steps=0", None, {"steps": {"error": {
            "message": "must be a number from 1 to 200", "value": "0"}}}),
        ("PUT", f"{AT}/portal/links", {"expires_in": 1}, {"expires_in": {"error": {
            "message": "must be from 60 to 604800 seconds", "value": 1}}}),
        ("PUT", f"{AT}/portal/links", {"rights": "all"}, {"rights": enum("all", "read", "manage")}),
        ("PUT", f"{AT}/webhooks/HOOK/secrets", {"kind": "x"}, {
            "kind": enum("x", "hmac-sha256", "ed25519")}),
        ("PUT", f"{AT}/webhooks/HOOK/secrets", {"expires_in": 0}, {"expires_in": {"error": {
            "message": "must be from 1 to 31622400 seconds", "value": 0}}}),
        ("PUT", f"{AT}/webhooks/HOOK/replay", {"event_id": "e", "attempt_id": "a"}, {
            "attempt_id": {"error": {"message": "give one of event_id and attempt_id"}}}),
        ("PUT", f"{AT}/webhooks/HOOK/replay", {"id": "x"}, {"id": {"pattern": {
            "message": "must be 8 to 64 of a-z, 0-9 and -", "value": "x"}}}),
        *(
            ("PUT", f"{AT}/webhooks/HOOK/replay", {"rate": rate}, {"rate": {"error": {
                "message": "must be a number from 1 to 10000", "value": rate}}})
            for rate in (0.9, 10_001, True, "5")
        ),
        ("PATCH", f"{AT}/webhooks", {}, {"re-enable": {"required": {
            "message": "re-enable is required to patch collections"}}}),
        ("PATCH", f"{AT}/webhooks", {"re-enable": "no"}, {"re-enable": {"enum": {
            "message": "value not found in enumerated list of values", "target": ["true"]}}}),
        ("POST", f"{AT}/webhooks/bulk", {"hooks": [{}] * 10_001}, {"hooks": {"maxItems": {
            "message": "has 10001 hooks: 10000 are allowed", "target": 10_000}}}),
        ("POST", f"{AT}/webhooks/preview", {"hook": {}, "payload": {}, "attempt_id": "a"}, {
            "attempt_id": {"error": {"message": "give one of payload and attempt_id"}}}),
        ("POST", f"{ALL}/endpoints/close", {"endpoint": 5}, {"endpoint": {"type": {
            "message": "Value is not of type string", "value": 5}}}),
        ("POST", f"{ALL}/publish", {"exchange": "x" * 256, "routing_key": "k", "body": {}}, {
            "exchange": {"maxLength": {"message": "holds 255 bytes at most", "target": 255}}}),
        ("POST", f"{ALL}/maintenance/set_failure_expiry", {}, {"expiry_ms": {"required": MISSING}}),
        ("POST", f"{ALL}/maintenance/set_failure_expiry", {"expiry_ms": "x"}, {"expiry_ms": {
            "error": {"message": "error in expiry time, must be an integer (milliseconds)",
            "value": "x"}}}),
        ("POST", f"{ALL}/maintenance/clean_up_orphans", {"delete": "x"}, {"delete": {
            "error": {"message": "must be true or false", "value": "x"}}}),
        ("POST", f"{ALL}/maintenance/hooks_configured?start_key=WzFd", {}, {"start_key": OLD_KEY}),
    ],
)  # fmt: skip
def test_what_the_api_refuses_names_the_member_and_the_rule(api, method, path, data, found):
    hook_id = api.add_hook()["id"] if "HOOK" in path else ""
    answer = api.call(method, path.replace("HOOK", hook_id), data)
    assert (answer.status_code, answer.json()["message"]) == (400, "validation error")
    assert answer.json()["data"] == found
