"""Requests and responses in Crossbar's envelopes."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from attrs import frozen
from fastapi import Request
from fastapi.responses import JSONResponse, Response

from callboard.web.access.state import state_of
from callboard.web.errors import ApiError


@frozen
class Page:
    """One page of a listing. `next_start_key` None: it is the last one."""

    size: int
    start_key: str | None = None
    next_start_key: str | None = None


def success(
    request: Request,
    data: Any,
    *,
    status: int = 200,
    revision: str | None = None,
    page: Page | None = None,
    warnings: Iterable[str] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A success response with `data`.

    `revision`: the document's; a client that has it already (`If-None-Match`) gets 304.
    """
    more: dict[str, Any] = {}
    headers = dict(headers or {})
    if revision is not None:
        more["revision"] = revision
        headers["ETag"] = f'"{revision}"'
        if request.method == "GET" and names_revision(request, "if-none-match", revision):
            return Response(status_code=304, headers=headers)
    if page is not None:
        more["page_size"] = page.size
        if page.start_key is not None:
            more["start_key"] = page.start_key
        if page.next_start_key is not None:
            more["next_start_key"] = page.next_start_key
    if warnings := list(warnings):
        more["warnings"] = warnings
    body = {"data": data, **more, "status": "success", **_common(request)}
    return JSONResponse(body, status, headers)


def failure(request: Request, error: ApiError) -> Response:
    """A failure response for the error."""
    body = {
        "data": error.data,
        "error": str(error.status),
        "message": error.message,
        "status": "error",
        **_common(request),
    }
    return JSONResponse(body, error.status, error.headers)


def names_revision(request: Request, header: str, revision: str) -> bool:
    """Whether a conditional header names this revision (RFC 9110, 13.1)."""
    given = request.headers.get(header, "")
    tags = {tag.strip().removeprefix("W/").strip('"') for tag in given.split(",")}
    return revision in tags or given.strip() == "*"


def _common(request: Request) -> dict[str, Any]:
    state = state_of(request)
    common: dict[str, Any] = {
        "request_id": state.request_id,
        "timestamp": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "node": state.node.name,
    }
    if state.caller is not None:
        common["version"] = state.node.version
        if state.echoed_token:
            common["auth_token"] = state.echoed_token
    return common


def data_of(request: Request) -> dict[str, Any]:
    """`data` of the request's envelope, without private members (`_…`, `pvt_…`).

    Raises ApiError 400: the body is no JSON object, or has no object as `data`.
    """
    envelope = state_of(request).envelope()
    data = envelope.get("data")
    if not isinstance(data, dict):
        raise ApiError(
            400, "parse_error", {"message": 'the body must be {"data": {…}}, with an object'}
        )
    return {key: value for key, value in data.items() if not key.startswith(("_", "pvt_"))}
