"""A hook's options beyond Kazoo: retries, success, signatures, order, rate, headers, endpoint.

All are optional, and are stored in members of the hook's document that Kazoo's own nodes ignore.
"""

import re
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from callboard.webhooks.hooks.secrets import SecretsRefused, stored_secrets
from callboard.webhooks.hooks.signature_schemes import (
    InvalidScheme,
    Scheme,
    is_reserved,
    is_token,
    parse_scheme,
)
from callboard.webhooks.values.endpoint_options import (
    EndpointOptions,
    InvalidEndpointOption,
    parse_endpoint_options,
)
from callboard.webhooks.values.json_values import as_bool, as_int, as_number
from callboard.webhooks.values.kazoo_names import GREGORIAN_OFFSET_S
from callboard.webhooks.values.pickling import Positional

KAZOO, STANDARD = "kazoo", "standard"
POLICIES = (KAZOO, STANDARD)

LEAST_RATE, MOST_RATE = 1 / 86_400, 1e9
"""The range of `rate_limit`, in requests a second: from one a day."""

MAX_STEPS = 30
"""The most retry steps of a hook."""
MAX_STEP_S = 7 * 86_400.0
MAX_RANGES = 20
"""The most members of `success` and of `give_up`."""

CANCELLED_UNTIL = "pvt_deliveries_cancelled_ms"
"""The member of a hook's document with the time of the latest request to cancel its deliveries."""

CHECKED = "pvt_endpoint_checked"
"""The member of a hook's document whose `uri` was saved by Callboard, by its own rules."""

MAX_HEADERS = 20
MAX_HEADER_CHARACTERS = 4096

_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_RANGE = re.compile(r"([2-5][0-9][0-9])(?:-([2-5][0-9][0-9]))?")
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


class InvalidOption(ValueError):
    """An invalid option of a hook; the text names the member and the permitted values."""


Ranges = tuple[tuple[int, int], ...]


@frozen
class Options(Positional):
    """The options of one hook.

    `policy`: the retry policy, None for the account's or the node's choice. `rate_per_s`: requests
    a second, at most; None: no limit. `headers`: sent with every request. `secrets`: encrypted, the
    newest first; `certificate`: the name of a client certificate.

    `retry_steps_s`: as in the node's settings; empty: the event type's or the node's. `success`,
    `give_up`: ranges of statuses, both ends included; empty: the policy's own. `log_successful`:
    the account's choice, None without one. `scheme`: of a signature besides Standard Webhooks.
    `secrets_until`: when each secret ends, Unix seconds, 0: never; empty: none does.
    `cancelled_until_ms`: deliveries taken up to this time are cancelled, Unix ms; 0: none.
    `paused`: deliveries are kept until it is not. `endpoint`: what it permits beyond the node's
    settings; in a delivery, the options in effect. `checked`: its `uri` was saved by Callboard.
    """

    policy: str | None = None
    ordered: bool = False
    rate_per_s: float | None = None
    headers: tuple[tuple[str, str], ...] = ()
    secrets: tuple[str, ...] = field(default=(), repr=False)
    certificate: str | None = None
    retry_steps_s: tuple[float, ...] = ()
    success: Ranges = ()
    give_up: Ranges = ()
    log_successful: bool | None = None
    scheme: Scheme | None = None
    secrets_until: tuple[int, ...] = ()
    cancelled_until_ms: int = 0
    paused: bool = False
    endpoint: EndpointOptions | None = None
    checked: bool = False

    @property
    def in_order(self) -> bool:
        """Whether it has a queue of its own at the broker (retries/ordered_queue.py)."""
        return self.ordered or self.paused


NO_OPTIONS = Options()
_CHECKED_OPTIONS = Options(checked=True)


def is_paused(document: Mapping[str, Any]) -> bool:
    """Whether the hook's deliveries are kept until it is resumed."""
    return as_bool(document.get("paused"), False)


def parse_options(document: Mapping[str, Any]) -> Options:
    """The options in a hook's document; `NO_OPTIONS` if there are none. Raises InvalidOption."""
    success, give_up = _ranges(document, "success"), _ranges(document, "give_up")
    _check_apart(success, give_up)
    secrets, secrets_until = _secrets(document)
    options = Options(
        policy=_policy(document.get("retry_policy")),
        ordered=as_bool(document.get("ordered"), False),
        rate_per_s=_rate(document.get("rate_limit")),
        headers=_headers(document.get("headers")),
        secrets=secrets,
        certificate=_certificate(document.get("client_certificate")),
        retry_steps_s=_steps(document.get("retry_steps_s")),
        success=success,
        give_up=give_up,
        scheme=_scheme(document.get("signature")),
        secrets_until=secrets_until,
        cancelled_until_ms=cancelled_until(document),
        paused=is_paused(document),
        endpoint=_endpoint(document),
        checked=as_bool(document.get(CHECKED), False),
    )
    scheme = options.scheme
    if scheme and scheme.header.lower() in (name.lower() for name, _value in options.headers):
        raise InvalidOption(f"signature: headers sets {scheme.header}, too")
    # Shared by all hooks without options, to save memory.
    shared = _CHECKED_OPTIONS if options.checked else NO_OPTIONS
    return shared if options == shared else options


def _endpoint(document: Mapping[str, Any]) -> EndpointOptions | None:
    try:
        return parse_endpoint_options(document)
    except InvalidEndpointOption as problem:
        raise InvalidOption(str(problem)) from None


def cancelled_until(document: Mapping[str, Any]) -> int:
    """The time up to which a hook's deliveries were cancelled, Unix ms; 0: none were."""
    value = as_int(document.get(CANCELLED_UNTIL))
    return value if value is not None and 0 < value <= 2**53 else 0


def _policy(value: Any) -> str | None:
    if value is None:
        return None
    if value not in POLICIES:
        raise InvalidOption(f"retry_policy {value!r} is unknown: use one of {', '.join(POLICIES)}")
    return str(value)


def _steps(value: Any) -> tuple[float, ...]:
    if value is None:
        return ()
    steps = value if isinstance(value, list) else []
    numbers = [step for step in steps if type(step) in (int, float) and 1 <= step <= MAX_STEP_S]
    if not 0 < len(numbers) == len(steps) <= MAX_STEPS:
        raise InvalidOption(
            f"retry_steps_s {value!r:.100} is no list of 1 to {MAX_STEPS} numbers of seconds from "
            f"1 to {MAX_STEP_S:g}"
        )
    return tuple(map(float, numbers))


def _ranges(document: Mapping[str, Any], name: str) -> Ranges:
    value = document.get(name)
    if value is None:
        return ()
    members = value if isinstance(value, list) else []
    found = [_RANGE.fullmatch(str(m)) for m in members if isinstance(m, int | str)]
    ranges = [(int(m[1]), int(m[2] or m[1])) for m in found if m is not None]
    if not 0 < len(ranges) == len(members) <= MAX_RANGES or any(a > b for a, b in ranges):
        raise InvalidOption(
            f"{name} {value!r:.100} is no list of 1 to {MAX_RANGES} statuses from 200 to 599, or "
            'ranges such as "200-299"'
        )
    return tuple(ranges)


def _check_apart(success: Ranges, give_up: Ranges) -> None:
    for low, high in give_up:
        for least, most in success:
            if max(low, least) <= min(high, most):
                raise InvalidOption(
                    f"give_up and success share status {max(low, least)}: a status has one meaning"
                )


def _scheme(value: Any) -> Scheme | None:
    try:
        return parse_scheme(value)
    except InvalidScheme as problem:
        raise InvalidOption(f"signature: {problem}") from None


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
    if not is_token(name):
        raise InvalidOption(f"headers: {name!r} is no header name (RFC 9110, 5.1)")
    if is_reserved(name):
        raise InvalidOption(f"headers: {name} may not be set by a hook")
    if not isinstance(text, str) or not _VALUE.fullmatch(text):
        raise InvalidOption(f"headers: the value of {name} is no printable ASCII text")
    if len(text) > MAX_HEADER_CHARACTERS:
        raise InvalidOption(f"headers: {name} is longer than {MAX_HEADER_CHARACTERS} characters")


def _secrets(document: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The secrets, and when each of them ends."""
    try:
        stored = stored_secrets(document)
    except SecretsRefused as problem:
        raise InvalidOption(str(problem)) from None
    until = tuple(max(1, s.until - GREGORIAN_OFFSET_S) if s.until else 0 for s in stored)
    return tuple(secret.encrypted for secret in stored), until if any(until) else ()


def _certificate(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not _FILE_NAME.fullmatch(value):
        raise InvalidOption(f"client_certificate {value!r} is no name of a certificate")
    return value
