"""The example to copy: an event module of one's own.

Copy this file under a new name, change what it says, and restart: every file of this folder
whose `MODULE` fits `EventModule` is found by itself. This one is never loaded.
"""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from callboard.webhooks.directory import Directory
from callboard.webhooks.event import Event
from callboard.webhooks.module import Firing


@frozen
class Skeleton:
    """Fires for messages of category `category` and name `name` that carry an account."""

    id: str = "skel"
    name: str = "Skel"
    description: str = "An example that never fires."
    modifiers: Mapping[str, Any] = field(factory=dict)
    events: tuple[str, ...] = ("skel",)
    exchanges: Mapping[str, str] = field(factory=lambda: {"skel": "topic"})
    bindings: tuple[tuple[str, str], ...] = (("skel", "skel.*"),)

    def responds_to(self, event: Event) -> bool:
        """Only what it was made for; other messages of the binding are passed over."""
        return (event.category, event.name) == ("category", "name")

    def firing(self, event: Event, directory: Directory) -> Firing | None:
        """Say whose event it is, and what its hooks are to send."""
        account_id = event.body.get("Account-ID")
        if not isinstance(account_id, str):
            return None
        return Firing(account_id, "skel", {"what": event.body.get("What")})


MODULE = Skeleton()
