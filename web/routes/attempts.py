"""The stored attempts of an account's hooks."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from callboard.adapters.repositories.attempt_history import attempts
from callboard.adapters.repositories.stored_attempts import read_attempts
from callboard.adapters.store.protocol import Document
from callboard.web.access.callers import AccountAccess, TheAccount, TheBackend
from callboard.web.backend import Backend
from callboard.web.documents.shapes import ATTEMPT, STATISTICS, list_of
from callboard.web.documents.system_settings import maximum_range_s, page_size
from callboard.web.envelopes.describing import ATTEMPT_SEARCH, STATISTICS_PERIOD, shows
from callboard.web.envelopes.envelope import success
from callboard.web.envelopes.filters import filters_in
from callboard.web.envelopes.paging import MAX_BYTES, Paging, page_of, paging_of
from callboard.web.envelopes.time_range import time_range
from callboard.web.errors import bad_identifier, invalid_member
from callboard.web.routes.hooks import HookId
from callboard.webhooks.history.attempts import DURATION, QUERY, concerns
from callboard.webhooks.history.statistics import MAX_STEPS, Attempt, newest, statistics
from callboard.webhooks.values.documents import public_fields
from callboard.webhooks.values.json_values import as_int
from callboard.webhooks.values.kazoo_names import GREGORIAN_OFFSET_S, gregorian_s

router = APIRouter(prefix="/v2/accounts/{account_id}/webhooks", tags=["attempts"])

MAX_ATTEMPTS = 2000
"""The most attempts that are read for statistics."""
DAY_S = 24 * 3600

_TEXTS = ("req_body", "resp_body", QUERY)


@router.get(
    "/attempts",
    summary="List the attempts of an account's hooks",
    openapi_extra=ATTEMPT_SEARCH,
    responses=shows(list_of(ATTEMPT)),
)
def list_attempts(request: Request, account: TheAccount, backend: TheBackend) -> Response:
    """Newest first, across all months of the period; generic filters apply.

    `text` finds what became of an event: its id or reference, or an order's number, for example.
    """
    return _attempts(request, account, backend, None)


@router.get(
    "/{hook_id}/attempts",
    summary="List the attempts of a hook",
    openapi_extra=ATTEMPT_SEARCH,
    responses=shows(list_of(ATTEMPT)),
)
def list_attempts_of_hook(
    request: Request, account: TheAccount, backend: TheBackend, hook_id: HookId
) -> Response:
    """Newest first, across all months of the period; generic filters apply.

    Those of a deleted hook stay; of an unknown one there are none.
    """
    return _attempts(request, account, backend, hook_id)


@router.get(
    "/{hook_id}/attempts/{month}/{attempt_id}",
    summary="Show an attempt of a hook",
    responses=shows(ATTEMPT),
)
def show_attempt(
    request: Request,
    account: TheAccount,
    backend: TheBackend,
    hook_id: HookId,
    month: Annotated[str, Path(description="The first part of the attempt's id.")],
    attempt_id: Annotated[str, Path(description="The second part of the attempt's id.")],
) -> Response:
    """Request and response, as in the list."""
    id = f"{month}/{attempt_id}"
    found = read_attempts(backend.store, account.id, hook_id, [id]).get(id)
    if found is None:
        raise bad_identifier(id)
    return success(request, _shown(found))


@router.get(
    "/{hook_id}/statistics",
    summary="Show how a hook has fared",
    openapi_extra=STATISTICS_PERIOD,
    responses=shows(STATISTICS),
)
def show_statistics(
    request: Request, account: TheAccount, backend: TheBackend, hook_id: HookId
) -> Response:
    """Succeeded and failed attempts, and how long they took, over a period: by default a day.

    From the newest stored attempts, 2,000 at most: if there are more, `since` is later than asked
    for. Successful ones are counted only if they are stored.
    """
    query = request.query_params
    steps = as_int(query.get("steps", "24"))
    if steps is None or not 1 <= steps <= MAX_STEPS:
        message = f"must be a number from 1 to {MAX_STEPS}"
        raise invalid_member("steps", "error", message, value=query.get("steps"))
    longest_s = maximum_range_s(backend) if "created_from" in query else DAY_S
    span = time_range(query, gregorian_s(time.time()), longest_s)
    found = attempts(backend.store, account.id, hook_id, span.created_from, span.created_to)
    read, since = newest(map(_weighed, found), span.created_from, MAX_ATTEMPTS, MAX_BYTES)
    since = min(since, span.created_to)
    return success(request, statistics(read, since, span.created_to, steps))


def _weighed(document: Document) -> tuple[Attempt, int]:
    attempt = Attempt(document["pvt_created"], document.get("result"), document.get(DURATION))
    return attempt, _weight(document)


def _attempts(
    request: Request, account: AccountAccess, backend: Backend, hook_id: str | None
) -> Response:
    query = request.query_params
    span = time_range(query, gregorian_s(time.time()), maximum_range_s(backend))
    paging = paging_of(query, page_size(backend))
    found: list[Document] = []
    documents = attempts(
        backend.store,
        account.id,
        hook_id,
        span.created_from,
        span.created_to,
        ascending=paging.ascending,
        start=_start(paging),
    )
    text, passes = query.get("text", ""), filters_in(query)
    found, page = page_of(
        documents, paging, lambda one: concerns(one, text) and passes(one), _position, _weight
    )
    return success(request, [_shown(document) for document in found], page=page)


def _position(document: Document) -> list[Any]:
    return [document["pvt_created"], document["_id"]]


def _weight(document: Document) -> int:
    """Bytes of an attempt's bodies and query."""
    texts = (document.get(name) for name in _TEXTS)
    return sum(len(text.encode()) for text in texts if isinstance(text, str))


def _start(paging: Paging) -> tuple[int, str] | None:
    match paging.start:
        case None:
            return None
        case [int(created), str(id)]:
            return created, id
    raise invalid_member(
        "start_key", "error", "is no next_start_key of an earlier page", value=paging.start_key
    )


def _shown(document: Document) -> dict[str, Any]:
    """Adds the id, which Kazoo does not show and replay needs, and the duration."""
    created = document["pvt_created"]
    month = time.strftime("%Y%m", time.gmtime(created - GREGORIAN_OFFSET_S))
    shown = {**public_fields(document), "id": f"{month}/{document['_id']}", "timestamp": created}
    return shown | ({"duration_ms": document[DURATION]} if DURATION in document else {})
