"""Documents of hooks: what a client may save, and what it is shown (cb_webhooks)."""

from types import SimpleNamespace

import pytest

from callboard.adapters.repositories.definitions import Definition
from callboard.config.settings import KazooSettings, Settings
from callboard.web.documents.hook_documents import (
    listed_hook,
    replaced,
    shape_problems,
    shown_definition,
    shown_hook,
)
from support.api import PARENT, Api, problems

HOOKS = f"/v2/accounts/{PARENT}/webhooks"
HOOK = {"name": "n", "uri": "https://hooks.example.com/a", "hook": "channel_create"}


def test_what_is_missing_or_wrong_is_all_named(api):
    found = problems(api.call("PUT", HOOKS, {"http_verb": "delete", "retries": 9, "enabled": []}))
    assert found["name"]["required"]["message"] == "Field is required but missing"
    assert found["uri"].keys() == found["hook"].keys() == {"required"}
    assert found["http_verb"]["enum"] == {
        "message": "Value not found in enumerated list of values",
        "target": ["get", "post", "put"],
        "value": "delete",
    }
    assert found["retries"]["maximum"]["message"] == "Value must be at most 4"
    assert found["enabled"]["type"]["value"] == []


def test_values_of_the_wrong_type_are_converted_where_that_is_plain(api):
    made = api.add_hook(retries="3", enabled="false")
    assert (made["retries"], made["enabled"]) == (3, False)
    assert api.add_hook(retries=2.6)["retries"] == 3


@pytest.mark.parametrize("value", [1, True, 1.5])
def test_texts_are_not_made_of_other_values(value, api):
    found = problems(api.call("PUT", HOOKS, HOOK | {"name": value, "custom_data": {"a": value}}))
    assert {path: list(rules) for path, rules in found.items()} == {
        "name": ["type"],
        "custom_data.a": ["type"],
    }


def test_what_a_listing_shows_of_a_hook(api):
    made = api.add_hook(group="g", paused=True, custom_data={"a": "b"})
    assert api.data("GET", HOOKS) == [
        {
            "id": made["id"],
            "hook": "channel_create",
            "name": "n",
            "uri": "https://hooks.example.com/a",
            "group": "g",
            "paused": True,
            "enabled": True,
        }
    ]


def test_the_clusters_blacklist_is_that_of_kazoo(api):
    """system_config/kazoo_web, as in Kazoo's kz_web."""
    blacklist = {"client": {"blacklist": {"hosts": ["bad.example"]}}}
    api.store.ensure_database("system_config")
    api.store.save("system_config", {"_id": "kazoo_web", "default": blacklist})
    found = problems(api.call("PUT", HOOKS, HOOK | {"uri": "https://bad.example/"}))
    assert "on the cluster's blacklist" in str(found["uri"])


def test_dots_within_a_name_are_escaped_in_paths(api):
    found = problems(api.call("PUT", HOOKS, HOOK | {"custom_data": {"a.b": {}}}))
    assert list(found) == ["custom_data.a%2Eb"]


def test_only_known_kinds_of_events_in_lower_case_are_taken(api):
    enum = problems(api.call("PUT", HOOKS, HOOK | {"hook": "CHANNEL_CREATE"}))["hook"]["enum"]
    assert enum["value"] == "CHANNEL_CREATE"
    assert {"all", "channel_create", "object"} <= set(enum["target"])
    assert enum["target"] == sorted(enum["target"])
    assert api.add_hook(hook="all")["hook"] == "all"


@pytest.mark.parametrize(
    ("uri", "rule"),
    [
        ("hooks", "wrong_format"),
        ("http://[::1", "wrong_format"),
        ("http://hooks.example.com:99999/", "wrong_format"),
        ("http://hooks.example.com:x/", "wrong_format"),
        ("http://\u2100.example.com/", "wrong_format"),
        ("http://", "wrong_format"),
        ("http://[v1.x]/", "error"),
        ("ftp://hooks.example.com", "error"),
        ("http://localhost/a", "error"),
        ("http://127.0.0.1/a", "error"),
        ("http://10.1.2.3/a", "error"),
        ("http://[::ffff:169.254.169.254]/", "error"),
        ("http://hooks.example.com:6379/", "error"),
    ],
)
def test_a_uri_that_must_not_be_called_is_refused(api, uri, rule):
    found = problems(api.call("PUT", HOOKS, HOOK | {"uri": uri}))
    assert found["uri"][rule]["value"] == uri
    if rule == "error":
        assert found["uri"]["error"]["message"] == "invalid client URL"
        assert found["uri"]["error"]["cause"]


def test_the_clusters_blacklist_counts(api):
    blacklist = {"hosts": ["bad.example.com"], "cidrs": ["203.0.113.0/24"]}
    api.store.ensure_database("system_config")
    config = {"_id": "kazoo_web", "default": {"client": {"blacklist": blacklist}}}
    api.store.save("system_config", config)
    for uri in ("https://BAD.example.com/", "https://203.0.113.9/"):
        found = problems(api.call("PUT", HOOKS, HOOK | {"uri": uri}))
        assert "blacklist" in found["uri"]["error"]["cause"]


def test_custom_data_must_choose_among_what_the_kind_offers(api):
    found = problems(api.call("PUT", HOOKS, HOOK | {"hook": "object"}))
    missing = {"required": {"message": "missing required modifier"}}
    assert found == {"custom_data.type": missing, "custom_data.action": missing}
    chosen = {"type": "teapot", "action": "all"}
    found = problems(api.call("PUT", HOOKS, HOOK | {"hook": "object", "custom_data": chosen}))
    enum = found["custom_data.type"]["enum"]
    assert enum["message"] == "value not found in enumerated list of values"
    assert enum["cause"] == "teapot"
    assert {"user", "all"} <= set(enum["target"])
    api.add_hook(hook="object", custom_data={"type": "user", "action": "doc_created"})
    api.add_hook(hook="notifications", custom_data={"type": "webhook_disabled"})


def test_options_of_our_own_are_checked(api):
    found = problems(
        api.call(
            "PUT",
            HOOKS,
            HOOK | {"retry_policy": "never", "rate_limit": 0, "headers": {"Host": "x"}},
        )
    )
    assert found.keys() == {"retry_policy", "rate_limit", "headers"}
    wrong = {
        "retry_steps_s": [],
        "success": ["2xx"],
        "give_up": 404,
        "signature": {"name": "rot13"},
    }
    assert problems(api.call("PUT", HOOKS, HOOK | wrong)).keys() == wrong.keys()
    both = {"success": ["200-299"], "give_up": [204]}
    assert "share status 204" in str(problems(api.call("PUT", HOOKS, HOOK | both))["give_up"])
    long = problems(api.call("PUT", HOOKS, HOOK | {"retry_steps_s": [600_000]}))
    assert "are allowed (delivery.retry_steps_s)" in str(long["retry_steps_s"])
    right = {
        "retry_steps_s": [5, 60.5],
        "success": ["200-299", 304],
        "give_up": [400, "404"],
        "signature": {"name": "hmac-sha256", "header": "X-Sig", "prefix": "v=", "encoding": "hex"},
    }
    assert right.items() <= api.add_hook(**right).items()
    assert "may not be set" in found["headers"]["error"]["message"]
    made = api.add_hook(retry_policy="standard", rate_limit="2.5", headers={"X-Key": "k"})
    assert (made["retry_policy"], made["rate_limit"]) == ("standard", 2.5)


@pytest.mark.parametrize(
    "refused",
    [
        {"uri": "http://127.0.0.1/a"},
        {"uri": "ftp://a.example/"},
        {"hook": "unknown_event"},
        {"hook": "object", "custom_data": {}},
        {"success": ["x"]},
        {"client_certificate": "unknown"},
    ],
)
def test_a_hook_that_is_refused_today_can_be_disabled_and_not_enabled(api, refused):
    id = api.add_hook()["id"]
    api.store.save("webhooks", api.store.get("webhooks", id) | refused)
    assert list(problems(api.call("PATCH", f"{HOOKS}/{id}", {"name": "n"})))
    api.data("PATCH", f"{HOOKS}/{id}", {"enabled": False, "name": "off"})
    stored = api.store.get("webhooks", id)
    assert (stored["enabled"], stored["name"]) == (False, "off")
    assert {key: stored[key] for key in refused} == refused
    assert list(problems(api.call("PATCH", f"{HOOKS}/{id}", {"enabled": True})))
    wrong = {"enabled": False, "uri": "http://127.0.0.2/"}
    assert list(problems(api.call("PATCH", f"{HOOKS}/{id}", wrong))) == ["uri"]
    nested = {"enabled": False, "custom_data": {"a": 5}}
    assert list(problems(api.call("PATCH", f"{HOOKS}/{id}", nested))) == ["custom_data.a"]
    assert api.store.get("webhooks", id)["enabled"] is False


def test_the_url_of_a_hook_of_kazoo_is_subject_to_kazoos_rules_until_it_changes(tmp_path):
    api = Api(tmp_path, Settings(kazoo=KazooSettings(compatible=True)))
    of_kazoo = {"pvt_type": "webhook", "pvt_account_id": PARENT, "uri": "http://127.0.0.1:22/a"}
    api.store.save("webhooks", HOOK | of_kazoo | {"_id": "h"})
    assert api.data("PATCH", f"{HOOKS}/h", {"name": "other"})["name"] == "other"
    refused = problems(api.call("PATCH", f"{HOOKS}/h", {"uri": "http://127.0.0.1:22/b"}))
    assert list(refused) == ["uri"]
    refused = problems(api.call("PUT", HOOKS, HOOK | {"uri": "http://127.0.0.1:22/a"}))
    assert list(refused) == ["uri"]
    api.store.save("webhooks", HOOK | of_kazoo | {"_id": "i", "pvt_endpoint_checked": True})
    refused = problems(api.call("PATCH", f"{HOOKS}/i", {"name": "other"}))
    assert list(refused) == ["uri"]
    api.store.close()


CERTIFICATE = {"client_certificate": "unknown"}


@pytest.mark.parametrize(
    ("members", "member", "message"),
    [
        ({"uri": f"https://a.example/{'x' * 65_536}"}, "uri", "uri has "),
        ({"success": ["200-299"], "give_up": [204]}, "give_up", "give_up and success share "),
        (CERTIFICATE, "client_certificate", "client_certificate 'unknown': "),
        (
            {"signature": {"name": "hmac-sha256", "header": "X-Sig"}, "headers": {"x-sig": "a"}},
            "signature",
            "signature: headers sets X-Sig, too",
        ),
    ],
)
def test_a_hook_that_could_never_fire_is_refused_by_the_member(api, members, member, message):
    ((path, rules),) = problems(api.call("PUT", HOOKS, HOOK | members)).items()
    assert (path, list(rules)) == (member, ["error"])
    assert rules["error"]["message"].startswith(message)
    assert rules["error"]["value"] == members[member]


def test_a_new_hook_has_to_be_one_also_if_it_is_disabled(api):
    answer = api.call("PUT", HOOKS, HOOK | CERTIFICATE | {"enabled": False})
    assert list(problems(answer)) == ["client_certificate"]
    assert list(problems(api.call("PUT", HOOKS, {"enabled": False}))) == ["hook", "name", "uri"]


STORED = {
    "_id": "h",
    "_rev": "1-a",
    "pvt_created": 5,
    "pvt_disabled_message": "too many failed attempts",
    "pvt_endpoint_checked": False,
    "uri": "https://a.example/",
    "group": "g",
}
PUBLIC = {"name": "My hook 1", "uri": "https://a.example/"}
SAVED = {
    "_id": "h",
    "_rev": "1-a",
    "pvt_created": 5,
    "pvt_modified": 9,
    "pvt_request_id": "r",
    "pvt_endpoint_checked": False,
    "pvt_alphanum_name": "myhook1",
    **PUBLIC,
}


@pytest.mark.parametrize(
    ("changes", "saved"),
    [
        ({}, {}),
        ({"enabled": True}, {"enabled": True}),
        (
            {"enabled": False},
            {"enabled": False, "pvt_disabled_message": "too many failed attempts"},
        ),
        (
            {"uri": "https://b.example/"},
            {"uri": "https://b.example/", "pvt_endpoint_checked": True},
        ),
    ],
)
def test_what_replaces_a_stored_hook(changes, saved):
    replacing = replaced(STORED, PUBLIC | changes, {"pvt_request_id": "r"}, 9)
    assert replacing == SAVED | saved


def test_a_hook_is_shown_without_private_members():
    assert shown_hook(STORED | PUBLIC) == {
        **PUBLIC,
        "id": "h",
        "group": "g",
        "disable_reason": "too many failed attempts",
    }
    assert shown_hook({"_id": "h", "name": "n"}) == {"id": "h", "name": "n"}


def test_a_listing_shows_less_of_a_hook():
    assert listed_hook(STORED | HOOK | {"enabled": False, "paused": False, "retries": 2}) == {
        **HOOK,
        "id": "h",
        "group": "g",
        "paused": False,
        "enabled": False,
        "disable_reason": "too many failed attempts",
    }
    assert listed_hook({"_id": "h", "name": None}) == {"id": "h", "enabled": True}


def test_a_mistake_in_an_expression_is_found_unless_it_is_known():
    fault = {
        "message": "filter is no JMESPath: '' is not expected here at character 3",
        "position": 2,
    }
    document = {"filter": "a.", "transform": "a"}
    assert shape_problems(document) == {"filter": {"error": {**fault, "value": "a."}}}
    assert shape_problems(document, {"filter"}) == {}
    assert shape_problems({}) == {}


@pytest.mark.parametrize("sees_all", [False, True])
def test_a_kind_of_event_is_shown_and_to_admins_with_all_that_selects(sees_all):
    items = {"voicemail_new": {"friendly_name": "New"}, "webhook_disabled": {"friendly_name": "D"}}
    shown_to_all = {k: v for k, v in items.items() if sees_all or k == "voicemail_new"}
    listed = {"type": "array", "items": ["webhook_disabled"]}
    definition = Definition(
        "n", "N", "d", {"type": {"type": "object", "items": items, "x": 1}, "action": listed}
    )
    assert shown_definition(definition, sees_all=sees_all) == {
        "id": "n",
        "name": "N",
        "description": "d",
        "modifiers": {
            "type": {"type": "object", "items": shown_to_all, "x": 1},
            "action": listed,
        },
    }
    plain = Definition("n", "N", "d")
    module = SimpleNamespace(schema={"required": ["a"]}, samples=[{"a": 1}])
    shown = shown_definition(plain, module, sees_all=sees_all)
    assert (shown["schema"], shown["samples"]) == ({"required": ["a"]}, [{"a": 1}])
    assert shown_definition(plain, sees_all=sees_all).keys() == {"id", "name", "description"}
