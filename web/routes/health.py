"""Liveness, readiness and metrics."""

import time
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from callboard.actors.messages import (
    GetHealth,
    GetMetrics,
    Health,
    MetricsText,
    NoAnswer,
    RefusedByActor,
)
from callboard.actors.messages.paths import METRICS
from callboard.web.access.callers import TheBackend, backend_of, scraper
from callboard.web.documents import shapes
from callboard.web.envelopes.describing import errors
from callboard.web.operations.actor_requests import replied
from callboard.webhooks.metrics.health import Problem

READY_S = 3.0
"""Time limit for the readiness check."""

router = APIRouter(tags=["health"])

_WELL: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "It is.",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["status"],
                    "properties": {
                        "status": {"const": "ok"},
                        "uptime_s": {"type": "number"},
                    },
                }
            }
        },
    }
}


def _readiness(description: str) -> dict[str, Any]:
    content = {"application/json": {"schema": shapes.HEALTH}}
    return {"description": description, "content": content}


_READY: dict[int | str, dict[str, Any]] = {
    200: _readiness("It is: nothing prevents or delays deliveries."),
    503: _readiness("It is not; `problems` says why, `details` also since when."),
}

_METRICS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "All metrics, in Prometheus' text format.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    },
    **errors(401, 403, 429, 500, 503),
}


@router.get("/healthz", summary="Check that the process is alive", responses=_WELL)
async def healthz(request: Request) -> Response:
    """Responds while the process serves; does not use the store, the broker or another actor."""
    return JSONResponse({"status": "ok", **backend_of(request).stats()})


@router.get("/readyz", summary="Check that the node is ready", responses=_READY)
async def readyz(request: Request) -> Response:
    """Checks all that deliveries need (docs/metrics.md); needs no token, as `/healthz`.

    It uses no worker thread, because all of them may wait for a slow store.
    """
    backend, time_out_s = backend_of(request), request.app.state.ready_s
    try:
        health = await replied(backend, METRICS, GetHealth(), Health, time_out_s)
    except (NoAnswer, RefusedByActor) as problem:
        health = _unready(str(problem))
    return JSONResponse(health.as_plain(), 200 if health.ready else 503)


def _unready(problem: str) -> Health:
    return Health((Problem("report", problem, time.time()),))


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    responses=_METRICS,
    dependencies=[Depends(scraper)],
    response_class=Response,
)
async def metrics(backend: TheBackend) -> Response:
    """Accepts the admin's token or `api.metrics_token`, as `Authorization: Bearer`."""
    text = await replied(backend, METRICS, GetMetrics(), MetricsText)
    return Response(text.text, media_type=text.content_type)
