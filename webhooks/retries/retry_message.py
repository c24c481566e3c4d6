"""A delivery that is to return later, and its form in the durable retry queue."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import orjson
from attrs import evolve, field, frozen

from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.events.trace_context import trace_context, with_context
from callboard.webhooks.hooks.options import LEAST_RATE, MOST_RATE, NO_OPTIONS, Options, Ranges
from callboard.webhooks.hooks.signature_schemes import InvalidScheme, Scheme, parse_scheme
from callboard.webhooks.retries.delay_classes import Waits, waits
from callboard.webhooks.retries.outcome import Outcome, Response
from callboard.webhooks.values.endpoint_options import (
    EndpointOptions,
    InvalidEndpointOption,
    parse_endpoint_options,
)
from callboard.webhooks.values.pickling import Positional

VERSION = 1
MAX_HISTORY = 20
NOT_ATTEMPTED = "no room at its endpoint"
"""The reason for a deferral without an attempt."""


class UnreadableDelivery(ValueError):
    """A message of the retry queue that is no valid delivery; the text gives the reason."""


@frozen
class RetryMessage(Positional):
    """A delivery with its state so far.

    `attempts_made`: requests made; `due_ms`: when it is due (Unix ms); `left`: its remaining waits,
    as delay_classes.py names them. `deferred_since_ms`: the start of its deferrals, None after an
    attempt. `deferrals`: their number, which distinguishes an older copy from a newer one.
    `history`: the latest failed attempts, as (Unix ms, result). `taken_ms`: when its event was
    taken; None in messages of an earlier version.
    """

    delivery: Delivery
    attempts_made: int
    due_ms: int
    left: Waits = ()
    deferred_since_ms: int | None = None
    deferrals: int = 1
    history: tuple[tuple[int, str], ...] = field(default=(), repr=False)
    taken_ms: int | None = None

    @property
    def taken_at_ms(self) -> int:
        """When its event was taken, or the earliest later time that is known."""
        if self.taken_ms is not None:
            return self.taken_ms
        times = [at for at, _told in self.history[:1]]
        if self.deferred_since_ms is not None:
            times.append(self.deferred_since_ms)
        return min(times, default=self.due_ms)

    @property
    def reason(self) -> str:
        """Why it was deferred: its last failed attempt, or that there was no room for one."""
        if self.deferred_since_ms is not None or not self.history:
            return NOT_ATTEMPTED
        return self.history[-1][1]

    def waiting_for(self, left: Waits) -> "RetryMessage":
        """The same with other remaining waits."""
        return evolve(self, left=left)


def in_time(delay_ms: int, now_unix_s: float) -> tuple[int, Waits]:
    """The due time (Unix ms) of a message delayed by `delay_ms`, and its waits."""
    return int(now_unix_s * 1000) + delay_ms, waits(delay_ms)


def with_attempt(
    history: tuple[tuple[int, str], ...], now_unix_s: float, outcome: Outcome
) -> tuple[tuple[int, str], ...]:
    """The history with one more failed attempt; the oldest are dropped beyond the limit."""
    told = f"status {outcome.status}" if isinstance(outcome, Response) else outcome.kind
    return (*history, (int(now_unix_s * 1000), told))[-MAX_HISTORY:]


def as_json(retry: RetryMessage) -> bytes:
    """The message for the retry queue. Bodies that are not text are in base64.

    A delivery within a trace has the members `traceparent` and possibly `tracestate`.
    """
    delivery, options = retry.delivery, retry.delivery.options
    sent = delivery.request_body
    try:
        body = {"body": sent.decode()}
    except UnicodeDecodeError:
        body = {"body_base64": base64.b64encode(sent).decode()}
    document = {
        "version": VERSION,
        "tries_made": retry.attempts_made,
        "due_ms": retry.due_ms,
        "left": retry.left,
        "parked_since_ms": retry.deferred_since_ms,
        "rounds": retry.deferrals,
        "history": retry.history,
        "taken_ms": retry.taken_ms,
        "delivery": {
            "id": delivery.id,
            "event_id": delivery.event_id,
            "hook_id": delivery.hook_id,
            "account_id": delivery.account_id,
            "hook_event": delivery.hook_event,
            "uri": delivery.uri,
            "method": delivery.method,
            "url": delivery.request_url,
            "headers": delivery.headers,
            "tries": delivery.max_attempts,
            **body,
            **dict(with_context((), delivery.trace)),
            **({"raw": True} if delivery.raw else {}),
            **({"source": delivery.source.decode()} if delivery.source else {}),
            "unstored": delivery.unstored,
            **({"reference": delivery.reference} if delivery.reference else {}),
        },
        "options": {
            "policy": options.policy,
            "ordered": options.ordered,
            "rate_per_s": options.rate_per_s,
            "headers": options.headers,
            "secrets": options.secrets,
            "certificate": options.certificate,
            **_added(options),
        },
    }
    try:
        return orjson.dumps(document)
    except TypeError:  # A lone surrogate, for example in an error text.
        return json.dumps(document, separators=(",", ":")).encode()


def _added(options: Options) -> dict[str, Any]:
    """The members that earlier versions did not know, if they are set."""
    scheme = options.scheme
    members = {
        "retry_steps_s": options.retry_steps_s or None,
        "success": options.success or None,
        "give_up": options.give_up or None,
        "log_successful": options.log_successful,
        "scheme": scheme and [scheme.name, scheme.header, scheme.prefix, scheme.encoding],
        "secrets_until": options.secrets_until or None,
        "endpoint": options.endpoint and options.endpoint.as_json(),
    }
    return {name: value for name, value in members.items() if value is not None}


def from_json(message: bytes) -> RetryMessage:
    """The delivery that `as_json` has written; unknown members are ignored.

    Raises UnreadableDelivery for any other message.
    """
    try:
        document = _decoded(message)
    except (ValueError, RecursionError) as problem:
        raise UnreadableDelivery(f"it is no JSON: {problem}") from None
    document = _object(document, "message")
    if document.get("version") != VERSION:
        raise UnreadableDelivery(
            f"version {document.get('version')!r} is unknown: this Callboard reads {VERSION}"
        )
    return RetryMessage(
        delivery=_delivery(
            _object(document.get("delivery"), "delivery"),
            _options(_object(document.get("options", {}), "options")),
        ),
        attempts_made=_whole(document, "tries_made"),
        due_ms=_whole(document, "due_ms"),
        left=_texts(document, "left"),
        deferred_since_ms=_or_none(document, "parked_since_ms", _whole),
        deferrals=_whole(document, "rounds"),
        history=_history(document.get("history", [])),
        taken_ms=_or_none(document, "taken_ms", _whole),
    )


def _decoded(message: bytes) -> Any:
    """The decoded JSON: by orjson, or by `json`, which accepts a lone surrogate."""
    try:
        return orjson.loads(message)
    except ValueError:
        return json.loads(message)


def _delivery(document: Mapping[str, Any], options: Options) -> Delivery:
    method, body = _text(document, "method"), _body(document)
    if method == "GET" and not body.isascii():
        raise UnreadableDelivery("the body of a GET is no query")
    return Delivery(
        id=_id(document),
        event_id=_text(document, "event_id"),
        hook_id=_text(document, "hook_id"),
        account_id=_text(document, "account_id"),
        hook_event=_text(document, "hook_event"),
        uri=_text(document, "uri"),
        method=method,
        url=_text(document, "url"),
        headers=_pairs(document, "headers"),
        body=body,
        max_attempts=_whole(document, "tries"),
        options=options,
        trace=trace_context(document),
        raw=document.get("raw") is True,
        source=(_or_none(document, "source", _text) or "").encode(),
        unstored=_or_none(document, "unstored", _flag),
        reference=_or_none(document, "reference", _text) or "",
    )


def _id(document: Mapping[str, Any]) -> str:
    id = _text(document, "id")
    if len(id.encode()) > 255:  # It is also used as an AMQP message id.
        raise UnreadableDelivery("id is longer than 255 bytes")
    return id


def _options(document: Mapping[str, Any]) -> Options:
    options = Options(
        policy=_or_none(document, "policy", _text),
        ordered=document.get("ordered") is True,
        rate_per_s=_or_none(document, "rate_per_s", _rate),
        headers=_pairs(document, "headers") if "headers" in document else (),
        secrets=_texts(document, "secrets") if "secrets" in document else (),
        certificate=_or_none(document, "certificate", _text),
        retry_steps_s=tuple(max(1.0, step) for step in _numbers(document, "retry_steps_s")),
        success=_ranges(document, "success"),
        give_up=_ranges(document, "give_up"),
        log_successful=_or_none(document, "log_successful", _flag),
        scheme=_or_none(document, "scheme", _scheme),
        secrets_until=tuple(map(int, _numbers(document, "secrets_until"))),
        endpoint=_or_none(document, "endpoint", _endpoint),
    )
    if len(options.secrets_until) > len(options.secrets):
        raise UnreadableDelivery("secrets_until has more members than secrets")
    return NO_OPTIONS if options == NO_OPTIONS else options


def _endpoint(document: Mapping[str, Any], name: str) -> EndpointOptions | None:
    try:
        return parse_endpoint_options(_object(document[name], name))
    except InvalidEndpointOption as problem:
        raise UnreadableDelivery(f"{name}: {problem}") from None


def _flag(document: Mapping[str, Any], name: str) -> bool:
    return document.get(name) is True


def _numbers(document: Mapping[str, Any], name: str) -> tuple[float, ...]:
    value = document.get(name, [])
    if not isinstance(value, list) or not all(
        type(item) in (int, float) and 0 <= item <= 2**53 for item in value
    ):
        raise UnreadableDelivery(f"{name} is no list of numbers")
    return tuple(map(float, value))


def _ranges(document: Mapping[str, Any], name: str) -> Ranges:
    value = document.get(name, [])
    if not isinstance(value, list):
        raise UnreadableDelivery(f"{name} is no list")
    for item in value:
        if not isinstance(item, list) or [type(end) for end in item] != [int, int]:
            raise UnreadableDelivery(f"{name} has a member that is no pair of numbers")
    return tuple((low, high) for low, high in value)


def _scheme(document: Mapping[str, Any], name: str) -> Scheme | None:
    parts = _texts(document, name)
    if len(parts) != 4:
        raise UnreadableDelivery(f"{name} has {len(parts)} members, not 4")
    members = zip(("name", "header", "prefix", "encoding"), parts, strict=True)
    try:
        return parse_scheme(dict(members))
    except InvalidScheme as problem:
        raise UnreadableDelivery(f"{name}: {problem}") from None


def _body(document: Mapping[str, Any]) -> bytes:
    try:
        if "body_base64" in document:
            return base64.b64decode(_text(document, "body_base64"), validate=True)
        return _text(document, "body").encode()
    except UnreadableDelivery:
        raise
    except ValueError as problem:
        raise UnreadableDelivery(f"the body cannot be read: {problem}") from None


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise UnreadableDelivery(f"{name} is no object")
    return value


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str):
        raise UnreadableDelivery(f"{name} is no text")
    return _utf8(value, name)


def _utf8(value: str, name: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UnreadableDelivery(f"{name} holds half a character") from None
    return value


def _whole(document: Mapping[str, Any], name: str) -> int:
    value = document.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 2**53:
        raise UnreadableDelivery(f"{name} is no whole number from 0 to 2**53")
    return value


def _rate(document: Mapping[str, Any], name: str) -> float:
    value = document.get(name)
    if (
        not isinstance(value, int | float)
        or isinstance(value, bool)
        or not LEAST_RATE <= value < MOST_RATE
    ):
        raise UnreadableDelivery(f"{name} is no rate")
    return float(value)


def _or_none(document: Mapping[str, Any], name: str, read: Any) -> Any:
    return None if document.get(name) is None else read(document, name)


def _texts(document: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = document.get(name)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise UnreadableDelivery(f"{name} is no list of texts")
    return tuple(_utf8(item, name) for item in value)


def _pairs(document: Mapping[str, Any], name: str) -> tuple[tuple[str, str], ...]:
    value = document.get(name)
    if not isinstance(value, list):
        raise UnreadableDelivery(f"{name} is no list")
    for item in value:
        if not isinstance(item, list) or [type(part) for part in item] != [str, str]:
            raise UnreadableDelivery(f"{name} has a member that is no pair of texts")
    return tuple((_utf8(key, name), _utf8(text, name)) for key, text in value)


def _history(value: Any) -> tuple[tuple[int, str], ...]:
    if not isinstance(value, list):
        raise UnreadableDelivery("history is no list")
    for item in value:
        if not isinstance(item, list) or [type(part) for part in item] != [int, str]:
            raise UnreadableDelivery("history has a member that is no time and text")
        if not 0 <= item[0] <= 2**53:
            raise UnreadableDelivery("history has a time that is not from 0 to 2**53")
    return tuple((at, told) for at, told in value)[-MAX_HISTORY:]
