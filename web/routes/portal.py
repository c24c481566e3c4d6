"""Links by which an account's users come into the dashboard."""

import time

from fastapi import APIRouter, Request
from fastapi.responses import Response

from callboard.adapters.keys.secret_box import SecretBoxError
from callboard.adapters.portal.links import (
    LEAST_S,
    MANAGE,
    MOST_S,
    RIGHTS,
    USUAL_S,
    PortalLink,
    link_url,
)
from callboard.web.access.callers import TheAccount, TheBackend
from callboard.web.documents.shapes import LINKS_REVOKED, PORTAL_LINK
from callboard.web.envelopes.describing import body_of, changes, members_of
from callboard.web.envelopes.envelope import data_of, success
from callboard.web.errors import backend_failed, invalid_member
from callboard.web.operations.actor_requests import check_members, member
from callboard.webhooks.values.kazoo_names import gregorian_s

router = APIRouter(prefix="/v2/accounts/{account_id}/portal/links", tags=["portal"])

_LINK = body_of(
    {
        "type": "object",
        "properties": {
            "expires_in": {
                "type": "integer",
                "minimum": LEAST_S,
                "maximum": MOST_S,
                "description": f"Seconds until the link ends; {USUAL_S} if missing.",
            },
            "rights": {
                "type": "string",
                "enum": [*RIGHTS],
                "description": "To look, or also to change hooks and send again (the default).",
            },
        },
    },
    "How long the link lasts, and what it permits.",
)


@router.put(
    "",
    status_code=201,
    summary="Make a link into the dashboard",
    openapi_extra=_LINK,
    responses=changes(PORTAL_LINK, 201),
)
def create_link(request: Request, account: TheAccount, backend: TheBackend) -> Response:
    """For the account's hooks and nothing else, until its end; the response alone shows it.

    `token` serves requests to the API as well. Not for callers who have a link themselves.
    """
    data = data_of(request)
    check_members(data, members_of(_LINK))
    expires_in, rights = (
        member(data, "expires_in", int, USUAL_S),
        member(data, "rights", str, MANAGE),
    )
    if not LEAST_S <= expires_in <= MOST_S:
        message = f"must be from {LEAST_S} to {MOST_S} seconds"
        raise invalid_member("expires_in", "error", message, value=expires_in)
    if rights not in RIGHTS:
        message = "Value not found in enumerated list of values"
        raise invalid_member("rights", "enum", message, target=[*RIGHTS], value=rights)
    now = time.time()
    link = PortalLink(account.id, rights, int(now) + expires_in)
    try:
        token = backend.links.token(link, now)
    except SecretBoxError as problem:
        raise backend_failed(str(problem)) from None
    base = backend.node.portal.url or str(request.base_url)
    shown = {
        "url": link_url(base, token),
        "token": token,
        "account_id": account.id,
        "rights": rights,
        "until": gregorian_s(link.until_s),
    }
    return success(request, shown, status=201)


@router.delete(
    "", summary="Revoke an account's links into the dashboard", responses=changes(LINKS_REVOKED)
)
def revoke_links(request: Request, account: TheAccount, backend: TheBackend) -> Response:
    """All that were made up to now end at once, on all nodes."""
    backend.links.revoke(account.id, time.time())
    return success(request, {"account_id": account.id})
