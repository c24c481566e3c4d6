"""Output of commands: tables for people, JSON for programs, and errors with remedies.

Names, URLs, headers and bodies come from tenants and endpoints. What people see of them goes
through `visible`, so that none can move the cursor, hide text or imitate a line of ours.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

DONE, FAILED, WRONG_USAGE, DIFFERENT = 0, 1, 2, 3
"""Exit codes."""


class Failure(click.ClickException):
    """A command failed: the text on standard error, exit code 1."""

    exit_code = FAILED

    def show(self, file: Any = None) -> None:
        """Print the error, in red on a terminal."""
        complain(self.message)


class WrongUsage(Failure):
    """The command or its configuration is wrong: exit code 2."""

    exit_code = WRONG_USAGE


def say(text: str) -> None:
    """Print lines for people, with rich's markup."""
    Console(highlight=False, soft_wrap=True).print(visible(text, keep="\n\t"))


def plain(text: str, *, err: bool = False) -> None:
    """Print lines for people as they are. `err`: to standard error."""
    click.echo(visible(text, keep="\n\t"), err=err)


def complain(text: str) -> None:
    """Print an error without markup, to standard error."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(
        Text.assemble(("error:", "bold red"), " ", visible(text, keep="\n"))
    )


def print_json(value: Any) -> None:
    """Print a value for programs."""
    json.dump(value, sys.stdout, indent=2, default=str)
    sys.stdout.write("\n")


def print_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows for people; without a terminal, wide rows are not truncated.

    A tuple in place of a cell is several lines.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in headers:
        table.add_column(header, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(cell) for cell in row))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    console.print(table)


def _cell(value: object) -> Text:
    lines = value if isinstance(value, tuple) else ("" if value is None else value,)
    return Text("\n".join(visible(str(line)) for line in lines))


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun, such as `1 hook`, `2 hooks`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def escaped(text: str) -> str:
    """The text as one line with escaped markup, for `say`."""
    return escape(visible(text))


def visible(text: str, keep: str = "") -> str:
    """The text with control, bidi and other unprintable characters in Python's notation.

    `keep`: those that stay as they are.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else _notation(c) for c in text)


def _notation(character: str) -> str:
    return character.encode("unicode_escape").decode()
