"""`callboard plan`, which needs nothing but its command line."""

import json

import pytest
from click.testing import CliRunner

from callboard.cli import main


def run(*arguments):
    return CliRunner().invoke(main, ["plan", *arguments])


def figures(*arguments):
    return {line["key"]: line for line in json.loads(run("--json", *arguments).stdout)}


def test_a_billion_a_day_is_the_default_and_is_told_with_its_formulas():
    ran = run()
    assert ran.exit_code == 0
    assert "1,000,000,000 a day / 86,400 s" in ran.stdout
    assert "Little:" in ran.stdout


def test_each_input_can_be_given():
    given = figures("--deliveries-per-day", "86400", "--peak", "1", "--cores", "4")
    assert given["deliveries_peak"]["value"] == 1
    assert given["nodes"]["value"] == 1 + 1
    assert figures("--spare", "3", "--deliveries-per-day", "86400")["nodes"]["value"] == 4


@pytest.mark.parametrize(
    ("option", "value", "rule"),
    [
        ("--failing", "2", "from 0 to 1"),
        ("--deliveries-per-day", "0", "from 1e-09 to 1e+15"),
        ("--deliveries-per-day", "1e308", "from 1e-09 to 1e+15"),
        ("--fan-out", "1e-320", "from 1e-09 to 1e+15"),
        ("--body-bytes", "nan", "from 0 to 1e+15"),
        ("--answer-ms", "1e308", "from 0 to 1e+15"),
        ("--retries", "1e308", "from 0 to 1e+15"),
        ("--peak", "inf", "from 1 to 1e+15"),
        ("--cores", "0", "from 1 to 1e+15"),
        ("--cores", "9" * 400, "from 1 to 1e+15"),
    ],
)
def test_what_cannot_be_is_wrong_usage(option, value, rule):
    ran = run(option, value)
    assert ran.exit_code == 2
    assert f"{option} must be {rule}" in ran.stderr


def test_the_help_tells_each_input_with_its_default():
    told = " ".join(run("--help").stdout.split())
    assert "--deliveries-per-day FLOAT" in told
    assert "Maximum requests in flight in a deliverer (delivery.threads). [default: 32]" in told
