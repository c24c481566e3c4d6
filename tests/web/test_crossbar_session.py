"""A client of Crossbar's webhooks, request by request, beside a Kazoo that manages the accounts.

The bodies are those of Crossbar (cb_webhooks, crossbar_view, crossbar_filter, api_util).
"""

import pytest
from attrs import evolve

from callboard.adapters.repositories.tokens import add_token
from support.api import CHILD, PARENT, Api

UNKNOWN = "4444444444444444444444444444dddd"
DELETED = "5555555555555555555555555555eeee"
HOOKS = f"/v2/accounts/{PARENT}/webhooks"
HOOK = {"name": "My CRM", "uri": "https://crm.example.com/in", "hook": "channel_create"}
PUBLIC = HOOK | {
    "http_verb": "post",
    "format": "form-data",
    "retries": 2,
    "enabled": True,
    "include_internal_legs": True,
}


@pytest.fixture
def kazoo(tmp_path):
    """The API, its hooks in a store whose accounts are Kazoo's."""
    api = Api(tmp_path)
    api.backend.node = evolve(api.backend.node, embedded_store=False)
    api.store.save("accounts", {"_id": DELETED, "pvt_type": "account", "pvt_deleted": True})
    yield api
    api.store.close()


def answer(kazoo, method, path, data=None, **options):
    """Status and data of the envelope; of a failure also its message, before the data."""
    response = kazoo.call(method, path, data, **options)
    body = response.json()
    if body["status"] == "success":
        return response.status_code, body["data"]
    assert body["error"] == str(response.status_code)
    return response.status_code, body["message"], body["data"]


@pytest.mark.parametrize("account", [UNKNOWN, DELETED])
def test_an_account_that_does_not_exist(account, kazoo):
    hooks = f"/v2/accounts/{account}/webhooks"
    missing = (404, "bad_identifier", {"message": "bad identifier", "cause": account})
    assert answer(kazoo, "GET", hooks) == missing
    assert answer(kazoo, "PUT", hooks, HOOK) == missing
    assert answer(kazoo, "PATCH", hooks, {"re-enable": True}) == missing
    assert answer(kazoo, "GET", f"{hooks}/attempts") == missing
    assert list(kazoo.store.documents("webhooks")) == []


def test_an_account_of_another_bus_needs_no_document(kazoo):
    assert answer(kazoo, "PUT", "/v2/accounts/shop-7/webhooks", HOOK)[0] == 201


def test_a_hook_from_its_creation_to_its_deletion(kazoo):
    made = kazoo.call("PUT", HOOKS, HOOK, headers={"X-Request-ID": "one"})
    hook = made.json()["data"]
    assert (made.status_code, made.headers["location"]) == (201, hook["id"])
    assert hook == PUBLIC | {"id": hook["id"]}
    stored = kazoo.store.get("webhooks", hook["id"])
    assert {key: stored[key] for key in stored if key.startswith("pvt_")} == {
        "pvt_type": "webhook",
        "pvt_account_id": PARENT,
        "pvt_account_db": "webhooks",
        "pvt_alphanum_name": "mycrm",
        "pvt_request_id": "one",
        "pvt_is_authenticated": True,
        "pvt_created": stored["pvt_created"],
        "pvt_modified": stored["pvt_created"],
        "pvt_node": kazoo.backend.node.name,
        "pvt_vsn": "1",
        "pvt_endpoint_checked": True,  # Not Kazoo's: docs/adr/0046.
    }

    one = f"{HOOKS}/{hook['id']}"
    assert answer(kazoo, "GET", one) == (200, hook)
    assert answer(kazoo, "GET", f"/v2/accounts/{CHILD}/webhooks/{hook['id']}")[0] == 404
    changed = kazoo.call("PATCH", one, {"name": "B-2"}, headers={"X-Request-ID": "two"})
    assert changed.json()["data"] == hook | {"name": "B-2"}
    stored = kazoo.store.get("webhooks", hook["id"])
    assert (stored["pvt_request_id"], stored["pvt_alphanum_name"]) == ("two", "b2")

    gone = hook | {"name": "B-2", "_read_only": {"deleted": True}}
    assert answer(kazoo, "DELETE", one) == (200, gone)
    missing = (404, "bad_identifier", {"message": "bad identifier", "cause": hook["id"]})
    assert answer(kazoo, "GET", one) == missing
    assert answer(kazoo, "POST", one, HOOK) == missing
    assert answer(kazoo, "GET", f"{one}/attempts") == (200, [])


def test_a_hook_names_the_account_whose_token_saved_it(kazoo):
    token = add_token(kazoo.store, PARENT, "mine", 0).text
    hook = answer(kazoo, "PUT", f"/v2/accounts/{CHILD}/webhooks", HOOK, token=token)[1]
    stored = kazoo.store.get("webhooks", hook["id"])
    assert (stored["pvt_account_id"], stored["pvt_auth_account_id"]) == (CHILD, PARENT)


@pytest.mark.parametrize("name", ["attempts", "samples"])
@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH", "DELETE"])
def test_names_that_are_no_hooks_can_only_be_read(method, name, kazoo):
    response = kazoo.call(method, f"{HOOKS}/{name}", HOOK)
    assert (response.status_code, response.json()["message"]) == (405, "invalid_method")
    assert response.headers["allow"] == "GET"


def test_values_are_converted_to_numbers_and_booleans_only(kazoo):
    hook = answer(kazoo, "PUT", HOOKS, HOOK | {"retries": 2.6, "enabled": "false"})[1]
    assert (hook["retries"], hook["enabled"]) == (3, False)
    problem = {"message": "Value did not match type(s): string", "target": "string"}
    assert answer(kazoo, "PUT", HOOKS, HOOK | {"name": 5, "custom_data": {"a": True}}) == (
        400,
        "validation error",
        {
            "name": {"type": problem | {"value": 5}},
            "custom_data.a": {"type": problem | {"value": True}},
        },
    )


@pytest.fixture
def three(kazoo):
    """Three hooks, of different times and groups; finds their names by a query."""
    for name, created, group in (("a", 100, "red"), ("b", 200, ""), ("c", 300, ...)):
        document = HOOK | {"_id": name, "name": name, "pvt_type": "webhook", "group": group}
        document |= {"pvt_account_id": PARENT, "pvt_created": created, "pvt_modified": created}
        stored = {key: value for key, value in document.items() if value is not ...}
        kazoo.store.save("webhooks", stored)

    def found(query):
        return "".join(hook["name"] for hook in kazoo.data("GET", f"{HOOKS}?{query}"))

    return found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", "cba"),
        ("created_from=200", "cb"),
        ("created_from=150&created_to=250", "b"),
        ("created_to=soon", ""),
        ("modified_to=100", "a"),
        ("modified_from=abc", ""),
        ("filter_group=red", "a"),
        ("filter_group=", "cb"),
        ('filter_group="red"', ""),
        ("filter_not_group=red", "cb"),
        ("descending=false", "cba"),
        ("ascending=false", "cba"),
        ("ascending=1", "abc"),
        ("ascending=true", "abc"),
        ("ascending=true&descending=true", "cba"),
    ],
)
def test_hooks_are_found_by_their_time_and_members(query, found, three):
    assert three(query) == found


def test_kinds_of_events_are_filtered_too(kazoo):
    assert [kind["id"] for kind in kazoo.data("GET", "/v2/webhooks?filter_name=Object")] == [
        "object"
    ]
    without = kazoo.data("GET", "/v2/webhooks?key_missing=modifiers&filter_not_name=SMS")
    ids = {kind["id"] for kind in without}
    assert "channel_create" in ids
    assert not {"object", "notifications", "sms"} & ids
