"""Previews of hooks with expressions, and the refusal of those with mistakes."""

import pytest

from callboard.config.settings import ModuleSettings, Settings
from support.api import ADMIN, CHILD, PARENT, Api, problems

HOOKS = f"/v2/accounts/{PARENT}/webhooks"
PREVIEW = f"{HOOKS}/preview"
HOOK = {"name": "n", "uri": "https://hooks.example.com/a", "hook": "channel_create"}
ORDER = {"order": 7, "customer": {"country": "DE"}}


def previewed(api, hook=None, **event):
    return api.data("POST", PREVIEW, {"hook": hook or {}, **event})


@pytest.mark.parametrize(
    ("expression", "position", "message"),
    [
        ("a ==", 4, "it ends too early at character 5"),
        ("a && lenght(b)", 5, "there is no function lenght at character 6"),
        ("", 0, "it is empty at character 1"),
    ],
)
@pytest.mark.parametrize("member", ["filter", "transform"])
def test_a_mistake_is_refused_with_its_place(api, member, expression, position, message):
    fault = {"message": f"{member} is no JMESPath: {message}", "position": position}
    expected = {"error": {**fault, "value": expression}}
    hook = api.add_hook(PARENT)
    for method, path in (("PUT", HOOKS), ("POST", f"{HOOKS}/{hook['id']}")):
        answer = api.call(method, path, HOOK | {member: expression})
        assert problems(answer) == {member: expected}
    answer = api.call("PATCH", f"{HOOKS}/{hook['id']}", {member: expression})
    assert problems(answer) == {member: expected}
    answer = api.call("POST", PREVIEW, {"hook": {member: expression}})
    assert problems(answer) == {f"hook.{member}": expected}


def test_both_mistakes_are_named_at_once(api):
    found = problems(api.call("PUT", HOOKS, HOOK | {"filter": "a.", "transform": "b."}))
    assert found.keys() == {"filter", "transform"}


@pytest.mark.parametrize(("value", "rule"), [({"a": 1}, "type"), ("a" * 8193, "maxLength")])
def test_an_expression_is_a_text_that_is_not_too_long(api, value, rule):
    for member in ("filter", "transform"):
        assert rule in problems(api.call("PUT", HOOKS, HOOK | {member: value}))[member]
        found = problems(api.call("POST", PREVIEW, {"hook": {member: value}}))
        assert rule in found[f"hook.{member}"]


def test_expressions_are_stored_and_can_be_removed(api):
    made = api.data("PUT", HOOKS, HOOK | {"filter": "a", "transform": "[a]"})
    assert (made["filter"], made["transform"]) == ("a", "[a]")
    changed = api.data("PATCH", f"{HOOKS}/{made['id']}", {"filter": None})
    assert "filter" not in changed
    assert api.store.get("webhooks", made["id"])["transform"] == "[a]"


def test_a_given_payload_is_filtered_and_transformed(api):
    hook = {
        "filter": "order == `7`",
        "transform": "{id: order, t: team}",
        "custom_data": {"team": "x"},
    }
    assert previewed(api, hook, payload=ORDER) == {
        "source": "payload",
        "payload": ORDER | {"team": "x"},
        "sent": True,
        "modifiers": True,
        "filter": True,
        "filter_error": "",
        "content_type": "application/json",
        "body": '{\n  "id": 7,\n  "t": "x"\n}',
        "transform_error": "",
    }


def test_it_is_said_why_nothing_would_be_sent(api):
    hook = {"filter": "length(missing)", "transform": "missing", "modifiers": {"order": 8}}
    found = previewed(api, hook, payload=ORDER)
    assert (found["sent"], found["modifiers"], found["body"]) == (False, False, "")
    assert "argument 1 of length" in found["filter_error"]
    assert found["transform_error"] == "the result is null, which is no body"


def test_facts_of_the_event_and_its_headers_can_be_given(api):
    facts = "_event.[exchange, routing_key, message_id, module]"
    hook = {"transform": f"[{facts}, [_headers.x]][]"}
    event = {"exchange": "e", "routing_key": "k", "message_id": "m", "headers": {"x": 1}}
    found = previewed(api, hook | {"hook": "channel_create"}, payload={}, **event)
    assert found["body"].split() == ["[", '"e",', '"k",', '"m",', '"channel_create",', "1", "]"]


def test_without_facts_of_the_event_they_are_empty(api):
    found = previewed(api, {"transform": "_event.[exchange, routing_key]"}, payload={})
    assert found["body"].split() == ["[", '"",', '""', "]"]


def test_numbers_keep_their_spelling(api):
    body = b'{"data": {"hook": {"transform": "[price]"}, "payload": {"price": 1.10}}}'
    headers = {"Content-Type": "application/json", "X-Auth-Token": ADMIN}
    answer = api.client.post(PREVIEW, content=body, headers=headers)
    assert answer.json()["data"]["body"] == "[\n  1.10\n]"


def test_without_a_payload_it_is_a_sample_of_the_event_type(api):
    found = previewed(api, {"hook": "channel_create", "filter": "call_direction == 'inbound'"})
    assert (found["source"], found["sent"]) == ("sample", True)
    assert found["payload"]["account_id"] == PARENT


def test_a_module_of_another_bus_has_its_fields_as_a_sample(tmp_path):
    table = ModuleSettings(
        id="order_paid", exchange="shop", bindings=("#",), account="a", fields={"order": "id"}
    )
    api = Api(tmp_path, Settings(modules=(table,)))
    found = previewed(api, {"hook": "order_paid", "transform": "order"})
    assert found["body"] == '"sample"'


def test_a_stored_hook_is_previewed_with_other_members_for_a_try(api):
    hook = api.add_hook(PARENT, filter="order == `8`", transform="[order]", format="json")
    stored = previewed(api, hook_id=hook["id"], payload=ORDER)
    assert (stored["sent"], stored["body"]) == (False, "[\n  7\n]")
    tried = previewed(api, {"filter": "order == `7`"}, hook_id=hook["id"], payload=ORDER)
    assert (tried["sent"], tried["body"]) == (True, "[\n  7\n]")
    without = previewed(api, {"filter": None, "transform": None}, hook_id=hook["id"], payload=ORDER)
    assert (without["sent"], without["filter"]) == (True, None)
    assert api.store.get("webhooks", hook["id"])["filter"] == "order == `8`"
    assert not api.backend.told[1:]


def attempt(api, hook_id, account_id=PARENT, **fields):
    database = f"account/{account_id[:2]}/{account_id[2:4]}/{account_id[4:]}-202312"
    document = {"pvt_type": "webhook_attempt", "hook_id": hook_id, "method": "post", **fields}
    api.store.ensure_database(database)
    id = f"202312-{len(fields):032x}"
    api.store.save(database, {"_id": id, **document})
    return f"202312/{id}"


def test_the_payload_may_be_that_of_an_attempt(api):
    hook = api.add_hook(PARENT, format="json")
    id = attempt(api, hook["id"], req_body='{"order": 7.0}')
    found = previewed(api, {"transform": "[order]"}, hook_id=hook["id"], attempt_id=id)
    assert (found["source"], found["body"]) == ("attempt", "[\n  7.0\n]")


@pytest.mark.parametrize("body", ["a=1", "[1]", "", None, "{" * 500])
def test_an_attempt_without_json_is_refused(api, body):
    hook = api.add_hook(PARENT)
    id = attempt(api, hook["id"], req_body=body)
    answer = api.call("POST", PREVIEW, {"hook_id": hook["id"], "attempt_id": id})
    assert "no JSON object" in problems(answer)["attempt_id"]["error"]["message"]


def test_what_is_not_there_or_another_account_s_is_not_found(api):
    hook, other = api.add_hook(PARENT), api.add_hook(CHILD)
    id = attempt(api, other["id"], CHILD, req_body="{}")
    for data in (
        {"hook_id": "missing"},
        {"hook_id": other["id"]},
        {"hook_id": hook["id"], "attempt_id": "202312/missing"},
        {"hook_id": hook["id"], "attempt_id": id},
        {"hook_id": hook["id"], "attempt_id": "nonsense"},
    ):
        assert api.call("POST", PREVIEW, data).status_code == 404


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ({"hooks": {}}, "hooks"),
        ({"hook": []}, "hook"),
        ({"hook": {"uri": "https://x.example/"}}, "hook"),
        ({"hook": {"hook": "teapot"}}, "hook.hook"),
        ({"hook": {"http_verb": "brew"}}, "hook.http_verb"),
        ({"payload": []}, "payload"),
        ({"payload": {}, "attempt_id": "x"}, "attempt_id"),
        ({"attempt_id": "x"}, "hook_id"),
        ({"headers": 1}, "headers"),
        ({"routing_key": 1}, "routing_key"),
    ],
)
def test_wrong_members_are_named(api, data, path):
    assert list(problems(api.call("POST", PREVIEW, data))) == [path]


def test_a_payload_that_is_nested_too_deep_is_refused(api):
    deep = 1
    for _level in range(99):
        deep = {"a": deep}
    found = problems(api.call("POST", PREVIEW, {"payload": deep}))
    assert found == {"payload": {"error": {"message": "is nested too deep"}}}
    found = problems(api.call("POST", PREVIEW, {"hook": {"hook": "teapot"}}))
    assert list(found["hook.hook"]) == ["error"]


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_preview_is_no_hook_s_id(api, method):
    assert api.call(method, PREVIEW, HOOK).status_code in (404, 405)
