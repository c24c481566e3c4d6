"""What the dashboard asks for besides Crossbar's paths."""

import time

import pytest

from callboard import admin
from callboard.adapters.token_store import add_token
from support.api import CHILD, OTHER, PARENT

HOOKS = "/v2/callboard/hooks"


@pytest.fixture
def hooks(api):
    """Ids by account."""
    return {
        PARENT: api.add_hook(PARENT, uri="https://a.example.com/One")["id"],
        CHILD: api.add_hook(CHILD, uri="https://b.example.com/two", enabled=False)["id"],
        OTHER: api.add_hook(OTHER, uri="https://c.example.com/three", hook="all")["id"],
    }


def test_hooks_of_all_accounts_are_listed_by_account(api, hooks):
    listed = api.data("GET", HOOKS)
    assert [(hook["account_id"], hook["id"]) for hook in listed] == sorted(hooks.items())
    assert listed[0] | {"uri": "https://a.example.com/One", "enabled": True} == listed[0]


@pytest.mark.parametrize(
    ("query", "account"),
    [
        ("uri=/ONE", PARENT),
        ("enabled=false", CHILD),
        ("event=all", OTHER),
        (f"account_id={CHILD}", CHILD),
    ],
)
def test_some_may_be_chosen(api, hooks, query, account):
    assert [hook["id"] for hook in api.data("GET", f"{HOOKS}?{query}")] == [hooks[account]]


def test_pages_go_on_where_the_last_one_ended(api, hooks):
    first = api.call("GET", f"{HOOKS}?page_size=2").json()
    rest = api.call("GET", f"{HOOKS}?page_size=2&start_key={first['next_start_key']}").json()
    assert [hook["account_id"] for hook in first["data"] + rest["data"]] == sorted(hooks)
    assert "next_start_key" not in rest


@pytest.mark.parametrize(
    ("method", "path", "data"),
    [
        ("GET", HOOKS, None),
        ("GET", "/v2/callboard/dead_letters", None),
        ("GET", "/v2/callboard/dead_letters/x", None),
        ("PATCH", "/v2/callboard/dead_letters", {"action": "purge", "ids": ["x"]}),
        ("PUT", f"/v2/accounts/{OTHER}/webhooks/h/test", {}),
        ("PUT", f"/v2/accounts/{OTHER}/webhooks/h/replay", {"attempt_id": "x"}),
    ],
)
def test_an_account_may_not(api, method, path, data):
    token = add_token(api.store, PARENT, "a page", time.time()).text
    assert api.call(method, path, data, token=token).status_code == 403
    assert api.call(method, path, data, token=None).status_code == 401
    assert api.backend.asked == []


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"action": "burn", "ids": ["x"]},
        {"action": "purge", "ids": []},
        {"action": "purge", "ids": [1]},
        {"action": "retry", "ids": ["x"] * (admin.IDS_LIMIT + 1)},
    ],
)
def test_letters_are_named_and_not_too_many(api, data):
    assert api.call("PATCH", "/v2/callboard/dead_letters", data).status_code == 400
    assert api.backend.asked == []


def test_letters_that_are_refused_stay_with_their_reason(api):
    api.backend.answers[admin.RetryDeadLetters] = admin.DeadLettersRetried(
        ("a",), (("b", "its hook is gone"),)
    )
    answer = api.data("PATCH", "/v2/callboard/dead_letters", {"action": "retry", "ids": ["a", "b"]})
    assert answer == {"done": ["a"], "refused": {"b": "its hook is gone"}}
