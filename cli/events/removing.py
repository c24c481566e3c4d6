"""`callboard modules remove`."""

import sqlite3
from collections.abc import Callable, Iterator

import attrs
import click

from callboard import admin
from callboard.actors.base.event_modules import event_modules
from callboard.actors.events.bridge import event_queue
from callboard.actors.events.unclaimed import NO_MODULE
from callboard.actors.messages import GetSettings
from callboard.actors.messages.paths import REDELIVERY
from callboard.actors.system.actor_system import Client
from callboard.adapters.broker.embedded.waiting import waiting_messages
from callboard.adapters.broker.rabbitmq.probe import ProbeFailed, look
from callboard.adapters.broker.topic import bound_by
from callboard.adapters.broker.urls import mask_url
from callboard.cli.system.attached import ask, attached, pages
from callboard.cli.terminal.options import as_json, with_settings
from callboard.cli.terminal.output import FAILED, Failure, counted, escaped, print_json, say
from callboard.cli.terminal.pacing import paced, say_why
from callboard.config.loader import Loaded
from callboard.config.server_urls import broker_url
from callboard.config.settings import Settings
from callboard.webhooks.modules.protocol import EventModule

TIMEOUT_S = 5.0
RATE = 50.0
"""Dead letters a second to replay, as `dead-letters retry` does by default."""

KEEP, REPLAY, DROP = "keep", "replay", "drop"


@attrs.frozen
class Waiting:
    """The events and dead letters of a module.

    `events`: at the broker, in its queue of all events; `exact`: only those of this module.
    `letters`: ids of the dead letters that no module claimed, oldest first. `own_bindings`: of the
    module and of no other.
    """

    module: str
    source: str
    events: int
    exact: bool
    letters: tuple[str, ...]
    own_bindings: tuple[tuple[str, str], ...]


@click.command()
@click.argument("name")
@click.option(
    "--events",
    "choice",
    default=KEEP,
    show_default=True,
    type=click.Choice((KEEP, REPLAY, DROP)),
    help="What becomes of its dead letters: they stay, are sent again, or are deleted.",
)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@as_json
@with_settings()
def remove(loaded: Loaded, name: str, choice: str, yes: bool, json_: bool) -> None:
    """Count the events of the module NAME, and print how to remove it without a loss.

    Run it with the configuration that still has the module. It counts the events at the broker, and
    the dead letters that no module claimed, which it sends again or deletes if --events says so.
    It changes neither the configuration nor the queue's bindings: it prints these steps.
    """
    settings = loaded.settings
    found = event_modules(settings)
    module = next((m for m in found.modules if m.id == name.lower()), None)
    if module is None:
        reason = next((f": {p.reason}" for p in found.problems if p.module == name), "")
        raise Failure(f"there is no module {name} here{reason} (`callboard modules list`)")
    with attached(loaded) as client:
        letters = _letters(client, module)
        events, exact = _events(settings, module)
        others = {b for m in found.modules if m.id != module.id for b in m.bindings}
        own = tuple(b for b in module.bindings if b not in others)
        waiting = Waiting(
            module.id, found.sources[module.id], events, exact, tuple(x.id for x in letters), own
        )
        done, refused = _settle(client, waiting, choice, yes=yes)
    if json_:
        print_json(attrs.asdict(waiting) | {choice: done, "refused": dict(refused)})
    else:
        _tell(waiting, choice, len(done), loaded)
        say_why(refused)
    if refused:
        raise SystemExit(FAILED)


def _bound(module: EventModule, exchange: str, routing_key: str) -> bool:
    types = {each.name: bound_by(each.type, each.arguments) for each in module.exchanges}
    return any(
        exchange == bound and types[bound](key, routing_key) for bound, key in module.bindings
    )


def _letters(client: Client, module: EventModule) -> list[admin.DeadLetter]:
    request = admin.ListDeadLetters(kind=admin.EVENT)
    found = [
        letter
        for page in pages(client, REDELIVERY, request, admin.DeadLettersListed)
        for letter in page.letters
        if letter.reason == NO_MODULE and _bound(module, *letter.subject.split(" ", 1))
    ]
    return found[::-1]


def _events(settings: Settings, module: EventModule) -> tuple[int, bool]:
    """The number of events at the broker, and whether they are the module's only."""
    queue = event_queue(settings).name
    if settings.amqp.url.startswith("memory:"):
        try:
            by_key = waiting_messages(settings.data.dir, queue)
        except sqlite3.Error as problem:
            raise Failure(f"the embedded broker cannot be read: {problem}") from None
        return sum(count for key, count in by_key.items() if _bound(module, *key)), True
    try:
        return look(broker_url(settings), queue, (), TIMEOUT_S).waiting or 0, False
    except ProbeFailed as problem:
        raise Failure(f"{mask_url(settings.amqp.url)}: {problem.stage}: {problem}") from None


def _settle(
    client: Client, waiting: Waiting, choice: str, *, yes: bool
) -> tuple[list[str], list[tuple[str, str]]]:
    """Carry out the choice; returns ids of dead letters, and those refused with the reason."""
    if choice == KEEP or not waiting.letters:
        return [], []
    if choice == REPLAY:
        theirs = client.ask(client.top, GetSettings(), Settings)
        if waiting.module not in {m.id for m in event_modules(theirs).modules}:
            raise Failure(
                f"the running node does not have the module {waiting.module}: its events would "
                "become dead letters again. Start a node that has it, and replay them there"
            )
        return paced(waiting.letters, RATE, _retrying(client), "replaying", admin.IDS_LIMIT)
    if not yes:
        click.confirm(f"Delete {len(waiting.letters)} events for ever?", abort=True)
    return paced(waiting.letters, 10_000.0, _purging(client), "deleting", admin.IDS_LIMIT)


_Sent = tuple[tuple[str, ...], tuple[tuple[str, str], ...]]


def _retrying(client: Client) -> Callable[[tuple[str, ...]], _Sent]:
    def send(some: tuple[str, ...]) -> _Sent:
        request = admin.RetryDeadLetters(some, ref=some[0])
        answer = ask(client, REDELIVERY, request, admin.DeadLettersRetried)
        return answer.retried, answer.refused

    return send


def _purging(client: Client) -> Callable[[tuple[str, ...]], _Sent]:
    def send(some: tuple[str, ...]) -> _Sent:
        request = admin.PurgeDeadLetters(some, ref=some[0])
        answer = ask(client, REDELIVERY, request, admin.DeadLettersPurged)
        return answer.purged, answer.refused

    return send


def _tell(waiting: Waiting, choice: str, done: int, loaded: Loaded) -> None:
    of_all = "" if waiting.exact else ", those of all modules included"
    say(f"{waiting.module} ({escaped(waiting.source)})")
    say(f"  {counted(waiting.events, 'event')} at the broker{of_all}")
    left = len(waiting.letters)
    say(f"  {counted(left, 'dead letter')} that no module claimed")
    if choice != KEEP:
        say(f"  {done} of them {'sent again' if choice == REPLAY else 'deleted'}")
    for number, step in enumerate(_steps(waiting, choice, left - done, loaded), 1):
        say(f"{number}. {escaped(step)}")


def _steps(waiting: Waiting, choice: str, left: int, loaded: Loaded) -> Iterator[str]:
    """What to do, in this order."""
    queue = event_queue(loaded.settings).name
    if left and choice == KEEP:
        yield (
            "Decide on the dead letters: --events replay sends them again while a node has the "
            "module, --events drop deletes them; those that you keep are deleted after "
            "dead_letters.keep_days"
        )
    if waiting.own_bindings:
        which = ", ".join(f"{exchange} {key}" for exchange, key in waiting.own_bindings)
        yield (
            f"If no more events are to come, remove these bindings of the queue {queue} at the "
            f"broker: {which}. A node that has the module makes them again when it connects"
        )
    if waiting.events:
        yield "Wait until this command counts no events at the broker"
    yield (
        f"Remove the module ({waiting.source}) and restart the nodes, one after the other. Events "
        "that come later go to the nodes that still have it; after a minute without one they "
        f"become dead letters ({NO_MODULE})"
    )
