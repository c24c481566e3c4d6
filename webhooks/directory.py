"""The former name of what `callboard.webhooks.modules` offers, for modules that import it."""

from callboard.webhooks.events.directory import Account, Directory

__all__ = ["Account", "Directory"]
