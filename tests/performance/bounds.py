"""What things may cost at most: figures in a file, and the check against them."""

import json
import math
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from attrs import Factory, define

FILE = Path(__file__).with_name("bounds.toml")

HEADER = """\
# What things may cost at most, counted rather than timed, so that the figures are the same on every
# machine: per event or per delivery unless the name says otherwise. Behind each bound stands what
# was counted when it was set; the room between is for other versions of Python and of libraries,
# and for batches, which vary with the load.
#
# A bound that is passed: something costs more than it did. If it has to, set them all anew by
# `make bounds`, and say why in the commit.
"""


def over(name: str, counted: float, bound: float | None) -> str | None:
    """What is wrong with a count, if anything is."""
    if bound is None:
        return f"{name}: {counted:g} counted, and there is no bound: make bounds"
    if counted > bound:
        return f"{name}: {counted:g} counted, the bound is {bound:g}. If it has to be: make bounds"
    return None


@define
class Bounds:
    """Bounds by name, in a table for each kind; and what was counted meanwhile."""

    tables: Mapping[str, Mapping[str, float]]
    counted: dict[str, dict[str, tuple[float, float]]] = Factory(dict)

    @classmethod
    def read(cls, file: Path = FILE) -> "Bounds":
        """Those in the file; none if it is missing."""
        return cls(tomllib.loads(file.read_text()) if file.exists() else {})

    def problem(self, table: str, name: str, counted: float, room: float) -> str | None:
        """What is wrong with a count, if anything is.

        `room`, for when bounds are set anew: how many times as much is fine.
        """
        self.counted.setdefault(table, {})[name] = counted, room
        return over(f"{table}, {name}", counted, self.tables.get(table, {}).get(name))

    def write(self, file: Path = FILE) -> None:
        """Set anew the tables of which anything was counted; what was not counted leaves them."""
        was = dict(_lines(file)) if file.exists() else {}
        text = HEADER
        for table in sorted(was.keys() | self.counted.keys()):
            lines = [_line(name, *it) for name, it in sorted(self.counted.get(table, {}).items())]
            text += "\n".join(["", f"[{table}]", *(lines or was[table]), ""])
        file.write_text(text)


def rounded(figure: float) -> float:
    """Upwards: to a whole number, a small one to hundredths."""
    return math.ceil(figure) if figure >= 20 else math.ceil(figure * 100 - 1e-9) / 100


def _line(name: str, counted: float, room: float) -> str:
    return f"{json.dumps(name)} = {rounded(counted * room):g} # {counted:g}"


def _lines(file: Path) -> Iterator[tuple[str, list[str]]]:
    """The tables in a file that `write` wrote, and their lines."""
    for table in file.read_text().split("\n\n[")[1:]:
        name, *lines = table.splitlines()
        yield name.strip("]"), lines
