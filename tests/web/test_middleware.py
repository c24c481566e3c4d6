"""What is refused before anybody looks at it."""

import asyncio
import json

from callboard.web.envelopes import middleware


def run(app, messages):
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
            "headers": [],
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


def test_a_body_that_never_ends_is_given_up(api, monkeypatch):
    monkeypatch.setattr(middleware, "BODY_S", 0.05)
    start, body = run(api.app, [chunk(b"{")])
    assert start["status"] == 408
    assert json.loads(body["body"])["message"] == "request_timeout"
    assert (b"connection", b"close") in start["headers"]


def test_of_a_body_without_a_length_no_more_is_read_than_allowed(api):
    start, _body = run(api.app, [chunk(b"x" * 600_000)] * 3)
    assert start["status"] == 413
