"""The record of an attempt, as Kazoo stores it in the hook's account's monthly database."""

import hashlib
import re
from codecs import getincrementaldecoder
from collections.abc import Mapping
from typing import Any

from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.deliveries.signing import SIGNATURE_HEADER
from callboard.webhooks.hooks.uris import without_user
from callboard.webhooks.retries.outcome import Cancelled, ClientError, Outcome, Unsent
from callboard.webhooks.retries.policy import KazooPolicy, Policy, succeeded
from callboard.webhooks.values.kazoo_names import encoded, gregorian_s, modb

CUT_MARK = "…[cut]"
QUERY = "pvt_req_query"
"""The query of a get, which Kazoo does not store: private, so that its clients do not see it."""
RAW = "pvt_raw"
"""The content type of a body that is the message's own: it is not converted when sent again."""
DURATION = "pvt_duration_ms"
"""How long the attempt took, in milliseconds; not Kazoo's, and so private."""
REFERENCE = "reference"
"""What the account knows the event by, of modules that name one; not Kazoo's."""
CANCELLED = "cancelled"
"""The result of a delivery that ended without an attempt, because of its hook; not Kazoo's."""
DRY_RUN = "dry_run"
"""The result of a request that a dry run has not sent; not Kazoo's."""
HIDDEN = "***"
_CREDENTIALS = re.compile(
    r"(.*[-_])?(authorization|cookie|password|secret|token|(api|access|private)[-_]?key)",
    re.IGNORECASE,
)
_DECODER = getincrementaldecoder("utf-8")

_KAZOO = KazooPolicy()
_NO_MORE = "retries exceeded"


def attempt_database(delivery: Delivery, now_unix_s: float) -> str:
    """The database in which the attempt is stored."""
    return modb(delivery.account_id, now_unix_s)


def attempt_id(delivery: Delivery, number: int) -> str:
    """The id of the record of a delivery's attempt of this number, from 1.

    So a record that is saved again is a conflict, and not a second record. A redelivered event
    makes new deliveries, with another `event_id`: their requests are recorded, too.
    """
    text = f"{delivery.id}/{delivery.event_id}/{number}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def attempt_document(
    delivery: Delivery,
    outcome: Outcome | Cancelled | Unsent,
    attempts_left: int,
    now_unix_s: float,
    body_limit: int,
    policy: Policy = _KAZOO,
    *,
    number: int | None = None,
    credentials: bool = False,
    took_s: float | None = None,
) -> dict[str, Any]:
    """The attempt document, key by key as webhooks_util saves it.

    `attempts_left` includes this attempt, and so counts down; `policy` defines success. `number`:
    of this attempt, from 1, for its id; None leaves the id to the store. At most
    `body_limit` bytes of a body are stored, with a mark where it was cut. The headers are in lower
    case, except signatures, which would become invalid. `credentials`: whether the hook's own
    headers that hold some, such as Authorization, are stored, and the user and password of its URL;
    otherwise the headers' values are HIDDEN, and the URL lacks the user.
    `took_s`: from the request to the end of the response; None if nothing was sent. A
    201 to a PUT is recorded as the success it is, unlike in Kazoo.
    """
    now = gregorian_s(now_unix_s)
    document: dict[str, Any] = {} if number is None else {"_id": attempt_id(delivery, number)}
    document |= {
        "pvt_type": "webhook_attempt",
        "pvt_account_id": delivery.account_id,
        "pvt_account_db": encoded(modb(delivery.account_id, now_unix_s)),
        "pvt_created": now,
        "pvt_modified": now,
        "hook_id": delivery.hook_id,
        "hook_event": delivery.hook_event,
        "event_id": delivery.event_id,
        "method": delivery.method.lower(),
        "uri": delivery.uri if credentials else without_user(delivery.uri),
        "req_headers": _request_headers(delivery, credentials=credentials),
        "req_body": _text(delivery.request_body, body_limit),
    }
    if delivery.reference:
        document[REFERENCE] = delivery.reference
    if took_s is not None:
        document[DURATION] = max(0, round(took_s * 1000))
    if delivery.raw:
        document[RAW] = delivery.content[0]
    if delivery.method == "GET":
        document[QUERY] = _text(delivery.content[1], body_limit)
    if isinstance(outcome, Cancelled):
        return document | {"result": CANCELLED, "reason": outcome.reason}
    if isinstance(outcome, Unsent):
        return document | {"result": DRY_RUN}
    if isinstance(outcome, ClientError):
        document |= {
            "result": "failure",
            "reason": "kazoo http client error",
            "client_error": outcome.kind,
            "retries": attempts_left,
            "retries_left": attempts_left if attempts_left > 1 else _NO_MORE,
        }
        return document
    document |= {
        "resp_status_code": str(outcome.status),
        "resp_headers": _lower_case(outcome.headers),
        "resp_body": _text(outcome.body, body_limit, cut=outcome.cut),
    }
    if succeeded(policy, delivery.method, outcome):
        return document | {"result": "success"}
    return document | {
        "result": "failure",
        "reason": "bad response code",
        "try": attempts_left,
        "retries_left": attempts_left - 1 if attempts_left > 1 else _NO_MORE,
    }


def concerns(document: Mapping[str, Any], text: str) -> bool:
    """Whether an attempt or dead letter is of the event with this id or reference, or has the text.

    An empty text is in all of them.
    """
    sent = (document.get(name) for name in ("req_body", QUERY, "body"))
    return (
        not text
        or text in (document.get("event_id"), document.get(REFERENCE))
        or any(text in one for one in sent if isinstance(one, str))
    )


def contains(delivery: Delivery, text: str) -> bool:
    """The same of a delivery that has not ended."""
    known = text in (delivery.event_id, delivery.reference)
    return known or text.encode(errors="replace") in delivery.content[1]


def _request_headers(delivery: Delivery, *, credentials: bool) -> dict[str, str]:
    scheme = delivery.options.scheme
    exact = (SIGNATURE_HEADER, scheme.header if scheme else SIGNATURE_HEADER)
    headers = {
        name.lower(): value if name in exact else value.lower() for name, value in delivery.headers
    }
    if not credentials:
        # Callboard's own headers hold none.
        for name, _value in delivery.options.headers:
            if name.lower() in headers and _CREDENTIALS.fullmatch(name):
                headers[name.lower()] = HIDDEN
    return headers


def _lower_case(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value.lower() for name, value in headers.items()}


def _text(body: bytes, limit: int, *, cut: bool = False) -> str:
    cut = cut or len(body) > limit
    # A character cut in half is dropped; invalid bytes elsewhere are replaced.
    text = _DECODER("replace").decode(body[:limit], final=not cut)
    return text + CUT_MARK if cut else text
