"""A hook's options beyond Kazoo: retries, signatures, order, rate, headers and certificate.

All are optional, and are stored in members of the hook's document that Kazoo's own nodes ignore.
"""

import re
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from callboard.webhooks.hooks.secrets import SecretsRefused, stored_secrets
from callboard.webhooks.values.json_values import as_bool, as_number
from callboard.webhooks.values.pickling import Positional

KAZOO, STANDARD = "kazoo", "standard"
POLICIES = (KAZOO, STANDARD)

LEAST_RATE, MOST_RATE = 1 / 86_400, 1e9
"""The range of `rate_limit`, in requests a second: from one a day."""

MAX_HEADERS = 20
MAX_HEADER_CHARACTERS = 4096

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")

RESERVED_HEADERS = frozenset(
    {
        # They belong to one connection or to the transport (RFC 9110, 7.6.1; RFC 9112, 6).
        *("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding"),
        *("upgrade", "content-length", "content-encoding", "expect", "host", "accept-encoding"),
        # Callboard sets them: content, hook and account, and signatures.
        *("content-type", "x-hook-id", "x-account-id", "traceparent", "tracestate"),
    }
)
RESERVED_PREFIXES = ("proxy-", "webhook-")


class InvalidOption(ValueError):
    """An invalid option of a hook; the text names the member and the permitted values."""


@frozen
class Options(Positional):
    """The options of one hook.

    `policy`: the retry policy, None for the account's or the node's choice. `rate_per_s`: requests
    a second, at most; None: no limit. `headers`: sent with every request. `secrets`: encrypted, the
    newest first; `certificate`: the name of a client certificate.
    """

    policy: str | None = None
    ordered: bool = False
    rate_per_s: float | None = None
    headers: tuple[tuple[str, str], ...] = ()
    secrets: tuple[str, ...] = field(default=(), repr=False)
    certificate: str | None = None


NO_OPTIONS = Options()


def parse_options(document: Mapping[str, Any]) -> Options:
    """The options in a hook's document; `NO_OPTIONS` if there are none. Raises InvalidOption."""
    options = Options(
        policy=_policy(document.get("retry_policy")),
        ordered=as_bool(document.get("ordered"), False),
        rate_per_s=_rate(document.get("rate_limit")),
        headers=_headers(document.get("headers")),
        secrets=_secrets(document),
        certificate=_certificate(document.get("client_certificate")),
    )
    return NO_OPTIONS if options == NO_OPTIONS else options


def _policy(value: Any) -> str | None:
    if value is None:
        return None
    if value not in POLICIES:
        raise InvalidOption(f"retry_policy {value!r} is unknown: use one of {', '.join(POLICIES)}")
    return str(value)


def _rate(value: Any) -> float | None:
    if value is None:
        return None
    rate = as_number(value)
    if rate is None or not LEAST_RATE <= rate < MOST_RATE:
        raise InvalidOption(
            f"rate_limit {value!r} is no number of requests a second from {LEAST_RATE:g} (one a "
            f"day) to {MOST_RATE:g}"
        )
    return float(rate)


def _headers(value: Any) -> tuple[tuple[str, str], ...]:
    if value is None:
        return ()
    if not isinstance(value, Mapping):
        raise InvalidOption("headers is no object of header names and values")
    if len(value) > MAX_HEADERS:
        raise InvalidOption(f"headers has {len(value)} members: {MAX_HEADERS} are allowed")
    for name, text in value.items():
        _check_header(name, text)
    return tuple(value.items())


def _check_header(name: str, text: Any) -> None:
    if not _TOKEN.fullmatch(name):
        raise InvalidOption(f"headers: {name!r} is no header name (RFC 9110, 5.1)")
    if name.lower() in RESERVED_HEADERS or name.lower().startswith(RESERVED_PREFIXES):
        raise InvalidOption(f"headers: {name} may not be set by a hook")
    if not isinstance(text, str) or not _VALUE.fullmatch(text):
        raise InvalidOption(f"headers: the value of {name} is no printable ASCII text")
    if len(text) > MAX_HEADER_CHARACTERS:
        raise InvalidOption(f"headers: {name} is longer than {MAX_HEADER_CHARACTERS} characters")


def _secrets(document: Mapping[str, Any]) -> tuple[str, ...]:
    try:
        return tuple(secret.encrypted for secret in stored_secrets(document))
    except SecretsRefused as problem:
        raise InvalidOption(str(problem)) from None


def _certificate(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not _FILE_NAME.fullmatch(value):
        raise InvalidOption(f"client_certificate {value!r} is no name of a certificate")
    return value
