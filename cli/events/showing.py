"""`callboard events`."""

import time
from collections.abc import Iterator
from typing import Any

import click

from callboard.adapters.repositories.attempt_history import attempts
from callboard.adapters.repositories.dead_letters import DeadLetterStore, Window
from callboard.adapters.store import stores
from callboard.adapters.store.protocol import Document, DocumentStore, StoreError
from callboard.cli.terminal.options import as_json, with_settings
from callboard.cli.terminal.output import Failure, WrongUsage, print_json, print_table, say
from callboard.cli.terminal.times import WHEN, shown
from callboard.config.loader import Loaded
from callboard.config.server_urls import store_url
from callboard.webhooks.history.attempts import DURATION, REFERENCE, concerns
from callboard.webhooks.hooks.arguments import BadArgument, account_argument
from callboard.webhooks.values.kazoo_names import GREGORIAN_OFFSET_S, gregorian_s

CHUNK = 100
_MONTH = "31d"


@click.group()
def events() -> None:
    """What became of events."""


@events.command()
@click.argument("text")
@click.option("--account", required=True, metavar="ACCOUNT_ID", help="The event's account.")
@click.option("--since", type=WHEN, default=_MONTH, show_default=True, help="The earliest time.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1))
@as_json
@with_settings()
def show(loaded: Loaded, text: str, account: str, since: float, limit: int, json_: bool) -> None:
    """Show the deliveries of the event with the id or reference TEXT, or of events that contain it.

    These are the stored attempts and dead letters, the latest first: successful attempts only if
    they are stored (attempts.log_successful). `callboard deliveries list` shows those that wait.
    """
    try:
        account_id = account_argument(account)
    except BadArgument as problem:
        raise WrongUsage(str(problem)) from None
    couchdb = loaded.settings.couchdb
    store = stores.connect(
        store_url(loaded.settings), loaded.settings.data.dir, couchdb.timeout_ms / 1000
    )
    try:
        both = [
            *_attempts(store, account_id, text, since),
            *_letters(store, account_id, text, since),
        ]
    except StoreError as problem:
        raise Failure(str(problem)) from None
    finally:
        store.close()
    found = sorted(both, key=lambda one: str(one["at"]), reverse=True)
    if json_:
        print_json(found[:limit])
        return
    if not found:
        say("nothing is recorded of it")
        return
    columns = ["at", "event_id", "hook_id", "result", "reason", "http", "took_ms"]
    if any(one["reference"] for one in found):
        columns.insert(2, "reference")
    print_table(columns, ([one[name] for name in columns] for one in found[:limit]))
    if len(found) > limit:
        say(f"[yellow]{len(found)} are recorded: raise --limit, or narrow it down[/]")


def _attempts(
    store: DocumentStore, account_id: str, text: str, since: float
) -> Iterator[dict[str, Any]]:
    found = attempts(store, account_id, None, gregorian_s(since), gregorian_s(time.time()))
    for document in found:
        if concerns(document, text):
            yield _line(
                document,
                document.get("result"),
                document.get("client_error") or document.get("reason"),
                document.get("resp_status_code"),
                document.get(DURATION),
            )


def _letters(
    store: DocumentStore, account_id: str, text: str, since: float
) -> Iterator[dict[str, Any]]:
    letters, after = DeadLetterStore(store), None
    window = Window(account_id, since=gregorian_s(since))
    while True:
        rows, after = letters.page(window, after, CHUNK)
        there = letters.get([str(row.id) for row in rows])
        for document in there.values():
            if concerns(document, text):
                yield _line(document, "dead letter", document.get("reason"), None, None)
        if after is None:
            return


def _line(
    document: Document, result: Any, reason: Any, status: Any, took_ms: Any
) -> dict[str, Any]:
    return {
        "at": shown(document["pvt_created"] - GREGORIAN_OFFSET_S),
        "event_id": document.get("event_id"),
        "reference": document.get(REFERENCE),
        "hook_id": document.get("hook_id"),
        "result": result,
        "reason": reason,
        "http": status,
        "took_ms": took_ms,
    }
