"""The API before every document store."""

import time

import pytest

from callboard.adapters.repositories.tokens import add_token, list_tokens, revoke_token
from callboard.adapters.store.views import MODB
from callboard.webhooks.values.kazoo_names import gregorian_s, modb
from support.api import CHILD, PARENT, Api

HOOKS = f"/v2/accounts/{PARENT}/webhooks"


@pytest.fixture
def api(store):
    return Api(store)


def pages(api, path, size):
    key = ""
    while key is not None:
        body = api.call("GET", f"{path}?page_size={size}{key}").json()
        assert body["status"] == "success", body
        yield body["data"]
        more = body.get("next_start_key")
        key = None if more is None else f"&start_key={more}"


def test_hooks_are_created_paged_changed_and_deleted(api):
    made = sorted((api.add_hook(name=f"n{n}")["id"] for n in range(5)), reverse=True)
    api.add_hook(CHILD)
    found = [[hook["id"] for hook in page] for page in pages(api, HOOKS, 2)]
    assert found == [made[:2], made[2:4], made[4:]]
    id = made[0]
    changed = api.call("PATCH", f"{HOOKS}/{id}", {"name": "é"})
    assert changed.json()["data"]["name"] == "é"
    first = api.call("PATCH", f"{HOOKS}/{id}", {}, headers={"If-Match": '"1-x"'})
    assert first.status_code == 412
    api.data("DELETE", f"{HOOKS}/{id}")
    api.data("DELETE", f"{HOOKS}/{made[1]}?should_soft_delete=false")
    assert [hook["id"] for hook in api.data("GET", HOOKS)] == made[2:]


@pytest.mark.parametrize("size", [1, 2, 50])
def test_attempts_are_paged_also_within_one_second(api, store, size):
    created_s = time.time() - 5
    database = modb(PARENT, created_s)
    store.ensure_database(database)
    store.ensure_views(database, MODB)
    hook = api.add_hook()["id"]
    created = gregorian_s(created_s)
    attempt = {"pvt_type": "webhook_attempt", "hook_id": hook, "pvt_created": created}
    ids = [f"{n:032x}" for n in range(5)]
    store.save_many(database, [attempt | {"_id": id, "event_id": id} for id in ids])
    for path in (f"{HOOKS}/attempts", f"{HOOKS}/{hook}/attempts"):
        seen = [one["event_id"] for page in pages(api, path, size) for one in page]
        assert seen == ids[::-1]


def test_tokens_are_good_until_they_are_revoked(api, store):
    made = add_token(store, PARENT, "portal", time.time())
    for account in (PARENT, CHILD):
        path = f"/v2/accounts/{account}/webhooks"
        assert api.call("GET", path, token=made.text).status_code == 200
    assert made.facts in list_tokens(store, PARENT)
    revoke_token(store, made.facts.id)
    assert api.call("GET", HOOKS, token=made.text).status_code == 401
