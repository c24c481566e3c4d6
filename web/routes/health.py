"""Whether this process is well."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from callboard.web.access import backend_of

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
                        "status": {"type": "string", "enum": ["ok"]},
                        "uptime_s": {"type": "number"},
                    },
                }
            }
        },
    }
}


@router.get("/healthz", summary="Is the process alive?", responses=_WELL)
async def healthz(request: Request) -> Response:
    """Answers while the process serves; asks neither store nor broker nor another actor."""
    return JSONResponse({"status": "ok", **backend_of(request).stats()})
