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


def test_one_attempt_has_an_address_of_its_own(api):
    created = gregorian(2026, 2, 3)
    hook = api.add_hook()["id"]
    save(api, "a1", created, hook=hook, pvt_duration_ms=12)
    path = f"/v2/accounts/{PARENT}/webhooks"
    (listed,) = api.data(
        "GET", f"{path}/{hook}/attempts?created_from={created}&created_to={created}"
    )
    assert (listed["id"], listed["duration_ms"]) == ("202602/a1", 12)
    assert api.data("GET", f"{path}/{hook}/attempts/{listed['id']}") == listed
    for wrong in ("202602/a2", "202601/a1", "2026/a1", "x/a1"):
        assert api.call("GET", f"{path}/{hook}/attempts/{wrong}").status_code == 404
    assert api.call("GET", f"{path}/other/attempts/202602/a1").status_code == 404
    theirs = f"/v2/accounts/{OTHER}/webhooks/{hook}/attempts/202602/a1"
    assert api.call("GET", theirs).status_code == 404


def test_a_hook_has_statistics_of_a_period(api):
    begin = gregorian(2026, 2, 3)
    for n, (result, took) in enumerate(
        [("success", 10), ("failure", 900), ("success", 30), ("cancelled", None)]
    ):
        save(api, f"a{n}", begin + n * 3600, result=result, pvt_duration_ms=took)
    save(api, "other", begin, hook="i", result="failure")
    path = f"/v2/accounts/{PARENT}/webhooks/h/statistics"
    found = api.data(
        "GET", f"{path}?created_from={begin}&created_to={begin + 4 * 3600 - 1}&steps=2"
    )
    assert found == {
        "succeeded": 2,
        "failed": 1,
        "p50_ms": 30,
        "p90_ms": 900,
        "p99_ms": 900,
        "since": begin,
        "until": begin + 4 * 3600 - 1,
        "steps": [
            {"at": begin, "succeeded": 1, "failed": 1, "p50_ms": 10, "p90_ms": 900, "p99_ms": 900},
            {
                "at": begin + 7200,
                "succeeded": 1,
                "failed": 0,
                "p50_ms": 30,
                "p90_ms": 30,
                "p99_ms": 30,
            },
        ],
    }


def test_statistics_are_of_the_last_day_unless_said_otherwise(api):
    now = gregorian_s(time.time())
    for age in (60, 23 * 3600, 25 * 3600):
        save(api, f"a{age}", now - age)
    found = api.data("GET", f"/v2/accounts/{PARENT}/webhooks/h/statistics")
    assert (found["failed"], len(found["steps"])) == (2, 24)
    assert 86_400 <= found["until"] - found["since"] <= 86_410


@pytest.mark.parametrize("steps", [1, 200])
def test_statistics_have_up_to_two_hundred_steps(api, steps):
    path = f"/v2/accounts/{PARENT}/webhooks/h/statistics?steps={steps}"
    assert len(api.data("GET", path)["steps"]) == steps


@pytest.mark.parametrize("steps", ["0", "201", "x", ""])
def test_steps_that_are_none_are_refused(api, steps):
    answer = api.call("GET", f"/v2/accounts/{PARENT}/webhooks/h/statistics?steps={steps}")
    assert (answer.status_code, list(answer.json()["data"])) == (400, ["steps"])


def test_statistics_of_very_many_attempts_begin_later(api):
    begin = gregorian(2026, 2, 3)
    for n in range(17):
        save(api, f"a{n}", begin + n // 2, req_body="x" * 1_000_000)
    path = f"/v2/accounts/{PARENT}/webhooks/h/statistics"
    found = api.data("GET", f"{path}?created_from={begin}&created_to={begin + 9}")
    assert (found["failed"], found["since"]) == (17, begin)
    save(api, "one more", begin + 9, req_body="x")
    found = api.data("GET", f"{path}?created_from={begin}&created_to={begin + 9}")
    assert (found["failed"], found["since"]) == (16, begin + 1)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("e1", "a"),
        ("order-7", "ba"),
        ('"order": "order-7"', "a"),
        ("Order-7", ""),
        ("e", "cba"),
        ("", "dcba"),
        ("€", "c"),
    ],
)
def test_attempts_are_found_by_their_event_or_by_a_text_of_it(api, text, found):
    begin = gregorian(2026, 2, 3)
    save(api, "a", begin, event_id="e1", req_body='{"order": "order-7"}')
    save(api, "b", begin + 1, event_id="x", req_body="", hook="i", pvt_req_query="order=order-7")
    save(api, "c", begin + 2, event_id="y", req_body="12 €; three")
    save(api, "d", begin + 3, event_id="e1x", resp_body="order-7 e")
    period = {"created_from": begin, "created_to": begin + 9}
    answer = api.call("GET", ATTEMPTS, params=period | ({"text": text} if text else {}))
    assert "".join(one["id"][-1] for one in answer.json()["data"]) == found
