"""The example to copy: an event module of one's own.

`callboard modules new NAME` makes a package of it that is found by itself once it is installed;
a copy in this folder, under a new name, is found as well. This one is never loaded.
"""

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from callboard.webhooks.modules import Directory, Event, EventExchange, Firing


@frozen
class Skeleton:
    """Fires for messages of category `category` and name `name` that carry an account."""

    # What people see, and what hooks name it by.
    id: str = "skel"
    name: str = "Skel"
    description: str = "Fires when something happens."
    events: tuple[str, ...] = ("skel",)

    # Where its messages come from; say durable=True if that is how the exchange exists.
    exchanges: tuple[EventExchange, ...] = (EventExchange("skel"),)
    bindings: tuple[tuple[str, str], ...] = (("skel", "skel.*"),)

    def modifiers(self, _directory: Directory) -> Mapping[str, Any]:
        """What a hook's custom_data may select by: nothing."""
        return {}

    def responds_to(self, event: Event) -> bool:
        """Only what it was made for; other messages of the binding are passed over."""
        return (event.category, event.name) == ("category", "name")

    def firing(self, event: Event, _directory: Directory) -> Firing | None:
        """Say whose event it is, and what its hooks are to send."""
        if event.account_id is None:
            return None
        return Firing(event.account_id, "skel", {"what": event.body.get("What")})


MODULE = Skeleton()
