"""The event modules that a system with these settings has."""

from callboard.config.settings import ModuleSettings, Settings
from callboard.webhooks.modules.bus_module import BusModule
from callboard.webhooks.modules.discovery import Discovery, discover
from callboard.webhooks.modules.posted_event import PostedEventModule
from callboard.webhooks.modules.protocol import EventExchange


def event_modules(settings: Settings) -> Discovery:
    """Those of the installation, and those that the configuration makes: of its `[[modules]]`
    tables, and for events that are posted to the API."""
    # Kazoo's queue forgets its messages with its broker: nobody is to be told that they are safe.
    posted = (PostedEventModule(),) if settings.api.events and not settings.amqp.join_kazoo else ()
    return discover((*posted, *(_made(table) for table in settings.modules)))


def _made(table: ModuleSettings) -> BusModule:
    return BusModule(
        id=table.id,
        exchange=EventExchange(table.exchange, table.exchange_type, table.exchange_durable),
        keys=table.bindings,
        name=table.name or table.id,
        description=table.description,
        account=table.account,
        account_id=table.account_id,
        only=table.only,
        fields=table.fields,
    )
