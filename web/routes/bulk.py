"""All hooks of an account at once: the difference to what a client declares, and its removal."""

import time
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from callboard.actors.messages.bulk import MAX_PUT, HooksPut, PutHooks
from callboard.actors.messages.paths import HOOK_LISTENER
from callboard.adapters.repositories.account_quotas import own_quotas
from callboard.adapters.repositories.hooks import HookStore
from callboard.adapters.store.protocol import Document
from callboard.web.access.callers import TheAccount, TheBackend
from callboard.web.backend import Backend
from callboard.web.documents.shapes import BULK
from callboard.web.envelopes.describing import body_of, changes, members_of
from callboard.web.envelopes.envelope import data_of, success
from callboard.web.errors import invalid_member
from callboard.web.operations.actor_requests import asked, check_members, member
from callboard.webhooks.acknowledgement.outbox import cut
from callboard.webhooks.declarations.form import Declarations, InvalidDeclaration, declared_hook
from callboard.webhooks.declarations.plan import GivenSecret, Plan, plan
from callboard.webhooks.hooks.hook import new_hook_id
from callboard.webhooks.hooks.secrets import SecretsRefused

router = APIRouter(prefix="/v2/accounts/{account_id}", tags=["hooks"])

MAX_HOOKS = 10_000
PAGE = 1000
CHANGE_S = 30.0
"""Time limit for storing `MAX_PUT` hooks."""

_BODY = body_of(
    {
        "type": "object",
        "required": ["hooks"],
        "properties": {
            "hooks": {
                "description": "The hooks as they are to be; `id` is optional where names are "
                "unique, and `enabled` leaves a hook as it is where it is missing.",
                "type": "array",
                "maxItems": MAX_HOOKS,
                "items": {"type": "object"},
            },
            "prune": {
                "description": "Remove the account's other hooks.",
                "type": "boolean",
            },
            "dry_run": {
                "description": "Only show the difference.",
                "type": "boolean",
            },
        },
    },
    "The hooks of the account.",
)


@router.post(
    "/webhooks/bulk",
    summary="Make the hooks of an account as declared",
    openapi_extra=_BODY,
    responses=changes(BULK),
)
def change_hooks(request: Request, account: TheAccount, backend: TheBackend) -> Response:
    """Adds, changes and, with `prune`, removes hooks; those that are as declared stay untouched.

    `refused` has the reasons by id; the other changes are made. Secrets stay as they are.
    """
    data = data_of(request)
    check_members(data, members_of(_BODY))
    dry_run = member(data, "dry_run", bool, default=False)
    found = _plan(backend, account.id, data)
    done, refused = (set[str](), {}) if dry_run else _carry_out(backend, found)
    shown = {
        "added": [one.put.id for one in found.added if dry_run or one.put.id in done],
        "changed": {
            one.put.id: list(one.members) for one in found.changed if dry_run or one.put.id in done
        },
        "removed": [one.id for one in found.removed if dry_run or one.id in done],
        "unchanged": found.unchanged,
        "refused": refused,
        "dry_run": dry_run,
    }
    return success(request, shown)


def _plan(backend: Backend, account_id: str, data: dict[str, Any]) -> Plan:
    tables: list[Any] = member(data, "hooks", list)
    if len(tables) > MAX_HOOKS:
        message = f"has {len(tables)} hooks: {MAX_HOOKS} are allowed"
        raise invalid_member("hooks", "maxItems", message, target=MAX_HOOKS)
    try:
        hooks = tuple(
            declared_hook({**_table(table), "account": account_id}, f"hooks.{place}")
            for place, table in enumerate(tables)
        )
        return plan(
            Declarations(hooks),
            _stored(backend, account_id),
            {account_id: own_quotas(backend.store, account_id)},
            prune=member(data, "prune", bool, default=False),
            new_id=lambda: new_hook_id(time.time()),
            resolve=_no_secret,
        )
    except (InvalidDeclaration, SecretsRefused) as problem:
        raise invalid_member("hooks", "error", str(problem)) from None


def _table(table: Any) -> dict[str, Any]:
    if not isinstance(table, dict):
        raise InvalidDeclaration(f"{table!r:.40} is no hook")
    return table


def _no_secret(reference: str) -> GivenSecret:
    raise InvalidDeclaration(f"{reference}: secrets are added by PUT …/webhooks/ID/secrets")


def _stored(backend: Backend, account_id: str) -> list[Document]:
    hooks, found, more = HookStore(backend.store), list[Document](), True
    after = None
    while more:
        page, more = hooks.listed(account_id, PAGE, after)
        found += page
        after = (account_id, page[-1]["_id"]) if page else None
    return found


def _carry_out(backend: Backend, found: Plan) -> tuple[set[str], dict[str, str]]:
    """Make the changes; the ids of the hooks that are as planned, and why others are not."""
    puts = [*(one.put for one in found.changed), *(one.put for one in found.added)]
    requests = [PutHooks(removed=part) for part in cut(found.removed, MAX_PUT, lambda _one: 0)]
    requests += [PutHooks(puts=part) for part in cut(puts, MAX_PUT, lambda put: put.size)]
    done: set[str] = set()
    refused: dict[str, str] = {}
    for message in requests:
        answer = asked(backend, HOOK_LISTENER, message, HooksPut, CHANGE_S)
        done.update(answer.done)
        refused |= answer.refused
    return done, refused
