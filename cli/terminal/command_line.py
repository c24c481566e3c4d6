"""The group of all commands: each is imported when it is run, so that it waits for no other."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from io import TextIOWrapper
from typing import Any

import click


class Later(click.Command):
    """A command that is not imported yet. `place`: module and attribute, `package.module:name`.

    `short_help` is its line in the list of commands: the first sentence of its help.
    """

    def __init__(self, name: str, place: str, short_help: str) -> None:
        super().__init__(name, short_help=short_help)
        self._place = place

    def load(self) -> click.Command:
        """Import the command."""
        module, _, attribute = self._place.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


class CommandLine(click.Group):
    """The group of all commands. Its output never fails for its characters: a locale that lacks
    one gets it in Python's notation."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run a command. Arguments are text: no store and no broker takes other bytes."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        return super().main(*args, **options)

    def make_context(
        self, info_name: str | None, args: list[str], *more: Any, **options: Any
    ) -> click.Context:
        """The context of a run; errors as those of commands."""
        with _own_errors():
            for argument in args:
                if argument.encode(errors="replace") != argument.encode(errors="surrogatepass"):
                    raise click.UsageError(f"{argument!r} is no text in UTF-8")
            return super().make_context(info_name, args, *more, **options)

    def invoke(self, context: click.Context) -> Any:
        """Run the command; errors as those of commands."""
        with _own_errors():
            return super().invoke(context)

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is to be run, imported."""
        name, command, rest = super().resolve_command(context, args)
        return name, command.load() if isinstance(command, Later) else command, rest


@contextmanager
def _own_errors() -> Iterator[None]:
    """Tell the errors of the command line as commands tell theirs; exit code 2."""
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        # Not imported before: it takes longer than the help.
        from callboard.cli.terminal.output import WrongUsage

        message = error.format_message().rstrip(".")
        where = f" (see `{error.ctx.command_path} --help`)" if error.ctx else ""
        raise WrongUsage(f"{message[:1].lower()}{message[1:]}{where}") from None


def subcommands(group: click.Group) -> Iterator[tuple[str, click.Command]]:
    """The commands of a group with their names, in the order of its help, imported."""
    for name, command in sorted(group.commands.items()):
        yield name, command.load() if isinstance(command, Later) else command
