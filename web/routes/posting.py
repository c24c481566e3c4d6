"""Events from clients without a broker."""

import hashlib
import json
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import evolve
from fastapi import APIRouter, Request
from fastapi.responses import Response

from callboard.actors.messages import NoAnswer, RefusedByActor
from callboard.adapters.repositories.posted_events import Noted, PostedEvents
from callboard.web.access.admission import POSTS
from callboard.web.access.callers import Known, TheBackend, quotas_of
from callboard.web.access.state import state_of
from callboard.web.access.tokens import Caller
from callboard.web.backend import Backend
from callboard.web.documents.shapes import POSTED
from callboard.web.envelopes.describing import POST_EVENT, members_of, posted
from callboard.web.envelopes.envelope import data_of, success
from callboard.web.errors import (
    ApiError,
    datastore_timeout,
    event_loop,
    forbidden,
    invalid_member,
    over_rate,
    refused,
)
from callboard.web.operations.actor_requests import bad_argument, check_members, member
from callboard.webhooks.events.event import too_deep
from callboard.webhooks.hooks.arguments import BadArgument, account_argument
from callboard.webhooks.hooks.quotas import excess
from callboard.webhooks.modules.hops import HOPS_HEADER, MAX_HOPS
from callboard.webhooks.modules.posted_event import EXCHANGE, MAX_NAME, NAME, PostedEvent
from callboard.webhooks.values.exact_numbers import ExactNumber, json_read
from callboard.webhooks.values.kazoo_names import gregorian_s

router = APIRouter(prefix=POSTS, tags=["posting"])

SWEEP_S = 60.0
SWEEPS = 5
_KEY = re.compile(r"[!-~]{1,200}")
_NUMBER = re.compile(r"[0-9]{1,9}")


@router.post(
    "",
    status_code=202,
    summary="Post an event",
    openapi_extra=POST_EVENT,
    responses=posted(POSTED),
)
def post_event(request: Request, caller: Known, backend: TheBackend) -> Response:
    """Hooks of the account on `event` fire for it.

    202 means that the event is on the broker's disk. The same `Idempotency-Key` and body return
    the same response for 24 hours. At least once: repeats have the same webhook-id. 508: it was
    posted because of a delivery of ours, which was posted because of another, and so on.
    """
    data = data_of(request)
    check_members(data, members_of(POST_EVENT))
    account_id = _account(caller, data)
    if EXCHANGE.name not in {e.name for m in backend.node.modules for e in m.exchanges}:
        off = {"message": "set api.events to true, and amqp.join_kazoo to false"}
        raise ApiError(409, "events_not_enabled", off)
    key = request.headers.get("idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        raise invalid_member(
            "Idempotency-Key", "pattern", "must be 1 to 200 printable characters", value=key
        )
    if not quotas_of(request).may_post(account_id):
        most = quotas_of(request).known(account_id).events_per_s
        over = excess("events", "events_per_s", most, "the account posts more events a second")
        raise over_rate(over.reason, over.setting, account_id=account_id)
    now = time.time()
    name, payload, hops = _name(data), _payload(request, data), _hops(request)
    event = PostedEvent(uuid.uuid4().hex, name, account_id, gregorian_s(now), payload, hops)
    if key is None:
        if _publish(backend, event):
            raise _unroutable()
        return _accepted(request, event.id)
    notes = PostedEvents(backend.store)
    noted = notes.note(event, key, _fingerprint(event), now)
    if noted.fingerprint != _fingerprint(event):
        told = {"message": "another body was posted with this Idempotency-Key"}
        raise ApiError(422, "idempotency_key_reused", told)
    if not noted.published:
        _publish_noted(backend, notes, noted, event)
        _sweep(request, notes, now)
    return _accepted(request, noted.event_id)


def _accepted(request: Request, event_id: str) -> Response:
    return success(request, {"id": event_id}, status=202)


def _publish_noted(backend: Backend, notes: PostedEvents, noted: Noted, event: PostedEvent) -> None:
    """Publish the event as first recorded; then record that it was published."""
    first = evolve(event, id=noted.event_id, at=noted.at)
    if _publish(backend, first):
        notes.forget(noted)
        raise _unroutable()
    notes.published(noted)


def _publish(backend: Backend, event: PostedEvent) -> int:
    message = (EXCHANGE.name, event.routing_key, event.body, "application/json")
    try:
        return backend.publish([message])
    except NoAnswer as silence:
        raise datastore_timeout(str(silence)) from None
    except RefusedByActor as refusal:
        if refusal.cause in ("blocked", "busy"):
            raise refused(refusal) from None
        told = {"message": "the broker did not take the event", "cause": str(refusal)}
        raise ApiError(503, "broker_unreachable", told) from None


def _unroutable() -> ApiError:
    return ApiError(
        409, "event_unroutable", {"message": "no queue takes events now: post it again later"}
    )


def _account(caller: Caller, data: Mapping[str, Any]) -> str:
    """The event's account. Raises ApiError 400, 403."""
    if "account_id" not in data and caller.account_id is not None:
        return caller.account_id
    try:
        account_id = account_argument(member(data, "account_id", str))
    except BadArgument as problem:
        raise bad_argument("account_id", problem) from None
    if not caller.sees_all and account_id != caller.account_id:
        raise forbidden()
    return account_id


def _name(data: Mapping[str, Any]) -> str:
    name = member(data, "name", str)
    if len(name) > MAX_NAME or not NAME.fullmatch(name):
        raise invalid_member(
            "name",
            "pattern",
            f"must be words of letters, digits, _ and - with dots between them, {MAX_NAME} "
            "characters at most",
            value=name,
        )
    return name


def _payload(request: Request, data: Mapping[str, Any]) -> dict[str, Any]:
    """The payload with its numbers as they are spelt (values/exact_numbers.py)."""
    if too_deep({"data": {"payload": member(data, "payload", dict)}}):
        raise invalid_member("payload", "error", "is nested too deep")
    payload: dict[str, Any] = json_read(state_of(request).body)["data"]["payload"]
    return payload


def _hops(request: Request) -> int:
    """The hops of the delivery that caused this post. Raises ApiError 400, and 508 for a loop."""
    text = request.headers.get(HOPS_HEADER)
    if text is None:
        return 0
    if not _NUMBER.fullmatch(text):
        raise invalid_member(HOPS_HEADER, "pattern", "must be a whole number", value=text)
    if int(text) > MAX_HOPS:
        raise event_loop(MAX_HOPS)
    return int(text)


def _fingerprint(event: PostedEvent) -> str:
    text = json.dumps([event.name, event.account_id, event.data], sort_keys=True)
    return hashlib.sha256("\n".join((text, *_spelt(event.data))).encode()).hexdigest()


def _spelt(value: Any) -> Iterator[str]:
    """The numbers that `json` would write otherwise than they are spelt."""
    if isinstance(value, ExactNumber):
        yield value.text
    elif isinstance(value, dict):
        for key in sorted(value):
            yield from _spelt(value[key])
    elif isinstance(value, list):
        for item in value:
            yield from _spelt(item)


def _sweep(request: Request, notes: PostedEvents, now: float) -> None:
    """Delete records older than a day, about every minute, as part of a post."""
    if now - getattr(request.app.state, "swept_at", 0.0) < SWEEP_S:
        return
    request.app.state.swept_at = now
    for _chunk in range(SWEEPS):
        if not notes.sweep(now):
            return
