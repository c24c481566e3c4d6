"""Plays messages through a module as the responder does: parsed, matched, selected, encoded."""

import json

import pytest

from callboard.webhooks.deliveries.delivery import deliveries
from callboard.webhooks.events.event import parse_event
from callboard.webhooks.hooks.hook import Hook
from callboard.webhooks.hooks.matching import HookIndex

ACCOUNT = "1b" * 16


def envelope(category, name):
    """The headers of every valid message."""
    return {
        "Event-Category": category,
        "Event-Name": name,
        "App-Name": "an_app",
        "App-Version": "4.0.0",
        "Msg-ID": "a1b2c3d4",
    }


def parsed(body, content_encoding=None, exchange="", key=""):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return parse_event(raw, "application/json", content_encoding, exchange, key)


@pytest.fixture
def fire(directory):
    """fire(module, message, *hooks) -> {hook id: payload sent}."""

    def fire(module, message, *hooks, content_encoding=None):
        index = HookIndex()
        for hook in hooks:
            index.put(hook)
        event = parsed(message, content_encoding)
        sent = deliveries(event, module, index, directory, None)
        return {delivery.hook_id: json.loads(delivery.body) for delivery in sent}

    return fire


@pytest.fixture
def hook():
    """Makes a hook in JSON, named by its number."""

    def hook(event, id="h", account=ACCOUNT, **fields):
        return Hook(id, account, "https://x.example/", event, format="json", **fields)

    return hook
