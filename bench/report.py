"""What was measured: figures in sections, as text, Markdown and JSON; plot.py makes the image."""

import json
import statistics
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from attrs import asdict, evolve, field, frozen


@frozen
class Figure:
    """One thing measured several times: its values in the order of the runs, in `unit`.

    Where it has a goal, its median is to be `at_least` or `at_most` so much.
    """

    name: str
    unit: str
    values: tuple[float, ...] = field(converter=tuple)
    at_least: float | None = None
    at_most: float | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def goal(self) -> str:
        """The goal and whether it is reached; empty where there is none."""
        if self.at_least is not None:
            reached, words = self.median >= self.at_least, f"at least {amount(self.at_least)}"
        elif self.at_most is not None:
            reached, words = self.median <= self.at_most, f"at most {amount(self.at_most)}"
        else:
            return ""
        return f"{words}: {'reached' if reached else 'not reached'}"

    @property
    def cells(self) -> tuple[str, ...]:
        spread = (self.median, min(self.values), max(self.values))
        return (self.name, self.unit, *map(amount, spread), self.goal)


@frozen
class Table:
    """What is said rather than measured, such as what each contender guarantees."""

    header: tuple[str, ...] = field(converter=tuple)
    rows: tuple[tuple[str, ...], ...] = field(converter=lambda rows: tuple(map(tuple, rows)))


@frozen
class Section:
    """The figures of one measure, with what a reader must know of them."""

    title: str
    figures: tuple[Figure, ...] = field(converter=tuple)
    text: str = ""
    """How it was measured: one paragraph of plain words."""
    tables: tuple[Table, ...] = field(default=(), converter=tuple)


@frozen
class Report:
    """All sections of one run of the benchmark, and the setting it ran in."""

    setting: str
    sections: tuple[Section, ...] = field(converter=tuple)

    def text(self) -> str:
        """For terminals."""
        return self._laid_out(_columns)

    def markdown(self) -> str:
        """A page of the documentation."""
        return f"# Measured\n\n{self._laid_out(_pipes)}\n\n![The figures as bars](report.svg)"

    def json(self) -> str:
        return json.dumps(asdict(self, value_serializer=_plain), indent=2)

    @property
    def goals(self) -> Section:
        """The figures of all sections that have a goal."""
        figures = [
            evolve(figure, name=f"{section.title}: {figure.name}")
            for section in self.sections
            for figure in section.figures
            if figure.goal
        ]
        return Section("Goals", figures)

    def _laid_out(self, layout: "Layout") -> str:
        sections = [section for section in (self.goals, *self.sections) if section.figures]
        return "\n".join([self.setting, *(_text(section, layout) for section in sections)])

    def write(self, folder: Path) -> None:
        """Write report.txt, report.md and report.json into the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.txt").write_text(self.text() + "\n")
        (folder / "report.md").write_text(self.markdown() + "\n")
        (folder / "report.json").write_text(self.json() + "\n")


def amount(value: float) -> str:
    """A number as people read it: three digits that say something, thousands separated."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def by_unit(section: Section) -> Iterator[tuple[str, list[Figure]]]:
    """The section's figures that can stand on one axis, in the order in which they were given."""
    units = list(dict.fromkeys(figure.unit for figure in section.figures))
    ordered = sorted(section.figures, key=lambda figure: units.index(figure.unit))
    for unit, figures in groupby(ordered, key=lambda figure: figure.unit):
        yield unit, list(figures)


FIGURES = ("measure", "unit", "median", "min", "max", "goal")
Layout = Callable[[Sequence[str], Sequence[Sequence[str]]], str]


def _text(section: Section, layout: Layout) -> str:
    parts = ["", f"## {section.title}"]
    if section.text:
        parts += ["", section.text]
    if section.figures:
        parts += ["", layout(FIGURES, [figure.cells for figure in section.figures])]
    for table in section.tables:
        parts += ["", layout(table.header, table.rows)]
    return "\n".join(parts)


def _columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    return "\n".join(
        "  ".join(map(str.ljust, row, widths)).rstrip() for row in (tuple(header), *rows)
    )


def _pipes(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = (header, ["---"] * len(header), *rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(_owner: type, _field: Any, value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
