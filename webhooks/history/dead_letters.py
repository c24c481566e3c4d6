"""Dead letters: exhausted deliveries, and events that could not be handled.

Each is a document of the database `callboard_dead_letters`. Its id is derived from its subject, so
that writing it twice is a conflict and creates no second dead letter. It holds the content to send
and the results of the attempts, but no secrets, signatures or headers: headers may be secret, and
are generated from the hook when the delivery is retried.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.hooks.uris import without_user
from callboard.webhooks.modules.hops import hops_of
from callboard.webhooks.values.json_values import as_number, as_object
from callboard.webhooks.values.kazoo_names import account_database, encoded, gregorian_s

DATABASE = "callboard_dead_letters"
TYPE = "dead_letter"
DELIVERY, EVENT = "delivery", "event"
"""The kinds of dead letters."""

MAX_BODY_BYTES = 4_000_000
"""A longer body is not stored: CouchDB takes documents of 8 MB, in which it may be escaped."""

MAX_REASON = 2000
"""The most characters of a reason; a module may raise any error."""

HOPS = "pvt_hops"
"""The member with the hops of the delivery (modules/hops.py), if it has any."""

_OF_THE_MESSAGE = (
    *("module", "exchange", "routing_key"),
    *("content_type", "content_encoding", "message_id"),
)


class NotRepeatable(Exception):
    """A dead letter or an attempt lacks the data for resending it; the text gives the reason."""


def dead_letter(
    delivery: Delivery,
    reason: str,
    attempts_made: int,
    history: tuple[tuple[int, str], ...],
    now_unix_s: float,
    node: str,
    lost_bytes: int | None = None,
) -> dict[str, Any]:
    """The dead letter of an exhausted delivery. `history`: as in `RetryMessage`.

    `lost_bytes`: the size of a payload that is too large to be recorded.
    """
    form, content = delivery.content
    return {
        **_letter(["delivery", delivery.id], DELIVERY, reason, now_unix_s, node),
        "pvt_account_id": delivery.account_id,
        "pvt_account_db": encoded(account_database(delivery.account_id)),
        "hook_id": delivery.hook_id,
        "hook_event": delivery.hook_event,
        "event_id": delivery.event_id,
        "delivery_id": delivery.id,
        "webhook_id": delivery.webhook_id,
        "method": delivery.method,
        "uri": _whole(without_user(delivery.uri)),
        "content_type": form,
        **(_body(content) if lost_bytes is None else {"body_bytes": lost_bytes}),
        "tries": attempts_made,
        "history": [{"at_ms": at_ms, "outcome": _whole(told)} for at_ms, told in history],
        **({"raw": True} if delivery.raw else {}),
        **({"reference": delivery.reference} if delivery.reference else {}),
        **({HOPS: hops} if (hops := hops_of(delivery.headers)) else {}),
    }


def poison_dead_letter(record: Mapping[str, Any], number: int, node: str) -> dict[str, Any]:
    """The dead letter of a quarantined message, which is record `number` of the node's file.

    `raw`, if present: the message's properties as in their AMQP frame, and names that are not
    UTF-8, in base64. A damaged record becomes a dead letter of the fields that it has.
    """
    reason, at_s = record.get("reason"), as_number(record.get("set_aside_at"))
    identity = ["event", node, number, record]
    raw = record.get("raw")
    return {
        **_letter(identity, EVENT, str(reason), 0.0 if at_s is None else at_s, node),
        **{name: record.get(name) for name in _OF_THE_MESSAGE},
        "headers": as_object(record.get("headers")),
        **({"raw": raw} if raw else {}),
        **_body(_from_hex(record.get("body"))),
    }


def _from_hex(text: Any) -> bytes:
    try:
        return bytes.fromhex(text)
    except (TypeError, ValueError):
        return b""


def body_of(letter: Mapping[str, Any]) -> bytes:
    """The body in a dead letter. Raises NotRepeatable."""
    if letter.get("body_bytes") == 0:
        raise NotRepeatable("it has no body, because its hook could make none of its event")
    if "body_bytes" in letter:
        raise NotRepeatable(
            f"its body of {letter['body_bytes']} bytes was not kept: "
            f"{MAX_BODY_BYTES} bytes are, at most"
        )
    try:
        if "body_base64" in letter:
            return base64.b64decode(letter["body_base64"], validate=True)
        return str(letter["body"]).encode()
    except (KeyError, TypeError, ValueError):
        raise NotRepeatable("its body cannot be read") from None


def _letter(identity: Any, kind: str, reason: str, now_unix_s: float, node: str) -> dict[str, Any]:
    now = gregorian_s(now_unix_s)
    text = json.dumps(identity, sort_keys=True)
    return {
        "_id": hashlib.blake2b(text.encode(), digest_size=16).hexdigest(),
        "pvt_type": TYPE,
        "pvt_created": now,
        "pvt_modified": now,
        "pvt_node": node,
        "kind": kind,
        "reason": _whole(reason[:MAX_REASON]),
    }


def _whole(text: str) -> str:
    """The text without lone surrogates, which no store accepts."""
    return text.encode(errors="replace").decode()


def _body(body: bytes) -> dict[str, Any]:
    if len(body) > MAX_BODY_BYTES:
        return {"body_bytes": len(body)}
    try:
        text = body.decode()
    except UnicodeDecodeError:
        pass
    else:
        # In JSON a byte may take six; a text that grows so much is not human-readable.
        if len(json.dumps(text, ensure_ascii=False).encode()) <= MAX_BODY_BYTES * 4 / 3:
            return {"body": text}
    return {"body_base64": base64.b64encode(body).decode()}
