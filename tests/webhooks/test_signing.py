import base64
import hashlib
import hmac
import json
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from callboard.webhooks.deliveries.signing import (
    InvalidSecret,
    KeyPair,
    SharedSecret,
    new_secret,
    parse_secret,
    signature_headers,
)

ID = "0123456789abcdef" * 2
KEY = bytes(range(32))


def base64_of(key):
    return base64.b64encode(key).decode()


def headers(secrets, body=b"{}", now=None):
    signed = dict(signature_headers(secrets, ID, time.time() if now is None else now, body))
    return {"webhook-id": ID} | signed


def verify_ed25519(public_text, got, body):
    """What a receiver does with a `whpk_…`; raises unless a v1a signature is good."""
    public = Ed25519PublicKey.from_public_bytes(
        base64.b64decode(public_text.removeprefix("whpk_"), validate=True)
    )
    content = f"{got['webhook-id']}.{got['webhook-timestamp']}.".encode() + body
    [signature] = [s for s in got["webhook-signature"].split(" ") if s.startswith("v1a,")]
    public.verify(base64.b64decode(signature.removeprefix("v1a,")), content)


def test_a_known_signature():
    secret = SharedSecret(KEY)
    got = headers([secret], b'{"a":1}', now=1_700_000_000.9)
    expected = hmac.new(KEY, f'{ID}.1700000000.{{"a":1}}'.encode(), hashlib.sha256).digest()
    assert got == {
        "webhook-id": ID,
        "webhook-timestamp": "1700000000",
        "webhook-signature": "v1," + base64_of(expected),
    }


@given(
    st.binary(min_size=24, max_size=64),
    st.dictionaries(st.text(), st.text() | st.integers() | st.none()),
)
def test_the_reference_library_verifies_every_secret_and_body(key, payload):
    secret = parse_secret("whsec_" + base64_of(key))
    body = json.dumps(payload, ensure_ascii=False).encode(errors="replace")
    got = headers([secret], body)
    assert Webhook(secret.text).verify(body, got) == json.loads(body)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret.text).verify(body + b" ", got)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret.text).verify(body, got | {"webhook-id": "another"})


@given(st.binary(min_size=32, max_size=32), st.binary())
def test_every_key_pair_signs_for_its_public_key(seed, body):
    pair = parse_secret("whsk_" + base64_of(seed))
    verify_ed25519(pair.public_text, headers([pair], body), body)
    assert parse_secret(pair.text).public_text == pair.public_text


def test_during_rotation_each_secret_is_good_by_itself():
    newest, pair, oldest = new_secret(), new_secret("ed25519"), new_secret()
    got = headers([newest, pair, oldest])
    versions = [signature.split(",")[0] for signature in got["webhook-signature"].split(" ")]
    assert versions == ["v1", "v1a", "v1"]
    for secret in (newest, oldest):
        assert Webhook(secret.text).verify(b"{}", got) == {}
    verify_ed25519(pair.public_text, got, b"{}")
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret().text).verify(b"{}", got)


@pytest.mark.parametrize(("size", "allowed"), [(23, False), (24, True), (64, True), (65, False)])
def test_a_shared_secret_has_24_to_64_bytes(size, allowed):
    text = "whsec_" + base64_of(bytes(size))
    if allowed:
        assert parse_secret(text).text == text
        return
    with pytest.raises(InvalidSecret) as refused:
        parse_secret(text)
    assert str(refused.value) == f"the secret has {size} bytes behind whsec_: 24 to 64 are allowed"


def test_a_private_key_of_another_size_is_refused():
    with pytest.raises(InvalidSecret) as refused:
        parse_secret("whsk_" + base64_of(bytes(33)))
    assert str(refused.value) == (
        "the private key has 33 bytes behind whsk_: 32 are needed, or 64 with the public key"
    )


def test_characters_that_base64_lacks_are_not_passed_over():
    with pytest.raises(InvalidSecret, match="what follows whsec_ is not base64"):
        parse_secret("whsec_!!!!" + base64_of(KEY))


def test_the_empty_body_of_a_get_is_signed():
    secret = new_secret()
    Webhook(secret.text).verify(b"", headers([secret], b""), json_parse=False)


def test_an_id_with_a_full_stop_is_not_signed():
    with pytest.raises(ValueError, match="full stop"):
        signature_headers([new_secret()], "a.1700000000", 0, b"")


def test_new_secrets_differ_and_are_what_their_text_says():
    made = [new_secret(kind) for kind in ("hmac-sha256", "ed25519") for _ in range(10)]
    assert len({secret.text for secret in made}) == len({s.fingerprint for s in made}) == 20
    for secret in made:
        again = parse_secret(secret.text)
        assert (again.text, again.fingerprint, again.kind) == (
            *(secret.text, secret.fingerprint),
            secret.kind,
        )


def test_the_fingerprint_of_a_pair_is_its_public_key_s():
    pair = new_secret("ed25519")
    public = base64.b64decode(pair.public_text.removeprefix("whpk_"))
    assert pair.fingerprint == hashlib.sha256(public).hexdigest()[:12]


def test_a_private_key_may_bring_its_public_key():
    private = Ed25519PrivateKey.generate()
    seed, public = private.private_bytes_raw(), private.public_key().public_bytes_raw()
    pair = parse_secret("whsk_" + base64_of(seed + public))
    assert pair.public_text == "whpk_" + base64_of(public)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "begins with neither whsec_ nor whsk_"),
        ("hunter2hunter2hunter2", "begins with neither whsec_ nor whsk_"),
        ("whsec_hunter2 hunter2", "what follows whsec_ is not base64"),
        ("whsec_hünter2hunter2", "what follows whsec_ is not base64"),
        ("whsec_" + base64_of(KEY)[:-1], "not base64"),
        ("whsec_", "has 0 bytes behind whsec_: 24 to 64"),
        ("whsec_" + base64_of(b"hunter2" * 3), "has 21 bytes behind whsec_: 24 to 64"),
        ("whsec_" + base64_of(b"hunter2" * 10), "has 70 bytes behind whsec_: 24 to 64"),
        ("whsk_" + base64_of(b"hunter2" * 5), "has 35 bytes behind whsk_: 32"),
        ("whsk_" + base64_of(b"hunter22" * 8), "do not belong"),
        ("whpk_" + base64_of(KEY), "is a public key"),
    ],
)
def test_what_is_no_secret_is_told_but_not_shown(text, says):
    with pytest.raises(InvalidSecret, match=says) as caught:
        parse_secret(text)
    assert "hunter2" not in str(caught.value)
    assert base64_of(b"hunter2")[:8] not in str(caught.value)
    assert caught.value.__cause__ is None


@given(st.text() | st.builds("whsec_{}".format, st.text()) | st.builds("whsk_{}".format, st.text()))
def test_any_text_is_a_secret_or_refused(text):
    try:
        secret = parse_secret(text)
    except InvalidSecret:
        return
    assert isinstance(secret, SharedSecret | KeyPair)


def test_secrets_do_not_show_themselves():
    for secret in (new_secret(), new_secret("ed25519")):
        assert secret.text[8:] not in repr(secret)
        assert repr(secret) in ("SharedSecret()", "KeyPair()")
