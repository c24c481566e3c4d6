"""The node's quotas, as its settings say."""

import attrs

from callboard.config.settings import Settings
from callboard.webhooks.hooks.quotas import Quotas


def node_quotas(settings: Settings) -> Quotas:
    """The quotas of each account that has none of its own."""
    return Quotas(**attrs.asdict(settings.quotas))
