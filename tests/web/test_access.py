"""Who may do what: every path with no token, a wrong one, and those of several accounts."""

import json
from ipaddress import ip_network

import pytest

from callboard.adapters.repositories.tokens import add_token, list_tokens, revoke_token
from callboard.web.app import create_app
from support.api import (
    ADMIN,
    CHILD,
    FINGERPRINT,
    OTHER,
    PARENT,
    WITH_EVENTS,
    Api,
    client_of,
    whole_system,
)

HOOK = {"name": "n", "uri": "https://hooks.example.com/a", "hook": "channel_create"}
ENABLE = {"re-enable": True}


@pytest.fixture
def tokens(api):
    made = {name: add_token(api.store, id, name, 0) for name, id in ACCOUNTS.items()}
    api.store.save("accounts", {"_id": SUPER, "pvt_type": "account", "pvt_superduper_admin": True})
    api.backend.answers |= whole_system()
    return {name: token.text for name, token in made.items()} | {
        "admin": ADMIN,
        "nobody": None,
        "wrong": "cbt_0123456789abcdef_" + "x" * 43,
    }


@pytest.fixture
def api_with_events(tmp_path):
    return Api(tmp_path / "events", WITH_EVENTS)


SUPER = "5555555555555555555555555555eeee"
ACCOUNTS = {"parent": PARENT, "child": CHILD, "other": OTHER, "super": SUPER}

ACCOUNT_PATHS = [
    ("GET", "webhooks", None, 200),
    ("PUT", "webhooks", HOOK, 201),
    ("PATCH", "webhooks", ENABLE, 200),
    ("PUT", "portal/links", {}, 201),
    ("DELETE", "portal/links", None, 200),
    ("PATCH", "descendants/webhooks", ENABLE, 200),
    ("GET", "webhooks/attempts", None, 200),
    ("GET", "webhooks/deliveries", None, 200),
    ("POST", "webhooks/preview", {"payload": {}}, 200),
    ("POST", "webhooks/bulk", {"hooks": []}, 200),
    ("GET", "webhooks/{hook}", None, 200),
    ("GET", "webhooks/{hook}/attempts", None, 200),
    ("GET", "webhooks/{hook}/statistics", None, 200),
    ("GET", "webhooks/{hook}/attempts/{month}/{attempt}", None, 404),
    ("POST", "webhooks/{hook}", HOOK, 200),
    ("PATCH", "webhooks/{hook}", {"name": "x"}, 200),
    ("DELETE", "webhooks/{hook}", None, 200),
    ("PUT", "webhooks/{hook}/test", None, 200),
    ("GET", "webhooks/{hook}/deliveries", None, 200),
    ("DELETE", "webhooks/{hook}/deliveries", None, 200),
    ("POST", "webhooks/{hook}/deliveries/retry", None, 200),
    ("PUT", "webhooks/{hook}/replay", {"dry_run": True}, 202),
    ("GET", "webhooks/{hook}/replay/{run}", None, 200),
    ("DELETE", "webhooks/{hook}/replay/{run}", None, 200),
    ("GET", "webhooks/{hook}/secrets", None, 200),
    ("PUT", "webhooks/{hook}/secrets", {}, 201),
    ("DELETE", "webhooks/{hook}/secrets/{fingerprint}", None, 200),
    ("GET", "webhooks/dead_letters", None, 200),
    ("GET", "webhooks/dead_letters/count", None, 200),
    ("PATCH", "webhooks/dead_letters", {"action": "retry", "ids": ["l1"]}, 200),
    ("GET", "webhooks/dead_letters/{letter}", None, 200),
    ("DELETE", "webhooks/dead_letters/{letter}", None, 200),
]

OPERATOR_PATHS = [
    ("GET", "tree", None, 200),
    ("GET", "hooks/count", None, 200),
    ("GET", "dead_letters/count", None, 200),
    ("GET", "health", None, 200),
    ("GET", "figures", None, 200),
    ("GET", "endpoints", None, 200),
    ("POST", "endpoints/close", {"endpoint": "https://a.example"}, 200),
    ("GET", "hooks", None, 200),
    ("GET", "hooks/problems", None, 200),
    ("GET", "hooks/{hook}", None, 200),
    ("GET", "modules", None, 200),
    ("GET", "settings", None, 200),
    ("GET", "tokens", None, 200),
    ("PUT", "tokens", {"account_id": OTHER}, 201),
    ("DELETE", "tokens/{token}", None, 200),
    ("POST", "publish", {"exchange": "e", "routing_key": "k", "body": {}}, 202),
    ("POST", "maintenance/{command}", {}, 200),
    ("GET", "dead_letters", None, 200),
    ("PATCH", "dead_letters", {"action": "purge", "ids": ["l1"]}, 200),
    ("GET", "dead_letters/{letter}", None, 200),
    ("DELETE", "dead_letters/{letter}", None, 200),
]


@pytest.mark.parametrize(("method", "path", "data", "done"), ACCOUNT_PATHS)
def test_paths_of_an_account_are_for_it_and_those_above(api, tokens, method, path, data, done):
    expected = {"nobody": 401, "wrong": 401, "other": 403}
    expected |= {"child": done, "parent": done, "super": done, "admin": done}
    for name, status in expected.items():
        hook = api.add_hook(CHILD)["id"]
        before = api.store.get("webhooks", hook)
        begun = api.data("PUT", f"/v2/accounts/{CHILD}/webhooks/{hook}/replay", {"dry_run": True})
        api.add_letter("l1", CHILD)
        names = {"hook": hook, "run": begun["id"], "fingerprint": FINGERPRINT, "letter": "l1"}
        names |= {"month": "202601", "attempt": "none"}
        full = f"/v2/accounts/{CHILD}/{path.format(**names)}"
        asked = len(api.backend.asked)
        answer = api.call(method, full, data, token=tokens[name])
        assert answer.status_code == status, (name, answer.text)
        if status in (401, 403):
            message = {401: "invalid_credentials", 403: "forbidden"}[status]
            assert answer.json()["message"] == message
            assert answer.json()["data"] == {"message": message.replace("_", " ")}
            assert answer.json().keys().isdisjoint({"version"} if status == 401 else set())
            assert api.store.get("webhooks", hook) == before
            assert len(api.backend.asked) == asked


@pytest.mark.parametrize(("method", "path", "data", "done"), OPERATOR_PATHS)
def test_paths_of_the_operator_are_for_those_who_see_all(api, tokens, method, path, data, done):
    expected = {"nobody": 401, "wrong": 401, "other": 403, "child": 403, "parent": 403}
    for name, status in (expected | {"super": done, "admin": done}).items():
        made = add_token(api.store, CHILD, "to be revoked", 0).facts.id
        before = len(list(list_tokens(api.store)))
        hook, letter = api.add_hook(CHILD)["id"], api.add_letter("l1", CHILD)
        names = {"hook": hook, "letter": letter, "token": made, "command": "register_views"}
        asked = len(api.backend.asked)
        full = f"/v2/callboard/{path.format(**names)}"
        answer = api.call(method, full, data, token=tokens[name])
        assert answer.status_code == status, (name, answer.text)
        if status in (401, 403):
            assert len(api.backend.asked) == asked
            assert len(list(list_tokens(api.store))) == before
            assert api.backend.published == []


def test_what_is_of_another_account_is_not_reached_by_ones_own_path(api, tokens):
    """A child's dead letters, replays and secrets by the paths of another account."""
    hook, other = api.add_hook(CHILD)["id"], api.add_hook(OTHER)["id"]
    run = api.data("PUT", f"/v2/accounts/{CHILD}/webhooks/{hook}/replay", {"dry_run": True})["id"]
    api.add_letter("theirs", CHILD)
    mine = f"/v2/accounts/{OTHER}/webhooks"
    paths = [
        ("GET", f"{mine}/dead_letters/theirs"),
        ("DELETE", f"{mine}/dead_letters/theirs"),
        ("PUT", f"{mine}/{hook}/test"),
        ("GET", f"{mine}/{hook}/deliveries"),
        ("DELETE", f"{mine}/{hook}/deliveries"),
        ("POST", f"{mine}/{hook}/deliveries/retry"),
        ("PUT", f"{mine}/{hook}/replay"),
        ("GET", f"{mine}/{hook}/replay/{run}"),
        ("GET", f"{mine}/{other}/replay/{run}"),
        ("DELETE", f"{mine}/{other}/replay/{run}"),
        ("GET", f"{mine}/{hook}/secrets"),
        ("PUT", f"{mine}/{hook}/secrets"),
        ("DELETE", f"{mine}/{hook}/secrets/{FINGERPRINT}"),
    ]
    asked = len(api.backend.asked)
    for method, path in paths:
        data = {} if method == "PUT" else None
        answer = api.call(method, path, data, token=tokens["other"])
        assert answer.status_code == 404, (method, path, answer.text)
    assert api.data("GET", f"{mine}/dead_letters", token=tokens["other"]) == []
    for action in ("retry", "purge"):
        data = {"action": action, "ids": ["theirs", "none"]}
        answer = api.data("PATCH", f"{mine}/dead_letters", data, token=tokens["other"])
        assert (answer["done"], answer["refused"].keys()) == ([], {"theirs", "none"})
        assert answer["refused"]["theirs"] == answer["refused"]["none"]
    assert len(api.backend.asked) == asked
    # A replay of the same name is one's own, and says nothing of theirs.
    same = {"id": run, "failed": True}
    own = api.data("PUT", f"{mine}/{other}/replay", same, token=tokens["other"])
    assert (own["hook_id"], own["dry_run"]) == (other, False)
    theirs = api.data("GET", f"/v2/accounts/{CHILD}/webhooks/{hook}/replay/{run}")
    assert (theirs["hook_id"], theirs["dry_run"]) == (hook, True)


def test_events_are_posted_by_their_account_alone(api_with_events):
    api = api_with_events
    own = {n: add_token(api.store, id, n, 0).text for n, id in ACCOUNTS.items() if n != "super"}
    event = {"name": "paid", "payload": {}}
    of_child = event | {"account_id": CHILD}
    expected = {"child": 202, "parent": 403, "other": 403}
    for name, status in expected.items():
        assert api.call("POST", "/v2/events", of_child, token=own[name]).status_code == status
        assert api.call("POST", "/v2/events", event, token=own[name]).status_code == 202
    assert api.call("POST", "/v2/events", of_child).status_code == 202
    assert api.call("POST", "/v2/events", event).status_code == 400
    assert api.call("POST", "/v2/events", of_child, token=None).status_code == 401
    assert api.call("POST", "/v2/events", of_child, token="wrong").status_code == 401


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
    """It is repeated where Kazoo's clients look for it: not if it came in a header."""
    path, token = f"/v2/accounts/{CHILD}/webhooks", tokens[name]
    client = api.client
    for headers in ({"Authorization": f"Bearer {token}"}, {"X-Auth-Token": token}):
        answer = client.get(path, headers=headers)
        assert answer.status_code == 200
        assert token not in answer.text
    answer = client.get(path, params={"auth_token": token})
    assert (answer.status_code, answer.json()["auth_token"]) == (200, token)
    body = {"auth_token": token, "data": HOOK}
    answer = client.put(path, json=body)
    assert (answer.status_code, answer.json()["auth_token"]) == (201, token)


@pytest.mark.parametrize("token", [5, 1.5, True, None, [ADMIN], {"token": ADMIN}])
def test_a_token_of_the_envelope_that_is_no_text_is_none(api, token):
    path = f"/v2/accounts/{CHILD}/webhooks"
    body = {"auth_token": token, "data": HOOK}
    assert api.client.put(path, json=body).status_code == 401
    assert api.client.put(path, json=body, params={"auth_token": ADMIN}).status_code == 201


def test_half_a_character_is_no_token(api):
    body = json.dumps({"auth_token": "\udcff", "data": HOOK})
    headers = {"content-type": "application/json"}
    path = f"/v2/accounts/{CHILD}/webhooks"
    assert api.client.put(path, content=body, headers=headers).status_code == 401


@pytest.mark.parametrize("token", [None, "wrong"])
def test_an_unknown_caller_is_told_how_to_identify_itself(api, token):
    """RFC 9110, 11.6.1: each 401 names a scheme."""
    answer = api.call("GET", f"/v2/accounts/{CHILD}/webhooks", token=token)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


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
    guesses = [ADMIN[:8] + f"-{n}" for n in range(8)]
    statuses = [api.call("GET", path, token=guess).status_code for guess in guesses]
    assert statuses[:5] == [401] * 5
    assert statuses[-1] == 429
    refused = api.call("GET", path)  # Else a wait would tell nothing of the token.
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    assert api.call("GET", path, token=None).status_code == 401
    assert api.call("GET", "/v2/webhooks", token=None).status_code == 200


@pytest.mark.parametrize(
    ("proxies", "forwarded", "status"),
    [
        ((), None, 401),
        ((), "203.0.113.1", 401),
        ((ip_network("192.0.2.0/24"),), None, 401),
        ((ip_network("192.0.2.0/24"),), "203.0.113.1", 401),
        ((ip_network("192.0.2.0/24"),), "203.0.113.9", 429),
    ],
)
def test_who_tries_tokens_is_known_by_its_address(tmp_path, proxies, forwarded, status):
    """Or by the one that a trusted proxy reports, and that other clients of it do not have."""
    api = Api(tmp_path, trusted_proxies=proxies)
    path = f"/v2/accounts/{CHILD}/webhooks"

    def call(host, forwarded):
        client = client_of(api.app, host)
        headers = {"X-Auth-Token": "wrong-token-0"}
        headers |= {"X-Forwarded-For": forwarded} if forwarded else {}
        return client.get(path, headers=headers).status_code

    first = "203.0.113.9" if forwarded else None
    statuses = [call("192.0.2.1", first) for _ in range(6)]
    assert statuses == [401] * 5 + [429]
    other = "192.0.2.1" if forwarded and proxies else "192.0.2.2"
    assert call(other, forwarded) == status


def test_wrong_tokens_do_not_lock_out_other_tokens_of_the_same_client(api, tokens):
    """As of a web page that lets its visitor's browser send some."""
    path = f"/v2/accounts/{CHILD}/webhooks"
    wrong = tokens["child"][:4] + "0" * 16 + "_" + "x" * 43
    for guess in ("wrong-token-0", wrong):
        statuses = [api.call("GET", path, token=guess).status_code for _ in range(6)]
        assert statuses == [401] * 5 + [429]
    for right in (ADMIN, tokens["child"], tokens["super"]):
        assert api.call("GET", path, token=right).status_code == 200


def test_guesses_of_an_accounts_token_are_counted_by_its_id(api, tokens):
    path = f"/v2/accounts/{CHILD}/webhooks"
    id = tokens["child"][:21]
    statuses = [api.call("GET", path, token=id + c * 43).status_code for c in "abcdef"]
    assert statuses == [401] * 5 + [429]
    assert api.call("GET", path, token=tokens["parent"]).status_code == 200


def test_wrong_tokens_never_lock_out_the_right_one_of_an_account(api, tokens):
    path = f"/v2/accounts/{CHILD}/webhooks"
    id = tokens["child"][:21]
    for c in "abcdefgh":
        api.call("GET", path, token=id + c * 43)
    assert api.call("GET", path, token=id + "i" * 43).status_code == 429
    assert api.call("GET", path, token=tokens["child"]).status_code == 200


@pytest.mark.parametrize(
    ("site", "mode", "origin", "status"),
    [
        ("same-origin", "cors", None, 200),
        ("none", "navigate", None, 200),
        (None, None, None, 200),
        ("cross-site", "cors", "https://portal.example.com", 200),
        ("same-site", "cors", "https://portal.example.com", 200),
        ("cross-site", "cors", "https://evil.example", 403),
        ("cross-site", "no-cors", "https://portal.example.com", 403),
        ("same-site", "no-cors", None, 403),
        ("cross-site", "navigate", None, 403),
    ],
)
def test_pages_of_other_sites_can_send_no_token(tmp_path, site, mode, origin, status):
    api = Api(tmp_path, cors_origins=("https://portal.example.com",))
    given = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Origin": origin}
    headers = {name: value for name, value in given.items() if value is not None}
    path = f"/v2/accounts/{CHILD}/webhooks"
    for token in (ADMIN, *["wrong-token-0"] * 9):
        answer = api.call("GET", path, token=None, params={"auth_token": token}, headers=headers)
        expected = status if token == ADMIN or status == 403 else None
        assert expected in (None, answer.status_code)
    assert len(api.app.state.guard) == (status == 200)
    assert api.call("GET", "/v2/webhooks", token=None, headers=headers).status_code == 200


def test_the_admins_token_begins_anew(api):
    path = f"/v2/accounts/{CHILD}/webhooks"
    for _again in range(3):
        for number in range(4):
            assert api.call("GET", path, token=f"wrong-{number}").status_code == 401
        assert api.call("GET", path).status_code == 200


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
    tested |= {("GET", p) for p in ("/v2/webhooks", "/v2/webhooks/samples", "/healthz", "/readyz")}
    tested.add(("GET", "/metrics"))
    tested.add(("GET", "/v2/webhooks/samples/{sample_id}"))
    tested.add(("POST", "/v2/events"))
    tested |= {(m, f"/v2/callboard/{p}") for m, p, _data, _status in OPERATOR_PATHS}
    ids = {"hook": "hook_id", "run": "run_id", "letter": "letter_id", "token": "token_id"}
    ids["attempt"] = "attempt_id"
    for short, long in ids.items():
        tested = {(m, p.replace(f"{{{short}}}", f"{{{long}}}")) for m, p in tested}
    document = create_app(api.backend).openapi()
    there = {(m.upper(), p) for p, methods in document["paths"].items() for m in methods}
    assert there == tested
