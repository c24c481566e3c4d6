import base64
import hmac
import time

import pytest
from attrs import evolve
from standardwebhooks import Webhook

from callboard.adapters.keys.secret_box import SecretBox
from callboard.adapters.keys.signer import Signer, SigningRefused
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.deliveries.signing import ED25519, new_secret
from callboard.webhooks.hooks.options import Options
from callboard.webhooks.hooks.signature_schemes import parse_scheme
from callboard.webhooks.retries.retry_message import RetryMessage, as_json, from_json

KEY, OTHER_KEY = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))

DELIVERY = Delivery(
    id="ab" * 16,
    event_id="e",
    hook_id="h",
    account_id="a",
    hook_event="all",
    uri="https://e.example/",
    method="POST",
    url="https://e.example/",
    headers=(("X-Hook-ID", "h"), ("webhook-id", "ab" * 16)),
    body=b"{}",
)


@pytest.fixture
def box(tmp_path):
    return SecretBox(KEY, tmp_path / "none")


def of(box, *secrets):
    sealed = tuple(box.sealed(secret.text, "h") for secret in secrets)
    return evolve(DELIVERY, options=Options(secrets=sealed))


def test_without_secrets_the_headers_are_as_they_were(box):
    assert Signer(box).signed(DELIVERY, 0) is DELIVERY.headers


def test_each_try_has_its_own_timestamp_and_the_same_id(box):
    secret = new_secret()
    delivery, signer, now = of(box, secret), Signer(box), time.time()
    first, second = (dict(signer.signed(delivery, at)) for at in (now - 2, now))
    assert first["webhook-id"] == second["webhook-id"] == DELIVERY.id
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 2
    assert first["webhook-signature"] != second["webhook-signature"]
    for headers in (first, second):
        assert Webhook(secret.text).verify(b"{}", headers) == {}
        assert headers["X-Hook-ID"] == "h"


def test_a_secret_that_has_ended_signs_no_more(box):
    new, old = new_secret(), new_secret()
    delivery, signer = of(box, new, old), Signer(box)
    delivery = evolve(delivery, options=evolve(delivery.options, secrets_until=(0, 1000)))
    before, after = (dict(signer.signed(delivery, at)) for at in (999, 1000))
    assert len(before["webhook-signature"].split()) == 2
    assert len(after["webhook-signature"].split()) == 1
    ended = evolve(delivery, options=evolve(delivery.options, secrets_until=(1000, 1000)))
    with pytest.raises(SigningRefused, match="all secrets of hook h have ended"):
        signer.signed(ended, 1000)


GITHUB = parse_scheme({"name": "github"})


@pytest.mark.parametrize(
    ("scheme", "header", "text"),
    [
        (
            GITHUB,
            "X-Hub-Signature-256",
            lambda key: f"sha256={hmac.new(key, b'{}', 'sha256').hexdigest()}",
        ),
        (
            parse_scheme({"name": "hmac-sha512", "header": "X-S", "encoding": "base64"}),
            "X-S",
            lambda key: base64.b64encode(hmac.digest(key, b"{}", "sha512")).decode(),
        ),
        (
            parse_scheme({"name": "github-sha1", "prefix": "v="}),
            "X-Hub-Signature",
            lambda key: f"v={hmac.new(key, b'{}', 'sha1').hexdigest()}",
        ),
    ],
)
def test_a_scheme_adds_a_header_by_the_oldest_shared_secret(box, scheme, header, text):
    new, old, pair = new_secret(), new_secret(), new_secret(ED25519)
    delivery = of(box, new, old, pair)
    delivery = evolve(
        delivery, options=evolve(delivery.options, scheme=scheme, secrets_until=(0, 1000, 0))
    )
    signed = dict(Signer(box).signed(delivery, 999))
    assert signed[header] == text(old.key)
    assert len(signed["webhook-signature"].split()) == 3
    assert dict(Signer(box).signed(delivery, 1000))[header] == text(new.key)


def test_a_scheme_signs_the_empty_body_of_a_get_at_each_try(box):
    """The first try signed the query, and those from the retry queue nothing."""
    secret = new_secret()
    get = evolve(of(box, secret), method="GET", body=b"a=1")
    get = evolve(get, options=evolve(get.options, scheme=GITHUB))
    later = from_json(as_json(RetryMessage(get, 1, 0))).delivery
    of_none = f"sha256={hmac.new(secret.key, b'', 'sha256').hexdigest()}"
    for delivery in (get, later):
        assert dict(Signer(box).signed(delivery, 0))["X-Hub-Signature-256"] == of_none


def test_githubs_own_example(box):
    """docs.github.com: validating webhook deliveries, testing the implementation."""
    key, body = b"It's a Secret to Everybody", b"Hello, World!"
    assert GITHUB.signature(key, body) == (
        "X-Hub-Signature-256",
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
    )


def test_a_scheme_without_a_shared_secret_is_not_sent_unsigned(box):
    for delivery in (DELIVERY, of(box, new_secret(ED25519))):
        asking = evolve(delivery, options=evolve(delivery.options, scheme=GITHUB))
        with pytest.raises(SigningRefused, match="secret"):
            Signer(box).signed(asking, 0)


def test_one_secret_that_cannot_be_opened_refuses_the_whole(box, tmp_path):
    secret = new_secret()
    elsewhere = SecretBox(OTHER_KEY, tmp_path / "none")
    sealed = (box.sealed(secret.text, "h"), elsewhere.sealed(new_secret().text, "h"))
    with pytest.raises(SigningRefused, match="secret of hook h cannot be used: it was encrypted"):
        Signer(box).signed(evolve(DELIVERY, options=Options(secrets=sealed)), 0)


def test_another_hook_s_secret_does_not_sign(box):
    with pytest.raises(SigningRefused, match="encrypted for hook h"):
        Signer(box).signed(evolve(of(box, new_secret()), hook_id="thief"), 0)


def test_what_was_encrypted_but_is_no_secret_is_refused(box):
    with pytest.raises(SigningRefused, match="has 3 bytes") as caught:
        sealed = box.sealed("whsec_YWJj", "h")
        Signer(box).signed(evolve(DELIVERY, options=Options(secrets=(sealed,))), 0)
    assert "YWJj" not in str(caught.value)


def test_an_id_that_cannot_be_signed_is_refused(box):
    with pytest.raises(SigningRefused, match="full stop"):
        Signer(box).signed(evolve(of(box, new_secret()), headers=(("webhook-id", "a.1"),)), 0)


def test_what_is_sent_once_more_is_signed_by_the_id_that_receivers_know(box):
    secret = new_secret()
    again = evolve(of(box, secret), id="cd" * 16)
    headers = dict(Signer(box).signed(again, time.time()))
    assert headers["webhook-id"] == "ab" * 16
    Webhook(secret.text).verify(again.body, headers)
