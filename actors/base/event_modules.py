"""The event modules of a system, from its settings."""

from callboard.config.settings import ModuleSettings, Settings
from callboard.webhooks.modules.bus_module import BusModule
from callboard.webhooks.modules.discovery import Discovery, discover
from callboard.webhooks.modules.operational import OperationalModule
from callboard.webhooks.modules.posted_event import PostedEventModule
from callboard.webhooks.modules.protocol import EventExchange


def event_modules(settings: Settings) -> Discovery:
    """The installed modules, those of the `[[modules]]` tables, and our own: for events posted to
    the API, and for operational events."""
    # Kazoo's queue is not durable, so the API could not confirm that a posted event is stored.
    posted = (PostedEventModule(),) if settings.api.events and not settings.amqp.join_kazoo else ()
    own = () if settings.is_trial else (OperationalModule(settings.node.operators),)
    return discover((*posted, *own, *map(_made, settings.modules)))


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
        raw=table.raw,
        only_if_present=table.only_if_present,
        schema=table.schema,
        samples=table.samples,
        validate=table.validate,
    )
