"""The former name of what `callboard.webhooks.modules` offers, for modules that import it."""

from callboard.webhooks.hooks.selection import by_custom_data

__all__ = ["by_custom_data"]
