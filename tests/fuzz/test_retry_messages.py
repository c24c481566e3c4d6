"""The retry queue's messages: a delivery that can be sent and given up, or refused."""

import json
import socket

from hypothesis import given

from callboard.adapters.http.address_guard import AddressGuard
from callboard.adapters.http.threaded import RequestsTransport
from callboard.webhooks.history.dead_letters import dead_letter
from callboard.webhooks.retries.delay_classes import next_wait
from callboard.webhooks.retries.policy import KazooPolicy, StandardPolicy, deferral, verdict
from callboard.webhooks.retries.retry_message import UnreadableDelivery, as_json, from_json
from support.fuzz import bodies, changed, fuzzed, values


def unknown(*_args):
    raise socket.gaierror(socket.EAI_NONAME, "unknown")


TRANSPORT = RequestsTransport(1, 1, guard=AddressGuard(resolve=unknown))
MESSAGE = {
    "version": 1,
    "tries_made": 1,
    "due_ms": 1_700_000_000_000,
    "left": ["1s", "2s"],
    "parked_since_ms": 1_699_999_000_000,
    "rounds": 2,
    "history": [[1_699_999_000_000, "status 500"]],
    "delivery": {
        "id": "d",
        "event_id": "e",
        "hook_id": "h",
        "account_id": "1b" * 16,
        "hook_event": "all",
        "uri": "http://hooks.example/",
        "method": "POST",
        "url": "http://hooks.example/",
        "headers": [["content-type", "application/json"]],
        "tries": 2,
        "body": "{}",
        "traceparent": f"00-{'a' * 32}-{'b' * 16}-01",
    },
    "options": {
        "policy": "standard",
        "ordered": True,
        "rate_per_s": 2.5,
        "headers": [["a", "b"]],
        "secrets": ["s"],
        "certificate": "c.pem",
    },
}


@fuzzed(5)
@given(bodies(changed(MESSAGE) | values))
def test_a_message_is_a_delivery_or_unreadable(body_and_encoding):
    try:
        retry = from_json(body_and_encoding[0])
    except UnreadableDelivery as problem:
        assert str(problem)
        return
    assert from_json(as_json(retry)) == retry
    next_wait(retry.left, retry.due_ms, 1_700_000_000_000)
    made = retry.delivery
    headers, account = made.headers, made.account_id
    outcome = TRANSPORT.send(
        made.method, made.request_url, headers, made.request_body, None, account
    )
    for policy in (KazooPolicy(), StandardPolicy()):
        verdict(policy, made, retry.attempts_made + 1, outcome, 1.7e9, lambda: 0.5)
    since_s = (retry.deferred_since_ms or 0) / 1000
    deferral(since_s, 1.7e9, retry.deferrals, 3600, lambda: 0.5)
    letter = dead_letter(made, "timeout", retry.attempts_made, retry.history, 1.7e9, "node")
    assert json.dumps(letter, ensure_ascii=False).encode()
