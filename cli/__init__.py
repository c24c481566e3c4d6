"""The command line: `main`, and one room for each group of commands."""

import sys
from importlib.metadata import version
from io import TextIOWrapper
from typing import Any

import click

from callboard.cli.doctor import doctor
from callboard.cli.events.modules import modules
from callboard.cli.events.publishing import publish
from callboard.cli.hooks.commands import hooks
from callboard.cli.hooks.declaring import apply_, export
from callboard.cli.hooks.deliveries import deliveries
from callboard.cli.operations.dead_letters import dead_letters
from callboard.cli.operations.kazoo import kazoo
from callboard.cli.operations.maintenance import maintenance
from callboard.cli.operations.portal import portal
from callboard.cli.operations.replay import replay, test_hook
from callboard.cli.operations.tokens import tokens
from callboard.cli.planning.plan import plan_
from callboard.cli.system.configuration import config
from callboard.cli.system.lifecycle import join, start, status, stop, tree
from callboard.cli.system.metrics import health, metrics
from callboard.cli.system.top import top
from callboard.cli.terminal.completion import completion
from callboard.cli.tryout.demo import demo
from callboard.cli.tryout.listen import listen


class _CommandLine(click.Group):
    """The group of all commands. Its output never fails for its characters: a locale that lacks
    one gets it in Python's notation."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run a command."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        return super().main(*args, **options)


@click.group(
    cls=_CommandLine,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(version("callboard"), "-V", "--version", prog_name="callboard")
def main() -> None:
    """Callboard turns AMQP events into webhooks.

    Without configuration it uses the embedded broker and store; `callboard demo` shows it at work.
    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 there are differences (`apply`).
    """


for command in (
    *(start, join, stop, status, tree, top, health, metrics),
    *(publish, hooks, apply_, export, deliveries, tokens, portal, modules),
    *(dead_letters, replay, test_hook, maintenance, kazoo, config, demo),
    *(listen, doctor, plan_, completion),
):
    main.add_command(command)
