"""What the dashboard asks for besides the paths of Crossbar: hooks of all accounts, test, replay,
dead letters. Not in the OpenAPI document."""

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import asdict
from fastapi import APIRouter, Request
from fastapi.responses import Response

from callboard import admin
from callboard.adapters.hook_store import DATABASE, EVERY_HOOK
from callboard.adapters.store import DatabaseMissing, Row
from callboard.web.access import Admin, TheAccount, TheBackend
from callboard.web.backend import Backend
from callboard.web.envelope import Page, data_of, success
from callboard.web.errors import invalid_member
from callboard.web.paging import key_of, page_of, paging_of
from callboard.web.routes.hooks import HookId, stored_hook
from callboard.webhooks.documents import public_fields
from callboard.webhooks.names import gregorian_s
from callboard.webhooks.values import as_bool

router = APIRouter(include_in_schema=False)

ACTOR = "redelivery"
ANSWER_S = 30.0
"""A test delivery takes as long as its endpoint."""
PAGE = 50


@router.get("/v2/callboard/hooks")
def list_hooks(request: Request, _caller: Admin, backend: TheBackend) -> Response:
    """The hooks of all accounts, by account and id; `account_id`, `event`, `enabled` and `uri` (a
    part of it) choose. A page may hold few of those that are searched, and not be the last."""
    query = request.query_params
    paging = paging_of(query, PAGE)
    account = query.get("account_id", "").strip()
    start: Any = paging.start if paging.start is not None else [account] if account else ...
    rows = _rows(backend, start, [account, {}] if account else ...)
    found, page = page_of(rows, paging, lambda row: _is_wanted(row, query), lambda row: row.key)
    return success(request, [_hook(row) for row in found], page=page)


def _rows(backend: Backend, start: Any, end: Any) -> Iterator[Row]:
    try:
        yield from backend.store.view(DATABASE, EVERY_HOOK, start=start, end=end)
    except DatabaseMissing:
        return


def _is_wanted(row: Row, query: Mapping[str, str]) -> bool:
    hook = row.value
    enabled = hook.get("enabled") is not False
    return (
        as_bool(query.get("enabled"), enabled) == enabled
        and query.get("event", hook.get("hook")) == hook.get("hook")
        and query.get("uri", "").lower() in str(hook.get("uri") or "").lower()
    )


def _hook(row: Row) -> dict[str, Any]:
    hook = {name: value for name, value in row.value.items() if value is not None}
    return {**hook, "account_id": row.key[0]}


@router.put("/v2/accounts/{account_id}/webhooks/{hook_id}/test")
def test_hook(
    request: Request, account: TheAccount, backend: TheBackend, hook_id: HookId
) -> Response:
    """Send a sample event now, and tell what came of it."""
    stored_hook(backend, account, hook_id)
    tested = backend.ask(ACTOR, admin.TestHook(hook_id), admin.HookTested, ANSWER_S)
    return success(request, asdict(tested))


@router.put("/v2/accounts/{account_id}/webhooks/{hook_id}/replay")
def replay(request: Request, account: TheAccount, backend: TheBackend, hook_id: HookId) -> Response:
    """Send once more what the attempt `attempt_id` sent."""
    stored_hook(backend, account, hook_id)
    attempt, run = str(data_of(request).get("attempt_id")), uuid.uuid4().hex
    question = admin.ReplayAttempts(hook_id, (attempt,), run=run)
    replayed = backend.ask(ACTOR, question, admin.AttemptsReplayed, ANSWER_S)
    work = {
        "id": run,
        "hook_id": hook_id,
        "state": "done",
        "replayed": len(replayed.replayed),
        "skipped": dict(replayed.refused),
    }
    return success(request, work, status=202)


@router.get("/v2/callboard/dead_letters")
def list_dead_letters(request: Request, _caller: Admin, backend: TheBackend) -> Response:
    """Deliveries that were given up and events that could not be handled, the newest first."""
    query = request.query_params
    paging = paging_of(query, PAGE)
    question = admin.ListDeadLetters(
        account=query.get("account_id", "").strip() or None,
        kind=query.get("kind") or None,
        after=tuple(str(part) for part in paging.start or ()),
        limit=min(paging.size or PAGE, 200),
    )
    listed = backend.ask(ACTOR, question, admin.DeadLettersListed, ANSWER_S)
    more = None if listed.more is None else key_of(list(listed.more))
    letters = [_letter(letter) for letter in listed.letters]
    return success(request, letters, page=Page(len(letters), paging.start_key, more))


def _letter(letter: admin.DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.id,
        "kind": letter.kind,
        "created": gregorian_s(letter.at_s),
        "reason": letter.reason,
        "account_id": letter.account_id,
        "hook_id": letter.hook_id,
        "hook_event": letter.name,
        "uri": letter.subject,
        "tries": letter.tries,
    }


@router.get("/v2/callboard/dead_letters/{letter_id}")
def show_dead_letter(
    request: Request, _caller: Admin, backend: TheBackend, letter_id: str
) -> Response:
    """All that is known of one."""
    question = admin.ShowDeadLetter(letter_id)
    shown = backend.ask(ACTOR, question, admin.DeadLetterShown, ANSWER_S)
    return success(request, public_fields(shown.document))


@router.patch("/v2/callboard/dead_letters")
def act_on_dead_letters(request: Request, _caller: Admin, backend: TheBackend) -> Response:
    """Retry or purge (`action`) the letters `ids`."""
    data = data_of(request)
    done: tuple[str, ...]
    match data.get("action"):
        case "retry":
            retried = backend.ask(
                ACTOR, admin.RetryDeadLetters(_ids(data)), admin.DeadLettersRetried, ANSWER_S
            )
            done, refused = retried.retried, retried.refused
        case "purge":
            purged = backend.ask(
                ACTOR, admin.PurgeDeadLetters(_ids(data)), admin.DeadLettersPurged, ANSWER_S
            )
            done, refused = purged.purged, purged.refused
        case other:
            message = "Value not found in enumerated list of values"
            target = ["retry", "purge"]
            raise invalid_member("action", "enum", message, target=target, value=other)
    return success(request, {"done": done, "refused": dict(refused)})


def _ids(data: Mapping[str, Any]) -> tuple[str, ...]:
    ids = data.get("ids")
    if not isinstance(ids, list) or not ids or not all(isinstance(id, str) for id in ids):
        raise invalid_member("ids", "type", "must be a list of ids, at least one")
    if len(ids) > admin.IDS_LIMIT:
        limit = admin.IDS_LIMIT
        raise invalid_member("ids", "maxItems", f"{limit} are taken at a time", target=limit)
    return tuple(ids)
