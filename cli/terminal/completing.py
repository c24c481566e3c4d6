"""Shell completion of values."""

from typing import Any

import click
from click.shell_completion import CompletionItem

from callboard.webhooks.hooks.hook import ALL


def event_types(_context: click.Context, _option: Any, begun: str) -> list[CompletionItem]:
    """The values of `--event`: the included and installed modules, and all."""
    known = [CompletionItem(ALL, help="all events of all modules"), *_modules()]
    return [item for item in known if item.value.startswith(begun)]


def modules(_context: click.Context, _argument: Any, begun: str) -> list[CompletionItem]:
    """The ids of the modules."""
    return [item for item in _modules() if item.value.startswith(begun)]


def _modules() -> list[CompletionItem]:
    # Not imported for every command: it loads all modules.
    from callboard.actors.base.event_modules import event_modules
    from callboard.config.settings import Settings

    found = event_modules(Settings()).modules
    return [CompletionItem(module.id, help=module.name) for module in found]
