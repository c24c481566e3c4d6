"""The former name of what `callboard.webhooks.modules` offers, for modules that import it."""

from callboard.webhooks.modules.protocol import EventExchange, EventModule, Firing

__all__ = ["EventExchange", "EventModule", "Firing"]
