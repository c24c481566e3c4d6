"""The former name of what `callboard.webhooks.modules` offers, for modules that import it."""

from callboard.webhooks.events.event import Event, PoisonEvent

__all__ = ["Event", "PoisonEvent"]
