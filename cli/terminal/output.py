"""Output of commands: tables for people, JSON for programs, and errors with remedies.

Names, URLs, headers and bodies come from tenants and endpoints. What people see of them goes
through `visible`, so that none can move the cursor, hide text or imitate a line of ours.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import click
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

DONE, FAILED, WRONG_USAGE, DIFFERENT = 0, 1, 2, 3
"""Exit codes."""


_WIDEST = 10_000
"""More columns than anything has that is measured."""


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


Value = TypeVar("Value")


def stream_json(values: Iterable[Value]) -> Value | None:
    """Print values for programs as they come, as an array with one of them per line.

    Returns the last one.
    """
    last = None
    for value in values:
        print_text(("[\n" if last is None else ",\n") + json.dumps(value, default=str))
        last = value
    print_text("[]\n" if last is None else "\n]\n")
    return last


def print_text(text: str) -> None:
    """Print text for programs: unchanged, but on a terminal."""
    click.echo(visible(text, keep="\n\t") if sys.stdout.isatty() else text, nl=False)


def print_table(
    headers: Sequence[str], rows: Iterable[Sequence[object]], optional: Sequence[str] = ()
) -> None:
    """Print rows for people; without a terminal, wide rows are not truncated.

    A tuple in place of a cell is several lines. `optional`: columns that a terminal too narrow for
    the table does without, the first of them first.
    """
    on_terminal = sys.stdout.isatty()
    console = Console(highlight=False, width=None if on_terminal else 200)
    cells = [[_cell(cell) for cell in row] for row in rows]
    console.print(_fitting(console, headers, cells, optional if on_terminal else ()))


def _fitting(
    console: Console, headers: Sequence[str], rows: Sequence[list[Text]], optional: Sequence[str]
) -> Table:
    """The table with as many of the optional columns as the terminal has room for."""
    for left_out in range(len(optional) + 1):
        shown = [n for n, header in enumerate(headers) if header not in optional[:left_out]]
        table = Table(box=None, pad_edge=False, header_style="bold")
        for number in shown:
            table.add_column(headers[number], overflow="fold")
        for row in rows:
            table.add_row(*(row[number] for number in shown))
        if full_width(console, table) <= console.width:
            break
    return table


def full_width(console: Console, shown: RenderableType) -> int:
    """The columns that it needs, without shortening or folding."""
    return Measurement.get(console, console.options.update(width=_WIDEST), shown).maximum


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
