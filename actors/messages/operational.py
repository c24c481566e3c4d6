"""Operational events on their way to the actor that publishes them (the hook listener)."""

from attrs import field, frozen

from callboard.webhooks.dispatch.down_endpoints import DownEndpoint
from callboard.webhooks.modules.operational import OperationalEvent


@frozen
class ReportEvents:
    """To HookListener: publish these. With a `number`, the response is `EventsReported`."""

    events: tuple[OperationalEvent, ...] = field(repr=False)
    number: int = 0


@frozen
class EventsReported:
    """HookListener: the events with this number are on disk, until the broker has them."""

    number: int


@frozen
class EndpointsDown:
    """Deliverer to HookListener: all endpoints that are down for it; replaces its last report."""

    deliverer: str
    down: tuple[DownEndpoint, ...] = field(repr=False)
