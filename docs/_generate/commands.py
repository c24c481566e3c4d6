"""Every command, as its own `--help` tells of it."""

from collections.abc import Iterator

import click

from callboard.cli import main
from callboard.cli.terminal.command_line import subcommands

WIDTH = 90


def commands() -> str:
    """A section for each command, in the order of the command line's own listing."""
    return "\n\n".join(
        f"## {context.command_path}\n\n```text\n{command.get_help(context)}\n```"
        for command, context in _walk(main, _context(main, "callboard"))
    )


def _walk(
    command: click.Command, context: click.Context
) -> Iterator[tuple[click.Command, click.Context]]:
    yield command, context
    if isinstance(command, click.Group):
        for name, below in subcommands(command):
            yield from _walk(below, _context(below, name, context))


def _context(
    command: click.Command, name: str, parent: click.Context | None = None
) -> click.Context:
    return click.Context(
        command,
        info_name=name,
        parent=parent,
        terminal_width=WIDTH,
        **command.context_settings,
    )
