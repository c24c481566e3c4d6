"""The operator's view of a node, across all accounts."""

import json
import time
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Annotated, Any

import attrs
from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from callboard import admin
from callboard.actors.messages import (
    GetFigures,
    GetHealth,
    Health,
    HookProblems,
    ListHookProblems,
)
from callboard.actors.messages.paths import HOOK_LISTENER, METRICS, is_deliverer
from callboard.adapters.repositories.hooks import EVERY_HOOK, HookStore, hook_rows
from callboard.adapters.repositories.tokens import TokenFacts, add_token, list_tokens, revoke_token
from callboard.adapters.store.protocol import Row
from callboard.supervision import GetTree, TreeNode
from callboard.web.access.callers import Admin, TheBackend
from callboard.web.backend import Backend
from callboard.web.documents import shapes
from callboard.web.documents.hook_documents import shown_hook
from callboard.web.documents.system_settings import page_size
from callboard.web.envelopes.describing import (
    HOOK_COUNT,
    HOOK_SEARCH,
    IF_NONE_MATCH,
    TOKEN_PAGES,
    body_of,
    changes,
    members_of,
    shows,
)
from callboard.web.envelopes.envelope import Page, data_of, success
from callboard.web.envelopes.paging import MAX_SEEN, Paging, count_of, page_of, paging_of
from callboard.web.errors import ApiError, bad_identifier, invalid_member
from callboard.web.operations.actor_requests import (
    asked,
    bad_argument,
    check_members,
    member,
    published,
)
from callboard.webhooks.hooks.arguments import BadArgument, account_argument
from callboard.webhooks.hooks.hook import is_deleted
from callboard.webhooks.hooks.options import is_paused
from callboard.webhooks.metrics.snapshot import Snapshot, as_plain
from callboard.webhooks.values.json_values import as_bool

router = APIRouter(prefix="/v2/callboard", tags=["operator"])

SORTS = ("name", "hook", "uri", "account_id")
"""The members by which hooks may be sorted."""


@router.get("/tree", summary="Show the supervision tree", responses=shows(shapes.TREE))
def show_tree(request: Request, _caller: Admin, backend: TheBackend) -> Response:
    """The actors with process, start time (Unix seconds) and restarts."""
    return success(request, attrs.asdict(asked(backend, "", GetTree(), TreeNode)))


@router.get("/health", summary="Show whether the node is ready", responses=shows(shapes.HEALTH))
def show_health(request: Request, _caller: Admin, backend: TheBackend) -> Response:
    """`ready`, and `problems` if it is not."""
    return success(request, asked(backend, METRICS, GetHealth(), Health).as_plain())


@router.get(
    "/figures", summary="Show totals, rates and percentiles", responses=shows(shapes.FIGURES)
)
def show_figures(request: Request, _caller: Admin, backend: TheBackend) -> Response:
    """This node's figures, with the last ten minutes."""
    return success(request, as_plain(asked(backend, METRICS, GetFigures(), Snapshot)))


@router.get(
    "/endpoints", summary="List endpoints with their circuits", responses=shows(shapes.ENDPOINTS)
)
def list_endpoints(request: Request, _caller: Admin, backend: TheBackend) -> Response:
    """Endpoints whose circuit is not closed, then the busiest.

    `error`: the latest of the consecutive `failures`; `failing_s`: seconds since the first.
    """
    seen = asked(backend, METRICS, GetFigures(), Snapshot).endpoints
    return success(request, [attrs.asdict(one) for one in seen])


@router.post(
    "/endpoints/close",
    summary="Close an endpoint's circuit",
    openapi_extra=body_of(
        {
            "type": "object",
            "required": ["endpoint"],
            "properties": {"endpoint": {"type": "string"}},
        },
        "The endpoint: scheme, host and port, as it is listed.",
    ),
    responses=changes(shapes.CIRCUIT_CLOSED),
)
def close_circuit(request: Request, _caller: Admin, backend: TheBackend) -> Response:
    """Sends requests to it again at once. 404 if no deliverer of the node has its circuit open."""
    data = data_of(request)
    check_members(data, {"endpoint"})
    endpoint = data.get("endpoint")
    if not isinstance(endpoint, str):
        raise invalid_member("endpoint", "type", "Value is not of type string", value=endpoint)
    closing = admin.CloseCircuit(endpoint)
    closed = sum(
        asked(backend, path, closing, admin.CircuitClosed).was_open
        for path in _deliverers(asked(backend, "", GetTree(), TreeNode))
    )
    if not closed:
        raise bad_identifier(endpoint)
    return success(request, {"endpoint": endpoint, "closed": closed})


def _deliverers(node: TreeNode) -> Iterator[str]:
    if is_deliverer(node.path):
        yield node.path
    for child in node.children:
        yield from _deliverers(child)


# Hooks


@router.get(
    "/hooks",
    summary="List the hooks of all accounts",
    openapi_extra=HOOK_SEARCH,
    responses=shows(shapes.list_of(shapes.LISTED_HOOK_OF_ANY_ACCOUNT)),
)
def list_all_hooks(request: Request, _caller: Admin, backend: TheBackend) -> Response:
    """By account and id, or by `sort`, page by page. A page has the dates of its hooks, too.

    To sort them, at most 20,000 are read.
    """
    query = request.query_params
    paging = paging_of(query, page_size(backend))
    if sort := query.get("sort"):
        every = _hook_rows(backend, query, Paging(None))
        found, page = _sorted(every, paging, sort, query)
    else:
        rows = _hook_rows(backend, query, paging)
        found, page = page_of(rows, paging, lambda row: _wanted(row, query), _position)
    documents = HookStore(backend.store).get_many([str(row.id) for row in found])
    shown = [_listed(row, documents.get(str(row.id), {})) for row in found]
    return success(request, shown, page=page)


@router.get(
    "/hooks/count",
    summary="Count the hooks of all accounts",
    openapi_extra=HOOK_COUNT,
    responses=shows(shapes.COUNT),
)
def count_all_hooks(request: Request, _caller: Admin, backend: TheBackend) -> Response:
    """Those that the listing would find; `more`: there may be others, as only 20,000 are read."""
    query = request.query_params
    rows = _hook_rows(backend, query, Paging(None))
    return success(request, count_of(rows, lambda row: _wanted(row, query)))


def _hook_rows(backend: Backend, query: Mapping[str, str], paging: Paging) -> Iterator[Row]:
    """The hooks of the account, or of all, from the page's start; none without a database."""
    enabled = query.get("enabled")
    if enabled not in (None, "", "true", "false"):
        raise invalid_member(
            "enabled", "type", "Value did not match type(s): boolean", value=enabled
        )
    account_id = query.get("account_id") or None
    low: list[Any] = [] if account_id is None else [account_id]
    high: list[Any] = [{}] if account_id is None else [account_id, {}]
    if paging.start is not None:
        low, high = (low, paging.start) if not paging.ascending else (paging.start, high)
    searches = any(query.get(name) for name in ("event", "enabled", "uri", "text"))
    return hook_rows(
        backend.store,
        EVERY_HOOK,
        start=low if paging.ascending else high,
        end=high if paging.ascending else low,
        descending=not paging.ascending,
        page_size=1000 if searches else min(1000, (paging.size or 1000) + 1),
    )


def _sorted(
    rows: Iterator[Row], paging: Paging, sort: str, query: Mapping[str, str]
) -> tuple[list[Row], Page | None]:
    """A page of the wanted hooks in that order, then by account and id."""
    if sort not in SORTS:
        message = "Value not found in enumerated list of values"
        raise invalid_member("sort", "enum", message, target=list(SORTS), value=sort)

    def position(row: Row) -> list[Any]:
        return [str(_listed(row, {}).get(sort, "")).lower(), *map(str, row.key)]

    every = list(islice(rows, MAX_SEEN + 1))
    if len(every) > MAX_SEEN:
        message = f"there are more than {MAX_SEEN} hooks, which are not sorted"
        raise invalid_member("sort", "maximum", message, target=MAX_SEEN)
    every = [row for row in every if _wanted(row, query)]
    every.sort(key=position, reverse=not paging.ascending)
    if (start := paging.start) is not None:
        if [type(part) for part in start] != [str] * 3:
            message = "is no next_start_key of an earlier page"
            raise invalid_member("start_key", "error", message, value=paging.start_key)
        every = [
            row
            for row in every
            if (position(row) >= start if paging.ascending else position(row) <= start)
        ]
    return page_of(every, paging, lambda _row: True, position)


def _wanted(row: Row, query: Mapping[str, str]) -> bool:
    event, uri, enabled = query.get("event"), query.get("uri"), query.get("enabled")
    hook, text = row.value, query.get("text", "").lower()
    return (
        (not event or hook.get("hook") == event)
        and (not uri or uri.lower() in str(hook.get("uri", "")).lower())
        and (not enabled or (hook.get("enabled") is not False) == as_bool(enabled, True))
        and (not text or any(text in str(value).lower() for value in _texts(row)))
    )


def _texts(row: Row) -> Iterator[Any]:
    yield from row.key
    for name in ("name", "hook", "uri"):
        yield row.value.get(name, "")


def _position(row: Row) -> list[Any]:
    return list(row.key)


def _listed(row: Row, document: Mapping[str, Any]) -> dict[str, Any]:
    """A hook as it is listed. `document`: it, unless it has been deleted meanwhile."""
    shown = {key: value for key, value in row.value.items() if value is not None}
    dates = {"created": document.get("pvt_created"), "modified": document.get("pvt_modified")}
    if is_paused(document):
        shown["paused"] = True
    shown |= {name: at for name, at in dates.items() if isinstance(at, int)}
    return {**shown, "account_id": row.key[0]}


@router.get(
    "/hooks/problems", summary="List hooks that cannot fire", responses=shows(shapes.HOOK_PROBLEMS)
)
def list_hook_problems(request: Request, _caller: Admin, backend: TheBackend) -> Response:
    """Enabled stored hooks that cannot fire, with the reason; `loading`: there may be more."""
    found = asked(backend, HOOK_LISTENER, ListHookProblems(), HookProblems)
    return success(request, attrs.asdict(found))


@router.get(
    "/hooks/{hook_id}",
    summary="Show a hook of any account",
    openapi_extra=IF_NONE_MATCH,
    responses=shows(shapes.HOOK_OF_ANY_ACCOUNT, revision=True),
)
def show_any_hook(
    request: Request,
    _caller: Admin,
    backend: TheBackend,
    hook_id: Annotated[str, Path(description="The hook's id.")],
) -> Response:
    """With the id of its account."""
    document = HookStore(backend.store).get(hook_id)
    if document is None or is_deleted(document):
        raise bad_identifier(hook_id)
    shown = {**shown_hook(document), "account_id": document.get("pvt_account_id")}
    return success(request, shown, revision=document["_rev"])


# What the node is made of


@router.get("/modules", summary="List the event modules", responses=shows(shapes.MODULES))
def list_modules(request: Request, _caller: Admin, backend: TheBackend) -> Response:
    """The modules that hooks may name, with their bindings."""
    return success(
        request,
        [
            {
                "id": module.id,
                "name": module.name,
                "description": module.description,
                "events": list(module.events),
                "bindings": [{"exchange": e, "routing_key": key} for e, key in module.bindings],
            }
            for module in backend.node.modules
        ],
    )


@router.get("/settings", summary="Show the settings", responses=shows(shapes.SETTINGS))
def show_settings(request: Request, _caller: Admin, backend: TheBackend) -> Response:
    """This node's effective settings; secrets are masked."""
    shown = [{"key": key, "value": value} for key, value in backend.node.settings]
    return success(request, shown)


# Tokens


_TOKEN = body_of(
    {
        "type": "object",
        "required": ["account_id"],
        "properties": {"account_id": {"type": "string"}, "name": {"type": "string"}},
    },
    "Whose token it is, and a name for people.",
)


@router.get(
    "/tokens",
    name="list_tokens",
    summary="List tokens",
    openapi_extra=TOKEN_PAGES,
    responses=shows(shapes.TOKENS),
)
def tokens(request: Request, _caller: Admin, backend: TheBackend) -> Response:
    """Tokens of the account `account_id`, or all; the tokens themselves are never shown."""
    query = request.query_params
    paging = paging_of(query, page_size(backend))
    found, page = page_of(
        _tokens(backend, query.get("account_id") or None, paging.start),
        paging,
        lambda _facts: True,
        lambda facts: [facts.id],
    )
    return success(request, [attrs.asdict(facts) for facts in found], page=page)


def _tokens(
    backend: Backend, account_id: str | None, start: list[Any] | None
) -> Iterator[TokenFacts]:
    first = str(start[0]) if start else ""
    return (facts for facts in list_tokens(backend.store, account_id) if facts.id >= first)


@router.put(
    "/tokens",
    status_code=201,
    summary="Create a token of an account",
    openapi_extra=_TOKEN,
    responses=changes(shapes.NEW_TOKEN, 201),
)
def create_token(request: Request, _caller: Admin, backend: TheBackend) -> Response:
    """The token is shown only in this response."""
    data = data_of(request)
    check_members(data, members_of(_TOKEN))
    try:
        account_id = account_argument(member(data, "account_id", str))
    except BadArgument as problem:
        raise bad_argument("account_id", problem) from None
    made = add_token(backend.store, account_id, member(data, "name", str, ""), time.time())
    return success(request, {**attrs.asdict(made.facts), "token": made.text}, status=201)


@router.delete(
    "/tokens/{token_id}",
    name="revoke_token",
    summary="Revoke a token",
    responses=changes(shapes.TOKEN_REVOKED),
)
def revoke(
    request: Request,
    _caller: Admin,
    backend: TheBackend,
    token_id: Annotated[str, Path(description="The token's id, as listed.")],
) -> Response:
    """Takes effect at once, on all nodes."""
    facts = revoke_token(backend.store, token_id)
    if facts is None:
        raise bad_identifier(token_id)
    return success(request, {**attrs.asdict(facts), "_read_only": {"deleted": True}})


# Messages


_MESSAGE = body_of(
    {
        "type": "object",
        "required": ["exchange", "routing_key", "body"],
        "properties": {
            "exchange": {"type": "string"},
            "routing_key": {"type": "string"},
            "body": {"type": "object"},
        },
    },
    "The message.",
)


@router.post(
    "/publish",
    status_code=202,
    summary="Publish a message unchanged",
    openapi_extra=_MESSAGE,
    responses=changes(shapes.PUBLISHED, 202),
)
async def publish_message(request: Request, _caller: Admin, backend: TheBackend) -> Response:
    """The message is persistent and confirmed; `unroutable`: it reached no queue."""
    data = data_of(request)
    check_members(data, members_of(_MESSAGE))
    exchange, key = member(data, "exchange", str), member(data, "routing_key", str)
    for name, text in (("exchange", exchange), ("routing_key", key)):
        if len(text.encode()) > 255:
            raise invalid_member(name, "maxLength", "holds 255 bytes at most", target=255)
    body = json.dumps(member(data, "body", dict)).encode()
    if await published(request, [(exchange, key, body, "application/json")]):
        raise ApiError(409, "event_unroutable", {"message": "the message reached no queue"})
    return success(request, {"published": 1}, status=202)
