"""An account's hooks: list, create, show, replace, change, delete, enable."""

import time
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from callboard import admin
from callboard.actors.messages.paths import MAINTENANCE
from callboard.adapters.repositories.hooks import DATABASE, EVERY_HOOK, HookStore, hook_rows
from callboard.adapters.repositories.maintenance import CREATED, DELETED, EDITED, Change
from callboard.adapters.store.protocol import Document, Row
from callboard.web.access.callers import AccountAccess, TheAccount, TheBackend
from callboard.web.access.state import state_of
from callboard.web.backend import Backend
from callboard.web.documents.hook_documents import (
    endpoint_rules,
    listed_hook,
    replaced,
    shown_hook,
    valid_hook,
    with_defaults,
)
from callboard.web.documents.shapes import ENABLED, HOOK, LISTED_HOOK, deleted, list_of
from callboard.web.documents.system_settings import page_size
from callboard.web.envelopes.describing import (
    ACCOUNT_HOOKS,
    DELETION,
    IF_NONE_MATCH,
    body_of,
    changes,
    hook_body,
    hook_change,
    shows,
)
from callboard.web.envelopes.envelope import data_of, names_revision, success
from callboard.web.envelopes.filters import filters_in
from callboard.web.envelopes.paging import page_of, paging_of
from callboard.web.errors import (
    ApiError,
    backend_failed,
    bad_identifier,
    datastore_timeout,
    invalid_member,
    precondition_failed,
)
from callboard.web.operations.actor_requests import asked
from callboard.webhooks.hooks.hook import is_deleted, new_hook, new_hook_id
from callboard.webhooks.values.json_values import as_bool, is_true
from callboard.webhooks.values.kazoo_names import gregorian_s

router = APIRouter(prefix="/v2/accounts/{account_id}", tags=["hooks"])

HookId = Annotated[str, Path(description="The hook's id.")]

_REENABLING = body_of(
    {
        "type": "object",
        "required": ["re-enable"],
        "properties": {"re-enable": {"type": "boolean", "enum": [True]}},
    },
    "That it is meant.",
)

_CHANGING = ("PUT", "POST", "PATCH", "DELETE")

REENABLE_S = 30.0
"""Time limit for enabling hooks."""


@router.get(
    "/webhooks",
    summary="List the hooks of an account",
    openapi_extra=ACCOUNT_HOOKS,
    responses=shows(list_of(LISTED_HOOK)),
)
def list_hooks(request: Request, account: TheAccount, backend: TheBackend) -> Response:
    """Newest ids first, page by page; `text` and generic filters apply."""
    paging = paging_of(request.query_params, page_size(backend))
    text = request.query_params.get("text", "").lower()
    low: list[Any] = [account.id]
    high: list[Any] = [account.id, {}]
    if paging.start is not None:
        start = [account.id, *paging.start[:1]]
        low, high = (start, high) if paging.ascending else (low, start)
    rows = hook_rows(
        backend.store,
        EVERY_HOOK,
        start=low if paging.ascending else high,
        end=high if paging.ascending else low,
        descending=not paging.ascending,
        include_documents=True,
        page_size=min(1000, (paging.size or 1000) + 1),
    )
    passes = filters_in(request.query_params)
    found, page = page_of(
        rows,
        paging,
        lambda row: (
            row.document is not None and _contains(row.document, text) and passes(row.document)
        ),
        _position,
    )
    return success(request, [listed_hook(r.document) for r in found if r.document], page=page)


def _contains(document: Document, text: str) -> bool:
    names = ("_id", "name", "hook", "uri")
    return not text or any(text in str(document.get(name, "")).lower() for name in names)


def _position(row: Row) -> list[Any]:
    return [row.id]


@router.put(
    "/webhooks",
    status_code=201,
    summary="Create a hook",
    openapi_extra=hook_body("The hook."),
    responses=changes(HOOK, 201),
)
def create_hook(request: Request, account: TheAccount, backend: TheBackend) -> Response:
    """At the response, the hook is stored, announced to all nodes, and in effect on this one."""
    now = time.time()
    data = with_defaults(backend, data_of(request), account.id)
    public = valid_hook(backend, data, account.id, sees_all=account.caller.sees_all)
    document = new_hook(
        {**public, "pvt_account_id": account.id},
        gregorian_s(now),
        new_hook_id(now),
        backend.node.name,
    )
    document |= _signed(request)
    hooks = HookStore(backend.store, backend.node.quotas)
    if backend.node.embedded_store and hooks.ensure_accounts([account.id], gregorian_s(now)):
        backend.changed([Change(CREATED, "accounts", _account_document(backend, account))])
    document = hooks.add(document)
    backend.hook_saved(Change(CREATED, DATABASE, document))
    return success(
        request,
        shown_hook(document),
        status=201,
        revision=document["_rev"],
        warnings=_doubts(backend, document),
        headers={"Location": document["_id"]},
    )


def _signed(request: Request) -> dict[str, Any]:
    """Who saves a document by which request, as Crossbar stores it (crossbar_doc).

    Tokens belong to accounts, so that there is no `pvt_auth_user_id`.
    """
    state = state_of(request)
    account_id = state.caller.account_id if state.caller else None
    signed = {"pvt_request_id": state.request_id, "pvt_is_authenticated": True}
    return signed if account_id is None else {**signed, "pvt_auth_account_id": account_id}


def _doubts(backend: Backend, document: Document) -> list[str]:
    account_id = str(document.get("pvt_account_id"))
    doubt = backend.doubt(document["uri"], endpoint_rules(backend, document, account_id))
    return [] if doubt is None else [f"uri: {doubt}"]


def _account_document(backend: Backend, account: AccountAccess) -> Document:
    return backend.store.get("accounts", account.id) or {"_id": account.id, "pvt_type": "account"}


@router.patch(
    "/webhooks",
    tags=["re-enabling"],
    summary="Enable an account's hooks again",
    openapi_extra=_REENABLING,
    responses=shows(ENABLED),
)
def enable_hooks(request: Request, account: TheAccount, backend: TheBackend) -> Response:
    """Hooks that were disabled because they failed repeatedly."""
    return _enable(request, backend, admin.EnableAccountHooks(account.id))


@router.patch(
    "/descendants/webhooks",
    tags=["re-enabling"],
    summary="Enable the hooks of an account and its descendants again",
    openapi_extra=_REENABLING,
    responses=shows(ENABLED),
)
def enable_descendants(request: Request, account: TheAccount, backend: TheBackend) -> Response:
    """Hooks that were disabled because they failed repeatedly."""
    return _enable(request, backend, admin.EnableDescendantHooks(account.id))


def _enable(
    request: Request,
    backend: Backend,
    question: admin.EnableAccountHooks | admin.EnableDescendantHooks,
) -> Response:
    data, name = data_of(request), "re-enable"
    if name not in data:
        raise invalid_member(name, "required", f"{name} is required to patch collections")
    if not is_true(data[name]):
        raise invalid_member(
            name, "enum", "value not found in enumerated list of values", target=["true"]
        )
    end = time.monotonic() + REENABLE_S
    after: admin.Cursor | None = ()
    while after is not None:
        left_s = end - time.monotonic()
        if left_s <= 0:
            raise datastore_timeout(f"not done within {REENABLE_S:g} s: ask again to go on")
        page = asked(
            backend,
            MAINTENANCE,
            type(question)(question.account, after),
            admin.HooksEnabled,
            left_s,
        )
        if failed := [
            f"{a.account_id}: {a.problem or a.failed}"
            for a in page.accounts
            if a.problem or a.failed
        ]:
            raise backend_failed(failed[0])
        after = page.more
    return success(request, "hooks updated")


@router.api_route("/webhooks/attempts", methods=[*_CHANGING], include_in_schema=False)
@router.api_route("/webhooks/samples", methods=[*_CHANGING], include_in_schema=False)
def nothing_but_get() -> Response:
    """These names are no ids of hooks: Crossbar permits only to read them."""
    raise ApiError(405, "invalid_method", headers={"Allow": "GET"})


@router.get(
    "/webhooks/{hook_id}",
    summary="Show a hook",
    openapi_extra=IF_NONE_MATCH,
    responses=shows(HOOK, revision=True),
)
def show_hook(
    request: Request, account: TheAccount, backend: TheBackend, hook_id: HookId
) -> Response:
    """With `disable_reason` if it was disabled because it failed repeatedly."""
    document = stored_hook(backend, account, hook_id)
    return success(request, shown_hook(document), revision=document["_rev"])


@router.post(
    "/webhooks/{hook_id}",
    summary="Replace a hook",
    openapi_extra=hook_change("The whole hook."),
    responses=changes(HOOK),
)
def replace_hook(
    request: Request, account: TheAccount, backend: TheBackend, hook_id: HookId
) -> Response:
    """Members that the body lacks are removed. Enables the hook, unless the body has
    `enabled: false`."""
    stored = stored_hook(backend, account, hook_id)
    data = with_defaults(backend, data_of(request), account.id)
    return _save(request, account, backend, stored, data)


@router.patch(
    "/webhooks/{hook_id}",
    summary="Change members of a hook",
    openapi_extra=hook_change("Members to set; null removes one.", partial=True),
    responses=changes(HOOK),
)
def change_hook(
    request: Request, account: TheAccount, backend: TheBackend, hook_id: HookId
) -> Response:
    """The body's top-level members replace the hook's."""
    stored = stored_hook(backend, account, hook_id)
    members = {**shown_hook(stored), **data_of(request)}
    public = {key: value for key, value in members.items() if value is not None}
    return _save(request, account, backend, stored, public)


def _save(
    request: Request,
    account: AccountAccess,
    backend: Backend,
    stored: Document,
    data: Mapping[str, Any],
) -> Response:
    _check_precondition(request, stored)
    sees_all = account.caller.sees_all
    public = valid_hook(backend, data, account.id, sees_all=sees_all, stored=stored)
    document = replaced(stored, public, _signed(request), gregorian_s(time.time()))
    document = HookStore(backend.store, backend.node.quotas).replace(stored, document)
    backend.hook_saved(Change(EDITED, DATABASE, document))
    return success(
        request,
        shown_hook(document),
        revision=document["_rev"],
        warnings=_doubts(backend, document) if document["uri"] != stored.get("uri") else (),
    )


@router.delete(
    "/webhooks/{hook_id}",
    summary="Delete a hook",
    openapi_extra=DELETION,
    responses=changes(deleted(HOOK)),
)
def delete_hook(
    request: Request, account: TheAccount, backend: TheBackend, hook_id: HookId
) -> Response:
    """Marks its document as deleted; `should_soft_delete=false` deletes the document.

    Send this flag in the query, the envelope, or its `data`.
    """
    stored = stored_hook(backend, account, hook_id)
    _check_precondition(request, stored)
    document = {**stored, **_signed(request), "pvt_modified": gregorian_s(time.time())}
    if as_bool(_said(request, "should_soft_delete"), True):
        document["pvt_deleted"] = True
        document["_rev"] = backend.store.save(DATABASE, document)
    else:
        backend.store.delete(DATABASE, stored["_id"], stored["_rev"])
    backend.hook_saved(Change(DELETED, DATABASE, document))
    shown = {**shown_hook(document), "_read_only": {"deleted": True}}
    return success(request, shown, revision=document["_rev"])


def _said(request: Request, name: str) -> Any:
    """A flag from the data, the envelope or the query (cb_context: req_value)."""
    data = state_of(request).peek("data")
    for place in (data if isinstance(data, dict) else {}, state_of(request).envelope()):
        if name in place:
            return place[name]
    return request.query_params.get(name)


def stored_hook(backend: Backend, account: AccountAccess, hook_id: str) -> Document:
    """The hook's document. Raises ApiError 404, also if it belongs to another account."""
    document = HookStore(backend.store).get(hook_id)
    if document is None or is_deleted(document) or document.get("pvt_account_id") != account.id:
        raise bad_identifier(hook_id)
    return document


def _check_precondition(request: Request, document: Document) -> None:
    wants = "if-match" in request.headers
    if wants and not names_revision(request, "if-match", document["_rev"]):
        raise precondition_failed()
