"""Who may do what: every path with no token, a wrong one, and those of several accounts."""

import pytest

from callboard import admin
from callboard.adapters.token_store import add_token, list_tokens, revoke_token
from callboard.web.app import create_app
from support.api import ADMIN, CHILD, OTHER, PARENT, Api

HOOK = {"name": "n", "uri": "https://hooks.example.com/a", "hook": "channel_create"}
ENABLE = {"re-enable": True}


@pytest.fixture
def tokens(api):
    made = {name: add_token(api.store, id, name, 0) for name, id in ACCOUNTS.items()}
    api.store.save("accounts", {"_id": SUPER, "pvt_type": "account", "pvt_superduper_admin": True})
    enabled = admin.HooksEnabled(())
    api.backend.answers |= {
        admin.EnableAccountHooks: enabled,
        admin.EnableDescendantHooks: enabled,
    }
    return {name: token.text for name, token in made.items()} | {
        "admin": ADMIN,
        "nobody": None,
        "wrong": "cbt_0123456789abcdef_" + "x" * 43,
    }


SUPER = "5555555555555555555555555555eeee"
ACCOUNTS = {"parent": PARENT, "child": CHILD, "other": OTHER, "super": SUPER}

ACCOUNT_PATHS = [
    ("GET", "webhooks", None, 200),
    ("PUT", "webhooks", HOOK, 201),
    ("PATCH", "webhooks", ENABLE, 200),
    ("PATCH", "descendants/webhooks", ENABLE, 200),
    ("GET", "webhooks/attempts", None, 200),
    ("GET", "webhooks/{hook}", None, 200),
    ("GET", "webhooks/{hook}/attempts", None, 200),
    ("POST", "webhooks/{hook}", HOOK, 200),
    ("PATCH", "webhooks/{hook}", {"name": "x"}, 200),
    ("DELETE", "webhooks/{hook}", None, 200),
]


@pytest.mark.parametrize(("method", "path", "data", "done"), ACCOUNT_PATHS)
def test_paths_of_an_account_are_for_it_and_those_above(api, tokens, method, path, data, done):
    expected = {"nobody": 401, "wrong": 401, "other": 403}
    expected |= {"child": done, "parent": done, "super": done, "admin": done}
    for name, status in expected.items():
        hook = api.add_hook(CHILD)["id"]
        before = api.store.get("webhooks", hook)
        full = f"/v2/accounts/{CHILD}/{path.format(hook=hook)}"
        answer = api.call(method, full, data, token=tokens[name])
        assert answer.status_code == status, (name, answer.text)
        if status in (401, 403):
            message = {401: "invalid_credentials", 403: "forbidden"}[status]
            assert answer.json()["message"] == message
            assert answer.json()["data"] == {"message": message.replace("_", " ")}
            assert answer.json().keys().isdisjoint({"version"} if status == 401 else set())
            assert api.store.get("webhooks", hook) == before


def test_a_child_does_not_reach_its_parent_nor_its_hooks_by_its_own_path(api, tokens):
    hook = api.add_hook(PARENT)["id"]
    mine = f"/v2/accounts/{CHILD}/webhooks/{hook}"
    for method, data in (("GET", None), ("POST", HOOK), ("DELETE", None)):
        assert api.call(method, mine, data, token=tokens["child"]).status_code == 404
    above = f"/v2/accounts/{PARENT}/webhooks"
    assert api.call("GET", above, token=tokens["child"]).status_code == 403


def test_a_case_or_form_of_the_account_is_no_way_around(api, tokens):
    for form in (OTHER.upper(), f"account%252F{OTHER[:2]}%252F{OTHER[2:4]}%252F{OTHER[4:]}"):
        answer = api.call("GET", f"/v2/accounts/{form}/webhooks", token=tokens["child"])
        assert answer.status_code in (403, 404)


@pytest.mark.parametrize(
    "path", ["/v2/webhooks", "/v2/webhooks/samples", "/v2/webhooks/samples/webhooks_object"]
)
def test_kinds_and_samples_are_open_to_read_and_nobodys_to_change(api, tokens, path):
    for name in ("nobody", "other", "admin"):
        assert api.call("GET", path, token=tokens[name]).status_code == 200
    assert api.call("PUT", path, HOOK, token=None).status_code == 401
    for name in ("other", "admin"):
        for method in ("PUT", "PATCH", "POST", "DELETE"):
            assert api.call(method, path, HOOK, token=tokens[name]).status_code == 403


@pytest.mark.parametrize("name", ["admin", "child"])
def test_a_token_may_come_in_several_places(api, tokens, name):
    path, token = f"/v2/accounts/{CHILD}/webhooks", tokens[name]
    client = api.client
    assert client.get(path, headers={"Authorization": f"Bearer {token}"}).status_code == 200
    assert client.get(path, params={"auth_token": token}).status_code == 200
    body = {"auth_token": token, "data": HOOK}
    assert client.put(path, json=body).status_code == 201


def test_a_revoked_token_is_nobodys(api, tokens):
    (facts,) = list_tokens(api.store, CHILD)
    assert revoke_token(api.store, facts.id) == facts
    assert revoke_token(api.store, facts.id) is None
    path = f"/v2/accounts/{CHILD}/webhooks"
    assert api.call("GET", path, token=tokens["child"]).status_code == 401


def test_the_store_does_not_give_a_token_away(api, tokens):
    for document in api.store.documents("callboard_tokens"):
        secrets = [token.split("_", 2)[2] for token in tokens.values() if token and "_" in token]
        assert not any(secret in str(document) for secret in secrets)


@pytest.mark.parametrize("token", ["cbt_../x_" + "y" * 43, "", "é", "a" * 5000])
def test_odd_tokens_are_wrong_ones(api, token):
    answer = api.client.get(f"/v2/accounts/{CHILD}/webhooks", params={"auth_token": token})
    assert answer.status_code == 401


def test_who_tries_tokens_has_to_wait_longer_and_longer(api):
    path = f"/v2/accounts/{CHILD}/webhooks"
    statuses = [api.call("GET", path, token=f"wrong-{n}").status_code for n in range(8)]
    assert statuses[:5] == [401] * 5
    assert statuses[-1] == 429
    refused = api.call("GET", path)  # Else a wait would tell nothing of the token.
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    assert api.call("GET", path, token=None).status_code == 401
    assert api.call("GET", "/v2/webhooks", token=None).status_code == 200


def test_admins_alone_see_some_notifications(api, tokens):
    def types(token):
        kinds = api.data("GET", "/v2/webhooks", token=token)
        return next(k for k in kinds if k["id"] == "notifications")["modifiers"]["type"]["items"]

    hidden = {"webhook_disabled", "system_alert"}
    assert hidden <= types(ADMIN).keys()
    assert hidden <= types(tokens["super"]).keys()
    for name in ("nobody", "child"):
        assert hidden.isdisjoint(types(tokens[name]))
    wrong = HOOK | {"hook": "notifications", "custom_data": {"type": "teapot"}}
    path = f"/v2/accounts/{CHILD}/webhooks"
    refused = api.call("PUT", path, wrong, token=tokens["child"]).json()
    target = refused["data"]["custom_data.type"]["enum"]["target"]
    assert "voicemail_new" in target
    assert hidden.isdisjoint(target)


def test_every_documented_path_is_in_the_matrix(api):
    """A new path is not to be forgotten here."""
    tested = {(m, f"/v2/accounts/{{account_id}}/{p}") for m, p, _data, _status in ACCOUNT_PATHS}
    tested = {(m, p.replace("{hook}", "{hook_id}")) for m, p in tested}
    tested |= {("GET", p) for p in ("/v2/webhooks", "/v2/webhooks/samples", "/healthz", "/readyz")}
    tested.add(("GET", "/metrics"))
    tested.add(("GET", "/v2/webhooks/samples/{sample_id}"))
    document = create_app(api.backend).openapi()
    there = {(m.upper(), p) for p, methods in document["paths"].items() for m in methods}
    assert there == tested


def test_pages_of_other_origins_are_let_in_by_setting_only(tmp_path):
    portal = {"Origin": "https://portal.example.com"}
    closed = Api(tmp_path / "a").call("GET", "/v2/webhooks", headers=portal)
    assert "access-control-allow-origin" not in closed.headers
    api = Api(tmp_path / "b", cors_origins=("https://portal.example.com",))
    opened = api.call("GET", "/v2/webhooks", headers=portal)
    assert opened.headers["access-control-allow-origin"] == "https://portal.example.com"
    other = api.call("GET", "/v2/webhooks", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers
