"""The worked example of docs/capacity.md is what the command says."""

import re
from pathlib import Path

from click.testing import CliRunner

from callboard.cli import main

PAGE = (Path(__file__).parents[1] / "docs" / "capacity.md").read_text()


def test_the_worked_example_is_what_the_command_prints():
    commands = re.findall(r"^\$ callboard (plan .*)$", PAGE, re.MULTILINE)
    shown = re.search(r"```text\n(.*?)```", PAGE, re.DOTALL).group(1)
    ran = CliRunner().invoke(main, commands[-1].split())
    assert [line.rstrip() for line in ran.stdout.splitlines()] == shown.splitlines()


def test_each_command_of_the_page_can_be_run():
    for command in re.findall(r"^\$ callboard (plan .*)$", PAGE, re.MULTILINE):
        assert CliRunner().invoke(main, command.split()).exit_code == 0, command
