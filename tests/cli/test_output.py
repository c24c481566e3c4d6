"""What comes from tenants and endpoints cannot steer the terminal."""

import json
import os
import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from callboard import cli
from callboard.cli import main
from callboard.cli.terminal import output
from callboard.cli.terminal.output import print_table
from support.running import ACCOUNT

EVIL = {
    "\x1b[2J\x1b]0;title\x07": r"\x1b[2J\x1b]0;title\x07",
    "a\u202eb\u2066c": r"a\u202eb\u2066c",
    "tab\there": r"tab\there",
    "line\r\nerror: done": r"line\r\nerror: done",
    "\x9b31m": r"\x9b31m",
    "zero\u200bwidth": r"zero\u200bwidth",
    "\ud800": r"\ud800",
    "[bold red]x[/]": "[bold red]x[/]",
    r"\[bold red]x": r"\[bold red]x",
    "x\\": "x\\",
    "Zoë 注文 🙂": "Zoë 注文 🙂",
}


@pytest.mark.parametrize(("text", "shown"), EVIL.items())
def test_of_every_text_only_what_can_be_seen_is_printed(text, shown, capsys):
    output.say(f"[bold]{output.escaped(text)}[/]!")
    output.print_table(["a"], [[text]])
    line, _header, row = capsys.readouterr().out.splitlines()
    assert (line, row.rstrip()) == (f"{shown}!", shown)


@pytest.mark.parametrize("print_", [output.say, output.plain, output.complain])
def test_lines_of_ours_stay_lines_and_the_rest_is_shown(print_, capsys):
    print_("one\ntwo \x1b[31m\u202e\x00")
    captured = capsys.readouterr()
    first, second = (captured.out + captured.err).splitlines()
    assert first.endswith("one")
    assert second == r"two \x1b[31m\u202e\x00"


LONG = "7 of 'x' at https://e.example/ " + "word " * 30 + "."


def test_lines_are_neither_folded_nor_styled_by_what_they_hold(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    output.say(LONG)
    output.complain(LONG)
    said, complained = capsys.readouterr()
    assert said == f"{LONG}\n"
    assert complained == f"\x1b[1;31merror:\x1b[0m {LONG}\n"


def test_a_wide_row_is_folded_at_200_columns(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    print_table(("one",), [("7" * 201,)])
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.startswith("\x1b[1mone")
    assert [row.rstrip() for row in rows] == ["7" * 200, "7"]


def test_programs_get_indented_json(capsys):
    output.print_json({"a": [1]})
    assert capsys.readouterr().out == '{\n  "a": [\n    1\n  ]\n}\n'


def test_names_of_tokens_are_shown_and_not_obeyed(tmp_path):
    variables = {"CALLBOARD_CONFIG": os.devnull, "CALLBOARD_DATA_DIR": str(tmp_path)}

    def run(*arguments):
        return CliRunner().invoke(main, ["tokens", *arguments], env=variables).stdout

    name = "\x1b[2J\u202e\nfake"
    run("add", "--account", ACCOUNT, "--name", name)
    assert r"\x1b[2J\u202e\nfake" in run("list")
    listed = run("list", "--json")
    assert "\x1b" not in listed
    assert json.loads(listed)[0]["name"] == name


@pytest.mark.parametrize(
    ("option", "value", "shown"),
    [
        ("--amqp-url", "amqp://u:s3/cret@h/", True),
        ("--couchdb-url", "http://u:s3cret@h", True),
        ("--actors-key", "s3cret" * 6, True),
        ("--amqp-url", "amqp://u@h/", False),
        ("--amqp-queue", "events", False),
    ],
)
def test_a_secret_among_the_options_is_warned_of(tmp_path, option, value, shown):
    variables = {"CALLBOARD_CONFIG": os.devnull, "CALLBOARD_DATA_DIR": str(tmp_path)}
    for command in (["config", "show"], ["status"]):
        result = CliRunner().invoke(main, [*command, option, value], env=variables)
        warned = f"warning: {option} shows a secret to all users" in result.stderr
        assert warned == shown
        assert "s3" not in result.stderr


def test_a_secret_of_the_environment_is_not_warned_of(tmp_path):
    variables = {
        "CALLBOARD_CONFIG": os.devnull,
        "CALLBOARD_DATA_DIR": str(tmp_path),
        "CALLBOARD_AMQP_URL": "amqp://u:s3cret@h/",
    }
    assert CliRunner().invoke(main, ["config", "show"], env=variables).stderr == ""


def printed_at(width, monkeypatch, capsys, optional):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    print_table(("name", "class", "figures"), [("a" * 20, "b" * 20, "c" * 40)], optional)
    return re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("width", "headers"),
    [
        (84, ["name", "class", "figures"]),
        (83, ["name", "class"]),
        (42, ["name", "class"]),
        (41, ["name"]),
    ],
)
def test_a_narrow_terminal_does_without_optional_columns(monkeypatch, capsys, width, headers):
    shown = printed_at(width, monkeypatch, capsys, ("figures", "class"))
    assert shown.splitlines()[0].split() == headers
    assert len(shown.splitlines()) == 2


def test_a_file_has_all_columns(capsys):
    print_table(("name", "class"), [("a" * 150, "b" * 150)], ("class",))
    assert capsys.readouterr().out.splitlines()[0].split() == ["name", "class"]


def test_commands_print_through_one_place():
    """So that nothing that comes from tenants reaches a terminal as it is."""
    printing = re.compile(r"\b(click\.(secho|echo|style)|print|sys\.std(out|err)\.write)\(")
    # Their texts are their own: counts and the names of steps.
    own = {f"terminal/{name}.py" for name in ("output", "pacing", "progress")}
    own |= {"system/top.py", "system/top_view.py"}
    folder = Path(cli.__file__).parent
    files = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.py")}
    assert own <= files.keys()
    for name in files.keys() - own:
        assert not printing.search(files[name]), name
        assert "rich.console import Console" not in files[name], name
