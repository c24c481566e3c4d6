"""`callboard explain`."""

from itertools import groupby
from typing import Any, BinaryIO

import attrs
import click

from callboard import admin
from callboard.actors.messages.paths import REDELIVERY
from callboard.cli.system.attached import ask, attached
from callboard.cli.system.metrics import health_of
from callboard.cli.terminal.options import as_json, with_settings
from callboard.cli.terminal.output import WrongUsage, escaped, print_json, say
from callboard.config.loader import Loaded
from callboard.webhooks.metrics.health import EXCHANGE


@click.command()
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--exchange", required=True, help="Exchange that the event would come from.")
@click.option("--routing-key", default="", help="Its routing key.")
@click.option(
    "--header",
    "headers",
    multiple=True,
    metavar="NAME:VALUE",
    help="A header of the message, for a headers exchange; may be repeated.",
)
@click.option("--content-type", default="application/json", show_default=True)
@click.option("--message-id", help="Its AMQP property message_id.")
@as_json
@with_settings()
def explain(
    loaded: Loaded,
    file: BinaryIO,
    exchange: str,
    routing_key: str,
    headers: tuple[str, ...],
    content_type: str,
    message_id: str | None,
    json_: bool,
) -> None:
    """Explain what the event in FILE would do, step by step, and why. Nothing is sent.

    FILE contains the message as it is published, by default standard input. The running system
    answers with its modules and the hooks as they are stored now. The exit code is 0 whatever
    becomes of the event.
    """
    request = admin.ExplainEvent(
        exchange, routing_key, file.read(), content_type, message_id, _pairs(headers)
    )
    with attached(loaded) as client:
        found = ask(client, REDELIVERY, request, admin.EventExplained)
        losses = [one.what for one in health_of(client).degraded if one.kind == EXCHANGE]
    if json_:
        print_json({**attrs.asdict(found), "left_out": losses})
        return
    outcomes = {module: outcome for outcome, module in found.outcomes}
    for module, steps in groupby(found.steps, key=lambda step: step.module):
        say(f"[bold]{escaped(module) or 'no module'}[/]: {escaped(outcomes[module])}")
        for step in steps:
            mark = "[green]ok[/]" if step.passed else "[red]no[/]"
            hook = f"{step.hook_id}: " if step.hook_id else ""
            say(f"  {mark}  {step.stage:8}  {escaped(hook + step.what)}")
    for loss in losses:
        say(f"[yellow]but[/] {escaped(loss)}")


def _pairs(headers: tuple[str, ...]) -> tuple[tuple[str, Any], ...]:
    pairs = []
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            raise WrongUsage(f"--header must be NAME:VALUE, not {header!r}")
        pairs.append((name.strip(), value.strip()))
    return tuple(pairs)
