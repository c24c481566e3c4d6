import pickle

import pytest

from callboard.webhooks.hooks.hook import InvalidHook, parse_hook
from callboard.webhooks.hooks.options import (
    NO_OPTIONS,
    InvalidOption,
    Options,
    cancelled_until,
    is_paused,
    parse_options,
)
from callboard.webhooks.hooks.signature_schemes import Scheme

KAZOO_S = {"_id": "h", "pvt_account_id": "a", "uri": "https://e.example/", "hook": "all"}


def test_a_document_of_kazoo_s_has_none():
    assert parse_options(KAZOO_S) is NO_OPTIONS
    assert parse_hook(KAZOO_S, ()).options is NO_OPTIONS


def test_all_of_them():
    document = {
        "retry_policy": "standard",
        "ordered": "true",
        "rate_limit": "2.5",
        "headers": {"Authorization": "Bearer abc", "X-Team": "billing"},
        "pvt_secrets": [
            {"fingerprint": text, "kind": "hmac-sha256", "since": 0, "encrypted": text}
            for text in ("new", "old")
        ],
        "client_certificate": "crm.pem",
        "retry_steps_s": [5, 60.5],
        "success": ["200-299", 304],
        "give_up": [400, "404", "500-503"],
        "signature": {"name": "github", "header": "X-Sig"},
    }
    document["pvt_secrets"][1]["until"] = 62_167_219_200 + 99
    options = parse_hook(KAZOO_S | document, ()).options
    assert options == Options(
        policy="standard",
        ordered=True,
        rate_per_s=2.5,
        headers=(("Authorization", "Bearer abc"), ("X-Team", "billing")),
        secrets=("new", "old"),
        certificate="crm.pem",
        retry_steps_s=(5.0, 60.5),
        success=((200, 299), (304, 304)),
        give_up=((400, 400), (404, 404), (500, 503)),
        scheme=Scheme("hmac-sha256", "X-Sig", "sha256=", "hex"),
        secrets_until=(0, 99),
    )
    assert pickle.loads(pickle.dumps(options)) == options


@pytest.mark.parametrize(
    ("document", "name", "value"),
    [
        ({"rate_limit": 1 / 86_400}, "rate_per_s", 1 / 86_400),
        ({"headers": {"X-A": "b" * 4096}}, "headers", (("X-A", "b" * 4096),)),
        (
            {"headers": {f"X-{n}": "v" for n in range(20)}},
            "headers",
            tuple((f"X-{n}", "v") for n in range(20)),
        ),
        ({"retry_steps_s": [1] * 30}, "retry_steps_s", (1.0,) * 30),
        ({"retry_steps_s": [604_800]}, "retry_steps_s", (604_800.0,)),
        ({"success": [200, 599] * 10}, "success", ((200, 200), (599, 599)) * 10),
        (
            {"signature": {"header": "X", "prefix": "p" * 64}},
            "scheme",
            Scheme("hmac-sha256", "X", "p" * 64, "hex"),
        ),
    ],
)
def test_what_is_just_permitted(document, name, value):
    assert getattr(parse_options(document), name) == value


@pytest.mark.parametrize(
    ("document", "paused"),
    [
        *(({}, False), ({"paused": None}, False), ({"paused": False}, False)),
        *(({"paused": True}, True), ({"paused": "true"}, True), ({"paused": "x"}, False)),
    ],
)
def test_a_hook_is_paused_if_its_document_says_so(document, paused):
    assert is_paused(document) is paused


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"retry_policy": "often"}, "retry_policy 'often' is unknown: use one of kazoo, standard"),
        ({"rate_limit": 0}, "rate_limit 0 is no number"),
        ({"rate_limit": 1.157e-5}, "rate_limit 1.157e-05 is no number"),
        ({"rate_limit": 1e9}, "rate_limit 1000000000.0 is no number"),
        ({"rate_limit": "fast"}, "rate_limit 'fast' is no number"),
        ({"rate_limit": float("inf")}, "rate_limit inf is no number"),
        ({"rate_limit": 10**400}, "is no number of requests"),
        ({"headers": ["X-A: b"]}, "headers is no object"),
        ({"headers": {f"X-{n}": "v" for n in range(21)}}, "headers has 21 members: 20 are"),
        ({"headers": {"X A": "b"}}, "'X A' is no header name"),
        ({"headers": {"": "b"}}, "'' is no header name"),
        ({"headers": {"X-A": "b\r\nX-B: c"}}, "value of X-A is no printable"),
        ({"headers": {"X-A": 7}}, "value of X-A is no printable"),
        ({"headers": {"X-A": " b"}}, "value of X-A is no printable"),
        ({"headers": {"X-A": "b" * 4097}}, "X-A is longer than 4096"),
        ({"headers": {"Host": "other.example"}}, "Host may not be set"),
        ({"headers": {"transfer-encoding": "chunked"}}, "transfer-encoding may not be set"),
        ({"headers": {"Webhook-Signature": "v1,x"}}, "Webhook-Signature may not be set"),
        ({"headers": {"Proxy-Authorization": "x"}}, "Proxy-Authorization may not be set"),
        ({"headers": {"X-Hook-ID": "x"}}, "X-Hook-ID may not be set"),
        ({"pvt_secrets": "s"}, "pvt_secrets is no list"),
        ({"retry_steps_s": []}, "is no list of 1 to 30 numbers"),
        ({"retry_steps_s": [0.5]}, "is no list of 1 to 30 numbers"),
        ({"retry_steps_s": [604_801]}, "numbers of seconds from 1 to 604800"),
        ({"retry_steps_s": [True]}, "is no list of 1 to 30 numbers"),
        ({"retry_steps_s": [5] * 31}, "is no list of 1 to 30 numbers"),
        ({"retry_steps_s": [float("nan")]}, "is no list of 1 to 30 numbers"),
        ({"retry_steps_s": "5"}, "is no list of 1 to 30 numbers"),
        ({"success": []}, "success .* is no list of 1 to 20 statuses"),
        ({"success": [199]}, "is no list of 1 to 20 statuses"),
        ({"success": [True]}, "is no list of 1 to 20 statuses"),
        ({"success": ["300-200"]}, "is no list of 1 to 20 statuses"),
        ({"give_up": ["4xx"]}, "give_up .* is no list of 1 to 20 statuses"),
        ({"give_up": 404}, "give_up 404 is no list"),
        ({"success": ["200-410"], "give_up": [410]}, "share status 410"),
        ({"signature": "github"}, "signature: it is no object"),
        ({"signature": {"name": "rot13"}}, "signature: name 'rot13' is unknown: use one of github"),
        ({"signature": {"name": []}}, "signature: name .* is unknown"),
        ({"signature": {"name": "hmac-sha256"}}, "signature: header '' is no header name"),
        ({"signature": {"header": "Webhook-Id"}}, "signature: header Webhook-Id may not be set"),
        ({"signature": {"header": "X", "prefix": "a b"}}, "signature: prefix 'a b' is no text"),
        ({"signature": {"header": "X", "prefix": "p" * 65}}, "prefix .* is no text of up to 64"),
        ({"signature": {"header": "X", "encoding": "b64"}}, "signature: encoding 'b64' is unknown"),
        ({"signature": {"header": "X", "key": "s"}}, "signature: key is no member"),
        ({"signature": {"header": "X-A"}, "headers": {"x-a": "b"}}, "headers sets X-A, too"),
        ({"client_certificate": "../key.pem"}, "client_certificate '../key.pem' is no name"),
    ],
)
def test_what_cannot_be_is_named(document, text):
    with pytest.raises(InvalidOption, match=text.replace("(", r"\(")):
        parse_options(document)
    with pytest.raises(InvalidHook):
        parse_hook(KAZOO_S | document, ())


@pytest.mark.parametrize(
    ("stored", "until_ms"),
    [(1, 1), (2**53, 2**53), (2**53 + 1, 0), (0, 0), (-1, 0), ("x", 0), (None, 0)],
)
def test_until_when_deliveries_were_cancelled(stored, until_ms):
    assert cancelled_until({"pvt_deliveries_cancelled_ms": stored}) == until_ms


RESERVED = """
    connection keep-alive proxy-connection te trailer transfer-encoding upgrade
    content-length content-encoding expect host accept-encoding
    content-type x-hook-id x-account-id traceparent tracestate
    proxy-anything webhook-id webhook-signature
"""
"""Headers of one connection (RFC 9110, 7.6.1), of the transport, and those that Callboard sets."""


@pytest.mark.parametrize("name", RESERVED.split())
def test_a_hook_sets_no_header_of_the_transport_or_of_callboard(name):
    for written in (name, name.title()):
        with pytest.raises(InvalidOption, match=f"headers: {written} may not be set by a hook"):
            parse_options({"headers": {written: "x"}})
