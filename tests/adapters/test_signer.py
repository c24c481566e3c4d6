import base64
import time

import pytest
from attrs import evolve
from standardwebhooks import Webhook

from callboard.adapters.keys.secret_box import SecretBox
from callboard.adapters.keys.signer import Signer, SigningRefused
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.deliveries.signing import new_secret
from callboard.webhooks.hooks.options import Options

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
