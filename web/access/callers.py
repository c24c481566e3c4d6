"""The caller of a request, and its permissions: dependencies of the routes."""

import hmac
from collections.abc import Mapping
from typing import Annotated, Any

from attrs import frozen
from fastapi import Depends, Path, Request, Security
from fastapi.concurrency import run_in_threadpool
from fastapi.security import APIKeyHeader, APIKeyQuery, HTTPBearer

from callboard.adapters.repositories.tokens import is_made
from callboard.adapters.store.protocol import StoreError
from callboard.web.access.account_quotas import AccountQuotas
from callboard.web.access.admission import Admission
from callboard.web.access.clients import client_address, is_of_another_site
from callboard.web.access.state import header_token, query_token, state_of
from callboard.web.access.throttling import Guard
from callboard.web.access.tokens import Caller, caller_of, link_permits, may_use
from callboard.web.backend import Backend
from callboard.web.errors import (
    bad_identifier,
    forbidden,
    invalid_credentials,
    too_many_requests,
)
from callboard.webhooks.hooks.arguments import BadArgument, account_argument
from callboard.webhooks.hooks.hook import is_deleted
from callboard.webhooks.values.kazoo_names import is_account_id

_HEADER = APIKeyHeader(
    name="X-Auth-Token",
    auto_error=False,
    description="The admin's token, or one of an account. Also as `auth_token` of the envelope.",
)
_BEARER = HTTPBearer(auto_error=False, description="The same token.")
_QUERY = APIKeyQuery(
    name="auth_token",
    auto_error=False,
    description="The same token, if nothing else is possible: proxies tend to log it.",
)


def backend_of(request: Request) -> Backend:
    """The system behind the API."""
    backend: Backend = request.app.state.backend
    return backend


def admission_of(request: Request) -> Admission:
    """The admission of requests to the worker threads."""
    admission: Admission = request.app.state.admission
    return admission


def quotas_of(request: Request) -> AccountQuotas:
    """The accounts' quotas."""
    return admission_of(request).quotas


async def _backend(request: Request) -> Backend:
    """As a dependency; async, since others run in a thread."""
    return backend_of(request)


TheBackend = Annotated[Backend, Depends(_backend)]


async def _described(
    _header: Annotated[Any, Security(_HEADER)],
    _bearer: Annotated[Any, Security(_BEARER)],
    _query: Annotated[Any, Security(_QUERY)],
) -> None:
    """Describes the places of a token in the OpenAPI document; `_token` reads them."""


_Described = Annotated[None, Depends(_described)]
TOKEN_PLACES = [Depends(_described)]
"""For a route that looks for the token itself."""


def anybody(request: Request, _places: _Described) -> Caller | None:
    """The caller; None: without a token.

    Raises ApiError 401, 429 for a wrong one; 403 for what a link is not for.
    """
    state = state_of(request)
    token, in_header = _token(request)
    if not token:
        return None
    guard, address = _guarded(request, token)
    backend = backend_of(request)
    caller = caller_of(token, backend.admin_token, backend.store, backend.links)
    if caller is None:
        if wait_s := guard.wait_s(address, token):
            raise too_many_requests(wait_s)
        guard.wrong(address, token)
        raise invalid_credentials()
    guard.right(address, token)
    _check_link(request, caller)
    state.caller, state.echoed_token = caller, "" if in_header else token
    admission_of(request).tokens.add(token, caller)
    if caller.account_id is not None:
        quotas_of(request).of(caller.account_id)
    return caller


def _check_link(request: Request, caller: Caller) -> None:
    """Raise ApiError 403 if the caller's token is a link's, and the request is not for links."""
    if caller.link and not link_permits(caller.link, request.method, request.url.path):
        raise forbidden()


def _guarded(request: Request, token: str) -> tuple[Guard, str]:
    """The guard against wrong tokens, and the client's address.

    Raises ApiError 429; 403 if a page of another site sent the token, which is then neither looked
    at nor counted.
    """
    app = request.app
    if is_of_another_site(request.headers, app.state.cors_origins):
        raise forbidden()
    guard: Guard = app.state.guard
    address = client_address(
        request.client.host if request.client else "",
        request.headers.getlist("x-forwarded-for"),
        app.state.trusted_proxies,
    )
    # To wait protects tokens that people choose. The right one of an account must not wait for
    # wrong ones that another client behind the same address sends.
    if not is_made(token) and (wait_s := guard.wait_s(address, token)):
        raise too_many_requests(wait_s)
    return guard, address


Anybody = Annotated[Caller | None, Depends(anybody)]


async def known(caller: Anybody) -> Caller:
    """A caller with a valid token. Raises ApiError 401."""
    if caller is None:
        raise invalid_credentials()
    return caller


Known = Annotated[Caller, Depends(known)]


async def poster(request: Request) -> Caller:
    """A caller with a valid token, without a thread if it was valid a moment ago.

    Raises ApiError 401, 403, 429.
    """
    token, in_header = _token(request)
    caller = admission_of(request).tokens.caller_of(token) if token else None
    if caller is None:
        return await known(await run_in_threadpool(anybody, request, None))
    _guarded(request, token)
    _check_link(request, caller)
    state = state_of(request)
    state.caller, state.echoed_token = caller, "" if in_header else token
    return caller


async def admin(caller: Known) -> Caller:
    """A caller with all permissions. Raises ApiError 401, 403."""
    if not caller.sees_all:
        raise forbidden()
    return caller


Admin = Annotated[Caller, Depends(admin)]


async def scraper(request: Request, _places: _Described) -> None:
    """Permits readers of the metrics: by the metrics' own token, or the admin's.

    With these it needs neither the store nor a thread. Raises ApiError.
    """
    if given := header_token(request) or query_token(request):
        _guarded(request, given)
        expected = (request.app.state.metrics_token, backend_of(request).admin_token)
        written = given.encode(errors="replace")
        if any(one and hmac.compare_digest(written, one.encode()) for one in expected):
            return
    slot = await admission_of(request).slot_for(request)
    try:
        await admin(await known(await run_in_threadpool(anybody, request, None)))
    finally:
        slot.give_back()


@frozen
class AccountAccess:
    """An account that the caller may use. `document`: the account's, None if it has none."""

    id: str
    document: Mapping[str, Any] | None
    caller: Caller


def account(
    caller: Known,
    backend: TheBackend,
    account_id: Annotated[str, Path(description="The account's id.")],
) -> AccountAccess:
    """The account in the path. Raises ApiError 401, 403; 404 for an invalid or unknown id.

    Beside a Kazoo, accounts of its kind must exist; those of other buses have no document.
    """
    try:
        id = account_argument(account_id)
    except BadArgument:
        raise bad_identifier(account_id) from None
    document = backend.store.get("accounts", id)
    if not may_use(caller, id, document):
        raise forbidden()
    gone = document is None or is_deleted(document)
    if gone and is_account_id(id) and not backend.node.embedded_store:
        raise bad_identifier(account_id)
    return AccountAccess(id, document, caller)


TheAccount = Annotated[AccountAccess, Depends(account)]


def still_sees_all(request: Request) -> bool:
    """Whether the token of a long request still gives access to everything. May block.

    While the store does not answer, the token counts as valid.
    """
    backend = backend_of(request)
    try:
        token = _token(request)[0]
        caller = caller_of(token, backend.admin_token, backend.store, backend.links)
    except StoreError:
        return True
    return caller is not None and caller.sees_all


def _token(request: Request) -> tuple[str, bool]:
    """The token, or "" without one; and whether it came in a header."""
    if given := header_token(request):
        return given, True
    enveloped = state_of(request).peek("auth_token")
    if isinstance(enveloped, str) and enveloped:
        return enveloped, False
    return query_token(request), False
