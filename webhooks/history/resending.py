"""Resends content from a dead letter or from a stored attempt.

The delivery uses the hook's present state (URL, method, headers, secrets, options), with the
original content and `webhook-id`, by which a receiver can detect that it has received it before.
The delivery's own id is new, since deliverers skip an id that they know as finished.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from callboard.webhooks.deliveries.delivery import ID_HEADER, Delivery, delivery_of
from callboard.webhooks.deliveries.encoding import (
    FORM_TYPE,
    JSON_TYPE,
    NotConvertible,
    converted,
)
from callboard.webhooks.history.attempts import CUT_MARK, QUERY, RAW, REFERENCE
from callboard.webhooks.history.dead_letters import NotRepeatable, body_of
from callboard.webhooks.hooks.hook import Hook


@frozen
class Once:
    """The content to resend.

    `id`: source of the new delivery's id; `form`: the content type; `raw`: it is never converted.
    `reference`: as in `Firing`.
    """

    id: str
    webhook_id: str
    event_id: str
    form: str
    content: bytes = field(repr=False)
    raw: bool = False
    reference: str = ""


def of_letter(letter: Mapping[str, Any]) -> Once:
    """The content in a delivery's dead letter. Raises NotRepeatable."""
    try:
        return Once(
            id=_derived("retry", str(letter["delivery_id"])),
            webhook_id=str(letter["webhook_id"]),
            event_id=str(letter["event_id"]),
            form=str(letter["content_type"]),
            content=body_of(letter),
            raw=letter.get("raw") is True,
            reference=str(letter.get(REFERENCE, "")),
        )
    except KeyError as missing:
        raise NotRepeatable(f"it has no {missing}") from None


def of_attempt(attempt: Mapping[str, Any], run: str) -> Once:
    """The content in a stored attempt, to be replayed once in that run. Raises NotRepeatable.

    Kazoo's attempts have no `webhook-id`; all attempts of one delivery get the same one.
    """
    headers = attempt.get("req_headers")
    headers = headers if isinstance(headers, Mapping) else {}
    event_id, hook_id = str(attempt.get("event_id")), str(attempt.get("hook_id"))
    webhook_id = headers.get(ID_HEADER)
    if not isinstance(webhook_id, str) or not webhook_id or "." in webhook_id:
        webhook_id = _derived("attempt", hook_id, event_id)
    get = attempt.get("method") == "get"
    body = attempt.get(QUERY if get else "req_body")
    if not isinstance(body, str):
        raise NotRepeatable(f"its {'query' if get else 'body'} is not stored")
    if body.endswith(CUT_MARK):
        raise NotRepeatable("its body was cut (attempts.body_limit)")
    if isinstance(attempt.get(RAW), str) and "\ufffd" in body:
        raise NotRepeatable("its body is no text, so that it is not stored as it was")
    form = str(headers.get("content-type", "")).partition(";")[0].strip()
    form = JSON_TYPE if form == JSON_TYPE else FORM_TYPE
    raw = attempt.get(RAW)
    return Once(
        id=_derived("replay", run, webhook_id),
        webhook_id=webhook_id,
        event_id=event_id,
        form=raw if isinstance(raw, str) else form,
        content=body.encode(),
        raw=isinstance(raw, str),
        reference=str(attempt.get(REFERENCE, "")),
    )


def again(once: Once, hook: Hook) -> Delivery:
    """The delivery that sends the content to the hook's present URL. Raises NotRepeatable.

    If the hook's form has changed, JSON can become a form, but a form is never converted to JSON.
    """
    try:
        form, sent, _source = converted(hook, once.form, once.content, raw=once.raw)
    except NotConvertible as problem:
        raise NotRepeatable(str(problem)) from None
    return delivery_of(
        hook,
        form,
        sent,
        id=once.id,
        event_id=once.event_id,
        webhook_id=once.webhook_id,
        raw=once.raw,
        reference=once.reference,
    )


def _derived(*what: str) -> str:
    """An id of 32 hex digits, which contains no full stop (Standard Webhooks)."""
    text = json.dumps(what).encode()
    return hashlib.blake2b(text, digest_size=16).hexdigest()
