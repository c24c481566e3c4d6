"""Event modules: which messages they take, and what hooks send for them.

Here is all that a module of one's own imports.
"""

from callboard.webhooks.events.directory import Account, Directory
from callboard.webhooks.events.event import Event, PoisonEvent
from callboard.webhooks.hooks.selection import by_custom_data
from callboard.webhooks.modules.protocol import EventExchange, EventModule, Firing

__all__ = [
    "Account",
    "Directory",
    "Event",
    "EventExchange",
    "EventModule",
    "Firing",
    "PoisonEvent",
    "by_custom_data",
]
