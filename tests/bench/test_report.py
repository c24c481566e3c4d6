"""The report of `make bench`, and what its figures are made of."""

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

sys.path.append(str(Path(__file__).parents[2] / "bench"))
import plot
from events import BYTES, body
from measures.latency import quantile
from report import Figure, Report, Section, Table, amount

THROUGHPUT = Section(
    "Throughput",
    [
        Figure("ours", "events/s", [2100.0, 1900.0, 2000.0]),
        Figure("theirs <by hand>", "events/s", [500.0]),
        Figure("ours : theirs", "times the events/s", [4.2, 3.8, 4.0], at_least=4),
        Figure("ours : the best", "times the CPU/event", [1.6, 1.7, 1.4], at_most=1.5),
    ],
    "How it was measured.",
    [Table(["", "guarantees"], [["ours", "at least once"]])],
)
REPORT = Report("2 processors", [THROUGHPUT])


def test_medians_and_spread_stand_beside_each_other():
    line = next(line for line in REPORT.text().splitlines() if line.startswith("ours  "))
    assert line.split() == ["ours", "events/s", "2,000", "1,900", "2,100"]


def test_goals_come_first_and_say_whether_they_are_reached():
    goals = REPORT.text().partition("## Throughput")[0].splitlines()[-3:]
    assert goals[0].startswith("Throughput: ours : theirs")
    assert goals[0].endswith("at least 4.00: reached")
    assert goals[1].endswith("at most 1.50: not reached")


def test_markdown_has_a_row_for_each_figure_and_row():
    rows = [line for line in REPORT.markdown().splitlines() if line.startswith("| ")]
    assert "| ours | events/s | 2,000 | 1,900 | 2,100 |  |" in rows
    assert "| ours | at least once |" in rows


def test_what_is_written_can_be_read(tmp_path):
    plot.write(REPORT, tmp_path)
    read = json.loads((tmp_path / "report.json").read_text())
    assert read["sections"][0]["figures"][0]["values"] == [2100.0, 1900.0, 2000.0]
    image = ElementTree.parse(tmp_path / "report.svg")
    texts = [element.text for element in image.iter("{http://www.w3.org/2000/svg}text")]
    assert "theirs <by hand>" in texts
    assert "2,000" in texts


def test_no_bar_reaches_out_of_the_image(tmp_path):
    plot.write(REPORT, tmp_path)
    image = ElementTree.parse(tmp_path / "report.svg").getroot()
    width = float(image.attrib["width"])
    bars = [
        float(bar.attrib["x"]) + float(bar.attrib["width"])
        for bar in image.iter("{http://www.w3.org/2000/svg}rect")
        if "x" in bar.attrib
    ]
    assert len(bars) == len(THROUGHPUT.figures)
    assert max(bars) <= width


@pytest.mark.parametrize(
    ("value", "text"), [(0.123, "0.12"), (12.34, "12.3"), (1234.5, "1,234"), (-3.2, "-3.20")]
)
def test_numbers_have_the_digits_that_say_something(value, text):
    assert amount(value) == text


def test_a_quantile_is_a_value_that_was_measured():
    ordered = [float(number) for number in range(1, 1001)]
    assert [quantile(ordered, part) for part in (0.5, 0.99, 0.999)] == [500.0, 990.0, 999.0]
    assert quantile([7.0], 0.99) == 7.0


def test_events_are_json_of_one_size():
    first, last = body(0, 0), body(10**9, 10**15)
    assert len(first) == len(last) == BYTES
    assert json.loads(last)["number"] == 10**9
    assert json.loads(last)["published"] == 10**15
