"""The common options of all commands: one for each key of the configuration."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from callboard.cli.terminal.output import WrongUsage
from callboard.config.loader import ConfigError, Loaded, load
from callboard.config.logs import configure_logs
from callboard.config.options import options

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
            if lazy:
                return command(configured=lambda: load(config, os.environ, overrides), **arguments)
            return command(loaded=_load(config, overrides), **arguments)

        for option in reversed(options()):
            wrapper = click.option(
                option.flag,
                _parameter(option.key),
                help=option.help,
                hidden=not shown,
                metavar=option.type.__name__.upper(),
            )(wrapper)
        return click.option(
            "--config", type=click.Path(path_type=Path), help="Configuration file (TOML)."
        )(wrapper)

    return decorate


def as_json(command: Command) -> Command:
    """Add `--json` to a command."""
    return click.option("--json", "json_", is_flag=True, help="Print output for programs.")(command)


def _parameter(key: str) -> str:
    return "setting_" + key.replace(".", "_")


def _load(config: Path | None, overrides: dict[str, Any]) -> Loaded:
    try:
        loaded = load(config, os.environ, overrides)
    except ConfigError as problem:
        raise WrongUsage(str(problem)) from None
    configure_logs(loaded.settings.log)
    return loaded
