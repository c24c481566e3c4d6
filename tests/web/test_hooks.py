"""Hooks through the API, compared with what Crossbar does (cb_webhooks)."""

import base64
import json
import time

import pytest

from callboard.adapters.repositories.tokens import add_token
from callboard.config.settings import KazooSettings, ModuleSettings, Settings
from callboard.webhooks.values.kazoo_names import gregorian_s
from support.api import ADMIN, CHILD, OTHER, PARENT, Api, problems
from support.stores import Meddled

HOOKS = f"/v2/accounts/{PARENT}/webhooks"
HOOK = {"name": "n", "uri": "https://hooks.example.com/a", "hook": "channel_create"}


def test_a_hook_is_created_with_its_defaults_and_told_of(api):
    answer = api.call("PUT", HOOKS, HOOK)
    assert answer.status_code == 201
    body = answer.json()
    assert body["data"] == HOOK | {
        "id": body["data"]["id"],
        "http_verb": "post",
        "format": "form-data",
        "retries": 2,
        "enabled": True,
        "include_internal_legs": True,
    }
    assert answer.headers["location"] == body["data"]["id"]
    assert answer.headers["etag"] == f'"{body["revision"]}"'
    stored = api.store.get("webhooks", body["data"]["id"])
    assert stored["pvt_type"] == "webhook"
    assert stored["pvt_account_id"] == PARENT
    assert stored["_rev"] == body["revision"]
    assert [(c.event, c.document["_id"]) for c in api.backend.told] == [
        ("doc_created", stored["_id"])
    ]


SHOP = ModuleSettings(id="order_paid", exchange="shop", bindings=("#",), account="customer")
USUAL = {"format": "json", "retry_policy": "standard"}


@pytest.fixture
def shop(tmp_path):
    api = Api(tmp_path, Settings(modules=(SHOP,), kazoo=KazooSettings(modules=())))
    yield api
    api.store.close()


def test_a_hook_on_another_bus_has_the_defaults_that_are_usual_there(shop):
    hook = shop.data("PUT", HOOKS, HOOK | {"hook": "order_paid"})
    assert hook["format"] == "json"
    assert hook["retry_policy"] == "standard"
    own = {"format": "form-data", "retry_policy": "kazoo"}
    chosen = shop.data("PUT", HOOKS, HOOK | {"hook": "order_paid"} | own)
    assert {key: chosen[key] for key in own} == own


def test_a_hook_that_an_earlier_version_stored_keeps_what_it_does_until_it_is_replaced(shop):
    old = HOOK | {"_id": "h", "hook": "order_paid", "format": "form-data", "enabled": True}
    shop.store.save("webhooks", old | {"pvt_type": "webhook", "pvt_account_id": PARENT})
    changed = shop.data("PATCH", f"{HOOKS}/h", {"name": "m"})
    assert changed["format"] == "form-data"
    assert "retry_policy" not in changed
    replaced = shop.data("POST", f"{HOOKS}/h", HOOK | {"hook": "order_paid"})
    assert {key: replaced[key] for key in USUAL} == USUAL


def test_without_kazoo_there_are_no_event_types_of_it(shop):
    assert [kind["id"] for kind in shop.data("GET", "/v2/webhooks")] == ["order_paid", "callboard"]
    assert shop.data("GET", "/v2/webhooks/samples") == []
    assert shop.call("GET", "/v2/webhooks/samples/webhooks_object").status_code == 404
    wrong = problems(shop.call("PUT", HOOKS, HOOK))
    assert wrong["hook"]["enum"]["target"] == ["all", "callboard", "order_paid"]


def test_the_envelope_has_what_clients_look_for(api):
    body = api.call("GET", HOOKS, headers={"X-Request-ID": "mine-7"}).json()
    assert body["status"] == "success"
    assert body["request_id"] == "mine-7"
    assert "auth_token" not in body
    assert body["timestamp"].endswith("Z")
    assert body["node"] == api.backend.node.name
    assert body["version"]
    assert (body["data"], body["page_size"]) == ([], 0)
    assert "next_start_key" not in body
    assert api.call("GET", HOOKS, headers={"X-Request-ID": "mine-7"}).headers["x-request-id"] == (
        "mine-7"
    )


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_change_has_its_time(api, method):
    id = api.add_hook()["id"]
    old = api.store.get("webhooks", id)
    api.store.save("webhooks", old | {"pvt_modified": 5, "pvt_created": 5})
    api.data(method, f"{HOOKS}/{id}", HOOK | {"name": "m"})
    stored = api.store.get("webhooks", id)
    assert stored["pvt_modified"] == pytest.approx(gregorian_s(time.time()), abs=60)
    assert stored["pvt_created"] == 5


def test_a_name_that_leads_nowhere_at_the_moment_is_taken_with_a_warning(api):
    api.backend.doubts["https://gone.example.com/"] = "gone.example.com is not known"
    answer = api.call("PUT", HOOKS, HOOK | {"uri": "https://gone.example.com/"})
    assert answer.status_code == 201
    assert answer.json()["warnings"] == ["uri: gone.example.com is not known"]
    assert "warnings" not in api.call("PUT", HOOKS, HOOK).json()


def test_a_warning_comes_with_another_url_only(api):
    uri = "https://gone.example.com/"
    api.backend.doubts[uri] = "gone.example.com is not known"
    hook = f"{HOOKS}/{api.add_hook()['id']}"
    assert "warnings" in api.call("PATCH", hook, {"uri": uri}).json()
    assert "warnings" not in api.call("PATCH", hook, {"name": "m"}).json()
    assert "warnings" not in api.call("POST", hook, HOOK | {"uri": uri}).json()


@pytest.mark.parametrize(
    ("query", "rows"),
    [("", 51), ("page_size=999", 1000), ("page_size=1000", 1000), ("paginate=false", 1000)],
)
def test_a_page_reads_one_row_beyond_it(api, rows_read, query, rows):
    api.data("GET", f"{HOOKS}?{query}")
    assert rows_read == [rows]


def test_private_members_are_dropped(api):
    made = api.add_hook(pvt_account_id=OTHER, _id="mine", pvt_secrets=["x"])
    stored = api.store.get("webhooks", made["id"])
    assert stored["pvt_account_id"] == PARENT
    assert "pvt_secrets" not in stored


def test_a_hook_is_shown_and_not_again_to_whom_has_it(api):
    made = api.add_hook()
    shown = api.call("GET", f"{HOOKS}/{made['id']}")
    assert shown.json()["data"] == made
    etag = shown.headers["etag"]
    again = api.call("GET", f"{HOOKS}/{made['id']}", headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
def test_hooks_of_others_and_other_things_are_not_there(api, method):
    others = api.add_hook(OTHER)["id"]
    gone = api.add_hook()["id"]
    api.data("DELETE", f"{HOOKS}/{gone}")
    api.store.save("webhooks", {"_id": "thing", "pvt_type": "x", "pvt_account_id": PARENT})
    for id in (others, gone, "thing", "nothing"):
        answer = api.call(method, f"{HOOKS}/{id}", HOOK if method in ("POST", "PATCH") else None)
        assert answer.status_code == 404
        assert answer.json()["message"] == "bad_identifier"
        assert answer.json()["data"] == {"message": "bad identifier", "cause": id}


def disabled(api):
    id = api.add_hook(group="g")["id"]
    document = api.store.get("webhooks", id)
    change = {"enabled": False, "pvt_disabled_message": "too many failed attempts"}
    api.store.save("webhooks", document | change | {"pvt_secrets": [{"kept": True}]})
    return id


def test_post_replaces_and_enables_again(api):
    id = disabled(api)
    assert api.data("GET", f"{HOOKS}/{id}")["disable_reason"] == "too many failed attempts"
    posted = api.data("POST", f"{HOOKS}/{id}", HOOK | {"name": "other"})
    assert posted["name"] == "other"
    assert "group" not in posted
    stored = api.store.get("webhooks", id)
    assert stored["enabled"] is True
    assert "pvt_disabled_message" not in stored
    assert stored["pvt_secrets"] == [{"kept": True}]
    assert api.backend.told[-1].event == "doc_edited"


def test_patch_merges_and_keeps_a_disabled_hook_so_if_it_says_so(api):
    id = disabled(api)
    patched = api.data("PATCH", f"{HOOKS}/{id}", {"group": None, "enabled": False, "name": "p"})
    assert (patched["name"], patched["uri"]) == ("p", HOOK["uri"])
    assert "group" not in patched
    assert api.store.get("webhooks", id)["pvt_disabled_message"] == "too many failed attempts"
    # A client may send back what it was shown; it is no part of the document.
    api.data("PATCH", f"{HOOKS}/{id}", {"disable_reason": "x", "id": "y", "enabled": True})
    stored = api.store.get("webhooks", id)
    assert stored.keys().isdisjoint({"disable_reason", "id", "pvt_disabled_message"})
    found = problems(api.call("PATCH", f"{HOOKS}/{id}", {"uri": None}))
    assert list(found) == ["uri"]


def test_delete_is_soft_unless_asked_otherwise(api):
    soft, hard = api.add_hook()["id"], api.add_hook()["id"]
    deleted = api.data("DELETE", f"{HOOKS}/{soft}")
    assert deleted["_read_only"] == {"deleted": True}
    assert api.store.get("webhooks", soft)["pvt_deleted"] is True
    api.data("DELETE", f"{HOOKS}/{hard}?should_soft_delete=false")
    assert api.store.get("webhooks", hard) is None
    assert [c.event for c in api.backend.told[-2:]] == ["doc_deleted", "doc_deleted"]
    assert api.data("GET", HOOKS) == []


@pytest.mark.parametrize(
    ("given", "status", "message"),
    [
        ('"1-old"', 412, "precondition_failed"),
        ('"*"', 412, "precondition_failed"),
        ("*", 200, None),
        ('"{rev}"', 200, None),
        ('"1-old", W/"{rev}"', 200, None),
    ],
)
def test_a_change_of_another_revision_is_refused(api, given, status, message):
    id = api.add_hook()["id"]
    headers = {"If-Match": given.format(rev=api.store.get("webhooks", id)["_rev"])}
    answer = api.call("PATCH", f"{HOOKS}/{id}", {"name": "x"}, headers=headers)
    assert (answer.status_code, answer.json().get("message")) == (status, message)


def test_a_change_that_another_was_faster_than_is_a_conflict(api):
    id = api.add_hook()["id"]

    def faster(database, _document):
        api.store.save(database, api.store.get(database, id) | {"name": "faster"})

    api.backend.store = Meddled(api.store, save=faster)
    answer = api.call("PATCH", f"{HOOKS}/{id}", {"name": "slower"})
    assert (answer.status_code, answer.json()["message"]) == (409, "datastore_conflict")
    assert api.data("GET", f"{HOOKS}/{id}")["name"] == "faster"


def test_the_hooks_of_an_account_are_found_by_text(api):
    ids = {
        name: api.add_hook(name=name, uri=f"https://{name}.org/", hook=event)["id"]
        for name, event in [("One", "sms"), ("two", "channel_create")]
    }

    def found(text):
        params = {} if text is None else {"text": text}
        listed = api.data("GET", f"/v2/accounts/{PARENT}/webhooks", params=params)
        return sorted(hook["name"] for hook in listed)

    assert found(None) == found("") == ["One", "two"]
    assert found("oNe") == found("ONE.org") == found("SMS") == found(ids["One"]) == ["One"]
    assert found("nothing") == []


def test_the_listing_is_paged_from_the_highest_id(api):
    made = sorted((api.add_hook(name=str(n))["id"] for n in range(7)), reverse=True)
    api.add_hook(CHILD)
    seen, key = [], ""
    while key is not None:
        body = api.call("GET", f"{HOOKS}?page_size=3{key}").json()
        seen.append([hook["id"] for hook in body["data"]])
        assert body["page_size"] == len(body["data"])
        more = body.get("next_start_key")
        key = None if more is None else f"&start_key={more}"
    assert seen == [made[:3], made[3:6], made[6:]]
    whole = api.call("GET", f"{HOOKS}?paginate=false&ascending=true").json()
    assert [hook["id"] for hook in whole["data"]] == made[::-1]
    assert whole.keys().isdisjoint({"page_size", "start_key", "next_start_key"})
    listed = api.data("GET", f"{HOOKS}?filter_name=4")
    assert [hook.keys() for hook in listed] == [{"id", "hook", "name", "uri", "enabled"}]


@pytest.mark.parametrize(
    "query",
    [
        "page_size=0",
        "page_size=x",
        "page_size=" + "9" * 5000,
        "start_key=!",
        "start_key=MQ",
        "start_key=" + base64.urlsafe_b64encode(rb'["\ud800", "h"]').decode(),
        "start_key=" + base64.urlsafe_b64encode(b"[" + b"9" * 5000 + b"]").decode(),
        "start_key=" + base64.urlsafe_b64encode(b"[" * 20_000).decode(),
        "start_key=" + base64.urlsafe_b64encode(b"[" * 970 + b"]" * 970).decode(),
    ],
)
def test_a_page_that_cannot_be_is_refused(api, query):
    assert list(problems(api.call("GET", f"{HOOKS}?{query}"))) == [query.split("=")[0]]


@pytest.mark.parametrize("body", ["", "{", "[]", '{"data": []}', '{"data": {"a": NaN}}'])
def test_a_body_that_is_none_is_refused(api, body):
    answer = api.call("PUT", HOOKS, content=body)
    assert (answer.status_code, answer.json()["message"]) == (400, "parse_error")
    assert ("the body is no JSON object" in answer.text) is (body == "[]")


@pytest.mark.parametrize(
    "value",
    [
        b"1e999",
        b"-1e999",
        b"1" + b"0" * 400,
        b"2" + b"0" * 308,
        rb'"\ud800"',
        rb'"\uDC00\uD800"',
        b'"\xed\xa0\x80"',
    ],
)
@pytest.mark.parametrize("path", [HOOKS, "/v2/callboard/publish", "/v2/events"])
def test_what_no_store_and_no_broker_takes_is_refused(api, value, path):
    method = "PUT" if path == HOOKS else "POST"
    whole = b'{"data": {"exchange": "e", "routing_key": "k", "body": {"a": ' + value + b"}}}"
    answer = api.call(method, path, content=whole)
    assert (answer.status_code, answer.json()["message"]) == (400, "parse_error")
    assert api.backend.published == []


@pytest.mark.parametrize("depth", [199, 300, 950, 977, 984, 990, 1000, 5000])
@pytest.mark.parametrize("path", ["name", "custom_data"])
def test_a_body_of_too_many_levels_is_refused(api, depth, path):
    body = json.dumps({"data": HOOK | {path: None}}).replace("null", "[" * depth + "]" * depth)
    answer = api.call("PUT", HOOKS, content=body)
    assert (answer.status_code, answer.json()["message"]) == (400, "parse_error")


@pytest.mark.parametrize(("levels", "status"), [(197, 202), (198, 400)])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a": ', "}"), ('[{"a": ', "}]")])
def test_levels_of_objects_and_lists_count_alike(api, opening, closing, levels, status):
    """200 in all, as of an event: with those of the envelope, the data and the body."""
    times = levels // (len(closing))
    value = opening * times + ("[]" if levels % len(closing) else "0") + closing * times
    body = f'{{"data": {{"exchange": "e", "routing_key": "k", "body": {{"a": {value}}}}}}}'
    assert api.call("POST", "/v2/callboard/publish", content=body).status_code == status


def test_a_message_of_many_levels_is_published(api):
    value = "[" * 190 + "]" * 190
    body = f'{{"data": {{"exchange": "e", "routing_key": "k", "body": {{"a": {value}}}}}}}'
    assert api.call("POST", "/v2/callboard/publish", content=body).status_code == 202
    assert api.backend.published == [("e", "k", f'{{"a": {value}}}'.encode(), "application/json")]


def test_characters_beyond_16_bits_are_taken(api):
    hook = json.dumps({"data": HOOK | {"name": "\N{BELL}\N{GRINNING FACE}"}})
    assert "\\u" in hook
    made = api.call("PUT", HOOKS, content=hook).json()["data"]
    assert made["name"] == "\N{BELL}\N{GRINNING FACE}"


def test_a_post_may_carry_another_method(api):
    id = api.add_hook()["id"]
    body = json.dumps({"verb": "delete", "auth_token": ADMIN})
    answer = api.call("POST", f"{HOOKS}/{id}", content=body, token=None)
    assert answer.json()["data"]["_read_only"] == {"deleted": True}


def test_a_long_post_may_carry_another_method_too(api):
    id = api.add_hook()["id"]
    body = json.dumps({"verb": "delete", "auth_token": ADMIN, "data": {"x": "x" * 70_000}})
    answer = api.call("POST", f"{HOOKS}/{id}", content=body, token=None)
    assert answer.json()["data"]["_read_only"] == {"deleted": True}


def test_a_document_says_who_saved_it_last_by_which_request(api):
    own = add_token(api.store, PARENT, "n", 0).text
    for token, owner in ((ADMIN, None), (own, PARENT)):
        made = api.call("PUT", HOOKS, HOOK, token=token, headers={"X-Request-ID": "PUT"})
        id = made.json()["data"]["id"]
        for method, data in (("PUT", None), ("PATCH", {"name": "m"}), ("DELETE", None)):
            if method != "PUT":
                before = api.store.get("webhooks", id)
                api.store.save("webhooks", before | {"pvt_modified": 5})
                headers = {"X-Request-ID": method}
                answer = api.call(method, f"{HOOKS}/{id}", data, token=token, headers=headers)
                assert answer.json()["revision"] == api.store.get("webhooks", id)["_rev"]
            stored = api.store.get("webhooks", id)
            assert (stored["pvt_request_id"], stored["pvt_is_authenticated"]) == (method, True)
            assert stored.get("pvt_auth_account_id") == owner
            assert stored["pvt_modified"] > 63_000_000_000


def test_a_hook_is_found_by_its_name_and_not_by_what_it_lacks(api):
    id = api.add_hook(name="Zebra")["id"]
    bare = {"pvt_type": "webhook", "pvt_account_id": PARENT}
    api.store.save("webhooks", bare | {"_id": "h"})
    found = [
        [hook["id"] for hook in api.data("GET", f"{HOOKS}?text={text}")] for text in ("zebra", "x")
    ]
    assert found == [[id], [id]]  # hooks.example.com has an x.
    api.data("PATCH", f"{HOOKS}/{id}", {"uri": "https://a.org/"})
    assert api.data("GET", f"{HOOKS}?text=x") == []


def test_methods_that_there_are_not(api):
    answer = api.call("POST", HOOKS, HOOK)
    assert (answer.status_code, answer.json()["message"]) == (405, "invalid_method")
    assert api.call("PUT", f"{HOOKS}/attempts", HOOK).status_code == 405
    answer = api.call("GET", "/v2/nonsense")
    assert (answer.status_code, answer.json()["message"]) == (404, "bad_identifier")


def test_a_long_body_is_refused(tmp_path):
    api = Api(tmp_path, max_body=2000)
    answer = api.call("PUT", HOOKS, HOOK | {"group": "x" * 3000})
    assert (answer.status_code, answer.json()["message"]) == (413, "request_too_large")


def test_the_first_hook_of_an_account_makes_it_in_the_embedded_store(api):
    account = "4444444444444444444444444444dddd"
    api.add_hook(account)
    stored = api.store.get("accounts", account)
    assert stored["pvt_type"] == "account"
    change = api.backend.told[0]
    assert (change.database, change.document) == ("accounts", stored)


@pytest.mark.parametrize(
    "body", [{"data": {"should_soft_delete": False}}, {"data": {}, "should_soft_delete": "false"}]
)
def test_a_hook_goes_for_good_also_when_the_body_says_so(api, body):
    id = api.add_hook()["id"]
    answer = api.client.request(
        "DELETE", f"{HOOKS}/{id}", json=body, headers={"X-Auth-Token": api.backend.admin_token}
    )
    assert answer.status_code == 200
    assert api.store.get("webhooks", id) is None
