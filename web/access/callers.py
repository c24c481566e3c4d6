"""The caller of a request, and its permissions: dependencies of the routes."""

import hmac
from collections.abc import Mapping
from typing import Annotated, Any

from attrs import frozen
from fastapi import Depends, Path, Request, Security
from fastapi.concurrency import run_in_threadpool
from fastapi.security import APIKeyHeader, HTTPBearer

from callboard.web.access.account_quotas import AccountQuotas
from callboard.web.access.admission import Admission
from callboard.web.access.clients import client_address
from callboard.web.access.state import header_token, query_token, state_of
from callboard.web.access.throttling import Guard
from callboard.web.access.tokens import Caller, caller_of, may_use
from callboard.web.backend import Backend
from callboard.web.errors import (
    bad_identifier,
    forbidden,
    invalid_credentials,
    too_many_requests,
)
from callboard.webhooks.hooks.arguments import BadArgument, account_argument

_HEADER = APIKeyHeader(
    name="X-Auth-Token",
    auto_error=False,
    description="The admin's token, or one of an account. Also as `auth_token` of the envelope "
    "or the query.",
)
_BEARER = HTTPBearer(auto_error=False, description="The same token.")


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


def anybody(request: Request) -> Caller | None:
    """The caller; None: without a token. Raises ApiError 401, 429 for a wrong one."""
    token = _token(request)
    if not token:
        return None
    guard, address = _guarded(request)
    backend = backend_of(request)
    caller = caller_of(token, backend.admin_token, backend.store)
    if caller is None:
        guard.wrong(address)
        raise invalid_credentials()
    if caller.sees_all:  # one account's valid token is no evidence about attempts for another's
        guard.right(address)
    state = state_of(request)
    state.caller, state.token = caller, token
    if caller.account_id is not None:
        admission_of(request).tokens.add(token, caller.account_id)
        quotas_of(request).of(caller.account_id)
    return caller


def _guarded(request: Request) -> tuple[Guard, str]:
    """The guard against wrong tokens, and the client's address. Raises ApiError 429."""
    guard: Guard = request.app.state.guard
    address = client_address(
        request.client.host if request.client else "",
        request.headers.getlist("x-forwarded-for"),
        request.app.state.trusted_proxies,
    )
    if wait_s := guard.wait_s(address):
        raise too_many_requests(wait_s)
    return guard, address


Anybody = Annotated[Caller | None, Depends(anybody)]


async def known(
    caller: Anybody,
    _header: Annotated[Any, Security(_HEADER)],
    _bearer: Annotated[Any, Security(_BEARER)],
) -> Caller:
    """A caller with a valid token. Raises ApiError 401."""
    if caller is None:
        raise invalid_credentials()
    return caller


Known = Annotated[Caller, Depends(known)]


async def admin(caller: Known) -> Caller:
    """A caller with all permissions. Raises ApiError 401, 403."""
    if not caller.sees_all:
        raise forbidden()
    return caller


Admin = Annotated[Caller, Depends(admin)]


async def scraper(
    request: Request,
    _header: Annotated[Any, Security(_HEADER)],
    _bearer: Annotated[Any, Security(_BEARER)],
) -> None:
    """Permits readers of the metrics: by the metrics' own token, or the admin's.

    With these it needs neither the store nor a thread. Raises ApiError.
    """
    if given := (header_token(request) or query_token(request)).encode(errors="replace"):
        _guarded(request)
        expected = (request.app.state.metrics_token, backend_of(request).admin_token)
        if any(one and hmac.compare_digest(given, one.encode()) for one in expected):
            return
    slot = await admission_of(request).slot_for(request)
    try:
        await admin(await known(await run_in_threadpool(anybody, request), None, None))
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
    """The account in the path. Raises ApiError 401, 403; 404 for an invalid id."""
    try:
        id = account_argument(account_id)
    except BadArgument:
        raise bad_identifier(account_id) from None
    document = backend.store.get("accounts", id)
    if not may_use(caller, id, document):
        raise forbidden()
    return AccountAccess(id, document, caller)


TheAccount = Annotated[AccountAccess, Depends(account)]


def _token(request: Request) -> str:
    if given := header_token(request):
        return given
    enveloped = state_of(request).peek("auth_token")
    return enveloped if enveloped and isinstance(enveloped, str) else query_token(request)
