"""Replays of a hook's deliveries, test deliveries, and deliveries that wait."""

import re
import time
import uuid
from collections.abc import Mapping
from typing import Annotated, Any

import attrs
from fastapi import APIRouter, Path, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from callboard import admin
from callboard.actors.messages import (
    CancelDeliveries,
    HookQueue,
    HookQueues,
    HookSaved,
    ListHookQueues,
)
from callboard.actors.messages.paths import HOOK_LISTENER, REDELIVERY, RETRY_QUEUE
from callboard.web.access.callers import AccountAccess, TheAccount, TheBackend
from callboard.web.access.state import state_of
from callboard.web.backend import Backend
from callboard.web.documents.shapes import CANCELLED, REPLAY, RETRIED_NOW, TESTED, WAITING
from callboard.web.documents.system_settings import maximum_range_s, page_size
from callboard.web.envelopes.describing import WAITING_SEARCH, body_of, changes, errors, shows
from callboard.web.envelopes.envelope import Page, data_of, success
from callboard.web.envelopes.paging import MAX_PAGE, Paging, key_of, paging_of
from callboard.web.envelopes.time_range import time_range
from callboard.web.errors import ApiError, bad_identifier, invalid_member
from callboard.web.operations.actor_requests import asked, check_members, member, replied
from callboard.web.operations.replays import NameTaken, Progress, Replays, TooMany, Wanted
from callboard.web.routes.hooks import HookId, stored_hook
from callboard.webhooks.hooks.arguments import MAX_DIGITS
from callboard.webhooks.hooks.hook import is_enabled
from callboard.webhooks.values.kazoo_names import GREGORIAN_OFFSET_S, gregorian_s

router = APIRouter(prefix="/v2/accounts/{account_id}/webhooks", tags=["sending again"])

RETRY_NOW_S = 20.0
"""After this time, a request to send deliveries now is not done, and may be repeated."""
MOST_ASKS = 20
"""A page that looks for a text ends after so many pages of the index, perhaps with nothing."""
_RUN = re.compile(r"[a-z0-9-]{8,64}")
_MEMBERS: Mapping[str, Any] = {
    "since": {"type": "integer", "description": "From here on, Gregorian seconds."},
    "until": {"type": "integer", "description": "Up to here, Gregorian seconds."},
    "failed": {"type": "boolean", "description": "Only what never succeeded."},
    "event_id": {"type": "string", "description": "Only this delivery."},
    "attempt_id": {"type": "string", "description": "Only the delivery of this attempt."},
    "rate": {"type": "number", "minimum": 1, "maximum": 10_000},
    "dry_run": {"type": "boolean", "description": "Only count."},
    "id": {"type": "string", "pattern": "^[a-z0-9-]{8,64}$"},
}
_REPLAY = body_of({"type": "object", "properties": dict(_MEMBERS)}, "What to send once more.")

_REUSED: Mapping[int | str, dict[str, Any]] = {
    422: {**errors(422)[422], "description": "The id is of a replay of something else."}
}

_DISABLED: Mapping[int | str, dict[str, Any]] = {
    409: {
        **errors(409)[409],
        "description": "The hook is disabled, or this node lists no waiting deliveries.",
    }
}
_NO_INDEX: Mapping[int | str, dict[str, Any]] = {
    409: {**errors(409)[409], "description": "This node lists no waiting deliveries."}
}

RunId = Annotated[str, Path(description="The id from the PUT's response.")]


@router.put(
    "/{hook_id}/replay",
    status_code=202,
    summary="Send a hook's deliveries again",
    openapi_extra=_REPLAY,
    responses={**changes(REPLAY, 202), **_REUSED},
)
def start_replay(
    request: Request, account: TheAccount, backend: TheBackend, hook_id: HookId
) -> Response:
    """From their stored attempts, to the hook as it is now, with the same webhook-ids."""
    data = data_of(request)
    check_members(data, _MEMBERS)
    stored_hook(backend, account, hook_id)
    wanted = _wanted(data, account.id, hook_id, maximum_range_s(backend))
    try:
        began = replays_of(request).begin(wanted)
    except NameTaken:
        other = {"message": "a replay of this hook has that id, and was asked for something else"}
        raise ApiError(422, "replay_id_reused", other) from None
    except TooMany as problem:
        busy = {"message": f"{problem}: try again later"}
        raise ApiError(503, "too_many_replays", busy, {"Retry-After": "10"}) from None
    where = f"/v2/accounts/{account.id}/webhooks/{hook_id}/replay/{wanted.run}"
    return success(request, _shown(began), status=202, headers={"Location": where})


def _wanted(data: Mapping[str, Any], account_id: str, hook_id: str, longest_s: int) -> Wanted:
    query = {
        name: str(member(data, key, int))
        for key, name in (("since", "created_from"), ("until", "created_to"))
        if key in data
    }
    span = time_range(query, gregorian_s(time.time()), longest_s)
    if "event_id" in data and "attempt_id" in data:
        raise invalid_member("attempt_id", "error", "give one of event_id and attempt_id")
    run = member(data, "id", str, uuid.uuid4().hex)
    if not _RUN.fullmatch(run):
        raise invalid_member("id", "pattern", "must be 8 to 64 of a-z, 0-9 and -", value=run)
    rate = data.get("rate", 20)
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 1 <= rate <= 10_000:
        raise invalid_member("rate", "error", "must be a number from 1 to 10000", value=rate)
    return Wanted(
        account_id,
        hook_id,
        run,
        float(span.created_from - GREGORIAN_OFFSET_S),
        float(span.created_to - GREGORIAN_OFFSET_S),
        member(data, "failed", bool, default=False),
        member(data, "event_id", str) if "event_id" in data else None,
        member(data, "attempt_id", str) if "attempt_id" in data else None,
        float(rate),
        member(data, "dry_run", bool, default=False),
        (data.get("since"), data.get("until")),
    )


@router.get(
    "/{hook_id}/replay/{run_id}", summary="Show the progress of a replay", responses=shows(REPLAY)
)
def show_replay(
    request: Request, account: TheAccount, backend: TheBackend, hook_id: HookId, run_id: RunId
) -> Response:
    """404 after a restart of the API's process: start the replay again with the same id."""
    return success(request, _shown(_progress(request, account, backend, hook_id, run_id)))


@router.delete("/{hook_id}/replay/{run_id}", summary="Stop a replay", responses=changes(REPLAY))
def stop_replay(
    request: Request, account: TheAccount, backend: TheBackend, hook_id: HookId, run_id: RunId
) -> Response:
    """Deliveries that were already sent are not undone."""
    _progress(request, account, backend, hook_id, run_id)
    replays_of(request).stop((hook_id, run_id))
    return success(request, _shown(_progress(request, account, backend, hook_id, run_id)))


def _progress(
    request: Request, account: AccountAccess, backend: Backend, hook_id: str, run_id: str
) -> Progress:
    stored_hook(backend, account, hook_id)
    progress = replays_of(request).get((hook_id, run_id))
    if progress is None:
        raise bad_identifier(run_id)
    return progress


def replays_of(request: Request) -> Replays:
    """Those of this process."""
    replays: Replays = request.app.state.replays
    return replays


def _shown(progress: Progress) -> dict[str, Any]:
    wanted = progress.wanted
    shown: dict[str, Any] = {
        "id": wanted.run,
        "hook_id": wanted.hook_id,
        "state": progress.state,
        "found": progress.found,
        "replayed": progress.replayed,
        "skipped": progress.skipped,
        "skipped_count": progress.skipped_count,
        "dry_run": wanted.dry_run,
    }
    return shown | ({"reason": progress.reason} if progress.reason else {})


@router.get(
    "/deliveries",
    summary="List an account's deliveries that wait",
    openapi_extra=WAITING_SEARCH,
    responses={**shows(WAITING), **_NO_INDEX},
)
def list_account_deliveries(request: Request, account: TheAccount, backend: TheBackend) -> Response:
    """As those of a hook, of all hooks of the account."""
    return _list_waiting(request, backend, account, None)


@router.get(
    "/{hook_id}/deliveries",
    summary="List a hook's deliveries that wait",
    openapi_extra=WAITING_SEARCH,
    responses={**shows(WAITING), **_NO_INDEX},
)
def list_deliveries(
    request: Request, account: TheAccount, backend: TheBackend, hook_id: HookId
) -> Response:
    """`deliveries`, by the time they are due, are in the retry queue: those that this node has
    deferred. `count`: all of them, whatever `text`. `queues`, with the first page, are those of
    ordered and paused hooks.

    409 if `delivery.waiting_index_mb` of this node is 0.
    """
    stored_hook(backend, account, hook_id)
    return _list_waiting(request, backend, account, hook_id)


def _list_waiting(
    request: Request, backend: Backend, account: AccountAccess, hook_id: str | None
) -> Response:
    paging = paging_of(request.query_params, page_size(backend))
    size, text = paging.size or MAX_PAGE, request.query_params.get("text", "")
    owner = None if hook_id else account.id
    found: list[dict[str, Any]] = []
    count, after, asks = 0, _after(paging), 0
    while after is not None and len(found) < size and asks < MOST_ASKS:
        wanted = admin.ListWaiting(hook_id, owner, after, size - len(found), text)
        listed = asked(backend, REDELIVERY, wanted, admin.WaitingListed)
        found += map(_waiting, listed.deliveries)
        count, after, asks = listed.count, listed.more, asks + 1
    queues = []
    if paging.start is None:
        of_hooks = ListHookQueues(hook_id, account.id, text)
        queues = [_queue(q) for q in asked(backend, RETRY_QUEUE, of_hooks, HookQueues).queues]
    page = Page(len(found), paging.start_key, None if after is None else key_of([*after]))
    shown = {"count": count, "deliveries": found, "queues": queues}
    return success(request, shown, page=page)


def _queue(queue: HookQueue) -> dict[str, Any]:
    return {
        "hook_id": queue.hook_id,
        "paused": queue.paused,
        "count": queue.count,
        "deliveries": [_waiting(one) for one in queue.deliveries],
    }


def _after(paging: Paging) -> admin.Cursor | None:
    match paging.start:
        case None:
            return ()
        case [str() as due_ms, str() as id] if due_ms.isdecimal() and len(due_ms) <= MAX_DIGITS:
            return due_ms, id
    raise invalid_member(
        "start_key", "error", "is no next_start_key of an earlier page", value=paging.start_key
    )


def _waiting(one: admin.WaitingDelivery) -> dict[str, Any]:
    return {
        "id": one.id,
        "event_id": one.event_id,
        "reference": one.reference,
        "hook_id": one.hook_id,
        "hook_event": one.event,
        "uri": one.uri,
        "tries": one.tries,
        "most_tries": one.most_tries,
        "due": gregorian_s(one.due_s),
        "reason": one.reason,
    }


@router.post(
    "/{hook_id}/deliveries/retry",
    summary="Send a hook's deliveries now that wait in the retry queue",
    responses={**changes(RETRIED_NOW), **_DISABLED},
)
def retry_deliveries(
    request: Request, account: TheAccount, backend: TheBackend, hook_id: HookId
) -> Response:
    """Those that this node has deferred; each has the attempts that it had left.

    Deliveries that are deferred again meanwhile stay. `skipped`: the reasons, by delivery.
    """
    if not is_enabled(stored_hook(backend, account, hook_id)):
        raise ApiError(409, "hook_disabled", {"message": "enable the hook: then they are sent"})
    end = time.monotonic() + RETRY_NOW_S
    after: admin.Cursor | None = ()
    sent = 0
    skipped: dict[str, str] = {}
    while after is not None and time.monotonic() < end:
        wanted = admin.RetryWaiting(hook_id, after)
        page = asked(backend, REDELIVERY, wanted, admin.WaitingRetried, RETRY_NOW_S)
        sent, after = sent + len(page.sent), page.more
        skipped |= dict(page.refused)
    shown = {"id": hook_id, "sent": sent, "skipped": skipped, "done": after is None}
    return success(request, shown)


@router.delete(
    "/{hook_id}/deliveries",
    summary="Cancel a hook's deliveries that have not ended",
    responses=changes(CANCELLED),
)
def cancel_deliveries(
    request: Request, account: TheAccount, backend: TheBackend, hook_id: HookId
) -> Response:
    """A request in flight is not followed by another. The hook stays as it is.

    Deliveries in memory end at once, those in the retry queue when they are due; each is recorded
    with the result `cancelled`.
    """
    stored_hook(backend, account, hook_id)
    asked(backend, HOOK_LISTENER, CancelDeliveries(hook_id), HookSaved)
    return success(request, {"id": hook_id})


@router.put("/{hook_id}/test", summary="Send a sample event to a hook", responses=changes(TESTED))
async def test_hook(
    request: Request, account: TheAccount, backend: TheBackend, hook_id: HookId
) -> Response:
    """Sends it once, now, signed like any delivery, with X-Callboard-Test; also to a disabled hook.

    It does not count as a failure, and is neither retried nor recorded.
    """
    await run_in_threadpool(stored_hook, backend, account, hook_id)
    state_of(request).give_back_slot()  # The endpoint may take long, and no thread waits for it.
    test, limit_s = admin.TestHook(hook_id), backend.node.test_s
    tested = await replied(backend, REDELIVERY, test, admin.HookTested, limit_s)
    shown = attrs.asdict(tested, filter=attrs.filters.exclude("version", "ref"))
    return success(request, shown)
