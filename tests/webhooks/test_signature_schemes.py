"""Signature schemes of hooks, and the headers that no hook may set."""

from base64 import b64decode

import pytest

from callboard.webhooks.hooks.signature_schemes import (
    InvalidScheme,
    Scheme,
    is_reserved,
    parse_scheme,
)

GITHUB = {"name": "hmac-sha256", "header": "X-Hub-Signature-256", "prefix": "sha256="}


@pytest.mark.parametrize(
    ("written", "scheme"),
    [
        (None, None),
        ({"name": "github"}, Scheme("hmac-sha256", "X-Hub-Signature-256", "sha256=", "hex")),
        ({"name": "github-sha1"}, Scheme("hmac-sha1", "X-Hub-Signature", "sha1=", "hex")),
        ({"name": "shopify"}, Scheme("hmac-sha256", "X-Shopify-Hmac-Sha256", "", "base64")),
        (GITHUB, Scheme("hmac-sha256", "X-Hub-Signature-256", "sha256=", "hex")),
        ({"header": "X-A"}, Scheme("hmac-sha256", "X-A", "", "hex")),
        ({"name": "hmac-sha512", "header": "A"}, Scheme("hmac-sha512", "A", "", "hex")),
        (
            {"name": "hmac-sha1", "header": "A", "prefix": "p" * 64, "encoding": "base64"},
            Scheme("hmac-sha1", "A", "p" * 64, "base64"),
        ),
        ({"name": "github", "header": "A"}, Scheme("hmac-sha256", "A", "sha256=", "hex")),
    ],
)
def test_a_scheme_has_the_members_of_its_name_and_its_own(written, scheme):
    assert parse_scheme(written) == scheme


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("github", "it is no object with name, header, prefix and encoding"),
        (
            {"names": "x", "name": "github"},
            "names is no member: use name, header, prefix, encoding",
        ),
        (
            {"name": "md5", "header": "A"},
            "name 'md5' is unknown: use one of "
            "github, github-sha1, shopify, hmac-sha256, hmac-sha512, hmac-sha1",
        ),
        ({"name": 7}, "name 7 is unknown"),
        ({}, "header '' is no header name"),
        ({"name": "hmac-sha512"}, "header '' is no header name"),
        ({"header": "X A"}, "header 'X A' is no header name"),
        ({"header": 7}, "header 7 is no header name"),
        ({"header": "Webhook-Signature"}, "header Webhook-Signature may not be set by a hook"),
        ({"header": "A", "prefix": "p" * 65}, "is no text of up to 64 printable characters"),
        ({"header": "A", "prefix": "a b"}, "prefix 'a b' is no text"),
        ({"header": "A", "prefix": 7}, "prefix 7 is no text"),
        ({"header": "A", "encoding": "Hex"}, "encoding 'Hex' is unknown: use hex or base64"),
    ],
)
def test_what_is_no_scheme_is_refused_with_the_reason(written, reason):
    with pytest.raises(InvalidScheme) as refused:
        parse_scheme(written)
    assert reason in str(refused.value)


def test_the_signature_is_an_hmac_in_the_schemes_encoding():
    """RFC 4231 (test case 2) and RFC 2202 (the same for SHA-1)."""
    key, body = b"Jefe", b"what do ya want for nothing?"
    sha256 = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert Scheme("hmac-sha256", "A", "", "hex").signature(key, body) == ("A", sha256)
    sha1 = Scheme("hmac-sha1", "B", "sha1=", "hex").signature(key, body)
    assert sha1 == ("B", "sha1=effcdf6ae5eb2fa2d27416d5f184df9c259a7c79")
    sha512 = Scheme("hmac-sha512", "C", "", "base64").signature(key, body)[1]
    assert b64decode(sha512).hex() == (
        "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
        "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"
    )


@pytest.mark.parametrize(
    "name",
    [
        # of one connection, or of the transport
        *("Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "TE", "Trailer"),
        *("Transfer-Encoding", "Upgrade", "Content-Length", "Content-Encoding", "Expect", "Host"),
        "Accept-Encoding",
        # of Callboard
        *("Content-Type", "X-Hook-ID", "X-Account-ID", "traceparent", "tracestate"),
        *("Webhook-Id", "Webhook-Timestamp", "Webhook-Signature", "Callboard-Hops"),
    ],
)
def test_a_header_of_the_transport_or_of_callboard_is_reserved(name):
    assert is_reserved(name)
    assert is_reserved(name.upper())
    assert not is_reserved(f"X-{name}")
