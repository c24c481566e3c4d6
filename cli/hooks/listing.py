"""`callboard hooks list`: the selected hooks, in pages."""

import json
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

import click

from callboard.actors.messages import HookList, ListHooks
from callboard.actors.messages.paths import HOOK_LISTENER
from callboard.actors.system.actor_system import Client
from callboard.cli.system.attached import attached
from callboard.cli.terminal.account import ACCOUNT
from callboard.cli.terminal.completing import event_types
from callboard.cli.terminal.options import as_json, with_settings
from callboard.cli.terminal.output import WrongUsage, escaped, plain, print_table, say, stream_json
from callboard.cli.terminal.progress import Step, counting
from callboard.config.loader import Loaded
from callboard.webhooks.hooks.hook import is_auto_disabled, is_enabled, matched_event
from callboard.webhooks.hooks.options import is_paused

PAGE = 500
PAGE_S = 60.0
"""Time limit for one page."""

Document = Mapping[str, Any]

STATES: Mapping[str, Callable[[Document], bool]] = {
    "enabled": is_enabled,
    "disabled": lambda document: not is_enabled(document),
    "auto-disabled": is_auto_disabled,
    "paused": is_paused,
}


@click.command("list")
@click.option("--account", type=ACCOUNT, help="Only this account's.")
@click.option("--event", help="Only hooks of this event type.", shell_complete=event_types)
@click.option("--uri", help="Only hooks whose URL contains this text.")
@click.option("--name", help="Only hooks whose name or group contains this text; ignores case.")
@click.option("--state", type=click.Choice(tuple(STATES)), help="Only hooks in this state.")
@click.option("--limit", default=1000, show_default=True, type=click.IntRange(1))
@click.option("--all", "all_", is_flag=True, help="No limit.")
@click.option("--after", metavar="ACCOUNT/HOOK", help="Continue after this hook.")
@as_json
@with_settings()
def list_(
    loaded: Loaded,
    account: str | None,
    limit: int,
    all_: bool,
    after: str | None,
    json_: bool,
    **wanted: str | None,
) -> None:
    """List the stored hooks, including disabled ones, by account and id."""
    start = _cursor(after)
    with attached(loaded) as client, counting("reading hooks", quiet=json_) as read:
        found = (d for d in _stored(client, account, start, read) if _is_wanted(d, **wanted))
        shown = found if all_ else islice(found, limit)
        last = stream_json(shown) if json_ else _print_table(shown)
        # One more is looked for only where the listing was cut.
        more = not all_ and last is not None and next(found, None) is not None
    if more and last is not None:
        going_on = f"--after {last.get('pvt_account_id')}/{last['_id']}"
        plain(f"there are more: continue with {going_on}, or give --all", err=True)


def _cursor(after: str | None) -> tuple[str, str] | None:
    if after is None:
        return None
    account_id, slash, hook_id = after.partition("/")
    if not (account_id and slash and hook_id):
        raise WrongUsage(
            f"--after {after!r}: write ACCOUNT/HOOK, as printed by a shortened listing"
        )
    return account_id, hook_id


def _stored(
    client: Client, account_id: str | None, after: tuple[str, str] | None, read: Step
) -> Iterator[Document]:
    """The selected stored hooks, page by page."""
    more = True
    while more:
        question = ListHooks(account_id, PAGE, after)
        page: HookList = client.ask_actor(HOOK_LISTENER, question, HookList, PAGE_S)
        read(len(page.documents))
        yield from page.documents
        more = page.more and bool(page.documents)
        if more:
            last = page.documents[-1]
            after = last.get("pvt_account_id") or "", last["_id"]


def _is_wanted(
    document: Document, event: str | None, uri: str | None, name: str | None, state: str | None
) -> bool:
    named = f"{document.get('name', '')}\n{document.get('group', '')}".lower()
    return (
        (event is None or matched_event(str(document.get("hook"))) == matched_event(event))
        and (uri is None or uri in str(document.get("uri")))
        and (name is None or name.lower() in named)
        and (state is None or STATES[state](document))
    )


def _print_table(documents: Iterator[Document]) -> Document | None:
    shown = list(documents)
    if not shown:
        say("no hooks")
        return None
    print_table(
        ("hook", "account", "event", "verb", "uri", "name", "enabled"),
        (
            (
                d["_id"],
                d.get("pvt_account_id"),
                d.get("hook"),
                d.get("http_verb"),
                d.get("uri"),
                "" if d.get("name") == d.get("uri") else d.get("name"),
                state_of(d),
            )
            for d in shown
        ),
    )
    return shown[-1]


def state_of(document: Document) -> str:
    """Whether the hook may fire, and is paused; if it may not, the reason if known."""
    if is_enabled(document):
        return "yes, paused" if is_paused(document) else "yes"
    reason = document.get("pvt_disabled_message")
    return f"no: {reason}" if reason else "no"


def describe(document: Document) -> None:
    """A hook with all stored members except its secrets."""
    for name, value in document.items():
        shown = value if isinstance(value, str) else json.dumps(value, default=str)
        say(f"[bold]{escaped(name)}[/]: {escaped(shown)}")
