"""The commands of `callboard maintenance` (Kazoo: `sup webhooks_maintenance`)."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import attrs
from attrs import frozen
from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from callboard import admin
from callboard.actors.messages import ReencryptSecrets, SecretsReencrypted
from callboard.actors.messages.paths import HOOK_LISTENER, MAINTENANCE
from callboard.web.access.callers import Admin, TheBackend
from callboard.web.documents.shapes import DONE
from callboard.web.envelopes.describing import START_KEY, body_of, changes
from callboard.web.envelopes.envelope import Page, data_of, success
from callboard.web.envelopes.paging import key_of, start_of
from callboard.web.errors import bad_identifier, invalid_member
from callboard.web.operations.actor_requests import asked, check_members
from callboard.webhooks.hooks.arguments import (
    BadArgument,
    account_argument,
    count_argument,
    definition_argument,
    expiry_argument,
    hook_argument,
)

router = APIRouter(prefix="/v2/callboard/maintenance", tags=["operator"])

PATIENCE_S = 60.0


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadArgument("must be true or false")
    return value


Check = Callable[[Any], Any]


@frozen
class Command:
    """A message, its arguments and response. `paged`: it has `after`, and the response `more`."""

    message: type[Any]
    answer: type[Any]
    required: Mapping[str, Check] = attrs.field(factory=dict)
    optional: Mapping[str, Check] = attrs.field(factory=dict)
    paged: bool = False
    actor: str = MAINTENANCE


_ACCOUNT: Mapping[str, Check] = {"account": account_argument}
_HOOK: Mapping[str, Check] = {**_ACCOUNT, "hook_id": hook_argument}

COMMANDS: Mapping[str, Command] = {
    "hooks_configured": Command(
        admin.HooksConfigured, admin.ConfiguredHooks, optional=_ACCOUNT, paged=True
    ),
    "failure_status": Command(
        admin.FailureStatus, admin.FailingHooks, optional=_ACCOUNT, paged=True
    ),
    "set_failure_expiry": Command(
        admin.SetFailureExpiry, admin.SettingSaved, {"expiry_ms": expiry_argument}, _ACCOUNT
    ),
    "set_disable_threshold": Command(
        admin.SetDisableThreshold, admin.SettingSaved, {"count": count_argument}, _ACCOUNT
    ),
    "enable_account_hooks": Command(
        admin.EnableAccountHooks, admin.HooksEnabled, _ACCOUNT, paged=True
    ),
    "enable_descendant_hooks": Command(
        admin.EnableDescendantHooks, admin.HooksEnabled, _ACCOUNT, paged=True
    ),
    "flush_account_failures": Command(admin.FlushAccountFailures, admin.FailuresFlushed, _ACCOUNT),
    "flush_hook_failures": Command(admin.FlushHookFailures, admin.FailuresFlushed, _HOOK),
    "register_views": Command(admin.RegisterViews, admin.ViewsRegistered, paged=True),
    "reset_hook_definitions": Command(admin.ResetHookDefinitions, admin.DefinitionsReset),
    "reset_hook_definition": Command(
        admin.ResetHookDefinition, admin.DefinitionsReset, {"definition": str}
    ),
    "clean_up_orphans": Command(
        admin.CleanUpOrphans, admin.OrphansCleanedUp, optional={"delete": _flag}, paged=True
    ),
    "reencrypt_secrets": Command(
        ReencryptSecrets, SecretsReencrypted, paged=True, actor=HOOK_LISTENER
    ),
}

_ARGUMENTS = sorted({name for one in COMMANDS.values() for name in (*one.required, *one.optional)})

_BODY: dict[str, Any] = {
    "parameters": [START_KEY],
    **body_of(
        {
            "type": "object",
            "properties": {
                argument: {
                    "description": "Of "
                    + ", ".join(
                        name
                        for name, command in COMMANDS.items()
                        if argument in (*command.required, *command.optional)
                    )
                }
                for argument in _ARGUMENTS
            },
        },
        "The command's arguments.",
    ),
}


@router.post(
    "/{command}",
    summary="Run a maintenance command",
    openapi_extra=_BODY,
    responses=changes(DONE),
)
def run_maintenance(
    request: Request,
    _caller: Admin,
    backend: TheBackend,
    command: Annotated[str, Path(description="A command, by Kazoo's name.")],
) -> Response:
    """Runs one page; if there is more, the response has `next_start_key`."""
    name = command.replace("-", "_")
    known = COMMANDS.get(name)
    if known is None:
        raise bad_identifier(command)
    data = data_of(request)
    check_members(data, {**known.required, **known.optional})
    if name == "reset_hook_definition" and "definition" in data:
        ids = {module.id for module in backend.node.modules}
        _checked("definition", data["definition"], lambda value: definition_argument(value, ids))
    arguments = _arguments(known, data)
    if known.paged:
        start, _key = start_of(request.query_params)
        if start is not None:
            arguments["after"] = _cursor(known, start)
    answer = asked(backend, known.actor, known.message(**arguments), known.answer, PATIENCE_S)
    shown = attrs.asdict(answer, filter=attrs.filters.exclude("version", "ref", "more"))
    return success(request, shown, page=_page(answer, shown) if known.paged else None)


def _arguments(command: Command, data: Mapping[str, Any]) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for name, check in command.required.items():
        if name not in data:
            message = "Field is required but missing"
            raise invalid_member(name, "required", message, value=None)
        arguments[name] = _checked(name, data[name], check)
    for name, check in command.optional.items():
        if name in data:
            arguments[name] = _checked(name, data[name], check)
    return arguments


def _checked(name: str, value: Any, check: Check) -> Any:
    try:
        return check(value)
    except BadArgument as problem:
        raise invalid_member(name, "error", str(problem), value=value) from None


def _cursor(command: Command, start: list[Any]) -> Any:
    """A cursor consists of texts: several, or one for secrets."""
    if not all(isinstance(part, str) for part in start):
        raise invalid_member("start_key", "error", "is no next_start_key of an earlier page")
    if command.message is ReencryptSecrets:
        return start[0] if start else ""
    return tuple(start)


def _page(answer: Any, shown: Mapping[str, Any]) -> Page:
    more = [answer.more] if isinstance(answer.more, str) else answer.more
    size = sum(len(value) for value in shown.values() if isinstance(value, list | tuple))
    return Page(size, None, None if more is None else key_of(list(more)))
