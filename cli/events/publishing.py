"""`callboard publish`."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import click

from callboard.actors.messages import Published, PublishEvents
from callboard.actors.messages.paths import EVENT_BRIDGE
from callboard.actors.system.actor_system import SystemUnreachable
from callboard.cli.events.json_stream import JsonStream, NotJson, Readable
from callboard.cli.system.attached import attached
from callboard.cli.terminal.options import as_json, with_settings
from callboard.cli.terminal.output import FAILED, Failure, WrongUsage, counted, print_json, say
from callboard.cli.terminal.progress import counting
from callboard.config.loader import Loaded
from callboard.webhooks.values.kazoo_names import encode_segment

BATCH = 100

OutgoingEvent = tuple[str, str, bytes, str]


@click.command()
@click.argument("file", type=click.File("rb"), default="-")
@click.option(
    "--exchange", help="Exchange to publish to; by default callevt, which carries call events."
)
@click.option(
    "--routing-key", help="Routing key; by default derived from the event's name and call id."
)
@as_json
@with_settings()
def publish(
    loaded: Loaded, file: Readable, exchange: str | None, routing_key: str | None, json_: bool
) -> None:
    """Publish events from FILE or standard input, through the running system.

    FILE contains one JSON object, a list of them, or one after the other. `exchange`,
    `routing_key` and `body` of an object define the message; any other object is an event's body.
    Each event is published as soon as it is read: `tail -f events | callboard publish`.
    """
    count = unroutable = 0
    interrupted = False
    with attached(loaded) as client, counting("publishing", quiet=json_) as step:
        try:
            for batch in _batches(file, exchange, routing_key):
                published = client.ask_actor(EVENT_BRIDGE, batch, Published, timeout_s=30.0)
                count += published.count
                unroutable += published.unroutable
                step(len(batch.events))
        except (NotJson, WrongUsage) as problem:
            raise WrongUsage(f"{problem}{_before(count)}") from None
        except SystemUnreachable as problem:
            raise Failure(f"{problem}{_before(count)}") from None
        except KeyboardInterrupt:  # the end of most inputs without an end
            interrupted = True
    if json_:
        print_json({"published": count, "unroutable": unroutable})
    else:
        lost = f" ([yellow]{unroutable} of them reached no queue[/])" if unroutable else ""
        say(f"published {counted(count, 'event')}{lost}")
    if interrupted:
        raise SystemExit(FAILED)


def _before(count: int) -> str:
    return f"; before it, {counted(count, 'event')} published" if count else ""


def _batches(
    file: Readable, exchange: str | None, routing_key: str | None
) -> Iterator[PublishEvents]:
    numbers = itertools.count(1)
    for values in JsonStream().read(file):
        for first in range(0, len(values), BATCH):
            some = zip(values[first : first + BATCH], numbers, strict=False)
            events, problem = [], None
            for value, number in some:
                try:
                    events.append(_outgoing(number, value, exchange, routing_key))
                except WrongUsage as error:
                    problem = error
                    break
            if events:
                yield PublishEvents(tuple(events))
            if problem is not None:
                raise problem


def _outgoing(
    number: int, event: Any, exchange: str | None, routing_key: str | None
) -> OutgoingEvent:
    if not isinstance(event, dict):
        raise WrongUsage(f"an event must be a JSON object, not {event!r:.60}")
    if {"exchange", "routing_key", "body"} <= event.keys():
        exchange, routing_key, event = event["exchange"], event["routing_key"], event["body"]
    elif routing_key is None:
        if not {"Event-Name", "Call-ID"} <= event.keys():
            raise WrongUsage(
                f"event {number} lacks Event-Name or Call-ID for a routing key: "
                f"give --exchange and --routing-key"
            )
        routing_key = f"call.{event['Event-Name']}.{encode_segment(str(event['Call-ID']))}"
    body = json.dumps(event).encode()
    return exchange or "callevt", str(routing_key), body, "application/json"
