"""The receiver's side of signatures; the reference library signs, ours verifies."""

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from callboard.webhooks.deliveries.signing import new_secret, signature_headers
from callboard.webhooks.deliveries.verifying import Verdict, parse_verifying_key, verify

SECRET = new_secret()
KEYS = [parse_verifying_key(SECRET.text)]
NOW = 1_700_000_000


def signed(secret=SECRET, body=b"{}", at=NOW, id="msg_1"):
    return {"webhook-id": id} | dict(signature_headers([secret], id, at, body))


def test_what_the_reference_library_signs_is_ok():
    now = datetime.fromtimestamp(time.time(), UTC)
    signature = Webhook(SECRET.text).sign("msg_1", now, '{"a": 1}')
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signature,
    }
    assert verify(KEYS, headers, b'{"a": 1}', time.time()) is Verdict.OK
    assert verify(KEYS, headers, b'{"a": 2}', time.time()) is Verdict.WRONG


@given(st.binary(max_size=200))
def test_both_kinds_verify_what_was_signed(body):
    for secret in (SECRET, new_secret("ed25519")):
        key = parse_verifying_key(secret.public_text or secret.text)
        assert verify([key], signed(secret, body), body, NOW) is Verdict.OK
        assert verify([key], signed(secret, body), body + b"x", NOW) is Verdict.WRONG


def test_one_good_signature_among_many_is_enough():
    headers = signed()
    headers["webhook-signature"] = f"v1,AAAA v9,x {headers['webhook-signature']} v1a,AAAA"
    assert verify(KEYS, headers, b"{}", NOW) is Verdict.OK


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_missing_header_is_missing(missing):
    assert verify(KEYS, signed() | {missing: ""}, b"{}", NOW) is Verdict.MISSING
    headers = {name: value for name, value in signed().items() if name != missing}
    assert verify(KEYS, headers, b"{}", NOW) is Verdict.MISSING


def test_a_signature_may_begin_with_any_letter():
    """Of 64 letters that base64 has."""
    secret = new_secret("ed25519")
    keys = [parse_verifying_key(secret.public_text)]
    begun = set()
    for number in range(1000):
        headers = signed(secret, body=b"%d" % number)
        assert verify(keys, headers, b"%d" % number, NOW) is Verdict.OK
        begun.add(headers["webhook-signature"][len("v1a,")])
        if len(begun) == 64:
            break
    assert len(begun) == 64


@pytest.mark.parametrize(
    "changed",
    [
        {"webhook-id": "msg_2"},
        {"webhook-id": "ä"},
        {"webhook-timestamp": str(NOW + 1)},
        {"webhook-timestamp": "yesterday"},
        {"webhook-timestamp": "9" * 5000},
        {"webhook-signature": "v1"},
        {"webhook-signature": "v1a,not-base64"},
        {"webhook-signature": "ä,ö"},
    ],
)
def test_a_changed_header_is_wrong(changed):
    keys = [*KEYS, parse_verifying_key(new_secret("ed25519").public_text)]
    assert verify(keys, signed() | changed, b"{}", NOW) is Verdict.WRONG


def test_age_counts_within_the_tolerance():
    assert verify(KEYS, signed(at=NOW - 300), b"{}", NOW) is Verdict.OK
    assert verify(KEYS, signed(at=NOW - 301), b"{}", NOW) is Verdict.TOO_OLD
    assert verify(KEYS, signed(at=NOW + 300), b"{}", NOW) is Verdict.OK
    assert verify(KEYS, signed(at=NOW + 301), b"{}", NOW) is Verdict.TOO_NEW
    assert verify(KEYS, signed(at=999_999_999_999), b"{}", NOW) is Verdict.TOO_NEW


def test_a_timestamp_of_more_than_twelve_digits_is_none():
    assert verify(KEYS, signed(at=1_000_000_000_000), b"{}", NOW) is Verdict.WRONG


@given(st.dictionaries(st.sampled_from(sorted(signed())), st.text()), st.binary())
def test_whatever_arrives_is_judged(changed, body):
    keys = [*KEYS, parse_verifying_key(new_secret("ed25519").public_text)]
    assert verify(keys, signed() | changed, body, NOW) in Verdict


@pytest.mark.parametrize(
    "changed",
    [{"webhook-signature": "v1,\udc80"}, {"webhook-id": "\udc80"}],
    ids=["signature", "id"],
)
def test_half_a_character_in_a_header_is_wrong(changed):
    assert verify(KEYS, signed() | changed, b"{}", NOW) is Verdict.WRONG
