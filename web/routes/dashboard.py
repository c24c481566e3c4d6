"""The dashboard: one page and its files, with a policy that forbids loading anything else."""

from collections.abc import Mapping

from fastapi import APIRouter, Request
from fastapi.responses import Response

from callboard.web.assets import Asset, assets
from callboard.web.errors import bad_identifier

router = APIRouter(include_in_schema=False)

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # Always asked for again, so that a page never mixes files of two versions.
    "Cache-Control": "no-cache",
}

_ASSETS: Mapping[str, Asset] = assets()


@router.get("/")
async def page(request: Request) -> Response:
    """The page. It shows no data without a token."""
    return _served(request, "index.html")


@router.get("/dashboard/{path:path}")
async def asset(request: Request, path: str) -> Response:
    """A file of the page. Raises ApiError 404."""
    return _served(request, path)


def _served(request: Request, path: str) -> Response:
    found = _ASSETS.get(path)
    if found is None:
        raise bad_identifier(path)
    headers = {**HEADERS, "ETag": found.etag}
    if request.headers.get("if-none-match") == found.etag:
        return Response(status_code=304, headers=headers)
    return Response(found.content, media_type=found.media_type, headers=headers)
