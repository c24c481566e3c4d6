"""The dashboard: one page and its files, with a policy that forbids loading anything else."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from callboard.web.assets import DashboardFiles
from callboard.web.errors import bad_identifier

router = APIRouter(include_in_schema=False)


@router.get("/")
async def page(request: Request) -> Response:
    """The page. It shows no data without a token."""
    return _served(request, "index.html")


@router.get("/dashboard/{path:path}")
async def asset(request: Request, path: str) -> Response:
    """A file of the page. Raises ApiError 404."""
    return _served(request, path)


def _served(request: Request, path: str) -> Response:
    files: DashboardFiles = request.app.state.dashboard
    found = files.get(path)
    if found is None:
        raise bad_identifier(path)
    headers = {**files.headers, "ETag": found.etag}
    if request.headers.get("if-none-match") == found.etag:
        return Response(status_code=304, headers=headers)
    return Response(found.content, media_type=found.media_type, headers=headers)
