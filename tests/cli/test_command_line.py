"""The group of all commands."""

import json
import os
import sys
from importlib.metadata import version
from io import BytesIO, TextIOWrapper

import pytest
from click.testing import CliRunner

from callboard.cli import main
from callboard.cli.terminal.command_line import Later, subcommands

WIDE = 1000


@pytest.mark.parametrize(("name", "command"), list(subcommands(main)))
def test_a_command_has_in_the_list_the_first_sentence_of_its_help(name, command):
    assert name == command.name
    assert not isinstance(command, Later)
    assert main.commands[name].get_short_help_str(WIDE) == command.get_short_help_str(WIDE)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nope"], "no such command 'nope' (see `callboard --help`)"),
        (["--nope"], "no such option '--nope' (see `callboard --help`)"),
        (
            ["hooks", "shw"],
            "no such command 'shw'. Did you mean 'show'? (see `callboard hooks --help`)",
        ),
        (
            ["attempts", "list"],
            "missing option '--hook' (see `callboard attempts list --help`)",
        ),
        (
            ["hooks", "\x1b[31m\u202e"],
            r"no such command '\x1b[31m\u202e' (see `callboard hooks --help`)",
        ),
        (["dead-letters", "retry"], "give ids, selecting options, or --all"),
        (["dead-letters", "purge", "x", "--all"], "give ids, selecting options, or --all"),
        (["stop", "--timeout", "-1"], "-1.0 is not in the range x>=0"),
        (["status", "--wait", "soon"], "'soon' is not a valid float range"),
        *(
            ([*command, "--account", "a b"], "'a b' names no account")
            for command in (
                ["tokens", "add"],
                ["tokens", "list"],
                ["hooks", "list"],
                ["hooks", "add", "https://example.com"],
                ["deliveries", "list"],
                ["dead-letters", "list"],
            )
        ),
        (["maintenance", "set-failure-expiry"], "give a number, or an account and a number"),
        (["maintenance", "set_failure_expiry"], "give a number, or an account and a number"),
        (["tokens", "add", "--account", "a", "--name", "\udcff"], r"'\udcff' is no text in UTF-8"),
        (["publish", "/nonexistent"], "'/nonexistent': No such file or directory"),
        (["modules", "new", "order", "--into", "/nonexistent"], "there is no directory"),
        (["status", "--amqp-url", "x"], "option --amqp-url: amqp.url = 'x': must be a URL"),
    ],
)
def test_wrong_usage_has_one_form_and_exit_code_2(arguments, reason, tmp_path):
    """No system runs, so that none can have refused it."""
    variables = {"CALLBOARD_CONFIG": os.devnull, "CALLBOARD_DATA_DIR": str(tmp_path)}
    refused = CliRunner().invoke(main, arguments, prog_name="callboard", env=variables)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr.startswith("error: ")
    assert reason in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_a_problem_of_the_arguments_as_a_whole_names_no_command():
    refused = CliRunner().invoke(main, ["status", "\udcff"], prog_name="callboard")
    assert refused.stderr == "error: '\\udcff' is no text in UTF-8\n"


def test_output_does_not_fail_for_a_character_that_the_locale_lacks(monkeypatch):
    streams = {name: TextIOWrapper(BytesIO(), "ascii") for name in ("stdout", "stderr")}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    main(["--version"], standalone_mode=False)
    assert {stream.errors for stream in streams.values()} == {"backslashreplace"}


def test_a_group_alone_prints_its_help():
    refused = CliRunner().invoke(main, ["hooks"], prog_name="callboard")
    assert refused.exit_code == 2
    assert "Usage: callboard hooks" in refused.stderr


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_is_asked_for_in_two_ways(flag):
    shown = CliRunner().invoke(main, [flag], prog_name="callboard")
    assert (shown.exit_code, shown.output.split()[:2]) == (0, ["Usage:", "callboard"])


@pytest.mark.parametrize(
    ("command", "shown"), [(["config", "timeouts"], True), (["hooks", "list"], False)]
)
def test_settings_are_options_of_each_command_and_listed_where_they_are_the_subject(command, shown):
    listed = CliRunner().invoke(main, [*command, "--help"], prog_name="callboard").output
    assert ("--couchdb-timeout-ms" in listed) is shown
    assert "--config" in listed


@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize("command", [[], ["hooks"], ["doctor"]])
def test_help_is_shown_for_both_of_its_options(option, command):
    ran = CliRunner().invoke(main, [*command, option])
    assert (ran.exit_code, ran.output.startswith("Usage: ")) == (0, True)


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_the_version_is_that_of_the_package(option):
    ran = CliRunner().invoke(main, [option])
    assert (ran.exit_code, ran.output) == (0, f"callboard, version {version('callboard')}\n")


def test_the_doctor_finds_a_wrong_configuration_where_others_refuse_it(tmp_path):
    file = tmp_path / "callboard.toml"
    file.write_text("[amqp]\nurl = 5\n")
    environment = {"CALLBOARD_CONFIG": str(file), "CALLBOARD_DATA_DIR": str(tmp_path)}
    ran = CliRunner().invoke(main, ["doctor", "--json"], env=environment)
    found = {one["name"]: one["result"] for one in json.loads(ran.stdout)}
    assert (ran.exit_code, found["configuration"]) == (1, "problem")
    assert CliRunner().invoke(main, ["status"], env=environment).exit_code == 2
