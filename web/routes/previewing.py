"""What a hook would send for an event, without saving the hook or sending anything."""

import time
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from callboard.adapters.repositories.stored_attempts import read_attempts
from callboard.web.access.callers import AccountAccess, TheAccount, TheBackend
from callboard.web.access.state import state_of
from callboard.web.backend import Backend
from callboard.web.documents.hook_documents import OPTIONS, refused_member, shape_problems
from callboard.web.documents.schema_check import checked
from callboard.web.documents.shapes import PREVIEW
from callboard.web.envelopes.describing import body_of, shows
from callboard.web.envelopes.envelope import data_of, success
from callboard.web.errors import bad_identifier, invalid, invalid_member
from callboard.web.operations.actor_requests import check_members, member
from callboard.web.routes.hooks import stored_hook
from callboard.webhooks.deliveries.preview import preview
from callboard.webhooks.events.event import Event, too_deep
from callboard.webhooks.expressions.shape import EXPRESSIONS
from callboard.webhooks.hooks.hook import ALL, Hook, InvalidHook, parse_hook
from callboard.webhooks.hooks.schema import SCHEMA
from callboard.webhooks.modules.samples import NoDirectory, sample
from callboard.webhooks.values.exact_numbers import json_read

router = APIRouter(prefix="/v2/accounts/{account_id}/webhooks/preview", tags=["hooks"])

_HOOK: Mapping[str, Any] = {
    "type": "object",
    "description": "The hook's members that matter; beside `hook_id`, in place of the stored ones.",
    "properties": {
        **{
            name: {"type": SCHEMA["properties"][name]["type"]}
            for name in ("hook", "http_verb", "format", "custom_data")
        },
        "modifiers": {"type": "object"},
        **{name: OPTIONS[name] for name in EXPRESSIONS},
    },
    "additionalProperties": False,
}
_MEMBERS: Mapping[str, Any] = {
    "hook": _HOOK,
    "hook_id": {"type": "string", "description": "A stored hook."},
    "payload": {
        "type": "object",
        "description": "The event's payload; by default a sample of the hook's event type.",
    },
    "attempt_id": {"type": "string", "description": "An attempt of `hook_id`, for its payload."},
    "exchange": {"type": "string"},
    "routing_key": {"type": "string"},
    "message_id": {"type": "string"},
    "headers": {"type": "object", "description": "The message's headers."},
}
_BODY = body_of({"type": "object", "properties": dict(_MEMBERS)}, "The hook, and an event.")


@router.post(
    "",
    summary="Preview what a hook sends",
    openapi_extra=_BODY,
    responses=shows(PREVIEW),
)
def preview_hook(request: Request, account: TheAccount, backend: TheBackend) -> Response:
    """Nothing is saved or sent. `sent`: whether the hook's filter and modifiers accept the event.

    The payload is the given one, that of an attempt, or a sample.
    """
    data = data_of(request)
    check_members(data, _MEMBERS)
    hook = _hook(backend, account, data)
    source, payload = _payload(request, account, backend, hook, data)
    event = Event(
        payload,
        member(data, "exchange", str, ""),
        member(data, "routing_key", str, ""),
        member(data, "message_id", str) if "message_id" in data else None,
        headers=member(data, "headers", dict, {}),
    )
    found = preview(hook, event, hook.event.lower(), payload)
    return success(request, {"source": source, **found.as_json()})


def _hook(backend: Backend, account: AccountAccess, data: Mapping[str, Any]) -> Hook:
    """The hook of the request. Raises ApiError."""
    document: dict[str, Any] = {"hook": ALL, "format": "json"}
    if "hook_id" in data:
        document = stored_hook(backend, account, member(data, "hook_id", str))
    given = member(data, "hook", dict, {})
    members = {key: value for key, value in given.items() if value is not None}
    _whole, problems = checked({"hook": members}, {"properties": {"hook": _HOOK}})
    known = {path.removeprefix("hook.") for path in problems}
    problems |= {f"hook.{key}": why for key, why in shape_problems(members, known).items()}
    if problems:
        raise invalid(problems)
    wanted = {key: value for key, value in {**document, **given}.items() if value is not None}
    identity = {"_id": "preview", "pvt_account_id": account.id, "uri": "https://preview.invalid/"}
    try:
        return parse_hook({**identity, **wanted}, backend.node.known_events)
    except InvalidHook as refused:
        key = refused_member(refused, given)
        raise invalid_member(f"hook.{key}", "error", refused.reason, value=given.get(key)) from None


def _payload(
    request: Request,
    account: AccountAccess,
    backend: Backend,
    hook: Hook,
    data: Mapping[str, Any],
) -> tuple[str, Mapping[str, Any]]:
    """Where the event's payload is from, and the payload. Raises ApiError."""
    if "payload" in data:
        if "attempt_id" in data:
            raise invalid_member("attempt_id", "error", "give one of payload and attempt_id")
        if too_deep({"data": {"payload": member(data, "payload", dict)}}):
            raise invalid_member("payload", "error", "is nested too deep")
        # Its numbers as they are spelt.
        given: dict[str, Any] = state_of(request).exact()["data"]["payload"]
        return "payload", given
    if "attempt_id" in data:
        return "attempt", _recorded(account, backend, data)
    return "sample", sample(hook, backend.node.modules, NoDirectory(), time.time())[0]


def _recorded(
    account: AccountAccess, backend: Backend, data: Mapping[str, Any]
) -> Mapping[str, Any]:
    id, hook_id = member(data, "attempt_id", str), member(data, "hook_id", str)
    attempt = read_attempts(backend.store, account.id, hook_id, (id,)).get(id)
    if attempt is None:
        raise bad_identifier(id)
    try:
        payload = json_read(str(attempt.get("req_body")).encode())
    except (ValueError, RecursionError):
        payload = None
    if not isinstance(payload, dict) or too_deep(payload):
        raise invalid_member("attempt_id", "error", "the attempt has stored no JSON object")
    return payload
