"""Requests as endpoints get them, what counts as success, and the record of every try."""

import json
import time

import pytest

from callboard.adapters.receiver.server import Answer
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.history.attempts import attempt_document
from callboard.webhooks.retries.outcome import ClientError, Done, GiveUp, Response, Retry
from services import free_port
from support.attempts import recorded_attempts
from support.cluster import prepared
from support.kazoo import ACCOUNT, CLUSTER, TOP, call, message, next_attempt
from support.patience import patient
from support.receiver import Receiver
from support.running import ACCOUNT as OURS
from support.running import RunningSystem, call_event

FORM = "application/x-www-form-urlencoded"


def new_account(**fields):
    """A message whose payload is what it says: the form in which values are sent shows."""
    return message("notification", "new_account", Account_ID=ACCOUNT, **fields)


def encoded(cluster, key, value):
    """How form data sends a value under the key; the text between its neighbours."""
    cluster.hook("notifications", format="form-data")
    (delivery,) = cluster.fire(new_account(Before="b") | {key: value, "after": "a"})
    return delivery.body.decode().partition("&before=b")[2].partition("&after=a")[0]


# Verb and format


@pytest.mark.parametrize(
    ("verb", "format", "method", "content_type"),
    [
        pytest.param("get", "form-data", "GET", None, id="get"),
        pytest.param("get", "json", "GET", None, id="get, whatever the format"),
        pytest.param("post", "form-data", "POST", FORM, id="post as form data"),
        pytest.param("put", "form-data", "PUT", FORM, id="put as form data"),
        pytest.param("post", "json", "POST", "application/json", id="post as json"),
        pytest.param("put", "json", "PUT", "application/json", id="put as json"),
    ],
)
def test_verb_and_format_make_the_request(verb, format, method, content_type, cluster):
    id = cluster.hook(http_verb=verb, format=format)
    (delivery,) = cluster.fire(call())
    uri = f"https://endpoint.example/{id}"
    assert delivery.method == method
    assert dict(delivery.headers).get("Content-Type") == content_type
    if method == "GET":
        url, _, sent = delivery.request_url.partition("?")
        assert (url, delivery.request_body) == (uri, b"")
    else:
        assert delivery.url == uri
        sent = delivery.body.decode()
    if content_type == "application/json":
        assert json.loads(sent)["cluster_id"] == CLUSTER
        assert "\n" in sent, "it is pretty-printed"
    else:
        assert sent.endswith(f"&cluster_id={CLUSTER}")


def test_the_headers_name_the_hook_and_the_hook_s_account(cluster):
    id = cluster.hook(account=TOP, include_subaccounts=True)
    (delivery,) = cluster.fire(call())
    headers = dict(delivery.headers)
    assert (headers["X-Hook-ID"], headers["X-Account-ID"]) == (id, TOP)
    assert json.loads(delivery.body)["account_id"] == ACCOUNT


# Form data


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        pytest.param("v", "&k=v", id="string"),
        pytest.param("", "&k=", id="empty string"),
        pytest.param(7, "&k=7", id="integer"),
        pytest.param(-7, "&k=-7", id="negative"),
        pytest.param(0.1, "&k=0.1", id="float, as few digits as tell it apart"),
        pytest.param(2.5, "&k=2.5", id="another"),
        pytest.param(True, "&k=true", id="true"),
        pytest.param(False, "&k=false", id="false"),
        pytest.param({"a": 1, "b": 2}, "&k[a]=1&k[b]=2", id="object"),
        pytest.param({"a": {"b": {"c": 1}}}, "&k[a][b][c]=1", id="deeper"),
        pytest.param(["x", 2], "&k[]=x&k[]=2", id="list"),
        pytest.param({"a": ["x", "y"]}, "&k[a][]=x&k[a][]=y", id="list in an object"),
        pytest.param([{"a": 1}], "&k[]=%7B%22a%22%3A1%7D", id="object in a list: its JSON"),
        pytest.param("AZaz09.-~_", "&k=AZaz09.-~_", id="what stays"),
        pytest.param("a b", "&k=a+b", id="a space is a plus"),
        pytest.param("+*'()!/@:&=%", "&k=%2B%2A%27%28%29%21%2F%40%3A%26%3D%25", id="all else"),
        pytest.param("é€", "&k=%C3%A9%E2%82%AC", id="bytes, in upper case"),
        pytest.param("\n\0", "&k=%0A%00", id="control characters"),
    ],
)
def test_how_values_are_encoded(value, wanted, cluster):
    assert encoded(cluster, "k", value) == wanted


def test_pairs_come_in_the_payload_s_order(cluster):
    cluster.hook("all", format="form-data", custom_data={"zz": "1", "aa": "2"})
    (delivery,) = cluster.fire(new_account(C="1", B="2"))
    names = [pair.split("=")[0] for pair in delivery.body.decode().split("&")]
    assert names[-5:] == ["c", "b", "zz", "aa", "cluster_id"]


# What counts as success, and what is tried again


def delivery(method="POST", tries=3):
    return Delivery(
        "d", "e1", "h", ACCOUNT, "all", "http://x/", method, "http://x/", (), b"", tries
    )


@pytest.mark.parametrize(
    "status", [200, 201, 202, 204, 301, 302, 304, 400, 404, 410, 429, 500, 503]
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_success_is_200_and_201_for_put_and_no_status_is_tried_again(method, status):
    verdict = next_attempt(delivery(method), 3, Response(status))
    if status == 200 or (status, method) == (201, "PUT"):
        assert verdict == Done()
    else:
        assert isinstance(verdict, GiveUp)


@pytest.mark.parametrize(
    "kind",
    [
        "failed_connect: nxdomain",
        "failed_connect: econnrefused",
        "failed_connect: tls_alert",
        "tls: certificate expired",
        "timeout",
    ],
)
def test_an_error_of_the_client_is_tried_again_after_two_seconds_until_the_tries_are_used(kind):
    assert next_attempt(delivery(), 3, ClientError(kind)) == Retry(2000)
    assert next_attempt(delivery(), 2, ClientError(kind)) == Retry(2000)
    assert isinstance(next_attempt(delivery(), 1, ClientError(kind)), GiveUp)


# The attempt document, key by key

NOW = 1_772_323_199.0  # the last second of February 2026, UTC
COMMON = {
    "pvt_type": "webhook_attempt",
    "pvt_account_id": ACCOUNT,
    "pvt_account_db": f"account%2F2f%2F3e%2F{ACCOUNT[4:]}-202602",
    "pvt_created": 63_939_542_399,
    "pvt_modified": 63_939_542_399,
    "hook_event": "CHANNEL_CREATE",
    "uri": "https://endpoint.example/In",
}


def attempt(cluster, outcome, attempts_left=3, **hook):
    hook = {"uri": COMMON["uri"], "custom_data": {"shop": "One"}} | hook
    hook_id = cluster.hook(**hook)
    (delivery,) = cluster.fire(call(Call_ID="Leg-1"))
    document = attempt_document(delivery, outcome, attempts_left, NOW, 1000)
    assert {key: document.pop(key) for key in COMMON} == COMMON
    assert (document.pop("hook_id"), document.pop("event_id")) == (hook_id, delivery.event_id)
    return document, delivery


def test_what_was_asked_is_recorded_with_headers_in_lower_case(cluster):
    document, delivery = attempt(cluster, Response(500), _id="H1")
    assert document["method"] == "post"
    assert document["req_body"] == delivery.body.decode()
    assert {"content-type": "application/json", "x-hook-id": "h1"}.items() <= (
        document["req_headers"].items()
    )
    assert "Leg-1" in document["req_body"], "the body is not lower-cased"


def test_of_a_get_the_uri_is_recorded_without_its_query_and_no_body(cluster):
    document, delivery = attempt(cluster, Response(500), http_verb="get")
    assert delivery.request_url.startswith(f"{COMMON['uri']}?")
    assert (document["method"], document["req_body"]) == ("get", "")


def test_custom_data_is_never_recorded(cluster):
    assert "custom_data" not in attempt(cluster, Response(500))[0]


def test_a_response_is_recorded_with_headers_in_lower_case(cluster):
    response = Response(404, {"Server": "Apache", "X-Y": "Z"}, b"Not \xff Found")
    document = attempt(cluster, response)[0]
    assert document["resp_status_code"] == "404"
    assert document["resp_headers"] == {"server": "apache", "x-y": "z"}
    assert document["resp_body"] == "Not � Found"


@pytest.mark.parametrize(
    ("outcome", "attempts_left", "wanted"),
    [
        pytest.param(Response(200), 3, {"result": "success"}, id="success, without try"),
        pytest.param(
            Response(500),
            3,
            {"result": "failure", "reason": "bad response code", "try": 3, "retries_left": 2},
            id="a bad status: the tries still allowed, and those after it",
        ),
        pytest.param(
            Response(500),
            1,
            {
                "result": "failure",
                "reason": "bad response code",
                "try": 1,
                "retries_left": "retries exceeded",
            },
            id="a bad status on the only try",
        ),
        pytest.param(
            ClientError("failed_connect: econnrefused"),
            3,
            {
                "result": "failure",
                "reason": "kazoo http client error",
                "client_error": "failed_connect: econnrefused",
                "retries": 3,
                "retries_left": 3,
            },
            id="no answer: the same number twice, and no try",
        ),
        pytest.param(
            ClientError("timeout"),
            1,
            {
                "result": "failure",
                "reason": "kazoo http client error",
                "client_error": "timeout",
                "retries": 1,
                "retries_left": "retries exceeded",
            },
            id="no answer on the last try",
        ),
    ],
)
def test_how_it_went_is_recorded(outcome, attempts_left, wanted, cluster):
    document = attempt(cluster, outcome, attempts_left)[0]
    told = {"method", "req_headers", "req_body", "resp_status_code", "resp_headers", "resp_body"}
    assert {key: value for key, value in document.items() if key not in told} == wanted


# One system that sends to endpoints of every kind

HOOKS = {
    "ok": {},
    "form": {"format": "form-data"},
    "got": {"http_verb": "get"},
    "made": {"http_verb": "put", "uri": "/status/201/made"},
    "posted-201": {"uri": "/status/201/posted", "retries": 3},
    "bad": {"uri": "/status/500/bad", "retries": 3},
    "moved": {"http_verb": "get", "uri": "/moved", "retries": 1},
    "hanging": {"uri": "/hang", "retries": 1},
    "closed": {"uri": None, "retries": 2},
}
SILENT = {"closed": 2}
"""Hooks whose endpoint gets no request, and how often it is tried."""


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """(requests by path, attempts by hook, seconds, requests, events) after a call to all hooks."""
    folder = tmp_path_factory.mktemp("delivery") / "data"
    folder.mkdir()
    config = {"log_successful_attempts": True}
    store = prepared("sqlite://", folder, webhooks=config, cluster={"cluster_id": CLUSTER})
    nobody = f"http://127.0.0.1:{free_port()}/"
    with Receiver() as receiver:
        receiver.answer("/moved", Answer(302, headers={"Location": "/target"}))
        for name, fields in HOOKS.items():
            uri = fields.get("uri", f"/{name}") or nobody
            hook = {"_id": name, "pvt_type": "webhook", "pvt_account_id": OURS, "format": "json"}
            hook |= {"name": name, "hook": "channel_create"} | fields
            store.save("webhooks", hook | {"uri": uri if "//" in uri else receiver.url + uri})
        system = RunningSystem(folder, delivery__request_timeout_ms=int(patient(1500)))
        try:
            system.wait_hooks(len(HOOKS))
            began = time.monotonic()
            system.publish([call_event(1)])
            tries = len(HOOKS) - len(SILENT) + sum(SILENT.values())
            system.wait(
                lambda: system.node("deliveries/attempt_log").stats.get("written") == tries,
                timeout_s=30,
                what=f"{tries} attempts",
            )
            system.wait_settled(1)
            took_s = time.monotonic() - began
            attempts = {}
            for document in recorded_attempts(store, OURS):
                attempts.setdefault(document["hook_id"], []).append(document)
            requests = {request.path: request for request in receiver.requests}
            counted = receiver.count
            told = sum(
                node.stats.get("events", 0)
                for node in system.tree().below()
                if node.path.startswith("responders/") and node.id != "callboard"
            )
        finally:
            system.close()
            store.close()
    return requests, attempts, took_s, counted, told


system_test = pytest.mark.multiprocess


@system_test
def test_each_endpoint_got_what_the_hook_sends(played):
    requests = played[0]
    as_json, as_form, as_query = requests["/ok"], requests["/form"], requests["/got"]
    assert (as_json.method, as_form.method, as_query.method) == ("POST", "POST", "GET")
    assert as_json.headers["content-type"] == "application/json"
    assert as_form.headers["content-type"] == FORM
    assert "content-type" not in as_query.headers
    assert as_query.query.encode() == as_form.body
    assert as_query.body == b""
    for name, request in (("ok", as_json), ("form", as_form), ("got", as_query)):
        assert (request.headers["x-hook-id"], request.headers["x-account-id"]) == (name, OURS)
    assert requests["/status/201/made"].method == "PUT"


@system_test
def test_a_bad_status_is_not_tried_again_and_a_refused_connection_is_after_two_seconds(played):
    _requests, attempts, took_s, counted, _events = played
    tries = {name: len(found) for name, found in attempts.items()}
    assert tries == dict.fromkeys(HOOKS, 1) | SILENT
    assert counted == len(HOOKS) - len(SILENT)
    assert took_s > 2
    assert {(a["retries"], a["retries_left"]) for a in attempts["closed"]} == {
        (2, 2),
        (1, "retries exceeded"),
    }


@system_test
def test_every_try_is_recorded_in_the_month_s_database_of_the_hook_s_account(played):
    results = {name: found[0]["result"] for name, found in played[1].items()}
    good = dict.fromkeys(("ok", "form", "got", "made"), "success")
    assert results == dict.fromkeys(HOOKS, "failure") | good
    assert played[1]["bad"][0]["resp_status_code"] == "500"
    assert (played[1]["bad"][0]["try"], played[1]["bad"][0]["retries_left"]) == (3, 2)


@system_test
def test_attempts_are_saved_without_a_change_notice(played):
    assert played[4] == 1, "nothing was published but the call"


@system_test
def test_the_tries_of_a_delivery_share_its_event_id(played):
    attempts = played[1]
    assert len({attempt["event_id"] for attempt in attempts["closed"]}) == 1
    assert len({found[0]["event_id"] for found in attempts.values()}) == len(HOOKS)


@system_test
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("closed", "failed_connect: econnrefused"),
        ("hanging", "timeout"),
    ],
)
def test_how_errors_of_the_client_are_called(name, kind, played):
    assert {attempt["client_error"] for attempt in played[1][name]} == {kind}


@system_test
def test_a_redirect_is_not_followed_unless_the_operator_allows_it(played):
    """A deviation: Kazoo's client follows, wherever it leads (delivery.follow_redirects)."""
    assert "/target" not in played[0]
