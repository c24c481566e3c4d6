"""The application: the responses to failures, its logs, and pages of other origins."""

import asyncio
from concurrent.futures import Future

import anyio
import pytest

from callboard import admin
from callboard.adapters.store.protocol import (
    Conflict,
    StoreError,
    StoreReadOnly,
    StoreUnavailable,
)
from callboard.web.app import ApiOptions
from services.rabbitmq import wait_until
from support.api import PARENT, Api
from support.stores import Meddled, refuse

HOOKS = f"/v2/accounts/{PARENT}/webhooks"


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (StoreUnavailable("away, at http://user:secret@couch"), 503, "datastore_unreachable"),
        (StoreError("no view"), 503, "datastore_fault"),
        (ValueError("a defect"), 500, "unspecified_fault"),
    ],
)
def test_what_fails_behind_is_answered_in_an_envelope(api, error, status, message):
    class Broken:
        def get(self, *_arguments):
            raise error

    api.backend.store = Broken()
    answer = api.call("GET", f"/v2/accounts/{PARENT}/webhooks")
    assert (answer.status_code, answer.json()["message"]) == (status, message)
    assert str(error) not in answer.text


@pytest.mark.parametrize(
    ("error", "status", "message", "data", "logged"),
    [
        (Conflict("1-a"), 409, "datastore_conflict", "datastore conflict", []),
        (StoreReadOnly("it is full"), 403, "forbidden", "it is full", []),
        (
            StoreUnavailable("away"),
            503,
            "datastore_unreachable",
            "the document store does not answer",
            [("callboard", "store_unavailable", "away")],
        ),
        (
            StoreError("no view"),
            503,
            "datastore_fault",
            "datastore fatal error",
            [("callboard", "store_refused", "no view")],
        ),
    ],
)
def test_what_the_store_refuses_is_answered_and_its_faults_logged(
    api, host_logs, error, status, message, data, logged
):
    api.backend.store = Meddled(api.store, get=refuse(error))
    answer = api.call("GET", HOOKS)
    assert (answer.status_code, answer.json()["message"]) == (status, message)
    assert answer.json()["data"] == {"message": data}
    assert [(log.name, log.getMessage(), log.reason) for log in host_logs.records] == logged


def test_the_response_to_a_bug_has_an_id_and_is_not_kept_either(api):
    class Broken:
        def get(self, *_place):
            raise RuntimeError("a bug")

    real, api.backend.store = api.backend.store, Broken()
    path = f"/v2/accounts/{PARENT}/webhooks"
    answer = api.call("GET", path, headers={"X-Request-ID": "one"})
    api.backend.store = real
    assert (answer.status_code, answer.json()["request_id"]) == (500, "one")
    assert answer.headers["x-request-id"] == "one"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/healthz", "GET, HEAD"),
        ("GET", "/v2/events", "POST"),
        ("HEAD", "/v2/events", "POST"),
        ("OPTIONS", f"/v2/accounts/{PARENT}/webhooks", "GET, HEAD, PATCH, PUT"),
        ("PUT", f"/v2/accounts/{PARENT}/webhooks/h", "DELETE, GET, HEAD, PATCH, POST"),
    ],
)
def test_another_method_is_told_all_that_there_are(api, method, path, allowed):
    answer = api.call(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


def test_the_limits_of_a_node_that_sets_none():
    options = ApiOptions()
    assert (options.max_body, options.live_pages) == (1_048_576, 32)
    limits_s = options.body_s, options.ready_s, options.sample_s, options.publish_s
    assert limits_s == (30, 3, 1, 10)


def test_the_application_has_these_limits(tmp_path, monkeypatch):
    api, limits = Api(tmp_path, body_s=7, publish_s=0.05), []
    timeout = asyncio.timeout
    monkeypatch.setattr(asyncio, "timeout", lambda s: (limits.append(s), timeout(s))[1])
    assert api.call("GET", "/healthz").status_code == 200
    assert limits[0] == 7
    api.backend.broker = "silent"
    message = {"exchange": "e", "routing_key": "k", "body": {}}
    answer = api.call("POST", "/v2/callboard/publish", message)
    cause = "the broker did not answer within 0.05 s"
    assert (answer.status_code, answer.json()["data"]["cause"]) == (503, cause)
    api.store.close()


def test_there_are_threads_beside_those_of_slots(api):
    """So that requests without a slot, as for health, find one while all slots are taken."""

    async def run():
        async with api.app.router.lifespan_context(api.app):
            return anyio.to_thread.current_default_thread_limiter().total_tokens

    assert asyncio.run(run()) == 16 + 8


def test_at_the_end_of_the_server_replays_stop(api):
    listed = api.backend.answers[admin.ListAttempts] = Future()
    id = api.add_hook()["id"]
    run = f"{HOOKS}/{id}/replay/{api.data('PUT', f'{HOOKS}/{id}/replay', {})['id']}"
    coming = iter(["startup", "shutdown"])
    sent = []

    async def receive():
        return {"type": f"lifespan.{next(coming)}"}

    async def send(message):
        sent.append(message["type"])

    asyncio.run(api.app({"type": "lifespan", "app": api.app, "state": {}}, receive, send))
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    listed.set_result(admin.AttemptsListed(()))
    wait_until(lambda: api.data("GET", run)["state"] == "stopped", "the end of the replay", 30)


def test_pages_of_other_origins_are_let_in_by_setting_only(tmp_path):
    portal = {"Origin": "https://portal.example.com"}
    closed = Api(tmp_path / "a").call("GET", "/v2/webhooks", headers=portal)
    assert "access-control-allow-origin" not in closed.headers
    api = Api(tmp_path / "b", cors_origins=("https://portal.example.com",))
    opened = api.call("GET", "/v2/webhooks", headers=portal)
    assert opened.headers["access-control-allow-origin"] == "https://portal.example.com"
    shown = opened.headers["access-control-expose-headers"]
    assert shown == "X-Request-ID, ETag, Location, Retry-After"
    other = api.call("GET", "/v2/webhooks", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize(
    ("method", "header", "status"),
    [
        *((method, "X-Auth-Token", 200) for method in ("GET", "PUT", "POST", "PATCH", "DELETE")),
        *(
            ("PUT", header, 200)
            for header in (
                "Authorization",
                "Content-Type",
                "If-Match",
                "Idempotency-Key",
                "x-auth-token, content-type",
            )
        ),
        ("PUT", "X-Other", 400),
        ("TRACE", "X-Auth-Token", 400),
    ],
)
def test_pages_let_in_may_use_the_apis_methods_and_headers(tmp_path, method, header, status):
    """Fetch standard, CORS-preflight requests."""
    api = Api(tmp_path, cors_origins=("https://portal.example.com",))
    asked = {
        "Origin": "https://portal.example.com",
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": header,
    }
    assert api.client.options("/v2/webhooks", headers=asked).status_code == status
