"""The figures of a report as one SVG image: bars for the medians, lines from least to most."""

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from report import Figure, Report, Section, amount, by_unit

WIDTH, LABEL, BAR, LINE, GAP = 960, 360, 440, 22, 34
COLOURS = ("#2f6f9f", "#c2703d", "#4f8a4c", "#8a5a9e", "#b0483f", "#5b6770")


def write(report: Report, folder: Path) -> None:
    """Write the report into the folder, with the image as report.svg."""
    report.write(folder)
    (folder / "report.svg").write_text(plot(report.sections))


def plot(sections: Sequence[Section]) -> str:
    """The image; each section has one axis for each of its units."""
    y, parts = GAP, []
    for section in sections:
        for unit, figures in by_unit(section):
            parts.append(_words(12, y, f"{section.title}: {unit}", "bold"))
            parts.extend(_bars(figures, y + 10))
            y += LINE * len(figures) + GAP + 16
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" '
        f'font-family="sans-serif" font-size="13">\n<rect width="100%" height="100%" fill="white"/>'
        f"\n{''.join(parts)}</svg>\n"
    )


def _bars(figures: Sequence[Figure], y: float) -> Iterator[str]:
    most = max((max(figure.values) for figure in figures), default=0.0) or 1.0
    for number, figure in enumerate(figures):
        top = y + number * LINE
        middle = top + LINE / 2
        low, median, high = (
            LABEL + BAR * max(value, 0.0) / most
            for value in (min(figure.values), figure.median, max(figure.values))
        )
        colour = COLOURS[number % len(COLOURS)]
        yield _words(12, middle + 5, figure.name)
        yield (
            f'<rect x="{LABEL}" y="{top + 3:.1f}" width="{median - LABEL:.1f}" '
            f'height="{LINE - 6}" fill="{colour}"/>\n'
            f'<path d="M{low:.1f} {middle:.1f}H{high:.1f}" stroke="black"/>\n'
        )
        yield _words(high + 8, middle + 5, amount(figure.median))


def _words(x: float, y: float, text: str, weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-weight="{weight}">{escape(text)}</text>\n'
