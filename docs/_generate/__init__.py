"""Those parts of the documentation that are made of the code, one file each: Markdown texts."""

from collections.abc import Callable, Mapping

from _generate import commands, endpoints, events, hooks, messages, rights, rooms, settings

GENERATED: Mapping[str, Callable[[], str]] = {
    "administration": messages.administration,
    "commands": commands.commands,
    "embedding": messages.embedding,
    "endpoints": endpoints.endpoints,
    "events": events.events,
    "hooks": hooks.fields,
    "module_settings": settings.module_settings,
    "rights": rights.table,
    "rooms": rooms.table,
    "settings": settings.settings,
}
"""What each name in a page stands for."""
