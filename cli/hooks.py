"""`callboard hooks`."""

import json
from typing import Any

import attrs
import click

from callboard.actors.messages import (
    AddHook,
    HookList,
    HookProblems,
    HookSaved,
    ListHookProblems,
    ListHooks,
    RemoveHook,
)
from callboard.actors.parts.transports import doubt, rules
from callboard.cli.attached import attached
from callboard.cli.options import as_json, with_settings
from callboard.cli.output import FAILED, WrongUsage, print_json, print_table, say
from callboard.cli.secrets import secret
from callboard.config.loader import Loaded


@click.group()
def hooks() -> None:
    """Add, list and remove hooks, and manage their secrets."""


hooks.add_command(secret)


@hooks.command()
@click.argument("uri")
@click.option("--account", required=True, help="The account whose events it is for.")
@click.option("--event", "hook", default="all", show_default=True, help="Event module, or all.")
@click.option("--name", default="", help="A name for people.")
@click.option("--verb", "http_verb", default="post", type=click.Choice(["get", "post", "put"]))
@click.option("--format", default="json", type=click.Choice(["json", "form-data"]))
@click.option("--retries", default=2, type=click.IntRange(0, 4), help="Tries in all.")
@click.option("--include-subaccounts", is_flag=True, help="Fire for descendants' events too.")
@click.option("--custom-data", default="", help="JSON object laid over every payload.")
@as_json
@with_settings()
def add(loaded: Loaded, account: str, custom_data: str, json_: bool, **fields: Any) -> None:
    """Store a hook that sends events to URI."""
    document = {**fields, "pvt_account_id": account}
    document["name"] = document["name"] or document["uri"]
    if custom_data:
        document["custom_data"] = _object(custom_data)
    with attached(loaded) as client:
        saved = client.ask_actor("hook_listener", AddHook(document), HookSaved)
    if reason := doubt(document["uri"], rules(loaded.settings.delivery)):
        click.echo(f"warning: {reason}", err=True)
    if json_:
        print_json(saved.document)
    else:
        say(f"added hook {saved.document['_id']}")


@hooks.command("list")
@click.option("--account", help="Only this account's.")
@click.option("--limit", default=1000, show_default=True, type=click.IntRange(1))
@as_json
@with_settings()
def list_(loaded: Loaded, account: str | None, limit: int, json_: bool) -> None:
    """List the stored hooks, disabled ones too."""
    with attached(loaded) as client:
        found = client.ask_actor("hook_listener", ListHooks(account, limit), HookList)
    if json_:
        print_json([dict(document) for document in found.documents])
        return
    print_table(
        ("hook", "account", "event", "verb", "uri", "enabled"),
        (
            (
                d["_id"],
                d.get("pvt_account_id"),
                d.get("hook"),
                d.get("http_verb"),
                d.get("uri"),
                d.get("pvt_disabled_message") or ("yes" if d.get("enabled", True) else "no"),
            )
            for d in found.documents
        ),
    )
    if found.more:
        say(f"[yellow]there are more than {limit}: raise --limit[/]")


@hooks.command()
@click.argument("hook_id")
@with_settings()
def rm(loaded: Loaded, hook_id: str) -> None:
    """Remove a hook."""
    with attached(loaded) as client:
        client.ask_actor("hook_listener", RemoveHook(hook_id), HookSaved)
    say(f"removed hook {hook_id}")


@hooks.command()
@as_json
@with_settings()
def problems(loaded: Loaded, json_: bool) -> None:
    """List stored hooks that cannot fire, with the reason; exit code 1 if there are any."""
    with attached(loaded) as client:
        found = client.ask_actor("hook_listener", ListHookProblems(), HookProblems)
    if json_:
        print_json([attrs.asdict(problem) for problem in found.problems])
    else:
        rows = ((p.hook_id, p.account_id, p.reason) for p in found.problems)
        if found.problems:
            print_table(("hook", "account", "problem"), rows)
        else:
            say("every stored hook that is enabled can fire")
        if found.loading:
            say("[yellow]hooks are being loaded: more problems may be found[/]")
    if found.problems:
        raise SystemExit(FAILED)


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as problem:
        raise WrongUsage(f"--custom-data is not JSON: {problem}") from None
    if not isinstance(value, dict):
        raise WrongUsage("--custom-data must be a JSON object")
    return value
