"""The event modules of a system, from its settings."""

from callboard.adapters.broker.protocol import Exchange
from callboard.config.settings import ModuleSettings, Settings
from callboard.webhooks.modules.bus_module import BusModule
from callboard.webhooks.modules.discovery import Discovery, discover
from callboard.webhooks.modules.operational import OperationalModule
from callboard.webhooks.modules.posted_event import PostedEventModule
from callboard.webhooks.modules.protocol import BRIDGE_EXCHANGES, EventExchange


def event_modules(settings: Settings) -> Discovery:
    """The installed modules, those of the `[[modules]]` tables, and our own: for events posted to
    the API, and for operational events."""
    # Kazoo's queue is not durable, so the API could not confirm that a posted event is stored.
    posted = (PostedEventModule(),) if settings.api.events and not settings.amqp.join_kazoo else ()
    own = () if settings.is_trial else (OperationalModule(settings.node.operators),)
    tables = (*posted, *own, *map(_made, settings.modules))
    return discover(tables, settings.kazoo.modules)


def event_exchanges(settings: Settings) -> tuple[EventExchange, ...]:
    """The exchanges that the bridge declares, by name."""
    of_modules = (each for m in event_modules(settings).modules for each in m.exchanges)
    of_kazoo = BRIDGE_EXCHANGES if settings.has_kazoo else ()
    found = {exchange.name: exchange for exchange in (*of_kazoo, *of_modules)}
    return tuple(found[name] for name in sorted(found))


def declared(exchange: EventExchange) -> Exchange:
    """The exchange as the broker is asked for it; without it, the others still work."""
    return Exchange(
        exchange.name,
        exchange.type,
        exchange.durable,
        exchange.auto_delete,
        exchange.internal,
        exchange.arguments,
        passive=not exchange.declare,
        optional=True,
    )


def _made(table: ModuleSettings) -> BusModule:
    return BusModule(
        id=table.id,
        exchange=EventExchange(
            table.exchange,
            table.exchange_type,
            table.exchange_durable,
            table.declare,
            table.exchange_auto_delete,
            table.exchange_internal,
            table.exchange_arguments,
        ),
        keys=table.bindings,
        name=table.name or table.id,
        description=table.description,
        account=table.account,
        account_id=table.account_id,
        only=table.only,
        fields=table.fields,
        raw=table.raw,
        binding_headers=table.binding_headers,
        only_if_present=table.only_if_present,
        schema=table.schema,
        samples=table.samples,
        validate=table.validate,
        reference=table.reference,
    )
