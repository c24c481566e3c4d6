"""The live stream for the dashboard."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.to_thread
from fastapi import APIRouter, Request
from fastapi.responses import Response

from callboard.web.access.callers import Admin, Known, still_sees_all
from callboard.web.envelopes.envelope import success
from callboard.web.errors import ApiError
from callboard.web.live.event_stream import EventStream
from callboard.web.live.sampler import Sampler, Watcher

router = APIRouter(prefix="/v2/callboard")


@router.get("/token", include_in_schema=False)
def show_token(request: Request, caller: Known) -> Response:
    """The token's account; `account_id` is absent for the admin's, `rights` if it is no link's."""
    account, link = caller.account_id, caller.link
    shown: dict[str, Any] = {} if account is None else {"account_id": account}
    if link is not None:
        shown |= {"rights": link.rights, "until": link.until_s}
    return success(request, shown)


@router.get("/live", include_in_schema=False)
async def follow(request: Request, _caller: Admin) -> Response:
    """Endless server-sent events: `history` (columns of the charts), then `tick` once per second.
    Their format is internal to the dashboard and may change, so it is not in the OpenAPI
    document."""
    sampler: Sampler = request.app.state.sampler
    watcher = sampler.watch()
    if watcher is None:
        reason = {"message": "too many pages are open"}
        raise ApiError(503, "too_many_streams", reason, {"Retry-After": "10"})
    return EventStream(_until_left(sampler, watcher, request))


async def _until_left(sampler: Sampler, watcher: Watcher, request: Request) -> AsyncIterator[bytes]:
    """The frames, until the reader leaves or its token is revoked."""
    # A thread of its own: streams have no slot, and a slow store must not take those of requests.
    own = anyio.CapacityLimiter(1)
    try:
        async for frame in watcher:
            if not await anyio.to_thread.run_sync(still_sees_all, request, limiter=own):
                return
            yield frame
    finally:
        sampler.leave(watcher)
