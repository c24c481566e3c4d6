"""The common options of all commands: one for each key of the configuration."""

import functools
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import click

from callboard.cli.terminal.output import WrongUsage, plain
from callboard.config.loader import ConfigError, Loaded, load
from callboard.config.logs import configure_logs
from callboard.config.options import options
from callboard.config.rules import mask

Command = Callable[..., Any]


def with_settings(*, shown: bool = False, lazy: bool = False) -> Callable[[Command], Command]:
    """Add `--config` and an option for each key to a command, and call it with `loaded`.

    `shown`: list the options in its help; they always work. `lazy`: call it with `configured`
    instead, a function that loads the settings and raises ConfigError.
    """

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def wrapper(config: Path | None, **arguments: Any) -> Any:
            overrides = {option.key: arguments.pop(_parameter(option.key)) for option in options()}
            _warn_of_exposed(overrides)
            if lazy:
                return command(configured=lambda: load(config, os.environ, overrides), **arguments)
            return command(loaded=_load(config, overrides), **arguments)

        # Where click's own decorators keep the parameters, the last one first.
        wrapper.__dict__.setdefault("__click_params__", []).extend(reversed(_settings(shown)))
        return click.option(
            "--config", type=click.Path(path_type=Path), help="Configuration file (TOML)."
        )(wrapper)

    return decorate


def as_json(command: Command) -> Command:
    """Add `--json` to a command."""
    return click.option("--json", "json_", is_flag=True, help="Print output for programs.")(command)


@cache
def _settings(shown: bool) -> tuple[click.Option, ...]:
    """The options of the settings, which all commands share: to make them takes long."""
    return tuple(
        click.Option(
            [option.flag, _parameter(option.key)],
            help=option.help,
            hidden=not shown,
            metavar=option.type.__name__.upper(),
        )
        for option in options()
    )


def _parameter(key: str) -> str:
    return "setting_" + key.replace(".", "_")


def _warn_of_exposed(overrides: dict[str, Any]) -> None:
    """Warn of secrets among the options: every user of the machine can list processes."""
    for option in options():
        given = str(overrides[option.key] or "")
        if given and (option.secret or mask(given) != given):
            plain(
                f"warning: {option.flag} shows a secret to all users of this machine, in the list "
                f"of processes: write {option.key} into the file of --config, or set "
                f"{option.variable}",
                err=True,
            )


def _load(config: Path | None, overrides: dict[str, Any]) -> Loaded:
    try:
        loaded = load(config, os.environ, overrides)
    except ConfigError as problem:
        raise WrongUsage(str(problem)) from None
    configure_logs(loaded.settings.log)
    return loaded
