"""Dead letters hold what is needed to send again, once each, and nothing secret."""

import json

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.history.dead_letters import (
    NotRepeatable,
    body_of,
    dead_letter,
    poison_dead_letter,
)
from callboard.webhooks.hooks.options import Options
from callboard.webhooks.values.kazoo_names import GREGORIAN_OFFSET_S
from support.fuzz import values

ACCOUNT = "ab" * 16
NODE = "callboard@here"
NOW = 1_700_000_000.5

DELIVERY = Delivery(
    id="d" * 32,
    event_id="e",
    hook_id="h",
    account_id=ACCOUNT,
    hook_event="CHANNEL_CREATE",
    uri="https://user:s3cret@e.example/in",
    method="POST",
    url="https://user:s3cret@e.example/in",
    headers=(
        ("Content-Type", "application/json"),
        ("Authorization", "Bearer s3cret"),
        ("webhook-id", "w" * 32),
    ),
    body=b'{"call_id": "1"}',
    options=Options(secrets=("s3cret",), headers=(("Authorization", "Bearer s3cret"),)),
)
HISTORY = ((1_699_999_000_000, "status 500"), (1_699_999_500_000, "timeout"))


def letter(delivery=DELIVERY, **changed):
    arguments = {
        "reason": "timeout",
        "attempts_made": 2,
        "history": HISTORY,
        "now_unix_s": NOW,
        "node": NODE,
    } | changed
    return dead_letter(delivery, **arguments)


def record(**changed):
    return {
        "module": "sms",
        "reason": "no valid message",
        "exchange": "im",
        "routing_key": "sms.inbound.offnet.1",
        "content_type": "application/json",
        "content_encoding": None,
        "message_id": "m",
        "headers": {"traceparent": "00-1-2-01"},
        "body": b"{}".hex(),
        "set_aside_at": NOW,
    } | changed


def test_the_letter_of_a_delivery():
    made = letter()
    assert len(made.pop("_id")) == 32
    now = 1_700_000_000 + GREGORIAN_OFFSET_S
    assert made == {
        "pvt_type": "dead_letter",
        "pvt_created": now,
        "pvt_modified": now,
        "pvt_node": NODE,
        "pvt_account_id": ACCOUNT,
        "pvt_account_db": f"account%2Fab%2Fab%2F{'ab' * 14}",
        "kind": "delivery",
        "reason": "timeout",
        "hook_id": "h",
        "hook_event": "CHANNEL_CREATE",
        "event_id": "e",
        "delivery_id": "d" * 32,
        "webhook_id": "w" * 32,
        "method": "POST",
        "uri": "https://e.example/in",
        "content_type": "application/json",
        "body": '{"call_id": "1"}',
        "tries": 2,
        "history": [
            {"at_ms": 1_699_999_000_000, "outcome": "status 500"},
            {"at_ms": 1_699_999_500_000, "outcome": "timeout"},
        ],
    }


def test_half_a_character_in_what_an_error_said_is_replaced():
    """No store accepts it, and a dead letter that is refused holds up those behind it."""
    made = letter(history=((1, "name \udcff unknown"),))
    assert made["history"] == [{"at_ms": 1, "outcome": "name ? unknown"}]


def test_nothing_secret_is_in_it():
    assert "s3cret" not in json.dumps(letter())


def test_a_get_is_kept_by_its_query():
    get = evolve(
        DELIVERY,
        method="GET",
        uri="https://e.example/in?token=1#top",
        url="https://e.example/in?token=1&a=1&b%5Bc%5D=2",
        headers=(),
        body=b"",
    )
    made = letter(get)
    assert (made["body"], made["content_type"]) == (
        "a=1&b%5Bc%5D=2",
        "application/x-www-form-urlencoded",
    )


@pytest.mark.parametrize(
    ("uri", "kept"),
    [
        ("https://u:s3cret@e.example/in", "https://e.example/in"),
        ("https://u:s3/cret@e.example/in", "https://e.example/in"),
        ("https://:s3/c@ret@e.example", "https://e.example"),
        ("https://e.example/@me/in?to=a@b", "https://e.example/@me/in?to=a@b"),
        ("https://e.example:8443/@me", "https://e.example:8443/@me"),
        ("https://e.example:/@me", "https://e.example:/@me"),
        ("https://e.example:8443?to=a@b", "https://e.example:8443?to=a@b"),
        ("https://[2001:4860::1]:8443/@me", "https://[2001:4860::1]:8443/@me"),
        ("https://[2001:4860::1]/@me", "https://[2001:4860::1]/@me"),
    ],
)
def test_a_letter_shows_no_user_and_no_password(uri, kept):
    assert letter(evolve(DELIVERY, uri=uri))["uri"] == kept


def test_the_same_delivery_has_one_letter_and_another_another():
    assert letter()["_id"] == letter(reason="other", now_unix_s=NOW + 9)["_id"]
    assert letter()["_id"] != letter(evolve(DELIVERY, id="c" * 32))["_id"]


def test_the_letter_of_an_event():
    made = poison_dead_letter(record(), 7, NODE)
    assert made.pop("_id") == poison_dead_letter(record(), 7, NODE)["_id"]
    now = 1_700_000_000 + GREGORIAN_OFFSET_S
    assert made == {
        "pvt_type": "dead_letter",
        "pvt_created": now,
        "pvt_modified": now,
        "pvt_node": NODE,
        "kind": "event",
        "reason": "no valid message",
        "module": "sms",
        "exchange": "im",
        "routing_key": "sms.inbound.offnet.1",
        "content_type": "application/json",
        "content_encoding": None,
        "message_id": "m",
        "headers": {"traceparent": "00-1-2-01"},
        "body": "{}",
    }


def test_events_set_aside_twice_or_on_two_nodes_are_two_letters():
    ids = {
        poison_dead_letter(made, number, node)["_id"]
        for made in (record(), record(module="mms"), record(set_aside_at=NOW + 1))
        for number in (7, 8)
        for node in (NODE, "callboard@there")
    }
    assert len(ids) == 12


def test_what_an_older_version_set_aside_is_understood():
    old = record()
    del old["message_id"], old["headers"]
    made = poison_dead_letter(old, 1, NODE)
    assert (made["message_id"], made["headers"]) == (None, {})


def test_the_bytes_of_a_message_that_cannot_be_read_are_kept():
    raw = {"properties": "AAA=", "routing_key": "Y2Fm6Q=="}
    assert poison_dead_letter(record(raw=raw), 1, NODE)["raw"] == raw


@given(st.dictionaries(st.sampled_from(sorted({*record(), "raw"})), values))
def test_a_damaged_record_is_a_letter_of_what_is_left(damage):
    made = poison_dead_letter(record(**damage), 1, NODE)
    assert made["kind"] == "event"
    assert json.dumps(made)


@given(st.binary(max_size=200))
def test_bodies_are_kept_as_they_are(body):
    for made in (
        letter(evolve(DELIVERY, body=body)),
        poison_dead_letter(record(body=body.hex()), 1, NODE),
    ):
        assert body_of(json.loads(json.dumps(made))) == body


def test_a_body_that_no_store_takes_is_not_kept_and_says_so():
    made = letter(evolve(DELIVERY, body=b"x" * 4_000_001))
    assert len(json.dumps(made)) < 2000
    with pytest.raises(NotRepeatable, match=r"its body of 4000001 bytes was not kept"):
        body_of(made)
    largest = b"x" * 4_000_000
    assert body_of(letter(evolve(DELIVERY, body=largest))) == largest


def test_a_payload_too_large_to_be_recorded_is_not_repeated():
    kept = letter(reason="refused: payload", lost_bytes=40_000_000)
    assert (kept["body_bytes"], "body" in kept) == (40_000_000, False)
    with pytest.raises(NotRepeatable, match="its body of 40000000 bytes was not kept"):
        body_of(kept)


@pytest.mark.parametrize("members", [{}, {"body_base64": "%"}, {"body_base64": 7}])
def test_a_body_that_somebody_has_damaged_is_refused(members):
    with pytest.raises(NotRepeatable, match="cannot be read"):
        body_of(members)


def test_a_body_that_would_grow_beyond_what_a_store_takes_is_kept_in_base64():
    """CouchDB counts the document as JSON, in which a control character takes six bytes."""
    body = b"\0" * 2_000_000
    kept = letter(evolve(DELIVERY, body=body))
    assert len(json.dumps(kept)) < 8_000_000
    assert body_of(kept) == body


@pytest.mark.parametrize("text", ["x" * 3_000_000, '"' * 2_600_000, "é" * 1_900_000])
def test_a_long_body_that_people_can_read_is_kept_as_text(text):
    assert letter(evolve(DELIVERY, body=text.encode()))["body"] == text


def test_a_text_that_is_a_third_longer_as_json_is_kept_in_base64():
    assert "body_base64" in letter(evolve(DELIVERY, body=b'"' * 2_700_000))


def test_a_record_without_time_and_body_is_a_letter_of_1970_without_body():
    made = poison_dead_letter({"reason": "x"}, 1, NODE)
    assert (made["pvt_created"], made["body"]) == (GREGORIAN_OFFSET_S, "")


def test_half_a_character_in_a_reason_or_a_uri_is_replaced():
    kept = letter(evolve(DELIVERY, uri="https://e.example/\ud800"), reason="bad \ud800")
    json.dumps(kept, ensure_ascii=False).encode()
    assert kept["reason"] == "bad ?"
