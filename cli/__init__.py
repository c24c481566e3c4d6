"""The command line, with one file for each group of commands."""

from importlib.metadata import version

import click

from callboard.cli.completion import completion
from callboard.cli.configuration import config
from callboard.cli.dead_letters import dead_letters
from callboard.cli.demo import demo
from callboard.cli.doctor import doctor
from callboard.cli.events import publish
from callboard.cli.hooks import hooks
from callboard.cli.lifecycle import join, start, status, stop, tree
from callboard.cli.listen import listen
from callboard.cli.maintenance import maintenance
from callboard.cli.metrics import health, metrics
from callboard.cli.modules import modules
from callboard.cli.plan import plan_
from callboard.cli.replay import replay, test_hook
from callboard.cli.tokens import tokens
from callboard.cli.top import top


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(version("callboard"), "-V", "--version", prog_name="callboard")
def main() -> None:
    """Callboard turns AMQP events into webhooks.

    Without configuration it uses the embedded broker and store; `callboard demo` shows it at work.
    Exit codes: 0 done, 1 failed, 2 wrong usage.
    """


for command in (
    *(start, join, stop, status, tree, top, health, metrics),
    *(publish, hooks, tokens, modules),
    *(dead_letters, replay, test_hook, maintenance, config, demo),
    *(listen, doctor, plan_, completion),
):
    main.add_command(command)
