"""Plays messages through a module as the responder does: parsed, matched, selected, encoded."""

import json

import pytest

from callboard.webhooks.deliveries.delivery import deliveries
from callboard.webhooks.events.event import parse_event
from support.hooks import hooks_with, index_of

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
        index = index_of(*hooks)
        event = parsed(message, content_encoding)
        sent = deliveries(event, module, index, directory, None)
        return {delivery.hook_id: json.loads(delivery.body) for delivery in sent}

    return fire


@pytest.fixture
def hook():
    """hook(event, id, account, **fields) -> a hook in JSON."""
    made = hooks_with(format="json")

    def hook(event, id="h", account=ACCOUNT, **fields):
        return made(id, account, event, **fields)

    return hook
