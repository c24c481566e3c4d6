"""Output of commands: tables for people, JSON for programs, and errors with remedies."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table

DONE, FAILED, WRONG_USAGE = 0, 1, 2
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
    """Print a line for people, with rich's markup."""
    Console(highlight=False, soft_wrap=True).print(text)


def complain(text: str) -> None:
    """Print an error without markup, to standard error."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(
        f"[bold red]error:[/] {escaped(text)}"
    )


def print_json(value: Any) -> None:
    """Print a value for programs."""
    json.dump(value, sys.stdout, indent=2, default=str)
    sys.stdout.write("\n")


def print_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows for people; without a terminal, wide rows are not truncated."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in headers:
        table.add_column(header, overflow="fold")
    for row in rows:
        table.add_row(*(escaped("" if cell is None else str(cell)) for cell in row))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    console.print(table)


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun, such as `1 hook`, `2 hooks`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def escaped(text: str) -> str:
    """The text with escaped markup, for `say`."""
    return text.replace("[", r"\[")
