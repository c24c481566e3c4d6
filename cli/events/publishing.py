"""`callboard publish`."""

import json
from collections.abc import Iterator
from typing import IO, Any

import click

from callboard.actors.messages import Published, PublishEvents
from callboard.actors.messages.paths import EVENT_BRIDGE
from callboard.cli.system.attached import attached
from callboard.cli.terminal.options import as_json, with_settings
from callboard.cli.terminal.output import WrongUsage, counted, print_json, say
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
    loaded: Loaded, file: IO[bytes], exchange: str | None, routing_key: str | None, json_: bool
) -> None:
    """Publish events from FILE or standard input, through the running system.

    FILE contains one JSON object, a list of them, or one per line. `exchange`, `routing_key` and
    `body` of an object define the message; any other object is an event's body.
    """
    events = [
        _outgoing(number, event, exchange, routing_key)
        for number, event in enumerate(_objects(file.read()), 1)
    ]
    count = unroutable = 0
    with (
        attached(loaded) as client,
        counting("publishing", len(events), quiet=json_) as step,
    ):
        for first in range(0, len(events), BATCH):
            batch = PublishEvents(tuple(events[first : first + BATCH]))
            published = client.ask_actor(EVENT_BRIDGE, batch, Published, timeout_s=30.0)
            count += published.count
            unroutable += published.unroutable
            step(len(batch.events))
    if json_:
        print_json({"published": count, "unroutable": unroutable})
    else:
        lost = f" ([yellow]{unroutable} of them reached no queue[/])" if unroutable else ""
        say(f"published {counted(count, 'event')}{lost}")


def _objects(text: bytes) -> Iterator[dict[str, Any]]:
    try:
        whole = json.loads(text)
    except ValueError:
        whole = [_line(number, line) for number, line in enumerate(text.splitlines(), 1) if line]
    for value in whole if isinstance(whole, list) else [whole]:
        if not isinstance(value, dict):
            raise WrongUsage(f"an event must be a JSON object, not {value!r:.60}")
        yield value


def _line(number: int, line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError as problem:
        raise WrongUsage(f"line {number} is not JSON: {problem}") from None


def _outgoing(
    number: int, event: dict[str, Any], exchange: str | None, routing_key: str | None
) -> OutgoingEvent:
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
