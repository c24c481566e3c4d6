"""What the operator sees over all accounts, and does."""

import pytest

from callboard import admin
from callboard.actors.messages import ReencryptSecrets, RefusedByActor, SecretsReencrypted
from callboard.adapters.store.protocol import Row
from callboard.config.settings import ApiSettings, Settings
from callboard.supervision import GetTree
from support.api import CHILD, OTHER, PARENT, Api, whole_system
from support.metrics import unready
from support.stores import Meddled

HOOKS = "/v2/callboard/hooks"
DO = "/v2/callboard/maintenance"


@pytest.fixture
def api(api):
    api.backend.answers |= whole_system()
    return api


def pages(api, path, size):
    found, key = [], ""
    while key is not None:
        body = api.call("GET", f"{path}&page_size={size}{key}").json()
        found += [one["id"] for one in body["data"]]
        more = body.get("next_start_key")
        key = None if more is None else f"&start_key={more}"
    return found


@pytest.mark.parametrize("size", [1, 2, 50])
@pytest.mark.parametrize("ascending", ["true", "false"])
def test_hooks_of_all_accounts_are_found(api, size, ascending):
    made = {
        name: api.add_hook(account, uri=f"https://{name}.example/", hook=event, enabled=enabled)
        for name, account, event, enabled in [
            ("one", PARENT, "channel_create", True),
            ("two", CHILD, "channel_create", False),
            ("three", CHILD, "sms", True),
        ]
    }
    names = {hook["id"]: name for name, hook in made.items()}

    def found(query=""):
        path = f"{HOOKS}?ascending={ascending}{query}"
        return {names[id] for id in pages(api, path, size)}

    every = [names[id] for id in pages(api, f"{HOOKS}?ascending={ascending}", size)]
    assert sorted(every) == ["one", "three", "two"]
    assert found(f"&account_id={CHILD}") == {"two", "three"}
    assert found("&event=channel_create") == {"one", "two"}
    assert found("&enabled=false") == {"two"}
    assert found("&enabled=true") == {"one", "three"}
    assert found("&enabled=") == {"one", "two", "three"}
    for other in ("perhaps", "no", "False", "0"):
        refused = api.call("GET", f"{HOOKS}?enabled={other}")
        assert (refused.status_code, list(refused.json()["data"])) == (400, ["enabled"])
    assert found("&uri=ONE.ex") == {"one"}
    assert found("&uri=nowhere") == set()
    shown = api.data("GET", f"{HOOKS}/{made['two']['id']}")
    assert (shown["account_id"], shown["uri"]) == (CHILD, "https://two.example/")
    assert api.call("GET", f"{HOOKS}/none").status_code == 404


def test_a_search_finds_no_text_in_what_a_hook_lacks(api):
    bare = {"_id": "h", "pvt_type": "webhook", "pvt_account_id": PARENT, "uri": "https://a.b/"}
    api.store.save("webhooks", bare)
    api.store.save("webhooks", {k: v for k, v in bare.items() if k != "uri"} | {"_id": "g"})
    assert [hook["id"] for hook in api.data("GET", HOOKS)] == ["h", "g"]
    assert [hook["id"] for hook in api.data("GET", f"{HOOKS}?text=a.b")] == ["h"]
    assert api.data("GET", f"{HOOKS}?text=x") == api.data("GET", f"{HOOKS}?uri=x") == []


def test_hooks_are_searched_sorted_and_counted(api):
    made = {
        name: api.add_hook(account, name=name, uri=f"https://{name}.example/", hook=event)["id"]
        for name, account, event in [
            ("b", PARENT, "channel_create"),
            ("C", CHILD, "sms"),
            ("a", CHILD, "channel_create"),
        ]
    }
    names = {id: name for name, id in made.items()}

    def found(query):
        return [names[id] for id in pages(api, f"{HOOKS}?{query}", 1)]

    assert found("sort=name&ascending=true") == ["a", "b", "C"]
    assert found("sort=name") == ["C", "b", "a"]
    assert found("sort=uri&ascending=true&event=channel_create") == ["a", "b"]
    assert set(found("sort=hook&ascending=true")[:2]) == {"a", "b"}
    for text in ("C.EXAMPLE", "sms", made["C"].upper()):
        assert found(f"text={text}") == ["C"]
    assert sorted(found(f"text={CHILD}")) == ["C", "a"]
    assert api.data("GET", f"{HOOKS}/count") == {"count": 3, "more": False}
    assert api.data("GET", f"{HOOKS}/count?text=sms")["count"] == 1
    assert api.data("GET", f"{HOOKS}/count?account_id={CHILD}&enabled=false")["count"] == 0
    api.store.save("webhooks", {"_id": "h", "pvt_type": "webhook", "pvt_account_id": PARENT})
    names["h"] = ""
    assert found("sort=name&ascending=true") == ["", "a", "b", "C"]
    for query in ("sort=id", "sort=name&start_key=WzFd"):
        assert api.call("GET", f"{HOOKS}?{query}").status_code == 400
    (shown,) = api.data("GET", f"{HOOKS}?text=sms")
    assert shown["created"] == shown["modified"] > 63_000_000_000
    api.data("PATCH", f"/v2/accounts/{CHILD}/webhooks/{made['C']}", {"paused": True})
    assert api.data("GET", f"{HOOKS}?text=sms")[0]["paused"] is True


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("", 51),
        ("page_size=9", 10),
        ("page_size=999", 1000),
        ("page_size=1000", 1000),
        ("paginate=false", 1000),
        (f"account_id={PARENT}", 51),
        ("event=sms", 1000),
        ("enabled=true", 1000),
        ("uri=a", 1000),
        ("text=a", 1000),
        ("sort=name", 1000),
    ],
)
def test_a_page_reads_one_row_beyond_it_and_a_search_as_many_as_may_be_at_once(
    api, rows_read, query, rows
):
    api.data("GET", f"{HOOKS}?{query}")
    assert rows_read == [rows]


@pytest.mark.parametrize(("count", "status"), [(20_000, 200), (20_001, 400)])
def test_so_many_hooks_are_sorted_and_no_more(api, count, status):
    class Many(Meddled):
        def view(self, *_place, **_options):
            return iter([Row("h", [PARENT, "h"], {"name": "n"})] * count)

    api.backend.store = Many(api.store)
    answer = api.call("GET", f"{HOOKS}?sort=name&page_size=1")
    assert answer.status_code == status
    if status == 400:
        message = "there are more than 20000 hooks, which are not sorted"
        assert answer.json()["data"] == {
            "sort": {"maximum": {"message": message, "target": 20_000}}
        }


def test_tree_health_figures_and_endpoints_are_shown(api):
    assert api.data("GET", "/v2/callboard/tree")["actor"] == "WebhooksSupervisor"
    assert api.backend.asked == [("", GetTree())]
    health = api.data("GET", "/v2/callboard/health")
    assert health == unready("api is restarting").as_plain()
    assert api.data("GET", "/v2/callboard/figures")["totals"] == {"events": 7}
    (endpoint,) = api.data("GET", "/v2/callboard/endpoints")
    assert (endpoint["circuit"], endpoint["waiting"]) == ("open", 2)
    assert (endpoint["error"], endpoint["failing_s"]) == ("timeout", 40)
    problems = api.data("GET", f"{HOOKS}/problems")
    assert problems["problems"] == [{"account_id": PARENT, "hook_id": "h", "reason": "no uri"}]
    api.backend.answers.clear()
    assert api.call("GET", "/v2/callboard/figures").status_code == 503


def test_a_circuit_is_closed_by_all_deliverers(api):
    path = "/v2/callboard/endpoints/close"
    closed = api.data("POST", path, {"endpoint": "https://a.example"})
    assert closed == {"endpoint": "https://a.example", "closed": 2}
    close = admin.CloseCircuit("https://a.example")
    assert api.backend.asked == [
        ("", GetTree()),
        ("deliveries/deliverer-1", close),
        ("deliveries/deliverer-2", close),
    ]
    assert api.call("POST", path, {"endpoint": "https://b.example"}).status_code == 404
    for wrong in ({}, {"endpoint": 7}, {"endpoint": "https://a.example", "x": 1}):
        assert api.call("POST", path, wrong).status_code == 400


def test_settings_are_shown_without_secrets(tmp_path):
    secret = "s3cret-of-the-administrator"
    api = Api(tmp_path, Settings(api=ApiSettings(admin_token=secret)))
    answer = api.call("GET", "/v2/callboard/settings")
    shown = {one["key"]: one["value"] for one in answer.json()["data"]}
    assert shown["api.port"] == "8000"
    assert shown["api.admin_token"] == "***"
    assert secret not in answer.text


def test_tokens_are_made_listed_and_revoked(api):
    made = api.data("PUT", "/v2/callboard/tokens", {"account_id": OTHER, "name": "portal"})
    path = f"/v2/accounts/{OTHER}/webhooks"
    assert api.call("GET", path, token=made["token"]).status_code == 200
    listed = api.call("GET", f"/v2/callboard/tokens?account_id={OTHER}")
    assert [one["id"] for one in listed.json()["data"]] == [made["id"]]
    assert made["token"] not in listed.text
    assert api.data("GET", f"/v2/callboard/tokens?account_id={CHILD}") == []
    api.data("DELETE", f"/v2/callboard/tokens/{made['id']}")
    assert api.call("GET", path, token=made["token"]).status_code == 401
    assert api.call("DELETE", f"/v2/callboard/tokens/{made['id']}").status_code == 404
    assert api.call("PUT", "/v2/callboard/tokens", {"name": "x"}).status_code == 400
    assert api.data("PUT", "/v2/callboard/tokens", {"account_id": OTHER})["name"] == ""


def test_a_command_becomes_its_message(api):
    def last():
        return api.backend.asked[-1]

    api.data("POST", f"{DO}/set_failure_expiry", {"expiry_ms": "5000", "account": CHILD})
    assert last() == ("maintenance", admin.SetFailureExpiry(5000, CHILD))
    api.data("POST", f"{DO}/flush-hook-failures", {"account": CHILD, "hook_id": "h"})
    assert last() == ("maintenance", admin.FlushHookFailures(CHILD, "h"))
    api.data("POST", f"{DO}/clean_up_orphans", {"delete": False})
    assert last() == ("maintenance", admin.CleanUpOrphans(delete=False))
    api.data("POST", f"{DO}/reset_hook_definition", {"definition": "webhooks_sms"})
    assert last() == ("maintenance", admin.ResetHookDefinition("webhooks_sms"))


ACCOUNT = {"account": CHILD}


@pytest.mark.parametrize(
    ("command", "data", "message", "paged"),
    [
        ("hooks_configured", {}, admin.HooksConfigured(), True),
        ("hooks_configured", ACCOUNT, admin.HooksConfigured(CHILD), True),
        ("failure_status", ACCOUNT, admin.FailureStatus(CHILD), True),
        ("set_failure_expiry", {"expiry_ms": 1}, admin.SetFailureExpiry(1), False),
        ("set_failure_expiry", {"expiry_ms": 1} | ACCOUNT, admin.SetFailureExpiry(1, CHILD), False),
        ("set_disable_threshold", {"count": 3}, admin.SetDisableThreshold(3), False),
        ("set_disable_threshold", {"count": 3} | ACCOUNT, admin.SetDisableThreshold(3, CHILD), 0),
        ("enable_account_hooks", ACCOUNT, admin.EnableAccountHooks(CHILD), True),
        ("enable_descendant_hooks", ACCOUNT, admin.EnableDescendantHooks(CHILD), True),
        ("flush_account_failures", ACCOUNT, admin.FlushAccountFailures(CHILD), False),
        (
            "flush_hook_failures",
            {"hook_id": "h"} | ACCOUNT,
            admin.FlushHookFailures(CHILD, "h"),
            False,
        ),
        ("register_views", {}, admin.RegisterViews(), True),
        ("reset_hook_definitions", {}, admin.ResetHookDefinitions(), False),
        (
            "reset_hook_definition",
            {"definition": "webhooks_sms"},
            admin.ResetHookDefinition("webhooks_sms"),
            False,
        ),
        ("clean_up_orphans", {}, admin.CleanUpOrphans(), True),
        ("clean_up_orphans", {"delete": True}, admin.CleanUpOrphans(delete=True), True),
    ],
)
def test_each_command_asks_maintenance_and_the_paged_ones_have_pages(
    api, command, data, message, paged
):
    answer = api.call("POST", f"{DO}/{command}", data)
    assert answer.status_code == 200, answer.text
    assert api.backend.asked == [("maintenance", message)]
    assert ("page_size" in answer.json()) is bool(paged)


@pytest.mark.parametrize(
    ("command", "lacks"),
    [
        ("set_failure_expiry", "expiry_ms"),
        ("set_disable_threshold", "count"),
        ("enable_account_hooks", "account"),
        ("enable_descendant_hooks", "account"),
        ("flush_account_failures", "account"),
        ("reset_hook_definition", "definition"),
    ],
)
def test_what_a_command_needs(api, command, lacks):
    answer = api.call("POST", f"{DO}/{command}", {})
    assert (answer.status_code, list(answer.json()["data"])) == (400, [lacks])
    assert api.backend.asked == []


def test_a_command_goes_on_where_its_page_ended(api):
    page = api.call("POST", f"{DO}/failure_status", {}).json()
    assert page["data"] == {"hooks": [{"account_id": PARENT, "hook_id": "h", "count": 2}]}
    assert page["page_size"] == 1
    api.call("POST", f"{DO}/failure_status?start_key={page['next_start_key']}", {})
    assert api.backend.asked[-1][1].after == ("a", "b")
    api.backend.answers[ReencryptSecrets] = SecretsReencrypted(3, (), "h9")
    page = api.call("POST", f"{DO}/reencrypt_secrets", {}).json()
    api.call("POST", f"{DO}/reencrypt_secrets?start_key={page['next_start_key']}", {})
    assert api.backend.asked[-1] == ("hook_listener", ReencryptSecrets("h9"))
    api.call("POST", f"{DO}/reencrypt_secrets?start_key=W10", {})  # An empty list.
    assert api.backend.asked[-1] == ("hook_listener", ReencryptSecrets(""))


@pytest.mark.parametrize(
    ("command", "data", "status"),
    [
        ("set_failure_expiry", {}, 400),
        ("set_failure_expiry", {"expiry_ms": "soon"}, 400),
        ("set_disable_threshold", {"count": 0}, 400),
        ("flush_account_failures", {"account": "a/b"}, 400),
        ("clean_up_orphans", {"delte": False}, 400),
        ("clean_up_orphans", {"delete": "no"}, 400),
        ("reset_hook_definition", {"definition": "teapot"}, 400),
        ("reset-hook-definition", {"definition": "teapot"}, 400),
        ("make_tea", {}, 404),
    ],
)
def test_a_command_that_cannot_be_is_asked_of_nobody(api, command, data, status):
    assert api.call("POST", f"{DO}/{command}", data).status_code == status
    assert api.backend.asked == []


def test_a_message_is_published_as_it_is(api):
    message = {"exchange": "shop", "routing_key": "order.1.paid", "body": {"a": 1}}
    assert api.call("POST", "/v2/callboard/publish", message).status_code == 202
    assert api.backend.published == [("shop", "order.1.paid", b'{"a": 1}', "application/json")]
    api.backend.unroutable = 1
    assert api.call("POST", "/v2/callboard/publish", message).status_code == 409
    api.backend.broker = RefusedByActor("the broker did not take it: NOT_FOUND")
    answer = api.call("POST", "/v2/callboard/publish", message)
    assert (answer.status_code, answer.json()["message"]) == (503, "broker_unreachable")


@pytest.mark.parametrize("name", ["exchange", "routing_key"])
@pytest.mark.parametrize(
    ("text", "status"), [("k" * 255, 202), ("k" * 256, 400), ("é" * 127, 202), ("é" * 128, 400)]
)
def test_a_name_on_the_bus_has_255_bytes_at_most(api, name, text, status):
    message = {"exchange": "shop", "routing_key": "k", "body": {}} | {name: text}
    answer = api.call("POST", "/v2/callboard/publish", message)
    assert answer.status_code == status
    if status == 400:
        assert answer.json()["data"][name]["maxLength"]["target"] == 255
    assert len(api.backend.published) == (status == 202)


def test_the_answers_of_publishing(api):
    message = {"exchange": "shop", "routing_key": "k", "body": {}}
    assert api.data("POST", "/v2/callboard/publish", message) == {"published": 1}
    for wrong, member in (
        ({"exchange": 1}, "exchange"),
        ({"routing_key": None}, "routing_key"),
        ({"body": "text"}, "body"),
        ({"headers": {}}, "headers"),
    ):
        answer = api.call("POST", "/v2/callboard/publish", message | wrong)
        assert (answer.status_code, list(answer.json()["data"])) == (400, [member])
    api.backend.unroutable = 1
    answer = api.call("POST", "/v2/callboard/publish", message).json()
    assert (answer["message"], answer["data"]) == (
        "event_unroutable",
        {"message": "the message reached no queue"},
    )


def test_a_faulty_argument_is_named(api):
    answer = api.call("PUT", "/v2/callboard/tokens", {"account_id": "a/b"})
    assert (answer.status_code, list(answer.json()["data"])) == (400, ["account_id"])
    answer = api.call("POST", f"{DO}/reset_hook_definition", {"definition": "teapot"})
    assert (answer.status_code, list(answer.json()["data"])) == (400, ["definition"])


def test_a_hook_is_found_by_its_name_and_listed_with_its_account(api):
    api.add_hook(PARENT)
    made = api.add_hook(CHILD, name="Zebra")
    (found,) = api.data("GET", f"{HOOKS}?text=zebra")
    assert (found["id"], found["account_id"]) == (made["id"], CHILD)


def test_a_token_is_refused_with_a_member_that_it_has_not(api):
    answer = api.call("PUT", "/v2/callboard/tokens", {"account_id": OTHER, "nam": "portal"})
    assert (answer.status_code, list(answer.json()["data"])) == (400, ["nam"])


def test_tokens_are_paged_and_one_that_is_revoked_is_shown_as_deleted(api):
    tokens = "/v2/callboard/tokens"
    made = [api.data("PUT", tokens, {"account_id": OTHER, "name": n})["id"] for n in "abc"]
    assert pages(api, f"{tokens}?x=", 2) == sorted(made)
    gone = api.data("DELETE", f"{tokens}/{made[0]}")
    assert (gone["id"], gone["name"], gone["_read_only"]) == (made[0], "a", {"deleted": True})
    assert pages(api, f"{tokens}?x=", 1) == sorted(made[1:])


def test_the_modules_are_shown_with_their_bindings(api):
    modules = {module["id"]: module for module in api.data("GET", "/v2/callboard/modules")}
    assert modules["channel_create"] == {
        "id": "channel_create",
        "name": "Channel Create",
        "description": "Fires when a channel is created for a call leg.",
        "events": ["CHANNEL_CREATE"],
        "bindings": [{"exchange": "callevt", "routing_key": "call.CHANNEL_CREATE.*"}],
    }
