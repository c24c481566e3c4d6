"""`callboard status`, `tree` and `stop`."""

import os
import select
import time

import attrs
import click

from callboard.cli.system.attached import attached
from callboard.cli.system.attached import owner as owner_in
from callboard.cli.system.metrics import health_of, print_health
from callboard.cli.system.tree_text import age, figures_text, print_tree
from callboard.cli.system.waiting import not_running, wait_until_loaded
from callboard.cli.terminal.options import as_json, with_settings
from callboard.cli.terminal.output import DONE, FAILED, Failure, print_json, print_table, say
from callboard.config.loader import Loaded
from callboard.supervision import GetTree, Stop, TreeNode


@click.command()
@click.option(
    "--timeout",
    default=60.0,
    show_default=True,
    type=click.FloatRange(0),
    help="Seconds to wait for the end.",
)
@with_settings()
def stop(loaded: Loaded, timeout: float) -> None:
    """Stop the running system in order, and wait for its end."""
    running = owner_in(loaded)
    with attached(loaded) as client:
        assert running is not None
        pidfd = os.pidfd_open(running.pid)
        client.system.tell(client.top, Stop())
        if not select.select([pidfd], (), (), timeout)[0]:
            raise Failure(f"process {running.pid} has not ended within {timeout:g} s")
    say("stopped")


@click.command()
@click.option(
    "--wait",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="Wait up to SECONDS until it is complete and its hooks are loaded.",
)
@as_json
@with_settings()
def status(loaded: Loaded, wait: float | None, json_: bool) -> None:
    """Show whether a system is running and complete (exit code 0), or not (1).

    It shows also whether it is ready, as `callboard health` does, without changing the exit code.
    """
    if wait is not None:
        wait_until_loaded(loaded.settings, wait, quiet=json_)
    running = owner_in(loaded)
    if running is None:
        if json_:
            print_json({"running": False, "data_dir": str(loaded.settings.data.dir)})
        else:
            say(f"not running on {loaded.settings.data.dir}")
        raise SystemExit(FAILED)
    with attached(loaded) as client:
        top = client.ask(client.top, GetTree(), TreeNode)
        health = health_of(client)
    nodes, broken = list(top.below()), not_running(top)
    figures = {n.path: dict(n.stats) for n in nodes if n.stats}
    if json_:
        print_json(
            {
                "running": True,
                "whole": not broken,
                "not_running": broken,
                **health.as_plain(),
                "pid": running.pid,
                "uptime_s": round(time.time() - running.started_at, 1),
                "restarts": sum(n.restarts for n in nodes),
                "actors": figures,
            }
        )
    else:
        uptime = age(time.time() - running.started_at)
        whole = "[green]whole[/]" if not broken else f"[red]not complete: {', '.join(broken)}[/]"
        say(f"running for {uptime} (process {running.pid}), {len(nodes)} actors, tree {whole}")
        print_health(health)
        print_table(("actor", "figures"), ((p, figures_text(s)) for p, s in figures.items()))
    raise SystemExit(FAILED if broken else DONE)


@click.command()
@as_json
@with_settings()
def tree(loaded: Loaded, json_: bool) -> None:
    """Show the live supervision tree."""
    with attached(loaded) as client:
        top = client.ask(client.top, GetTree(), TreeNode)
    if json_:
        print_json(attrs.asdict(top))
    else:
        print_tree(top)
