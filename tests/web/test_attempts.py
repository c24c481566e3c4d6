"""The attempts of hooks, over several monthly databases."""

import time
from datetime import UTC, datetime

import pytest

from callboard.adapters.store.views import MODB
from callboard.webhooks.values.kazoo_names import GREGORIAN_OFFSET_S, gregorian_s, modb
from support.api import OTHER, PARENT

ATTEMPTS = f"/v2/accounts/{PARENT}/webhooks/attempts"


def gregorian(*date):
    return int(datetime(*date, tzinfo=UTC).timestamp()) + GREGORIAN_OFFSET_S


def save(api, id, created, hook="h", account=PARENT, **fields):
    database = modb(account, created - GREGORIAN_OFFSET_S)
    if api.store.ensure_database(database):
        api.store.ensure_views(database, MODB)
    document = {
        "_id": id,
        "pvt_type": "webhook_attempt",
        "pvt_account_id": account,
        "pvt_created": created,
        "pvt_modified": created,
        "hook_id": hook,
        "event_id": id,
        "result": "failure",
    }
    api.store.save(database, document | fields)


@pytest.fixture
def months(api):
    """Five attempts, two of them in one second, over three months; and one of another account."""
    for id, created in (
        ("a", gregorian(2026, 1, 31, 23, 59, 59)),
        ("b", gregorian(2026, 2, 1)),
        ("c", gregorian(2026, 2, 1)),
        ("d", gregorian(2026, 2, 28)),
        ("e", gregorian(2026, 3, 1)),
    ):
        save(api, id, created, hook="h" if id in "ace" else "i")
    save(api, "x", gregorian(2026, 2, 1), account=OTHER)
    return f"created_from={gregorian(2026, 1, 30)}&created_to={gregorian(2026, 3, 2)}"


def ids(answer):
    return "".join(attempt["event_id"] for attempt in answer.json()["data"])


def test_attempts_of_several_months_come_newest_first(api, months):
    answer = api.call("GET", f"{ATTEMPTS}?{months}")
    assert ids(answer) == "edcba"
    newest = answer.json()["data"][0]
    assert newest == {
        "hook_id": "h",
        "event_id": "e",
        "result": "failure",
        "id": "202603/e",
        "timestamp": gregorian(2026, 3, 1),
    }
    assert answer.json()["page_size"] == 5
    assert ids(api.call("GET", f"{ATTEMPTS}?{months}&ascending=true")) == "abcde"


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("ascending", ["true", "false"])
def test_pages_go_on_exactly_where_the_last_one_ended(api, months, size, ascending):
    seen, key = "", ""
    while key is not None:
        query = f"{months}&ascending={ascending}&page_size={size}{key}"
        answer = api.call("GET", f"{ATTEMPTS}?{query}")
        assert len(ids(answer)) <= size
        seen += ids(answer)
        more = answer.json().get("next_start_key")
        key = None if more is None else f"&start_key={more}"
    assert seen == ("abcde" if ascending == "true" else "edcba")


def test_a_page_of_long_texts_ends_earlier(api):
    """A page of more than one attempt has 16 MB of texts at most."""
    now = gregorian_s(time.time())
    for number, (name, length) in enumerate(
        [
            ("req_body", 9_999_900),
            ("resp_body", 6_000_100),
            ("pvt_req_query", 1),
            ("req_body", 16_000_001),
        ]
    ):
        save(api, "abcd"[number], now - number, **{name: "x" * length})
    seen, key = [], ""
    while key is not None:
        answer = api.call("GET", f"{ATTEMPTS}?page_size=50{key}")
        seen.append(ids(answer))
        more = answer.json().get("next_start_key")
        key = None if more is None else f"&start_key={more}"
    assert seen == ["ab", "c", "d"]
    assert ids(api.call("GET", f"{ATTEMPTS}?filter_event_id=b&paginate=false")) == "b"
    refused = api.call("GET", f"{ATTEMPTS}?paginate=false")
    assert (refused.status_code, list(refused.json()["data"])) == (400, ["paginate"])


def test_filters_are_joined_by_and(api, months):
    assert ids(api.call("GET", f"{ATTEMPTS}?{months}&filter_hook_id=i")) == "db"
    query = f'{months}&filter_hook_id=i&filter_not_event_id=["b","z"]&paginate=false'
    assert ids(api.call("GET", f"{ATTEMPTS}?{query}")) == "d"
    assert ids(api.call("GET", f"{ATTEMPTS}?{months}&has_key=reason")) == ""


def test_attempts_of_one_hook(api):
    hook = api.add_hook()["id"]
    now = gregorian_s(time.time())
    save(api, "m", now, hook=hook, resp_status_code="500")
    save(api, "n", now, hook="another")
    path = f"/v2/accounts/{PARENT}/webhooks/{hook}/attempts"
    assert ids(api.call("GET", path)) == "m"
    assert ids(api.call("GET", ATTEMPTS)) == "nm"
    assert ids(api.call("GET", f"{ATTEMPTS}?filter_resp_status_code=500")) == "m"
    api.data("DELETE", f"/v2/accounts/{PARENT}/webhooks/{hook}")
    assert ids(api.call("GET", path)) == "m"
    assert ids(api.call("GET", f"/v2/accounts/{PARENT}/webhooks/nothing/attempts")) == ""


@pytest.mark.parametrize(
    "query",
    [
        f"created_from={gregorian(2026, 1, 1)}&created_to={gregorian(2026, 3, 1)}",
        f"created_from={gregorian(2026, 3, 2)}&created_to={gregorian(2026, 3, 1)}",
        "created_from=yesterday",
        "created_from=1",
    ],
)
def test_a_span_that_is_too_wide_or_reversed_is_refused(api, query):
    answer = api.call("GET", f"{ATTEMPTS}?{query}")
    assert answer.status_code == 400
    assert "date_range" in answer.json()["data"]["created_from"]


def test_the_longest_span_and_the_page_are_the_clusters_to_set(api, months):
    api.store.ensure_database("system_config")
    section = {"maximum_range": 100 * 86400, "pagination_page_size": 2}
    api.store.save("system_config", {"_id": "crossbar", "default": section})
    query = f"created_from={gregorian(2026, 1, 1)}&created_to={gregorian(2026, 3, 2)}"
    assert ids(api.call("GET", f"{ATTEMPTS}?{query}")) == "ed"


@pytest.mark.parametrize("account", ["acme", "shop-7", "42", "ab", "a"])
def test_accounts_of_other_buses_have_theirs(api, account):
    save(api, "x", gregorian(2026, 2, 1), account=account)
    save(api, "y", gregorian(2026, 2, 1), account=f"{account}0")
    query = f"created_from={gregorian(2026, 1, 30)}&created_to={gregorian(2026, 2, 2)}"
    answer = api.call("GET", f"/v2/accounts/{account}/webhooks/attempts?{query}")
    assert ids(answer) == "x"
    assert api.call("GET", "/v2/accounts/nobody/webhooks/attempts").json()["data"] == []


@pytest.mark.parametrize("key", ["WzFd", "WyJ4Il0", "e30"])
def test_a_start_that_is_none_is_refused(api, key):
    answer = api.call("GET", f"{ATTEMPTS}?start_key={key}")
    assert list(answer.json()["data"]) == ["start_key"]
