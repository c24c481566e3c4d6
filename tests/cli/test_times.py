"""Times and spans on command lines."""

import os
import time

import click
import pytest
from click.testing import CliRunner

from callboard.cli import main
from callboard.cli.operations.portal import Span
from callboard.cli.terminal.times import WHEN, shown, span_s


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("1s", 1),
        ("90m", 5400),
        ("2h", 7200),
        ("7d", 604_800),
        ("0s", 0),
        ("999999999s", 999_999_999),
        *(
            (text, None)
            for text in ("", "5", "s", "1w", "1x", "-1s", "1.5h", "1h30m", " 1s", "9" * 10 + "s")
        ),
    ],
)
def test_a_span_is_a_number_with_its_unit(written, seconds):
    assert span_s(written) == seconds
    assert span_s("2w", "smhdw") == 1_209_600


@pytest.mark.parametrize(
    ("written", "unix_s"),
    [
        ("2026-11-24", 1_795_478_400),
        ("2026-11-24T10:00", 1_795_514_400),
        ("2026-11-24T10:00+01:00", 1_795_510_800),
        ("2026-11-24T10:00:00Z", 1_795_514_400),
        ("90m", 1_800_000_000 - 5400),
        ("999999999s", 800_000_001),
        ("999999w", 0),
        (17, 17),
        (1.5, 1.5),
    ],
)
def test_a_time_is_in_utc_or_so_long_ago(written, unix_s, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1_800_000_000.0)
    assert WHEN.convert(written, None, None) == unix_s


@pytest.mark.parametrize("written", ["", "yesterday", "10:00", "2026-13-01", "90"])
def test_what_is_no_time_is_refused_with_examples(written):
    with pytest.raises(click.BadParameter, match=r"is no valid time: give 2026-11-24T10:00 .*7d$"):
        WHEN.convert(written, None, None)


def test_a_time_is_shown_in_utc():
    assert shown(1_795_514_400.9) == "2026-11-24 10:00:00Z"


@pytest.mark.parametrize(("written", "seconds"), [("1m", 60), ("60s", 60), ("7d", 604_800)])
def test_a_link_lasts_from_a_minute_to_seven_days(written, seconds):
    assert Span().convert(written, None, None) == seconds
    assert Span().convert(90, None, None) == 90


@pytest.mark.parametrize("written", ["59s", "604801s", "8d", "1w", "1", "x"])
def test_a_link_of_another_life_is_refused(written):
    with pytest.raises(click.BadParameter, match="is no time from 1m to 7d, such as 90m, 8h or 2d"):
        Span().convert(written, None, None)


@pytest.mark.parametrize(
    ("written", "is_usage"),
    [("1", 0), ("1s", 0), ("366d", 0), ("31622400", 0)]
    + [
        (wrong, 1) for wrong in ("0", "0s", "367d", "31622401", "-1", "1y", "1w", "x", "", "9" * 10)
    ],
)
def test_a_secret_ends_within_a_year(written, is_usage, tmp_path):
    variables = {"CALLBOARD_CONFIG": os.devnull, "CALLBOARD_DATA_DIR": str(tmp_path)}
    arguments = ["hooks", "secret", "new", "h", "--expires-in", written]
    ran = CliRunner().invoke(main, arguments, env=variables)
    assert ("is no time from 1s to 366d" in ran.stderr) is bool(is_usage), ran.output
    assert (ran.exit_code == 2) is bool(is_usage), ran.output
