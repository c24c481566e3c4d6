"""Publishes the operational events of a node, and keeps them on disk until the broker has them."""

import time
from collections.abc import Iterable

from attrs import evolve

from callboard.actors.base.role import BrokerRole
from callboard.actors.hooks.change_publisher import FOLDER, ChangePublisher
from callboard.adapters.broker.protocol import BrokerEvent, Exchange, Properties, json_properties
from callboard.adapters.store.spool import Spool
from callboard.config.settings import Settings
from callboard.webhooks.dispatch.down_endpoints import REPEATED_S, DownEndpoint, EndpointWatch
from callboard.webhooks.modules.operational import EXCHANGE, OperationalEvent

FILE = "operational.sqlite3"
MAX_BYTES = 16 * 2**20
"""The oldest events beyond are dropped, while the broker is away."""


class OperationalEvents:
    """The operational events of a node.

    A node that takes part in a trial beside Kazoo's own application publishes none: its hooks and
    its queue are that application's.
    """

    def __init__(self, actor: BrokerRole) -> None:
        settings = actor.settings
        self._off = settings.is_trial
        spool = actor.own(Spool(settings.data.dir / FOLDER / FILE, max_bytes=MAX_BYTES))
        self._publisher = ChangePublisher(
            actor.broker, settings.node.name, spool, actor.timer, EXCHANGE.name, _persistent
        )
        self._node = settings.node.name
        self._watch = EndpointWatch(settings.node.name, settings.node.operators)
        if not self._off:
            actor.every(REPEATED_S, self._expire)

    def __len__(self) -> int:
        """The number of events on disk."""
        return len(self._publisher)

    def on_broker(self, event: BrokerEvent) -> None:
        """Handle confirms, and publish those on disk after each connection."""
        self._publisher.on_broker(event)

    def publish(self, events: Iterable[OperationalEvent]) -> None:
        """Publish events; they are on disk when it returns, unless the disk is full."""
        if not self._off:
            self._publisher.send(
                (EXCHANGE.name, event.routing_key, event.message(self._node)) for event in events
            )

    def endpoints_down(self, deliverer: str, down: tuple[DownEndpoint, ...]) -> None:
        """Publish what a deliverer's report changes."""
        self.publish(self._watch.report(deliverer, down, time.time()))

    def _expire(self) -> None:
        self.publish(self._watch.expire(time.time()))


def operational_exchanges(settings: Settings) -> tuple[Exchange, ...]:
    """The exchange to declare, if events are published."""
    if settings.is_trial:
        return ()
    return (Exchange(EXCHANGE.name, EXCHANGE.type, EXCHANGE.durable),)


def _persistent(now_unix_s: float) -> Properties:
    """The properties of a message that survives a restart of the broker."""
    return evolve(json_properties(now_unix_s), delivery_mode=2)
