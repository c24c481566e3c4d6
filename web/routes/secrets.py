"""The secrets that sign a hook's deliveries."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from callboard.actors.messages import AddSecret, HookSecrets, ListSecrets, RetireSecret
from callboard.actors.messages.paths import HOOK_LISTENER
from callboard.web.access.callers import TheAccount, TheBackend
from callboard.web.documents.shapes import NEW_SECRET, SECRET, list_of
from callboard.web.envelopes.describing import body_of, changes, members_of, shows
from callboard.web.envelopes.envelope import data_of, success
from callboard.web.errors import bad_identifier, invalid_member
from callboard.web.operations.actor_requests import asked, check_members, member
from callboard.web.routes.hooks import HookId, stored_hook
from callboard.webhooks.deliveries.signing import (
    ED25519,
    HMAC_SHA256,
    InvalidSecret,
    Secret,
    new_secret,
    parse_secret,
)
from callboard.webhooks.hooks.secrets import MAX_EXPIRY_S, StoredSecret

router = APIRouter(prefix="/v2/accounts/{account_id}/webhooks/{hook_id}/secrets", tags=["secrets"])

_BODY = body_of(
    {
        "type": "object",
        "properties": {
            "kind": {"type": "string", "enum": [HMAC_SHA256, ED25519]},
            "secret": {"type": "string", "description": "One that the receiver has already."},
            "expires_in": {
                "type": "integer",
                "minimum": 1,
                "maximum": MAX_EXPIRY_S,
                "description": "After how many seconds the hook's other secrets end.",
            },
        },
    },
    "The kind of the new secret, or a secret.",
)


@router.get(
    "", summary="List the fingerprints of a hook's secrets", responses=shows(list_of(SECRET))
)
def list_secrets(
    request: Request, account: TheAccount, backend: TheBackend, hook_id: HookId
) -> Response:
    """Newest first; the secrets themselves are never shown."""
    stored_hook(backend, account, hook_id)
    found = asked(backend, HOOK_LISTENER, ListSecrets(hook_id), HookSecrets)
    return success(request, [_shown(secret) for secret in found.secrets])


@router.put(
    "",
    status_code=201,
    summary="Add a secret to a hook",
    openapi_extra=_BODY,
    responses=changes(NEW_SECRET, 201),
)
def add_secret(
    request: Request, account: TheAccount, backend: TheBackend, hook_id: HookId
) -> Response:
    """The response is the only one to show it; from now on deliveries also carry its signature."""
    data = data_of(request)
    check_members(data, members_of(_BODY))
    end_in_s = _end_in_s(data)
    stored_hook(backend, account, hook_id)
    added = _given(data) if "secret" in data else _made(data)
    asked(backend, HOOK_LISTENER, AddSecret(hook_id, added.text, end_in_s), HookSecrets)
    shown = {"fingerprint": added.fingerprint, "kind": added.kind}
    if added.public_text is not None:
        shown["public_key"] = added.public_text
    elif "secret" not in data:
        shown["secret"] = added.text
    return success(request, shown, status=201)


def _made(data: dict[str, Any]) -> Secret:
    kind = member(data, "kind", str, HMAC_SHA256)
    if kind not in (HMAC_SHA256, ED25519):
        message = "Value not found in enumerated list of values"
        raise invalid_member("kind", "enum", message, target=[HMAC_SHA256, ED25519], value=kind)
    return new_secret(kind)


def _end_in_s(data: dict[str, Any]) -> int | None:
    if "expires_in" not in data:
        return None
    seconds = member(data, "expires_in", int)
    if not 1 <= seconds <= MAX_EXPIRY_S:
        message = f"must be from 1 to {MAX_EXPIRY_S} seconds"
        raise invalid_member("expires_in", "error", message, value=seconds)
    return seconds


def _given(data: dict[str, Any]) -> Secret:
    try:
        return parse_secret(member(data, "secret", str))
    except InvalidSecret as problem:
        raise invalid_member("secret", "error", str(problem)) from None


@router.delete(
    "/{fingerprint}",
    summary="Retire a secret of a hook",
    responses=changes(list_of(SECRET)),
)
def retire_secret(
    request: Request,
    account: TheAccount,
    backend: TheBackend,
    hook_id: HookId,
    fingerprint: Annotated[str, Path(description="The fingerprint, as listed.")],
) -> Response:
    """Deliveries are no longer signed with it; the response lists the remaining secrets."""
    stored_hook(backend, account, hook_id)
    found = asked(backend, HOOK_LISTENER, ListSecrets(hook_id), HookSecrets)
    if fingerprint not in {secret.fingerprint for secret in found.secrets}:
        raise bad_identifier(fingerprint)
    left = asked(backend, HOOK_LISTENER, RetireSecret(hook_id, fingerprint), HookSecrets)
    return success(request, [_shown(secret) for secret in left.secrets])


def _shown(secret: StoredSecret) -> dict[str, Any]:
    return {
        "fingerprint": secret.fingerprint,
        "kind": secret.kind,
        "since": secret.since,
        "public_key": secret.public_key,
        "until": secret.until,
    }
