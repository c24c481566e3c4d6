"""The example to copy: an event module of your own.

`callboard modules new NAME` makes a package from it, which is found once it is installed; a copy in
this folder, under a new name, is found as well. This file itself is never loaded.
"""

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from callboard.webhooks.modules import Directory, Event, EventExchange, Firing


@frozen
class Skeleton:
    """Fires for messages of category `category` and name `name` that carry an account."""

    # The name in hooks and in lists.
    id: str = "skel"
    name: str = "Skel"
    description: str = "Fires when something happens."
    events: tuple[str, ...] = ("skel",)

    # The exchange of its messages; add durable=True if the exchange exists as a durable one.
    exchanges: tuple[EventExchange, ...] = (EventExchange("skel"),)
    bindings: tuple[tuple[str, str], ...] = (("skel", "skel.*"),)

    def modifiers(self, _directory: Directory) -> Mapping[str, Any]:
        """The values by which a hook's custom_data may select: none."""
        return {}

    def responds_to(self, event: Event) -> bool:
        """Whether the event is of its kind; other messages of the binding are ignored."""
        return (event.category, event.name) == ("category", "name")

    def firing(self, event: Event, _directory: Directory) -> Firing | None:
        """The event's account, and the payload for its hooks."""
        if event.account_id is None:
            return None
        return Firing(event.account_id, "skel", {"what": event.body.get("What")})


MODULE = Skeleton()
