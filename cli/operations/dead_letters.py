"""`callboard dead-letters`."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import attrs
import click

from callboard import admin
from callboard.actors.messages.paths import REDELIVERY
from callboard.actors.system.actor_system import Client
from callboard.cli.system.attached import ask, attached, pages
from callboard.cli.terminal.account import ACCOUNT
from callboard.cli.terminal.options import as_json, with_settings
from callboard.cli.terminal.output import FAILED, WrongUsage, print_json, print_table, say
from callboard.cli.terminal.pacing import paced, say_why
from callboard.cli.terminal.times import WHEN, shown
from callboard.config.loader import Loaded

Command = Callable[..., Any]


@click.group("dead-letters")
def dead_letters() -> None:
    """Manage exhausted deliveries and quarantined events.

    The store keeps them for dead_letters.keep_days; all nodes share them.
    """


def _filters(command: Command) -> Command:
    for option in (
        click.option("--until", "until_s", type=WHEN, help="Only those until this time."),
        click.option(
            "--since",
            "since_s",
            type=WHEN,
            help="Only those since this time: 2026-11-24T10:00, or 2h.",
        ),
        click.option("--kind", type=click.Choice([admin.DELIVERY, admin.EVENT])),
        click.option("--hook", "hook_id", help="Only this hook's."),
        click.option("--account", type=ACCOUNT, help="Only this account's."),
    ):
        command = option(command)
    return command


@dead_letters.command("list")
@_filters
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1))
@as_json
@with_settings()
def list_(loaded: Loaded, limit: int, json_: bool, **filters: Any) -> None:
    """List dead letters, newest first."""
    with attached(loaded) as client:
        found = list(islice(_found(client, filters), limit + 1))
    letters, more = found[:limit], len(found) > limit
    if json_:
        print_json([attrs.asdict(letter) | {"at": shown(letter.at_s)} for letter in letters])
        return
    if not letters:
        say("there are no dead letters")
        return
    print_table(
        ("id", "when", "kind", "what", "hook", "to, from", "tries", "reason"),
        (
            (x.id, shown(x.at_s), x.kind, x.name, x.hook_id, x.subject, x.tries or "", x.reason)
            for x in letters
        ),
    )
    if more:
        say(f"[yellow]there are more than {limit}: raise --limit, or narrow it down[/]")


@dead_letters.command()
@click.argument("id")
@with_settings()
def show(loaded: Loaded, id: str) -> None:
    """Print a dead letter as JSON: the content, its history, the reason."""
    with attached(loaded) as client:
        letter = ask(client, REDELIVERY, admin.ShowDeadLetter(id), admin.DeadLetterShown)
    print_json(dict(letter.document))


@dead_letters.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@_filters
@click.option("--all", "all_", is_flag=True, help="All there are.")
@click.option("--rate", default=50.0, show_default=True, type=click.FloatRange(0.01, 10_000))
@as_json
@with_settings()
def retry(
    loaded: Loaded, ids: tuple[str, ...], all_: bool, rate: float, json_: bool, **filters: Any
) -> None:
    """Send dead letters again, selected by id or by the options; RATE per second.

    A delivery goes to its hook as the hook is now, with a full set of attempts and the same
    webhook-id, so that a receiver can recognise a repeat. All modules that accept an event handle
    it again. Exit code 1 if some could not be sent; these remain.
    """

    def send(some: tuple[str, ...]) -> tuple[Any, Any]:
        request = admin.RetryDeadLetters(some, ref=some[0])
        answer = ask(client, REDELIVERY, request, admin.DeadLettersRetried)
        return answer.retried, answer.refused

    _check_chosen(ids, filters, all_=all_)
    with attached(loaded) as client:
        chosen = _chosen(client, ids, filters)
        retried, refused = paced(chosen, rate, send, "retrying", admin.IDS_LIMIT)
    if json_:
        print_json({"retried": retried, "refused": dict(refused)})
    else:
        say(f"{len(retried)} on their way again, {len(refused)} not")
        say_why(refused)
    if refused:
        raise SystemExit(FAILED)


@dead_letters.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@_filters
@click.option("--all", "all_", is_flag=True, help="All there are.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@with_settings()
def purge(loaded: Loaded, ids: tuple[str, ...], all_: bool, yes: bool, **filters: Any) -> None:
    """Delete dead letters permanently, selected by id or by the options, such as --until 30d."""

    def send(some: tuple[str, ...]) -> tuple[Any, Any]:
        request = admin.PurgeDeadLetters(some, ref=some[0])
        answer = ask(client, REDELIVERY, request, admin.DeadLettersPurged)
        return answer.purged, answer.refused

    _check_chosen(ids, filters, all_=all_)
    with attached(loaded) as client:
        chosen = _chosen(client, ids, filters)
        if chosen and not yes:
            click.confirm(f"Delete {len(chosen)} dead letters for ever?", abort=True)
        purged, refused = paced(chosen, 10_000.0, send, "deleting", admin.IDS_LIMIT)
    say(f"{len(purged)} deleted")
    say_why(refused)
    if refused:
        raise SystemExit(FAILED)


def _found(client: Client, filters: dict[str, Any]) -> Iterator[admin.DeadLetter]:
    request = admin.ListDeadLetters(**filters)
    for page in pages(client, REDELIVERY, request, admin.DeadLettersListed):
        yield from page.letters


def _check_chosen(ids: tuple[str, ...], filters: dict[str, Any], *, all_: bool) -> None:
    filtered = any(value is not None for value in filters.values())
    if bool(ids) + filtered + all_ != 1:
        raise WrongUsage("give ids, selecting options, or --all")


def _chosen(client: Client, ids: tuple[str, ...], filters: dict[str, Any]) -> list[str]:
    """The selected dead letters, oldest first, which is the order of retries."""
    if ids:
        return list(dict.fromkeys(ids))
    return [letter.id for letter in _found(client, filters)][::-1]
