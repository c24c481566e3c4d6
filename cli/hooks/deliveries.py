"""`callboard deliveries`."""

import attrs
import click

from callboard import admin
from callboard.actors.messages import CancelDeliveries, HookSaved
from callboard.actors.messages.paths import HOOK_LISTENER, REDELIVERY
from callboard.cli.system.attached import attached, pages
from callboard.cli.terminal.account import ACCOUNT
from callboard.cli.terminal.options import as_json, with_settings
from callboard.cli.terminal.output import FAILED, escaped, print_json, print_table, say
from callboard.cli.terminal.pacing import say_why
from callboard.cli.terminal.times import shown
from callboard.config.loader import Loaded

PAGE = 500
_HOOK = click.option("--hook", "hook_id", required=True, metavar="HOOK_ID", help="The hook.")


@click.group()
def deliveries() -> None:
    """Deliveries that have not ended yet."""


@deliveries.command("list")
@click.option("--hook", "hook_id", metavar="HOOK_ID", help="Only this hook's.")
@click.option("--account", type=ACCOUNT, help="Only this account's.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1))
@as_json
@with_settings()
def list_(
    loaded: Loaded, hook_id: str | None, account: str | None, limit: int, json_: bool
) -> None:
    """List the deliveries that wait in the retry queue, by the time they are due.

    These are the ones that this node has deferred; other nodes list their own.
    """
    request = admin.ListWaiting(hook_id, account, limit=min(limit, PAGE))
    found: list[admin.WaitingDelivery] = []
    count = 0
    with attached(loaded) as client:
        for page in pages(client, REDELIVERY, request, admin.WaitingListed):
            found += page.deliveries
            count = page.count
            if len(found) >= limit:
                break
    found = found[:limit]
    if json_:
        waiting = [attrs.asdict(one) | {"due": shown(one.due_s)} for one in found]
        print_json({"count": count, "deliveries": waiting})
        return
    if not found:
        say("no deliveries wait")
        return
    print_table(
        ("webhook-id", "due", "event", "hook", "to", "tries", "reason"),
        ((x.id, shown(x.due_s), x.event, x.hook_id, x.uri, x.tries, x.reason) for x in found),
    )
    if count > len(found):
        say(f"[yellow]{count} wait: raise --limit, or narrow it down[/]")


@deliveries.command("retry-now")
@_HOOK
@as_json
@with_settings()
def retry_now(loaded: Loaded, hook_id: str, json_: bool) -> None:
    """Send the deliveries of a hook now that wait in the retry queue.

    Those that this node has deferred; each has the attempts that it had left. Deliveries that are
    deferred again meanwhile stay. Exit code 1 if some could not be sent.
    """
    sent = 0
    refused: list[tuple[str, str]] = []
    with attached(loaded) as client:
        for page in pages(client, REDELIVERY, admin.RetryWaiting(hook_id), admin.WaitingRetried):
            sent += len(page.sent)
            refused += page.refused
    if json_:
        print_json({"sent": sent, "refused": dict(refused)})
    else:
        say(f"sent {sent} deliveries of hook {escaped(hook_id)}")
        say_why(refused)
    if refused:
        raise SystemExit(FAILED)


@deliveries.command()
@_HOOK
@with_settings()
def cancel(loaded: Loaded, hook_id: str) -> None:
    """Cancel the deliveries of a hook that have not ended yet; the hook stays as it is.

    A request in flight ends as it would, but is not followed by another. Those in memory end at
    once, those in the retry queue when they are due. Each is recorded with the result `cancelled`.
    """
    with attached(loaded) as client:
        client.ask_actor(HOOK_LISTENER, CancelDeliveries(hook_id), HookSaved)
    say(f"cancelled the deliveries of hook {escaped(hook_id)} up to now")
