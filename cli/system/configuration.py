"""`callboard config`."""

import click

from callboard.cli.terminal.options import as_json, with_settings
from callboard.cli.terminal.output import print_json, print_table
from callboard.config.loader import Loaded
from callboard.config.show import effective
from callboard.config.time_limits import time_limits


@click.group()
def config() -> None:
    """Show the configuration."""


@config.command()
@as_json
@with_settings(shown=True)
def show(loaded: Loaded, json_: bool) -> None:
    """Print every key with its value and origin; secrets are masked."""
    rows = effective(loaded)
    if json_:
        print_json({row.key: {"value": row.value, "origin": row.origin} for row in rows})
    else:
        print_table(("key", "value", "origin"), ((r.key, r.value, r.origin) for r in rows))


@config.command()
@as_json
@with_settings(shown=True)
def timeouts(loaded: Loaded, json_: bool) -> None:
    """Print every time limit in seconds, and the setting or the limits that it follows from."""
    rows = time_limits(loaded.settings)
    if json_:
        print_json({row.name: {"seconds": row.seconds, "origin": row.origin} for row in rows})
    else:
        print_table(
            ("limit", "seconds", "follows from"),
            ((row.name, f"{row.seconds:g}", row.origin) for row in rows),
        )
