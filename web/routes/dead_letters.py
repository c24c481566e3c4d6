"""Dead letters: those of an account's hooks, and for the operator all, with quarantined events."""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from starlette.datastructures import QueryParams

from callboard import admin
from callboard.actors.messages.paths import REDELIVERY
from callboard.adapters.repositories.dead_letters import DeadLetterStore, Place, Window
from callboard.adapters.store.protocol import Document, Row
from callboard.web.access.callers import Admin, TheAccount, TheBackend
from callboard.web.backend import Backend
from callboard.web.documents.shapes import ACTED_ON, COUNT, LETTER, LISTED_LETTER, deleted, list_of
from callboard.web.documents.system_settings import page_size
from callboard.web.envelopes.describing import (
    ALL_LETTER_COUNT,
    ALL_LETTERS,
    LETTER_COUNT,
    LETTERS,
    body_of,
    changes,
    members_of,
    shows,
)
from callboard.web.envelopes.envelope import data_of, success
from callboard.web.envelopes.filters import filters_in
from callboard.web.envelopes.paging import Paging, count_of, page_of, paging_of
from callboard.web.errors import backend_failed, bad_identifier, invalid_member
from callboard.web.operations.actor_requests import asked, check_members, ids_of, member
from callboard.webhooks.history.dead_letters import DELIVERY, EVENT
from callboard.webhooks.values.documents import public_fields
from callboard.webhooks.values.json_values import as_int

PATIENCE_S = 30.0
CHUNK = 500

router = APIRouter(tags=["dead letters"])

_OF_ACCOUNT = "/v2/accounts/{account_id}/webhooks/dead_letters"
_OF_ALL = "/v2/callboard/dead_letters"

LetterId = Annotated[str, Path(description="The dead letter's id.")]

_ACTION = body_of(
    {
        "type": "object",
        "required": ["action", "ids"],
        "properties": {
            "action": {"type": "string", "enum": ["retry", "purge"]},
            "ids": {
                "type": "array",
                "items": {"type": "string"},
                "minItems": 1,
                "maxItems": admin.IDS_LIMIT,
            },
        },
    },
    "What to do with which.",
)


@router.get(
    _OF_ACCOUNT,
    summary="List an account's dead letters",
    openapi_extra=LETTERS,
    responses=shows(list_of(LISTED_LETTER)),
)
def list_dead_letters(request: Request, account: TheAccount, backend: TheBackend) -> Response:
    """Newest first, without their bodies; generic filters apply."""
    return _list(request, backend, account.id)


@router.get(
    _OF_ACCOUNT + "/count",
    summary="Count an account's dead letters",
    openapi_extra=LETTER_COUNT,
    responses=shows(COUNT),
)
def count_dead_letters(request: Request, account: TheAccount, backend: TheBackend) -> Response:
    """Those that the listing would find; `more`: there may be others, as only 20,000 are read."""
    return _count(request, backend, account.id)


@router.patch(
    _OF_ACCOUNT,
    summary="Retry or purge some of an account's dead letters",
    openapi_extra=_ACTION,
    responses=changes(ACTED_ON),
)
def act_on_dead_letters(request: Request, account: TheAccount, backend: TheBackend) -> Response:
    """A delivery goes to its hook as it is now, with the same webhook-id and all attempts."""
    return _act(request, backend, account.id)


@router.get(_OF_ACCOUNT + "/{letter_id}", summary="Show a dead letter", responses=shows(LETTER))
def show_dead_letter(
    request: Request, account: TheAccount, backend: TheBackend, letter_id: LetterId
) -> Response:
    """The content and its history, without secrets and signatures."""
    return success(request, _shown(_letter(backend, letter_id, account.id)))


@router.delete(
    _OF_ACCOUNT + "/{letter_id}",
    summary="Purge a dead letter",
    responses=changes(deleted(LETTER)),
)
def purge_dead_letter(
    request: Request, account: TheAccount, backend: TheBackend, letter_id: LetterId
) -> Response:
    """Permanently."""
    return _purge(request, backend, letter_id, account.id)


@router.get(
    _OF_ALL,
    tags=["operator"],
    summary="List dead letters and quarantined events",
    openapi_extra=ALL_LETTERS,
    responses=shows(list_of(LISTED_LETTER)),
)
def list_all_dead_letters(request: Request, _caller: Admin, backend: TheBackend) -> Response:
    """Newest first, without their bodies; generic filters apply."""
    return _list(request, backend, request.query_params.get("account_id") or None)


@router.get(
    _OF_ALL + "/count",
    tags=["operator"],
    summary="Count dead letters and quarantined events",
    openapi_extra=ALL_LETTER_COUNT,
    responses=shows(COUNT),
)
def count_all_dead_letters(request: Request, _caller: Admin, backend: TheBackend) -> Response:
    """As those of an account, of all."""
    return _count(request, backend, request.query_params.get("account_id") or None)


@router.patch(
    _OF_ALL,
    tags=["operator"],
    summary="Retry or purge some dead letters",
    openapi_extra=_ACTION,
    responses=changes(ACTED_ON),
)
def act_on_all_dead_letters(request: Request, _caller: Admin, backend: TheBackend) -> Response:
    """An event goes to the nodes' queue again."""
    return _act(request, backend, None)


@router.get(
    _OF_ALL + "/{letter_id}",
    tags=["operator"],
    summary="Show a dead letter or quarantined event",
    responses=shows(LETTER),
)
def show_any_dead_letter(
    request: Request, _caller: Admin, backend: TheBackend, letter_id: LetterId
) -> Response:
    """With all stored data."""
    return success(request, _shown(_letter(backend, letter_id, None)))


@router.delete(
    _OF_ALL + "/{letter_id}",
    tags=["operator"],
    summary="Purge a dead letter or quarantined event",
    responses=changes(deleted(LETTER)),
)
def purge_any_dead_letter(
    request: Request, _caller: Admin, backend: TheBackend, letter_id: LetterId
) -> Response:
    """Permanently."""
    return _purge(request, backend, letter_id, None)


def _list(request: Request, backend: Backend, account_id: str | None) -> Response:
    paging = paging_of(request.query_params, page_size(backend))
    if paging.ascending:
        raise invalid_member("ascending", "error", "dead letters are listed the newest first")
    window, wanted = _search(request.query_params, account_id)
    rows = _rows(DeadLetterStore(backend.store), window, _start(paging))
    found, page = page_of(rows, paging, wanted, _position)
    return success(request, [_listed(row) for row in found], page=page)


def _count(request: Request, backend: Backend, account_id: str | None) -> Response:
    window, wanted = _search(request.query_params, account_id)
    return success(request, count_of(_rows(DeadLetterStore(backend.store), window, None), wanted))


def _search(query: QueryParams, account_id: str | None) -> tuple[Window, Callable[[Row], bool]]:
    """The dead letters to read, and which of them are wanted. Raises ApiError 400."""
    kind = query.get("kind") or None
    if kind not in (None, DELIVERY, EVENT):
        message = "Value not found in enumerated list of values"
        raise invalid_member("kind", "enum", message, target=[DELIVERY, EVENT], value=kind)
    window = Window(
        account_id,
        query.get("hook_id") or None,
        kind,
        _time(query, "created_from"),
        _time(query, "created_to"),
    )
    passes, text = filters_in(query), query.get("text", "").lower()

    def wanted(row: Row) -> bool:
        return (
            window.shows(row)
            and passes(_filtered(row))
            and (not text or any(text in str(value).lower() for value in row.value.values()))
        )

    return window, wanted


def _rows(letters: DeadLetterStore, window: Window, start: Place | None) -> Iterator[Row]:
    after = start
    while True:
        rows, after = letters.page(window, after, CHUNK)
        yield from rows
        if after is None:
            return


def _position(row: Row) -> list[Any]:
    return list(row.key[-2:])


def _start(paging: Paging) -> Place | None:
    match paging.start:
        case None:
            return None
        case [int(created), str(id)]:
            # The page begins with this one, and the store's begins behind a place.
            return created, id + " "
    raise invalid_member(
        "start_key", "error", "is no next_start_key of an earlier page", value=paging.start_key
    )


def _time(query: Mapping[str, str], name: str) -> int | None:
    written = query.get(name)
    if written is None:
        return None
    time_s = as_int(written)
    if time_s is None or not 0 <= time_s < 315_569_520_000:
        raise invalid_member(name, "date_range", "must be Gregorian seconds", cause=written)
    return time_s


def _filtered(row: Row) -> dict[str, Any]:
    return {**_listed(row), "pvt_created": row.key[-2]}


def _listed(row: Row) -> dict[str, Any]:
    return {"id": row.id, "created": row.key[-2], **row.value}


def _letter(backend: Backend, id: str, account_id: str | None) -> Document:
    """The dead letter. Raises ApiError 404, also if it belongs to another account."""
    letter = DeadLetterStore(backend.store).get([id]).get(id)
    if letter is None or account_id not in (None, letter.get("pvt_account_id")):
        raise bad_identifier(id)
    return letter


def _shown(letter: Document) -> dict[str, Any]:
    shown = {**public_fields(letter), "id": letter["_id"], "created": letter.get("pvt_created")}
    if "pvt_account_id" in letter:
        shown["account_id"] = letter["pvt_account_id"]
    return shown


def _act(request: Request, backend: Backend, account_id: str | None) -> Response:
    data = data_of(request)
    check_members(data, members_of(_ACTION))
    action, ids = member(data, "action", str), ids_of(data, admin.IDS_LIMIT)
    if action not in ("retry", "purge"):
        message = "Value not found in enumerated list of values"
        raise invalid_member("action", "enum", message, target=["retry", "purge"], value=action)
    there = DeadLetterStore(backend.store).get(ids)
    mine = tuple(
        id for id in ids if id in there and account_id in (None, there[id].get("pvt_account_id"))
    )
    refused = {id: "there is no such dead letter" for id in ids if id not in mine}
    done: tuple[str, ...] = ()
    if mine and action == "retry":
        retried = asked(
            backend,
            REDELIVERY,
            admin.RetryDeadLetters(mine),
            admin.DeadLettersRetried,
            PATIENCE_S,
        )
        done, refused = retried.retried, refused | dict(retried.refused)
    elif mine:
        purged = _purged(backend, mine)
        done, refused = purged.purged, refused | dict(purged.refused)
    return success(request, {"done": list(done), "refused": refused})


def _purge(request: Request, backend: Backend, id: str, account_id: str | None) -> Response:
    letter = _letter(backend, id, account_id)
    purged = _purged(backend, (id,))
    if purged.refused:
        raise backend_failed(purged.refused[0][1])
    return success(request, {**_shown(letter), "_read_only": {"deleted": True}})


def _purged(backend: Backend, ids: tuple[str, ...]) -> admin.DeadLettersPurged:
    return asked(
        backend, REDELIVERY, admin.PurgeDeadLetters(ids), admin.DeadLettersPurged, PATIENCE_S
    )
