"""`callboard health` and `callboard metrics`."""

import click

from callboard.actors.messages import GetHealth, GetMetrics, Health, MetricsText
from callboard.actors.messages.paths import METRICS
from callboard.cli.system.attached import attached
from callboard.cli.terminal.options import as_json, with_settings
from callboard.cli.terminal.output import DONE, FAILED, escaped, print_json, say
from callboard.config.loader import Loaded


@click.command()
@as_json
@with_settings()
def health(loaded: Loaded, json_: bool) -> None:
    """Show whether the node is ready (exit code 0), or why it is not (1).

    Ready means that the broker and the store respond and every actor runs.
    """
    with attached(loaded) as client:
        found: Health = client.ask_actor(METRICS, GetHealth(), Health)
    if json_:
        print_json({"ready": found.ready, "problems": found.problems})
    elif found.ready:
        say("[green]ready[/]")
    else:
        for problem in found.problems:
            say(f"[red]not ready:[/] {escaped(problem)}")
    raise SystemExit(DONE if found.ready else FAILED)


@click.command()
@with_settings()
def metrics(loaded: Loaded) -> None:
    """Print all metrics in Prometheus' text format."""
    with attached(loaded) as client:
        found: MetricsText = client.ask_actor(METRICS, GetMetrics(), MetricsText)
    click.echo(found.text, nl=False)
