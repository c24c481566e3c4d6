"""`callboard events`."""

import time
from collections.abc import Iterator
from typing import Any

import click

from callboard import admin
from callboard.actors.delivery.waiting_deliveries import index_file
from callboard.actors.messages import HookQueue, HookQueues, ListHookQueues
from callboard.actors.messages.paths import RETRY_QUEUE
from callboard.actors.operations.waiting import PAGE, WaitingRequests
from callboard.actors.system.actor_system import SystemUnreachable, attach, owner_of
from callboard.adapters.repositories.attempt_history import attempts
from callboard.adapters.repositories.dead_letters import DeadLetterStore, Window
from callboard.adapters.store.protocol import Document, DocumentStore, StoreError
from callboard.cli.terminal.options import as_json, with_settings
from callboard.cli.terminal.output import (
    WrongUsage,
    counted,
    plain,
    print_json,
    print_table,
    say,
)
from callboard.cli.terminal.store import opened_store
from callboard.cli.terminal.times import WHEN, shown
from callboard.config.loader import Loaded
from callboard.config.settings import Settings
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

    First those that wait, as far as this node knows them, and the queues of ordered and paused
    hooks, while the system runs. Then the stored attempts and dead letters, the latest first:
    successful attempts only if they are stored (attempts.log_successful).
    """
    try:
        account_id = account_argument(account)
    except BadArgument as problem:
        raise WrongUsage(str(problem)) from None
    with opened_store(loaded.settings) as store:
        both = [
            *_attempts(store, account_id, text, since),
            *_letters(store, account_id, text, since),
        ]
    ended = sorted(both, key=lambda one: str(one["at"]), reverse=True)
    found = [*_waiting(loaded.settings, account_id, text, limit), *ended]
    queues = _queues(loaded.settings, account_id, text)
    found[:0] = [_as_waiting(one) for queue in queues for one in queue.deliveries]
    if json_:
        print_json(found[:limit])
        return
    for queue in queues:
        waiting = f"{counted(queue.count, 'delivery', 'deliveries')} in order"
        state = " (paused)" if queue.paused else ""
        plain(f"hook {queue.hook_id}{state}: {waiting}; the text was looked for in the first ones")
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


def _waiting(
    settings: Settings, account_id: str, text: str, limit: int
) -> Iterator[dict[str, Any]]:
    """Those in the retry queue, by this node's index, if it has one."""
    if not settings.delivery.waiting_index_mb or not index_file(settings).exists():
        return
    requests, left = WaitingRequests(settings), limit
    try:
        after: admin.Cursor | None = ()
        while after is not None and left > 0:
            wanted = admin.ListWaiting(None, account_id, after, min(left, PAGE), text)
            listed = requests.listed(wanted)
            after, left = listed.more, left - len(listed.deliveries)
            yield from map(_as_waiting, listed.deliveries)
    except StoreError as problem:
        plain(f"waiting deliveries cannot be read: {problem}", err=True)
    finally:
        requests.close()


def _queues(settings: Settings, account_id: str, text: str) -> tuple[HookQueue, ...]:
    """The queues of ordered and paused hooks, which only a running system knows."""
    try:
        if owner_of(settings) is None:
            return ()
        wanted = ListHookQueues(None, account_id, text)
        answer: HookQueues = attach(settings).ask_actor(RETRY_QUEUE, wanted, HookQueues)
    except SystemUnreachable as problem:
        plain(f"the queues of ordered and paused hooks are not known: {problem}", err=True)
        return ()
    return answer.queues


def _as_waiting(one: admin.WaitingDelivery) -> dict[str, Any]:
    next_try = f"try {one.tries + 1} of {one.most_tries}" if one.most_tries else ""
    until = f"waits until {shown(one.due_s)}" if one.due_s > time.time() else ""
    return {
        "at": None,
        "event_id": one.event_id,
        "reference": one.reference or None,
        "hook_id": one.hook_id,
        "result": "waiting",
        "reason": ", ".join(filter(None, (one.reason, until, next_try))),
        "http": None,
        "took_ms": None,
        "due": shown(one.due_s),
        "tries": one.tries,
        "most_tries": one.most_tries,
    }


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
