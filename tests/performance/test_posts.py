"""What a posted event costs the thread that serves the API: instructions and calls of C functions.

From the call of the application to the end of the response; a stub publishes.
"""

import asyncio
import json

import pytest
from attrs import evolve

from performance.counting import c_calls, instructions
from support.api import ADMIN, WITH_EVENTS, Api
from support.running import call_event

POSTS = 20


@pytest.fixture
def post(tmp_path):
    """post(number): post so many events of 2 kB, one after the other."""
    settings = evolve(WITH_EVENTS, quotas=evolve(WITH_EVENTS.quotas, events_per_s=10_000))
    api = Api(tmp_path, settings)
    payload = call_event(1) | {"Channel-Call-State": "x" * 1_550}
    event = {"name": "order.paid", "account_id": "shop", "payload": payload}
    body = json.dumps({"data": event}).encode()
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v2/events",
        "raw_path": b"/v2/events",
        "query_string": b"",
        "headers": [
            (b"host", b"test"),
            (b"content-type", b"application/json"),
            (b"x-auth-token", ADMIN.encode()),
            (b"content-length", b"%d" % len(body)),
        ],
        "client": ("192.0.2.1", 1),
        "server": ("test", 80),
        "scheme": "http",
        "http_version": "1.1",
    }

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        assert message.get("status", 202) == 202

    async def posts(number):
        for _post in range(number):
            await api.app(dict(scope), receive, send)

    loop = asyncio.new_event_loop()
    yield lambda number: loop.run_until_complete(posts(number))
    loop.close()
    api.store.close()


def test_a_post(post, within):
    post(POSTS)
    with c_calls() as calls:
        post(POSTS)
    within(
        "posts",
        {
            "post: instructions": instructions(lambda: post(POSTS)) / POSTS,
            "post: C functions": sum(calls.values()) / POSTS,
        },
    )
