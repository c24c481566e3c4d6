"""Publishes document changes to all nodes, and keeps them on disk until the broker has them."""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog

from callboard.actors.base.role import BrokerRole
from callboard.actors.hooks.change_exchange import KAZOOS, change_exchange
from callboard.adapters.broker.protocol import (
    BrokerConnection,
    BrokerError,
    BrokerEvent,
    Confirmed,
    ConnectionDown,
    ConnectionUp,
    OutgoingMessage,
    Properties,
    Unblocked,
    Unconfirmed,
    json_properties,
)
from callboard.adapters.repositories.maintenance import Change
from callboard.adapters.store.protocol import StoreError
from callboard.adapters.store.spool import Spool
from callboard.supervision import Call, Timer
from callboard.webhooks.events.changes import document_change

FOLDER = "changes"
"""The folder of the data directory with a file for each actor that publishes changes."""
MAX_BYTES = 16 * 2**20
"""The oldest changes beyond are dropped; the nodes find them by comparing with the store."""
MAX_UNCONFIRMED = 200
RETRY_S = 5.0

NOTIFICATIONS = "notifications"
"""Kazoo's exchange of notifications."""


class ChangePublisher:
    """Publishes document changes as Kazoo's data layer does, at least once each.

    Each is in `spool` until the broker has confirmed it, so that it outlives a connection that has
    failed silently, and this process. If the disk is full, it is published without. `exchange`: of
    changes. `properties`: those of a message sent at this Unix time.
    """

    def __init__(
        self,
        broker: BrokerConnection,
        node: str,
        spool: Spool,
        timer: Callable[[Call], Timer],
        exchange: str = KAZOOS,
        properties: Callable[[float], Properties] = json_properties,
    ) -> None:
        self._broker, self._node, self._spool = broker, node, spool
        self._exchange, self._properties = exchange, properties
        self._has_kazoo = exchange == KAZOOS
        self._again = timer(self._publish_all)
        self._connected = False
        self._unconfirmed: dict[int, int] = {}
        """The ids of records in the spool, by the ids of publishes."""
        self._published = 0
        """The last record published since the connection came up."""
        self._kept = 0
        self._log = structlog.get_logger("callboard")

    def __len__(self) -> int:
        """The number of changes on disk; those of an earlier process count from the connection."""
        return self._kept

    def publish(self, changes: Iterable[Change]) -> None:
        """Publish changes to all nodes."""
        self.send(
            (self._exchange, *document_change(each.event, each.database, each.document, self._node))
            for each in changes
        )

    def send(self, messages: Iterable[tuple[str, str, Mapping[str, Any]]]) -> None:
        """Publish messages: exchange, routing key and body."""
        sent = ((self._declared(exchange), key, body) for exchange, key, body in messages)
        records = [
            (exchange, {"key": key, "body": body}) for exchange, key, body in sent if exchange
        ]
        if not records:
            return
        try:
            self._spool.append(records)
        except StoreError as problem:
            self._log.error("changes_not_kept", reason=str(problem), changes=len(records))
            for exchange, record in records:
                self._send(exchange, record)
        else:
            self._kept += len(records)
            self._publish_all()

    def on_broker(self, event: BrokerEvent) -> None:
        """Handle confirms, and publish the others after each connection."""
        match event:
            case ConnectionUp():
                self._connected = True
                self._publish_from_start()
            case Unblocked():
                self._publish_all()
            case ConnectionDown():
                self._connected = False
            case Confirmed(ids):
                self._confirmed(ids)
            case Unconfirmed(ids, reason) if any(id in self._unconfirmed for id in ids):
                self._log.warning("change_not_published", changes=len(ids), reason=reason)
                for id in ids:
                    self._unconfirmed.pop(id, None)
                self._published = 0
                self._again.within(RETRY_S)

    def _confirmed(self, ids: Iterable[int]) -> None:
        done = [self._unconfirmed.pop(id) for id in ids if id in self._unconfirmed]
        if done:
            self._remove(done)
            self._publish_all()

    def _remove(self, records: list[int]) -> None:
        try:
            self._spool.remove(records)
        except StoreError as problem:  # They are published again, which is harmless.
            self._log.error("changes_not_kept", reason=str(problem), changes=len(records))
        else:
            self._kept -= len(records)

    def _publish_from_start(self) -> None:
        self._unconfirmed.clear()
        self._published = 0
        self._kept = self._spool.count() or 0
        self._publish_all()

    def _publish_all(self) -> None:
        """Publish the records after the last one, as many as may be unconfirmed."""
        room = MAX_UNCONFIRMED - len(self._unconfirmed)
        if not self._connected or room <= 0:
            return
        try:
            entries = self._spool.first(room, after=self._published)
        except StoreError as problem:
            self._log.error("changes_not_read", reason=str(problem))
            self._again.within(RETRY_S)
            return
        refused = []
        sent = set(self._unconfirmed.values())
        for record, exchange, message in entries:
            self._published = record
            if record in sent:
                continue
            declared = self._declared(exchange)
            id = self._send(declared, message) if declared else None
            if id is None:
                refused.append(record)
            else:
                self._unconfirmed[id] = record
        if refused:
            self._remove(refused)

    def _declared(self, exchange: str) -> str:
        """The exchange to publish to: records on disk may be from before a change of settings.

        Empty if there is none: without Kazoo, its notifications have no reader.
        """
        if exchange == NOTIFICATIONS:
            return exchange if self._has_kazoo else ""
        return self._exchange

    def _send(self, exchange: str, record: Mapping[str, Any]) -> int | None:
        body, properties = json.dumps(record["body"]).encode(), self._properties(time.time())
        try:
            return self._broker.publish(OutgoingMessage(exchange, record["key"], body, properties))
        except (BrokerError, KeyError, TypeError) as problem:  # such as a key that is too long
            self._log.warning("change_not_published", changes=1, reason=str(problem))
            return None


def change_publisher(actor: BrokerRole) -> ChangePublisher:
    """The publisher of an actor that is connected to the broker."""
    name = f"{actor.path.replace('/', '.')}.sqlite3"
    spool = actor.own(Spool(actor.settings.data.dir / FOLDER / name, max_bytes=MAX_BYTES))
    exchange = change_exchange(actor.settings).name
    return ChangePublisher(actor.broker, actor.settings.node.name, spool, actor.timer, exchange)
