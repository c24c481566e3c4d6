"""Quotas at the API: a clear refusal that names limit and setting; accounts may have their own."""

import sys
from collections import Counter

import pytest

from callboard import admin
from callboard.actors.messages import RefusedByActor
from callboard.adapters.repositories.tokens import add_token
from callboard.adapters.store.protocol import StoreUnavailable
from callboard.config.settings import ApiSettings, QuotaSettings, Settings
from callboard.web.access.account_quotas import AccountQuotas
from callboard.web.access.quota_reports import QuotaReports
from callboard.web.documents.hook_documents import hook_schema
from callboard.web.documents.schema_check import checked
from callboard.webhooks.hooks.quotas import Quotas
from callboard.webhooks.values.kazoo_names import account_database
from support.api import CHILD, PARENT, Api, whole_system
from support.stores import Meddled, refuse

HOOKS = f"/v2/accounts/{PARENT}/webhooks"
HOOK = {"name": "n", "uri": "https://hooks.example.com/a", "hook": "channel_create"}
FEW = QuotaSettings(
    hooks=2, hook_bytes=400, custom_data_bytes=60, custom_data_members=3, events_per_s=2
)


@pytest.fixture
def api(tmp_path):
    api = Api(tmp_path, Settings(quotas=FEW, api=ApiSettings(events=True)))
    yield api
    api.store.close()


def own_quotas(api, account, **quotas):
    database = account_database(account)
    api.store.ensure_database(database)
    api.store.save(database, {"_id": "configs_webhooks", "quotas": quotas})


def test_an_account_has_so_many_hooks(api):
    first, _second = api.add_hook(), api.add_hook(enabled=False)
    answer = api.call("PUT", HOOKS, HOOK)
    assert (answer.status_code, answer.json()["message"]) == (409, "quota_exceeded")
    assert answer.json()["data"] == {
        "message": "the account has 2 hooks: quotas.hooks allows 2",
        "setting": "quotas.hooks",
        "limit": 2,
    }
    api.add_hook(CHILD)
    api.data("DELETE", f"{HOOKS}/{first['id']}")
    api.add_hook()


def test_an_account_may_have_more(api):
    own_quotas(api, PARENT, hooks=3, custom_data_members=4)
    for _ in range(3):
        api.add_hook(custom_data={str(n): "x" for n in range(4)})
    answer = api.call("PUT", HOOKS, HOOK)
    assert answer.json()["data"]["limit"] == 3


@pytest.mark.parametrize(
    ("custom_data", "setting", "limit"),
    [
        ({str(n): "x" for n in range(4)}, "quotas.custom_data_members", 3),
        ({"a": "x" * 60}, "quotas.custom_data_bytes", 60),
    ],
)
def test_a_hook_too_large_is_no_hook(api, custom_data, setting, limit):
    hook = f"{HOOKS}/{api.add_hook(custom_data={'a': 'x'})['id']}"
    for method, path, data in (
        ("PUT", HOOKS, HOOK | {"custom_data": custom_data}),
        ("POST", hook, HOOK | {"custom_data": custom_data}),
        ("PATCH", hook, {"custom_data": custom_data}),
    ):
        answer = api.call(method, path, data)
        assert answer.status_code == 400
        assert answer.json()["message"] == "validation error"
        found = answer.json()["data"]["custom_data"]["quota"]
        assert (found["setting"], found["target"]) == (setting, limit)
        assert f"{setting} allows {limit}" in found["message"]
    assert api.data("GET", hook)["custom_data"] == {"a": "x"}


def test_a_hook_with_a_long_name_is_no_hook(api):
    answer = api.call("PUT", HOOKS, HOOK | {"name": "x" * 400})
    assert answer.json()["data"]["hook"]["quota"]["setting"] == "quotas.hook_bytes"


def test_a_stored_hook_above_a_quota_may_be_changed_but_not_grow(api):
    own_quotas(api, PARENT, custom_data_members=9, custom_data_bytes=500)
    hook = f"{HOOKS}/{api.add_hook(custom_data={str(n): '' for n in range(9)})['id']}"
    config = api.store.get(account_database(PARENT), "configs_webhooks")
    api.store.save(account_database(PARENT), config | {"quotas": {}})
    assert api.data("PATCH", hook, {"enabled": False})["enabled"] is False
    assert api.data("PATCH", hook, {"name": "other"})["name"] == "other"
    more = {str(n): "" for n in range(10)}
    assert api.call("PATCH", hook, {"custom_data": more}).status_code == 400
    api.data("PATCH", hook, {"custom_data": {}})


# Posted events


def post(api, account, token=None):
    event = {"name": "order.paid", "account_id": account, "payload": {}}
    return api.call("POST", "/v2/events", event, **({"token": token} if token else {}))


def test_an_account_posts_so_many_events_a_second(api):
    statuses = [post(api, PARENT).status_code for _ in range(20)]
    assert statuses[:2] == [202, 202]
    assert 429 in statuses
    answer = post(api, PARENT)
    while answer.status_code != 429:  # The machine was so slow that it may post again.
        answer = post(api, PARENT)
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["data"]["setting"] == "quotas.events_per_s"
    assert "quotas.events_per_s allows 2" in answer.json()["data"]["message"]
    assert post(api, CHILD).status_code == 202


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def test_events_are_allowed_again_with_time(api):
    clock = Clock()
    quotas = AccountQuotas(api.store, Quotas(events_per_s=2), clock)
    assert [quotas.may_post(PARENT) for _ in range(3)] == [True, True, False]
    clock.now += 0.4
    assert not quotas.may_post(PARENT)
    clock.now += 0.1
    assert [quotas.may_post(PARENT) for _ in range(2)] == [True, False]
    clock.now += 3600
    assert [quotas.may_post(PARENT) for _ in range(3)] == [True, True, False]


def test_more_events_than_those_of_a_second_may_come_in_one_post(api):
    clock = Clock()
    quotas = AccountQuotas(api.store, Quotas(events_per_s=2), clock)
    assert quotas.may_post(PARENT, 5)
    clock.now += 1
    assert not quotas.may_post(PARENT)
    clock.now += 1
    assert [quotas.may_post(PARENT) for _ in range(2)] == [True, False]


def test_what_an_account_has_posted_counts_also_after_its_quotas_are_read_again(api):
    clock = Clock()
    quotas = AccountQuotas(api.store, Quotas(events_per_s=2), clock)
    quotas.of(PARENT)
    clock.now += 30
    assert quotas.may_post(PARENT, 2)
    quotas.of(PARENT)
    assert not quotas.may_post(PARENT)


def test_quotas_are_read_again_in_time(api):
    clock = Clock()
    quotas = AccountQuotas(api.store, Quotas(requests=4), clock)
    assert quotas.of(PARENT).requests == 4
    own_quotas(api, PARENT, requests=7)
    clock.now += 29
    assert quotas.of(PARENT).requests == 4
    clock.now += 1
    assert quotas.of(PARENT).requests == 7
    assert quotas.known(PARENT).requests == 7


def test_quotas_are_fresh_from_when_they_are_read_until_they_are_read_again(api):
    clock = Clock()
    quotas = AccountQuotas(api.store, Quotas(requests=4), clock)
    assert quotas.is_fresh(PARENT) is False
    quotas.of(PARENT)
    clock.now += 29
    assert (quotas.is_fresh(PARENT), quotas.is_fresh(CHILD)) == (True, False)
    clock.now += 1
    assert quotas.is_fresh(PARENT) is False


def test_the_first_post_is_counted_by_the_account_s_own_quota(api):
    own_quotas(api, PARENT, events_per_s=1)
    assert post(api, PARENT).status_code == 202
    answer = post(api, PARENT)
    assert (answer.status_code, answer.json()["data"]["setting"]) == (429, "quotas.events_per_s")


def test_without_the_store_the_quotas_are_those_known(api):
    clock = Clock()
    own_quotas(api, PARENT, events_per_s=1)
    store = Meddled(api.store, get=refuse(StoreUnavailable("away")))
    quotas = AccountQuotas(store, Quotas(events_per_s=3), clock)
    assert quotas.of(PARENT).events_per_s == 3
    assert quotas.of(PARENT).events_per_s == 1


# Test deliveries


@pytest.mark.parametrize(
    ("refusal", "status", "message"),
    [
        (RefusedByActor("full", "quota", "quotas.test_deliveries"), 429, "too_many_requests"),
        (RefusedByActor("full", "busy"), 503, "busy"),
        (RefusedByActor("full", "blocked"), 503, "broker_blocked"),
        (RefusedByActor("off", "setting", "delivery.waiting_index_mb"), 409, "not_on_this_node"),
        (RefusedByActor("other"), 500, "Request failed on the backend"),
    ],
)
def test_a_test_delivery_is_refused_with_the_status_of_the_reason(api, refusal, status, message):
    api.backend.answers |= whole_system()
    hook = f"{HOOKS}/{api.add_hook()['id']}"
    api.backend.answers[admin.TestHook] = refusal
    answer = api.call("PUT", f"{hook}/test")
    assert (answer.status_code, answer.json()["message"]) == (status, message)
    if status != 500:
        assert answer.headers.get("retry-after") == ("5" if status != 409 else None)
        assert answer.json()["data"]["message"] == str(refusal)


# The work of validation


def work_of(check):
    """Calls of Python functions, and faults."""
    calls = Counter()

    def profile(_frame, event, _arg):
        calls[event] += 1

    sys.setprofile(profile)
    try:
        _document, found = check()
    finally:
        sys.setprofile(None)
    return calls["call"], len(found)


@pytest.mark.parametrize("value", [[1], {"a": 1}, None])
def test_wrong_values_cost_a_few_calls_each_and_some_are_listed(value):
    schema = hook_schema(["all"])

    def calls_and_faults(count):
        wrong = HOOK | {"hook": "all", "custom_data": {f"k{n}": value for n in range(count)}}
        return work_of(lambda: checked(wrong, schema))

    few, many = calls_and_faults(1_000), calls_and_faults(5_000)
    assert (few[1], many[1]) == (100, 100)
    assert (many[0] - few[0]) / 4_000 < 8


def test_values_that_are_converted_cost_a_few_calls_each():
    schema = hook_schema(["all"])

    def calls(count):
        numbers = HOOK | {"hook": "all", "custom_data": {f"k{n}": n for n in range(count)}}
        return work_of(lambda: checked(numbers, schema))[0]

    assert (calls(5_000) - calls(1_000)) / 4_000 < 12


def test_a_patch_with_very_many_wrong_values_is_answered_briefly(api):
    hook = f"{HOOKS}/{api.add_hook()['id']}"
    wrong = {f"k{n}": [n] for n in range(60_000)}
    answer = api.call("PATCH", hook, {"custom_data": wrong})
    assert answer.status_code == 400
    assert len(answer.json()["data"]) == 100
    assert answer.json()["data"]["custom_data.k0"]["type"] == {
        "message": "Value did not match type(s): string",
        "target": "string",
        "value": [0],
    }
    assert len(answer.content) < 20_000


def test_very_many_unknown_members_are_answered_briefly(api):
    unknown = {f"k{n}": n for n in range(10_000)}
    answer = api.call("POST", "/v2/events", unknown)
    assert (answer.status_code, len(answer.json()["data"])) == (400, 100)


def test_an_account_token_is_counted_for_its_account(api):
    token = add_token(api.store, PARENT, "n", 0).text
    api.data("GET", HOOKS, token=token)
    assert api.app.state.admission.tokens.account_of(token) == PARENT
    api.call("GET", HOOKS, token="wrong")
    assert api.app.state.admission.tokens.account_of("wrong") is None


def reported(api):
    return [(e.name, e.account_id, e.data["setting"]) for e in api.backend.reported]


def test_a_quota_that_refuses_is_reported_once_an_hour(api):
    for number in range(4):
        api.call("PUT", HOOKS, {**HOOK, "name": f"n{number}"})
    assert reported(api) == [("account.quota", PARENT, "quotas.hooks")]
    event = {"name": "e", "account_id": CHILD, "payload": {}}
    for _time in range(5):
        api.call("POST", "/v2/events", event)
    assert reported(api)[1:] == [("account.quota", CHILD, "quotas.events_per_s")]


def test_reports_of_quotas_are_told_apart_by_hour_account_and_setting():
    events, now = [], [1_790_000_000.0]
    reports = QuotaReports(events.extend, lambda: now[0])
    reports.refused("a", "quotas.hooks", "why")
    reports.refused("a", "quotas.hooks", "why")
    reports.refused("b", "quotas.hooks", "why")
    reports.refused("a", "quotas.requests", "why")
    reports.refused("a", "api.events", "no quota")
    assert len(events) == len({event.id for event in events}) == 3
    now[0] += 3600
    reports.refused("a", "quotas.hooks", "why")
    assert len(events) == 4


def test_ten_thousand_reports_are_remembered():
    events = []
    reports = QuotaReports(events.extend, lambda: 1_790_000_000.0)
    for number in range(10_001):
        reports.refused(str(number), "quotas.hooks", "why")
    for number in (1, 10_000, 0):
        reports.refused(str(number), "quotas.hooks", "why")
    assert [event.account_id for event in events[10_001:]] == ["0"]


def test_the_report_that_was_made_longest_ago_is_forgotten_first():
    events, now = [], [1_790_000_000.0]
    reports = QuotaReports(events.extend, lambda: now[0])
    for number in range(10_000):
        reports.refused(str(number), "quotas.hooks", "why")
    now[0] += 3600
    for account in ("0", "new", "0", "1"):
        reports.refused(account, "quotas.hooks", "why")
    assert [event.account_id for event in events[10_000:]] == ["0", "new", "1"]
    now[0] -= 3600
    for account in ("3", "2"):
        reports.refused(account, "quotas.hooks", "why")
    assert [event.account_id for event in events[10_003:]] == ["2"]


def test_the_quotas_of_ten_thousand_accounts_are_remembered():
    class Store:
        def get(self, *_place):
            return None

    quotas = AccountQuotas(Store(), Quotas(), Clock())
    for number in range(10_001):
        quotas.of(str(number))
    assert [quotas.is_fresh(known) for known in ("0", "1", "10000")] == [False, True, True]
