import hashlib
import json

import pytest
from attrs import evolve

from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.history import attempts
from callboard.webhooks.history.attempts import attempt_database
from callboard.webhooks.hooks.options import Options
from callboard.webhooks.hooks.signature_schemes import parse_scheme
from callboard.webhooks.retries.outcome import ClientError, Response, Unsent

ACCOUNT = "1b" * 16
NOW = 1_709_251_199.7  # 2024-02-29, the last second of February in UTC
GREGORIAN = 63_876_470_399


def delivery(method="POST", body=b"a=1"):
    return Delivery(
        id="d",
        event_id="0123456789",
        hook_id="h",
        account_id=ACCOUNT,
        hook_event="CHANNEL_CREATE",
        uri="https://example.org/In",
        method=method,
        url="https://example.org/In?a=1",
        headers=(("Content-Type", "application/JSON"), ("X-Hook-ID", "ABC")),
        body=body,
        max_attempts=3,
    )


def test_the_id_is_that_of_the_try():
    def id_of(delivery, number):
        return attempts.attempt_document(delivery, Response(500), 1, NOW, 10, number=number)["_id"]

    one = delivery()
    assert id_of(one, 7) == hashlib.blake2b(b"d/0123456789/7", digest_size=16).hexdigest()
    assert id_of(one, 1) == id_of(one, 1) == id_of(evolve(one, uri="http://other/"), 1)
    others = evolve(one, id="e"), evolve(one, event_id="9876543210")
    assert len({id_of(one, 1), id_of(one, 2), *(id_of(other, 1) for other in others)}) == 4


def test_signatures_keep_their_capitals():
    scheme = parse_scheme({"name": "shopify"})
    sent = (("X-Shopify-Hmac-Sha256", "AbC="), ("webhook-signature", "v1,AbC="), ("X-A", "B"))
    signed = evolve(delivery(), headers=sent, options=Options(scheme=scheme))
    headers = attempt_document(signed, Response(500), 1, NOW)["req_headers"]
    assert headers == {
        "x-shopify-hmac-sha256": "AbC=",
        "webhook-signature": "v1,AbC=",
        "x-a": "b",
    }


def attempt_document(*facts, body_limit=1000):
    return attempts.attempt_document(*facts, body_limit)


def of_any_outcome():
    return {
        "pvt_type": "webhook_attempt",
        "pvt_account_id": ACCOUNT,
        "pvt_account_db": f"account%2F1b%2F1b%2F{'1b' * 14}-202402",
        "pvt_created": GREGORIAN,
        "pvt_modified": GREGORIAN,
        "hook_id": "h",
        "hook_event": "CHANNEL_CREATE",
        "event_id": "0123456789",
        "method": "post",
        "uri": "https://example.org/In",
        "req_headers": {"content-type": "application/json", "x-hook-id": "abc"},
        "req_body": "a=1",
    }


def of_answer(status, body=""):
    return {
        "resp_status_code": status,
        "resp_headers": {"server": "nginx"},
        "resp_body": body,
    }


def response(status, body=b""):
    return Response(status, {"Server": "NGINX"}, body)


def test_the_database_is_the_month_s():
    assert attempt_database(delivery(), NOW) == f"account/1b/1b/{'1b' * 14}-202402"
    assert attempt_database(delivery(), NOW + 1).endswith("-202403")


def test_a_signature_is_recorded_as_it_was_sent():
    signed = evolve(delivery(), headers=(("X-A", "B"), ("webhook-signature", "v1,AbC=")))
    document = attempt_document(signed, response(200), 1, NOW)
    assert document["req_headers"] == {"x-a": "b", "webhook-signature": "v1,AbC="}


def test_credentials_in_the_hooks_own_headers_are_hidden_unless_asked_for():
    own = (
        *(("Authorization", "Bearer S3"), ("cookie", "S3"), ("X-Api-Key", "S3")),
        *(("X-Gitlab-Token", "S3"), ("Tokens", "4"), ("X-Key", "k"), ("Unsent-Token", "S3")),
    )
    sent = (("Content-Type", "a/b"), ("webhook-signature", "v1,AbC="), *own[:-1])
    signed = evolve(delivery(), headers=sent, options=Options(headers=own))
    document = attempt_document(signed, response(200), 1, NOW)
    assert document["req_headers"] == {
        "content-type": "a/b",
        "webhook-signature": "v1,AbC=",
        "authorization": "***",
        "cookie": "***",
        "x-api-key": "***",
        "x-gitlab-token": "***",
        "tokens": "4",
        "x-key": "k",
    }
    asked = attempts.attempt_document(signed, response(200), 1, NOW, 1000, credentials=True)
    assert asked["req_headers"]["authorization"] == "bearer s3"
    assert asked["req_headers"].keys() == document["req_headers"].keys()


def test_user_and_password_of_the_url_are_left_out_unless_asked_for():
    uri = "https://user:S3cret@hooks.example.com/a?b=c@d"
    secret = evolve(delivery(), uri=uri)
    document = attempt_document(secret, response(200), 1, NOW)
    assert document["uri"] == "https://hooks.example.com/a?b=c@d"
    asked = attempts.attempt_document(secret, response(200), 1, NOW, 1000, credentials=True)
    assert asked["uri"] == uri


def test_a_success_has_no_count_of_tries():
    document = attempt_document(delivery(), response(200, b"Thanks"), 2, NOW)
    assert document == of_any_outcome() | of_answer("200", "Thanks") | {"result": "success"}


@pytest.mark.parametrize(("method", "result"), [("PUT", "success"), ("POST", "failure")])
def test_a_201_is_a_success_to_put_only(method, result):
    document = attempt_document(delivery(method), response(201), 1, NOW)
    assert (document["result"], document["method"]) == (result, method.lower())


@pytest.mark.parametrize(
    ("attempts_left", "retries_left"), [(3, 2), (2, 1), (1, "retries exceeded")]
)
def test_a_bad_answer_counts_down(attempts_left, retries_left):
    document = attempt_document(delivery(), response(500), attempts_left, NOW)
    assert document == of_any_outcome() | of_answer("500") | {
        "result": "failure",
        "reason": "bad response code",
        "try": attempts_left,
        "retries_left": retries_left,
    }


@pytest.mark.parametrize(
    ("attempts_left", "retries_left"), [(3, 3), (2, 2), (1, "retries exceeded")]
)
def test_a_client_error_names_the_tries_it_had(attempts_left, retries_left):
    error = ClientError("failed_connect: nxdomain", "Name or service not known")
    assert attempt_document(delivery(), error, attempts_left, NOW) == of_any_outcome() | {
        "result": "failure",
        "reason": "kazoo http client error",
        "client_error": "failed_connect: nxdomain",
        "retries": attempts_left,
        "retries_left": retries_left,
    }


def test_long_bodies_are_cut_with_a_mark():
    document = attempt_document(
        delivery(body=b"x" * 12), response(200, "ü".encode() * 6), 1, NOW, body_limit=11
    )
    assert document["req_body"] == "x" * 11 + "…[cut]"
    assert document["resp_body"] == "ü" * 5 + "…[cut]"


def test_an_answer_that_was_not_read_to_its_end_is_marked_too():
    answer = Response(200, {}, b"x" * 10, cut=True)
    document = attempt_document(delivery(), answer, 1, NOW, body_limit=10)
    assert document["resp_body"] == "x" * 10 + "…[cut]"


def test_bodies_within_the_limit_are_whole():
    document = attempt_document(delivery(body=b"x" * 10), response(200), 1, NOW, body_limit=10)
    assert document["req_body"] == "x" * 10


def test_a_body_that_is_no_text_can_still_be_stored():
    document = attempt_document(delivery(), response(200, b"\xff\x00ok"), 1, NOW)
    assert document["resp_body"] == "\ufffd\x00ok"
    json.dumps(document, ensure_ascii=False).encode()


def test_a_delivery_of_a_dry_run_has_that_result():
    document = attempts.attempt_document(delivery(), Unsent(), 1, NOW, 10, number=1)
    assert document["result"] == "dry_run"


@pytest.mark.parametrize(
    ("text", "found"),
    [("", True), ("0123456789", True), ("a=1", True), ("order-7", True), ("\udc80", False)],
)
def test_what_a_delivery_that_has_not_ended_contains(text, found):
    assert attempts.contains(evolve(delivery(), reference="order-7"), text) is found


def test_the_duration_is_in_milliseconds_and_never_negative():
    def duration(took_s):
        document = attempts.attempt_document(delivery(), Response(200), 1, NOW, 10, took_s=took_s)
        return document.get("pvt_duration_ms")

    assert [duration(took_s) for took_s in (1.5, 0.0, -1.0, None)] == [1500, 0, 0, None]


@pytest.mark.parametrize("member", ["req_body", "pvt_req_query", "body"])
def test_a_text_is_found_in_what_was_sent(member):
    assert attempts.concerns({member: "an order-7 here"}, "order-7")
    assert not attempts.concerns({"other": "an order-7 here"}, "order-7")
