"""Shell completion of values."""

import os
from typing import Any

import click
from click.shell_completion import CompletionItem

from callboard.webhooks.hooks.hook import ALL


def event_types(context: click.Context, _option: Any, begun: str) -> list[CompletionItem]:
    """The values of `--event`: the included, installed and configured modules, and all."""
    known = [CompletionItem(ALL, help="all events of all modules"), *_modules(context)]
    return [item for item in known if item.value.startswith(begun)]


def modules(context: click.Context, _argument: Any, begun: str) -> list[CompletionItem]:
    """The ids of the modules."""
    return [item for item in _modules(context) if item.value.startswith(begun)]


def _modules(context: click.Context) -> list[CompletionItem]:
    # Not imported for every command: it loads all modules.
    from callboard.actors.base.event_modules import event_modules
    from callboard.config.loader import ConfigError, load
    from callboard.config.settings import Settings

    try:
        settings = load(context.params.get("config"), os.environ).settings
    except ConfigError:  # The command itself tells what is wrong.
        settings = Settings()
    found = event_modules(settings).modules
    return [CompletionItem(module.id, help=module.name) for module in found]
