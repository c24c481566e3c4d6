"""The event modules that a system with these settings has."""

from callboard.config.settings import ModuleSettings, Settings
from callboard.webhooks.bus_module import BusModule
from callboard.webhooks.module import EventExchange
from callboard.webhooks.modules import Discovery, discover


def event_modules(settings: Settings) -> Discovery:
    """Those of the installation, and those of the configuration's `[[modules]]` tables."""
    return discover(tuple(_made(table) for table in settings.modules))


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
