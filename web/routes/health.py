"""Whether this process is well."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from callboard.web.access import backend_of
from callboard.web.describing import OPEN

router = APIRouter(tags=["health"])


@router.get("/healthz", summary="Is the process alive?", responses=OPEN)
async def healthz(request: Request) -> Response:
    """Answers while the process serves; asks neither store nor broker nor another actor."""
    return JSONResponse({"status": "ok", **backend_of(request).stats()})
