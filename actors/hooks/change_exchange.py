"""The exchange over which changes of hooks and of what the directories cache travel."""

from callboard.adapters.broker.protocol import Binding, Exchange, Topology
from callboard.adapters.broker.queues import own_queue
from callboard.config.settings import DRY_RUN_QUEUE, Settings

KAZOOS = "configuration"
"""Kazoo's exchange of document changes."""

BINDINGS = (
    "*.webhooks.webhook.*",
    "doc_deleted.*.account.*",
    # Documents that the directories of our actors cache; Kazoo's data layer does likewise.
    "*.accounts.account.*",
    "*.services.*.*",
    "*.system_config.*.*",
    "*.*.account_config.*",
    "*.*.number.*",
)


def change_exchange(settings: Settings) -> Exchange:
    """Kazoo's exchange of changes; without Kazoo, one of ours."""
    if settings.has_kazoo:
        return Exchange(KAZOOS)
    return Exchange(f"{_prefix(settings)}.changes")


def change_topology(settings: Settings, *others: Exchange) -> Topology:
    """An own queue with all changes. `others`: further exchanges to publish to."""
    exchange = change_exchange(settings)
    return Topology(
        exchanges=(exchange, *others),
        queue=own_queue(settings.amqp.queue, "changes"),
        bindings=tuple(Binding(exchange.name, key) for key in BINDINGS),
        prefetch=50,
    )


def _prefix(settings: Settings) -> str:
    """The same for a dry run: it follows the changes of the others."""
    return settings.amqp.queue.removesuffix(DRY_RUN_QUEUE)
