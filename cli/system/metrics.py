"""`callboard health` and `callboard metrics`."""

import time

import click

from callboard.actors.messages import GetHealth, GetMetrics, Health, MetricsText
from callboard.actors.messages.paths import METRICS
from callboard.actors.system.actor_system import Client, SystemUnreachable
from callboard.cli.system.attached import attached
from callboard.cli.terminal.options import as_json, with_settings
from callboard.cli.terminal.output import DONE, FAILED, escaped, print_json, print_text, say
from callboard.config.loader import Loaded
from callboard.webhooks.metrics.health import Problem


def health_of(client: Client, timeout_s: float = 5.0) -> Health:
    """The health of the running system; not ready if the actor that knows it does not answer."""
    try:
        found: Health = client.ask_actor(METRICS, GetHealth(), Health, timeout_s)
    except SystemUnreachable as problem:
        return Health((Problem("report", str(problem), time.time()),))
    return found


def print_health(found: Health) -> None:
    """Print whether it is ready, or each reason why it is not."""
    if found.ready:
        say("[green]ready[/]")
    for problem in found.described:
        say(f"[red]not ready:[/] {escaped(problem)}")
    for loss in found.losses:
        say(f"[yellow]degraded:[/] {escaped(loss)}")


@click.command()
@as_json
@with_settings()
def health(loaded: Loaded, json_: bool) -> None:
    """Show whether the node is ready (exit code 0), or why it is not (1).

    Ready means that nothing prevents or delays deliveries: every actor runs and reports, the
    broker and the store respond, the hooks are loaded, and events make progress. A joined machine
    that is lost degrades a node, which stays ready.
    """
    with attached(loaded) as client:
        found = health_of(client)
    if json_:
        print_json(found.as_plain())
    else:
        print_health(found)
    raise SystemExit(DONE if found.ready else FAILED)


@click.command()
@with_settings()
def metrics(loaded: Loaded) -> None:
    """Print all metrics in Prometheus' text format."""
    with attached(loaded) as client:
        found: MetricsText = client.ask_actor(METRICS, GetMetrics(), MetricsText)
    print_text(found.text)
