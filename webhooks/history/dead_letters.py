"""Dead letters: deliveries that were given up, and events that could not be handled.

Each is a document of the database `callboard_dead_letters`. Its id is derived from what it is
about, so that one that is written twice is a conflict and not a second letter. It holds what was
to be sent and what became of it; no secrets, no signatures, and no headers, which may be secret
and are made anew from the hook when it is retried.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.values.kazoo_names import account_database, encoded, gregorian_s

DATABASE = "callboard_dead_letters"
TYPE = "dead_letter"
DELIVERY, EVENT = "delivery", "event"
"""The kinds."""

MAX_BODY_BYTES = 4_000_000
"""Of a longer body nothing is kept: CouchDB takes documents of 8 MB, in which it may be escaped."""

MAX_REASON = 2000
"""Characters; a module may raise anything."""

_USER = re.compile(r"(?<=//)[^/?#]*@")


class NotRepeatable(Exception):
    """What a letter, or an attempt, tells is not enough to send it again; the text says why."""


def dead_letter(
    delivery: Delivery,
    reason: str,
    attempts_made: int,
    history: tuple[tuple[int, str], ...],
    now_unix_s: float,
    node: str,
) -> dict[str, Any]:
    """The letter of a delivery given up. `history`: as in `RetryMessage`."""
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
        **_body(content),
        "tries": attempts_made,
        "history": [{"at_ms": at_ms, "outcome": told} for at_ms, told in history],
    }


def poison_dead_letter(record: Mapping[str, Any], number: int, node: str) -> dict[str, Any]:
    """The letter of a message that was set aside on a node, as record `number` of its file."""
    return {
        **_letter(
            ["event", node, number, record], EVENT, record["reason"], record["set_aside_at"], node
        ),
        "module": record["module"],
        "exchange": record["exchange"],
        "routing_key": record["routing_key"],
        "content_type": record["content_type"],
        "content_encoding": record["content_encoding"],
        "message_id": record.get("message_id"),
        "headers": record.get("headers", {}),
        **_body(bytes.fromhex(record["body"])),
    }


def body_of(letter: Mapping[str, Any]) -> bytes:
    """The body that a letter has. Raises NotRepeatable."""
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


def without_user(uri: str) -> str:
    """The uri without user and password, if it has them: fit for whoever may see the letter."""
    return _USER.sub("", uri, count=1)


def _letter(identity: Any, kind: str, reason: str, now_unix_s: float, node: str) -> dict[str, Any]:
    now = gregorian_s(now_unix_s)
    text = json.dumps(identity, sort_keys=True)
    return {
        "_id": hashlib.blake2b(text.encode(errors="replace"), digest_size=16).hexdigest(),
        "pvt_type": TYPE,
        "pvt_created": now,
        "pvt_modified": now,
        "pvt_node": node,
        "kind": kind,
        "reason": _whole(reason[:MAX_REASON]),
    }


def _whole(text: str) -> str:
    """The text without half characters, which no store takes."""
    return text.encode(errors="replace").decode()


def _body(body: bytes) -> dict[str, Any]:
    if len(body) > MAX_BODY_BYTES:
        return {"body_bytes": len(body)}
    try:
        text = body.decode()
    except UnicodeDecodeError:
        pass
    else:
        # As JSON a byte may take six: what grows so is no text for people.
        if len(json.dumps(text, ensure_ascii=False).encode()) <= MAX_BODY_BYTES * 4 / 3:
            return {"body": text}
    return {"body_base64": base64.b64encode(body).decode()}
