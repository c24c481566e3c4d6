"""`callboard hooks`."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import click

from callboard.actors.delivery.transports import doubt, grants, rules
from callboard.actors.messages import (
    AddHook,
    EditHook,
    GetHook,
    HookProblems,
    HookSaved,
    ListHookProblems,
    RemoveHook,
)
from callboard.actors.messages.paths import HOOK_LISTENER
from callboard.actors.system.actor_system import RequestRefused
from callboard.cli.hooks.fields import members, unset, with_fields
from callboard.cli.hooks.listing import describe, list_
from callboard.cli.hooks.previewing import preview_
from callboard.cli.hooks.secrets import secret
from callboard.cli.system.attached import attached
from callboard.cli.terminal.account import ACCOUNT
from callboard.cli.terminal.options import as_json, with_settings
from callboard.cli.terminal.output import (
    FAILED,
    WrongUsage,
    complain,
    escaped,
    plain,
    print_json,
    print_table,
    say,
)
from callboard.cli.terminal.progress import counting
from callboard.config.loader import Loaded
from callboard.webhooks.hooks.options import CHECKED
from callboard.webhooks.values.endpoint_options import parse_endpoint_options

DEFAULTS = {"hook": "all", "http_verb": "post", "format": "json", "retries": 2}
"""Defaults of `hooks add`."""


@click.group()
def hooks() -> None:
    """Add, show, change and remove hooks, and manage their secrets."""


hooks.add_command(secret)
hooks.add_command(list_)
hooks.add_command(preview_)


def drafted(uri: str, account: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The document of a new hook with these fields, and the defaults of `hooks add`."""
    return {"name": uri, **DEFAULTS, **fields, "uri": uri, "pvt_account_id": account}


@hooks.command()
@click.argument("uri")
@click.option("--account", type=ACCOUNT, required=True, help="The hook's account.")
@with_fields
@as_json
@with_settings()
def add(loaded: Loaded, uri: str, account: str, json_: bool, **fields: Any) -> None:
    """Add a hook that sends events to URI: by default all of the account's, as JSON, by post."""
    document = drafted(uri, account, members(fields))
    with attached(loaded) as client:
        saved = client.ask_actor(HOOK_LISTENER, AddHook(document), HookSaved)
    _warn(loaded, saved.document)
    _warn_of_order(loaded, document)
    if json_:
        print_json(saved.document)
    else:
        say(f"added hook {saved.document['_id']}")


@hooks.command()
@click.argument("hook_id")
@as_json
@with_settings()
def show(loaded: Loaded, hook_id: str, json_: bool) -> None:
    """Show a stored hook, without its secrets."""
    with attached(loaded) as client:
        stored = client.ask_actor(HOOK_LISTENER, GetHook(hook_id), HookSaved)
    if json_:
        print_json(stored.document)
    else:
        describe(stored.document)


@hooks.command()
@click.argument("hook_id")
@click.option("--uri", help="The URL to call.")
@with_fields
@click.option(
    "--unset",
    "gone",
    multiple=True,
    metavar="MEMBER",
    help="Field to remove, such as headers; may be repeated.",
)
@as_json
@with_settings()
def edit(loaded: Loaded, hook_id: str, gone: tuple[str, ...], json_: bool, **fields: Any) -> None:
    """Change the given fields of a hook; --header replaces all of its headers."""
    changes = {**unset(gone), **members(fields)}
    if not changes:
        raise WrongUsage("give the fields to change: see `callboard hooks edit --help`")
    with attached(loaded) as client:
        saved = client.ask_actor(HOOK_LISTENER, EditHook(hook_id, changes), HookSaved)
    if "uri" in changes:
        _warn(loaded, saved.document)
    _warn_of_order(loaded, changes)
    if json_:
        print_json(saved.document)
    else:
        say(f"changed hook {escaped(hook_id)}: {', '.join(changes)}")


@hooks.command()
@click.argument("hook_ids", nargs=-1, required=True, metavar="HOOK_ID...")
@as_json
@with_settings()
def enable(loaded: Loaded, hook_ids: tuple[str, ...], json_: bool) -> None:
    """Enable hooks, including those that were disabled for failures."""
    _each(loaded, hook_ids, json_, "enabled", lambda id: EditHook(id, {"enabled": True}))


@hooks.command()
@click.argument("hook_ids", nargs=-1, required=True, metavar="HOOK_ID...")
@as_json
@with_settings()
def disable(loaded: Loaded, hook_ids: tuple[str, ...], json_: bool) -> None:
    """Disable hooks until you enable them."""
    _each(loaded, hook_ids, json_, "disabled", lambda id: EditHook(id, {"enabled": False}))


@hooks.command()
@click.argument("hook_ids", nargs=-1, required=True, metavar="HOOK_ID...")
@as_json
@with_settings()
def pause(loaded: Loaded, hook_ids: tuple[str, ...], json_: bool) -> None:
    """Keep the deliveries of hooks until you resume them."""
    _each(loaded, hook_ids, json_, "paused", lambda id: EditHook(id, {"paused": True}))


@hooks.command()
@click.argument("hook_ids", nargs=-1, required=True, metavar="HOOK_ID...")
@as_json
@with_settings()
def resume(loaded: Loaded, hook_ids: tuple[str, ...], json_: bool) -> None:
    """Send the waiting deliveries of paused hooks, in order."""
    _each(loaded, hook_ids, json_, "resumed", lambda id: EditHook(id, {"paused": False}))


@hooks.command("rm")
@click.argument("hook_ids", nargs=-1, required=True, metavar="HOOK_ID...")
@as_json
@with_settings()
def remove(loaded: Loaded, hook_ids: tuple[str, ...], json_: bool) -> None:
    """Remove hooks; `delete` is an alias."""
    _each(loaded, hook_ids, json_, "removed", RemoveHook)


_delete = copy.copy(remove)
_delete.hidden = True
hooks.add_command(_delete, "delete")


@hooks.command()
@as_json
@with_settings()
def problems(loaded: Loaded, json_: bool) -> None:
    """List stored hooks that cannot fire or have a faulty URL. Exit code 1 if there are any."""
    with attached(loaded) as client:
        found = client.ask_actor(HOOK_LISTENER, ListHookProblems(), HookProblems)
    if json_:
        print_json([attrs.asdict(problem) for problem in found.problems])
    else:
        rows = ((p.hook_id, p.account_id, p.reason) for p in found.problems)
        if found.problems:
            print_table(("hook", "account", "problem"), rows)
        else:
            say("every stored hook that is enabled can fire")
        if found.loading:
            say("[yellow]hooks are still loading: there may be more problems[/]")
    if found.problems:
        raise SystemExit(FAILED)


def _each(
    loaded: Loaded,
    hook_ids: tuple[str, ...],
    json_: bool,
    done: str,
    request: Callable[[str], EditHook | RemoveHook],
) -> None:
    """Send a request for each hook; a refusal does not affect the others."""
    saved, failed = [], []
    with attached(loaded) as client, counting(done, len(hook_ids), quiet=json_) as step:
        for hook_id in dict.fromkeys(hook_ids):
            try:
                saved.append(client.ask_actor(HOOK_LISTENER, request(hook_id), HookSaved).document)
            except RequestRefused as problem:
                failed.append((hook_id, str(problem)))
            step(1)
    if json_:
        print_json(
            {
                "hooks": saved,
                "failed": [{"hook_id": hook_id, "reason": reason} for hook_id, reason in failed],
            }
        )
    else:
        for document in saved:
            say(f"{done} hook {escaped(document['_id'])}")
        for _hook_id, reason in failed:
            complain(reason)
    if failed:
        raise SystemExit(FAILED)


def _warn_of_order(loaded: Loaded, fields: Mapping[str, Any]) -> None:
    """Print a warning about an ordered hook whose events several nodes may take."""
    amqp = loaded.settings.amqp
    if fields.get("ordered") and amqp.url != "memory://" and not amqp.single_active_consumer:
        plain(
            "warning: with several nodes, the order of events needs amqp.single_active_consumer",
            err=True,
        )


def _warn(loaded: Loaded, document: Mapping[str, Any]) -> None:
    """Print a warning about a URL that is currently unusable, to standard error."""
    settings = loaded.settings
    own = parse_endpoint_options(document)
    options = grants(settings).settled(own, {}, checked=document.get(CHECKED) is True)
    if reason := doubt(document["uri"], rules(settings.delivery).given(options)):
        plain(f"warning: {reason}", err=True)
