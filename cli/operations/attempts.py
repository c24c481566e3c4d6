"""`callboard attempts`."""

import time
from itertools import islice

import attrs
import click

from callboard import admin
from callboard.actors.messages.paths import REDELIVERY
from callboard.cli.system.attached import ask, attached, pages
from callboard.cli.terminal.options import as_json, with_settings
from callboard.cli.terminal.output import print_json, print_table, say
from callboard.cli.terminal.times import WHEN, shown
from callboard.config.loader import Loaded

DAY_S = 24 * 3600.0
_HOOK = click.option("--hook", "hook_id", required=True, metavar="HOOK_ID", help="The hook.")


@click.group()
def attempts() -> None:
    """List and show stored attempts: requests of deliveries, with their responses.

    Successful attempts are stored only while attempts.log_successful or log_successful_attempts is
    set.
    """


@attempts.command("list")
@_HOOK
@click.option(
    "--since", "since_s", type=WHEN, help="Since: 2026-11-24T10:00 (UTC), or 2h; by default a day."
)
@click.option("--until", "until_s", type=WHEN, help="Until; by default now.")
@click.option("--failed", is_flag=True, help="Only failed attempts.")
@click.option("--event-id", help="Only those of this delivery.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1))
@as_json
@with_settings()
def list_(
    loaded: Loaded,
    hook_id: str,
    since_s: float | None,
    until_s: float | None,
    failed: bool,
    event_id: str | None,
    limit: int,
    json_: bool,
) -> None:
    """List the stored attempts of a hook, oldest first."""
    until = time.time() if until_s is None else until_s
    since = max(0.0, until - DAY_S) if since_s is None else since_s
    with attached(loaded) as client:
        request = admin.ListAttempts(hook_id, since, until)
        wanted = (
            attempt
            for page in pages(client, REDELIVERY, request, admin.AttemptsListed)
            for attempt in page.attempts
            if (attempt.failed or not failed) and event_id in (None, attempt.event_id)
        )
        found = list(islice(wanted, limit + 1))
    listed = found[:limit]
    if json_:
        print_json([attrs.asdict(one) | {"at": shown(one.at_s)} for one in listed])
        return
    if not listed:
        say("there are no stored attempts of this hook in the period")
        return
    print_table(
        ("id", "when", "event-id", "result", "outcome"),
        (
            (x.id, shown(x.at_s), x.event_id, "failed" if x.failed else "done", x.outcome)
            for x in listed
        ),
    )
    if len(found) > limit:
        say(f"[yellow]there are more than {limit}: raise --limit, or narrow it down[/]")


@attempts.command()
@click.argument("id")
@_HOOK
@with_settings()
def show(loaded: Loaded, id: str, hook_id: str) -> None:
    """Print a stored attempt as JSON: request, response, result."""
    with attached(loaded) as client:
        found = ask(client, REDELIVERY, admin.ShowAttempt(hook_id, id), admin.AttemptShown)
    print_json(dict(found.document))
