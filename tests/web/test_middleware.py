"""What is refused before anybody looks at it."""

import asyncio
import json

import pytest

from callboard.actors.api.backend import node_facts
from callboard.config.settings import Settings
from callboard.web.access.state import new_id
from callboard.web.envelopes.middleware import EnvelopeMiddleware
from support.api import CHILD, PARENT, Api
from support.patience import patient


@pytest.fixture
def hurried(tmp_path):
    api = Api(tmp_path, body_s=0.05)
    yield api
    api.store.close()


def run(app, messages, headers=()):
    """The answer to a request whose body comes in these messages, the last after a long wait."""

    async def talk():
        sent, coming = [], iter(messages)

        async def receive():
            try:
                return next(coming)
            except StopIteration:
                await asyncio.sleep(3600)

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http",
            "method": "PUT",
            "path": "/v2/webhooks",
            "raw_path": b"/v2/webhooks",
            "query_string": b"",
            "headers": list(headers),
            "client": ("192.0.2.1", 1),
            "server": ("test", 80),
            "scheme": "http",
            "http_version": "1.1",
        }
        await app(scope, receive, send)
        return sent

    return asyncio.run(talk())


def chunk(body):
    return {"type": "http.request", "body": body, "more_body": True}


def test_a_body_that_never_ends_is_given_up(hurried):
    start, body = run(hurried.app, [chunk(b"{")])
    assert start["status"] == 408
    answer = json.loads(body["body"])
    assert answer["message"] == "request_timeout"
    assert answer["data"] == {"message": "the body did not come within 0.05 s"}
    assert (b"connection", b"close") in start["headers"]


def test_of_a_body_without_a_length_no_more_is_read_than_allowed(api):
    start, body = run(api.app, [chunk(b"x" * 600_000)] * 3)
    assert start["status"] == 413
    told = {"message": "the body is longer than 1048576 bytes"}
    assert json.loads(body["body"])["data"] == told


def test_a_body_with_two_lengths_is_refused_and_the_connection_ends(api):
    """RFC 9112, 6.1: a proxy before us may have taken the other one."""
    both = [(b"transfer-encoding", b"chunked"), (b"content-length", b"4")]
    start, body = run(api.app, [chunk(b"{}")], both)
    assert start["status"] == 400
    answer = json.loads(body["body"])
    assert answer["message"] == "bad_request"
    told = {"message": "send Content-Length or Transfer-Encoding, not both"}
    assert answer["data"] == told
    assert (b"connection", b"close") in start["headers"]
    for one in both:
        start, _body = run(api.app, [{"type": "http.request", "body": b"{}"}], [one])
        assert start["status"] == 401
        assert b"connection" not in dict(start["headers"])


def test_responses_are_not_kept_by_caches(api):
    hook = api.add_hook()["id"]
    for path in ("/v2/webhooks", f"/v2/accounts/{PARENT}/webhooks/{hook}", "/nowhere", "/healthz"):
        assert api.call("GET", path).headers["cache-control"] == "no-store"
    # The dashboard's files are the same for everybody.
    assert api.call("GET", "/").headers["cache-control"] == "no-cache"


PATHS = [
    "/v2/webhooks",
    "/v2/webhooks/samples",
    f"/v2/accounts/{PARENT}/webhooks",
    f"/v2/accounts/{PARENT}/webhooks/attempts",
    "/v2/callboard/hooks",
    "/healthz",
    "/openapi.json",
    "/nowhere",
]


@pytest.mark.parametrize("path", ["/", "/dashboard/app.js", *PATHS])
def test_head_has_the_headers_of_get_and_no_body(api, path):
    id = {"X-Request-ID": "one"}
    get, head = (api.call(method, path, headers=id) for method in ("GET", "HEAD"))
    assert head.status_code == get.status_code
    assert head.headers == get.headers
    assert (head.content, int(head.headers["content-length"])) == (b"", len(get.content))


@pytest.mark.parametrize("path", PATHS)
def test_a_slash_at_the_end_changes_nothing(api, path):
    id = {"X-Request-ID": "one"}
    paths = (path, path + "/", path)
    plain, slashed, later = (api.call("GET", path, headers=id) for path in paths)
    assert slashed.status_code == plain.status_code
    # An answer may name the second of its time, which may end in between.
    assert slashed.content in (plain.content, later.content)


def test_a_slash_at_the_end_keeps_method_and_body(api):
    hook = {"name": "n", "uri": "https://hooks.example.com/a", "hook": "channel_create"}
    made = api.call("PUT", f"/v2/accounts/{CHILD}/webhooks/", hook)
    assert made.status_code == 201
    hook = f"/v2/accounts/{CHILD}/webhooks/{made.json()['data']['id']}/"
    assert api.call("DELETE", hook).status_code == 200
    assert api.call("GET", "//").status_code == 200
    assert api.call("GET", "/v2/callboard/hooks//").status_code == 404


def test_an_id_of_a_request_has_128_bits_in_hexadecimal_digits():
    assert {len(new_id()) for _id in range(100)} == {32}
    assert len({new_id() for _id in range(100)}) == 100


def test_a_message_without_a_part_of_the_body_has_none():
    bodies = []
    coming = iter(({"type": "http.request", "more_body": True}, chunk(b"{"), {"body": b"}"}))

    async def app(scope, _receive, _send):
        bodies.append(scope["callboard"].body)

    async def receive():
        return next(coming)

    scope = {"type": "http", "method": "PUT", "path": "/v2", "headers": []}
    asyncio.run(EnvelopeMiddleware(app, node_facts(Settings()), 2)(scope, receive, None))
    assert bodies == [b"{}"]


def head_of(app):
    """The messages of the response to HEAD."""

    async def talk():
        sent = []

        async def receive():
            return {"type": "http.request", "body": b""}

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": "HEAD", "path": "/v2", "headers": []}
        middleware = EnvelopeMiddleware(app, node_facts(Settings()), 1000)
        await asyncio.wait_for(middleware(scope, receive, send), patient(5))
        return sent

    return asyncio.run(talk())


@pytest.mark.parametrize("endless", [False, True])
def test_a_body_without_an_end_ends_with_its_head_and_another_s_response_is_finished(endless):
    finished = []

    async def app(scope, _receive, send):
        assert scope["method"] == "GET"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while endless:
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"x"})
        await asyncio.sleep(0)
        finished.append(True)

    start, body = head_of(app)
    assert start["status"] == 200
    assert (body["body"], body["more_body"]) == (b"", False)
    assert finished == ([] if endless else [True])
