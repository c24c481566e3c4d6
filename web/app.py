"""The application: its routes, its middleware, and the responses to failures."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import IPv4Network, IPv6Network
from typing import Any

import anyio.to_thread
import structlog
from attrs import field, frozen
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Match

from callboard.actors.messages import NoAnswer, RefusedByActor
from callboard.adapters.store.protocol import (
    Conflict,
    StoreError,
    StoreReadOnly,
    StoreUnavailable,
)
from callboard.web import errors
from callboard.web.access.account_quotas import AccountQuotas
from callboard.web.access.admission import (
    POSTS,
    SPARE_THREADS,
    THREADS,
    Admission,
    KnownTokens,
)
from callboard.web.access.fair_slots import FairSlots
from callboard.web.access.quota_reports import QuotaReports
from callboard.web.access.refusals import Refusals
from callboard.web.access.state import state_of
from callboard.web.access.throttling import Guard
from callboard.web.assets import DashboardFiles
from callboard.web.backend import Backend
from callboard.web.envelopes.describing import TAGS, completed
from callboard.web.envelopes.envelope import failure
from callboard.web.envelopes.middleware import (
    BODY_S,
    AdmissionMiddleware,
    DirectMiddleware,
    EnvelopeMiddleware,
    TunnelMiddleware,
)
from callboard.web.errors import ApiError, path_part
from callboard.web.live.sampler import PERIOD_S, WATCHERS, Sampler
from callboard.web.operations.actor_requests import Results
from callboard.web.operations.replays import Replays
from callboard.web.routes import (
    attempts,
    bulk,
    dashboard,
    dead_letters,
    events,
    health,
    hooks,
    live,
    maintenance,
    operator,
    portal,
    posting,
    previewing,
    redelivery,
    secrets,
)
from callboard.webhooks.hooks.quotas import QuotaExceeded

ROUTES = [
    route
    for room in (
        posting,
        attempts,
        dead_letters,
        redelivery,
        secrets,
        bulk,
        previewing,
        hooks,
        events,
        operator,
        maintenance,
        portal,
        health,
        live,
        dashboard,
    )
    for route in room.router.routes
]
"""In this order: a fixed path is before one with a parameter in its place, and posts, the most
frequent requests, are before all."""
for _route in ROUTES:
    if isinstance(_route, APIRoute):
        _route.operation_id = _route.name  # Clients made from the document name functions so.

_log = structlog.get_logger("callboard")


@frozen
class ApiOptions:
    """The API's options. `max_body`: bytes; `metrics_token`: for /metrics only.

    `trusted_proxies`: see web/access/clients.py. `body_s`, `ready_s`: the time limits for receiving
    a body and for the readiness check; `sample_s`, `live_pages`: the period of the dashboard's
    samples, and the most pages served at once. `publish_s`: the time limit for the broker to
    confirm events. `frame_ancestors`: origins whose pages may show the dashboard.
    """

    max_body: int = 1_048_576
    cors_origins: Sequence[str] = ()
    metrics_token: str = field(default="", repr=False)
    trusted_proxies: Sequence[IPv4Network | IPv6Network] = ()
    body_s: float = BODY_S
    ready_s: float = health.READY_S
    sample_s: float = PERIOD_S
    live_pages: int = WATCHERS
    publish_s: float = 10.0
    frame_ancestors: Sequence[str] = ()


def create_app(
    backend: Backend,
    options: ApiOptions | None = None,
    guard: Guard | None = None,
    refusals: Refusals | None = None,
) -> FastAPI:
    """The application before this backend. `guard`: tracks wrong tokens; `refusals`: counts those
    because of a limit."""
    options = options or ApiOptions()
    app = FastAPI(
        title="Callboard",
        summary="Webhooks from AMQP events.",
        description="The paths and envelopes of Kazoo's Crossbar for webhooks, with further paths "
        "in the same style. Times are Gregorian seconds: Unix time plus 62167219200. Every "
        "request may have an id, as X-Request-ID: 1 to 100 printable characters; the response has "
        "the same.",
        version=backend.node.version,
        openapi_tags=TAGS,
        # Their pages load scripts from other hosts.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
        # As they are: an application that includes a router makes each of its routes once more.
        routes=ROUTES,
    )
    generated = app.openapi
    app.openapi = lambda: completed(generated())  # type: ignore[method-assign]
    app.state.backend = backend
    app.state.sampler = Sampler(backend, options.sample_s, most=options.live_pages)
    app.state.guard = guard or Guard()
    app.state.trusted_proxies = tuple(options.trusted_proxies)
    app.state.cors_origins = frozenset(options.cors_origins)
    app.state.replays = Replays(backend)
    app.state.metrics_token = options.metrics_token
    app.state.ready_s = options.ready_s
    app.state.publish_s = options.publish_s
    app.state.results = Results(options.publish_s)
    app.state.dashboard = DashboardFiles(backend.node.portal, options.frame_ancestors)
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)
    app.state.admission = Admission(
        backend.admin_token,
        AccountQuotas(backend.store, backend.node.quotas),
        KnownTokens(),
        tuple(options.trusted_proxies),
        refusals or Refusals(),
        FairSlots(THREADS),
        backend.posts_refused,
        QuotaReports(backend.report),
    )
    # In reverse order: the last one added is the first to see a request.
    app.add_middleware(DirectMiddleware, POSTS, posting.post_events, _failed)
    app.add_middleware(TunnelMiddleware)
    app.add_middleware(AdmissionMiddleware, app.state.admission)
    app.add_middleware(EnvelopeMiddleware, backend.node, options.max_body, options.body_s)
    if options.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(options.cors_origins),
            allow_methods=["GET", "PUT", "POST", "PATCH", "DELETE"],
            allow_headers=[
                "X-Auth-Token",
                "Authorization",
                "If-Match",
                "Idempotency-Key",
            ],
            expose_headers=["X-Request-ID", "ETag", "Location", "Retry-After"],
        )
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS + SPARE_THREADS
    yield
    app.state.replays.close()


async def _api_error(request: Request, error: Any) -> Response:
    request.app.state.admission.refused(request, error)
    return failure(request, error)


async def _http_error(request: Request, error: Any) -> Response:
    """The response to a request that the framework itself refuses."""
    if error.status_code == 404:
        return failure(request, errors.bad_identifier(request.url.path))
    if error.status_code == 405:
        framework = (error.headers or {}).get("Allow", "").split(", ")
        allowed = ", ".join(sorted({*framework, *_methods_at(request)}))
        return failure(request, ApiError(405, "invalid_method", headers={"Allow": allowed}))
    return failure(request, ApiError(error.status_code, str(error.detail)))


def _methods_at(request: Request) -> set[str]:
    """The methods of a path's routes; the framework names those of the first one only."""
    here = {
        method
        for route in ROUTES
        if isinstance(route, APIRoute) and route.matches(request.scope)[0] is not Match.NONE
        for method in route.methods or ()
    }
    return here | ({"HEAD"} if "GET" in here else set())


async def _bad_parameter(request: Request, error: Any) -> Response:
    found = {
        ".".join(path_part(str(part)) for part in one["loc"][1:]): {
            "error": {"message": one["msg"]}
        }
        for one in error.errors()
    }
    return failure(request, errors.invalid(found))


async def _store_error(request: Request, error: Any) -> Response:
    match error:
        case Conflict():
            return failure(request, errors.conflict())
        case StoreUnavailable():
            _log.warning("store_unavailable", reason=str(error))
            unreachable = {"message": "the document store does not answer"}
            return failure(request, ApiError(503, "datastore_unreachable", unreachable))
        case StoreReadOnly():
            return failure(request, ApiError(403, "forbidden", {"message": str(error)}))
    _log.warning("store_refused", reason=str(error))
    return failure(request, errors.datastore_fault())


async def _no_answer(request: Request, error: Any) -> Response:
    return failure(request, errors.datastore_timeout(str(error)))


async def _refused(request: Request, error: Any) -> Response:
    return await _api_error(request, errors.refused(error))


async def _quota_exceeded(request: Request, error: Any) -> Response:
    return await _api_error(request, errors.quota_exceeded(error.excess))


async def _defect(request: Request, _error: Any) -> Response:
    """The response to a bug in Callboard: the server logs it, and the client gets no details.

    It passes no middleware: the framework makes it outside of all of them.
    """
    headers = {"X-Request-ID": state_of(request).request_id, "Cache-Control": "no-store"}
    return failure(request, ApiError(500, "unspecified_fault", headers=headers))


_HANDLERS: dict[type[Exception], Any] = {
    ApiError: _api_error,
    HTTPException: _http_error,
    RequestValidationError: _bad_parameter,
    StoreError: _store_error,
    NoAnswer: _no_answer,
    RefusedByActor: _refused,
    QuotaExceeded: _quota_exceeded,
    Exception: _defect,
}


async def _failed(request: Request, error: Exception) -> Response:
    """The response to a failure, as the framework would find it. Raises a defect again."""
    for kind in type(error).__mro__:
        if kind in _HANDLERS and kind is not Exception:
            response: Response = await _HANDLERS[kind](request, error)
            return response
    raise error
