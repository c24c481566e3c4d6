"""The names, options and arguments of the commands, which scripts are written for."""

import json
import os
from pathlib import Path

import click

from callboard.cli import main
from callboard.cli.terminal.command_line import subcommands

GOLDEN = Path(__file__).parents[1] / "data" / "commands.json"
RENEW = "CALLBOARD_RENEW_COMMANDS=1 python -m pytest tests/cli/test_commands.py"


def described(command, path="callboard"):
    """What can be written after each command, by its whole name: without the options for
    settings (tests/data/formats/settings.txt), click's own one for help, and the words of it.

    `name`: the one that its usage shows, if it has another; `settings`: its help lists these."""
    word = path.rpartition(" ")[2]
    with click.Context(command, info_name=word) as context:
        facts = command.to_info_dict(context)
    shown = any(param.name.startswith("setting_") and not param.hidden for param in command.params)
    other = {"settings": shown, "context": command.context_settings}
    if path != "callboard" and command.name != word:
        other["name"] = command.name
    facts["params"] = [
        {key: value for key, value in param.items() if key != "help" and value}
        | {key: getattr(of, key) for key in ("metavar", "show_default") if getattr(of, key, None)}
        for of, param in zip(command.get_params(context), facts["params"], strict=True)
        if not param.get("hidden") and not param["name"].startswith(("setting_", "_click"))
    ]
    plain = {key: facts[key] for key in ("params", "hidden", "deprecated") if facts[key]}
    plain |= {key: value for key, value in other.items() if value}
    yield path, json.loads(json.dumps(plain, default=str))
    if isinstance(command, click.Group):
        for name, each in subcommands(command):
            yield from described(each, f"{path} {name}")


def test_the_commands_are_as_they_were(monkeypatch):
    """A changed command is a changed interface. See RENEW."""
    monkeypatch.setenv("COLUMNS", "100")
    now = dict(described(main))
    if os.environ.get("CALLBOARD_RENEW_COMMANDS"):
        lines = ",\n".join(f"{json.dumps(path)}: {json.dumps(now[path])}" for path in now)
        GOLDEN.write_text(f"{{\n{lines}\n}}\n")
    was = json.loads(GOLDEN.read_text())
    assert now.keys() == was.keys(), RENEW
    for path, facts in now.items():
        assert facts == was[path], f"{path}; to accept it: {RENEW}"
