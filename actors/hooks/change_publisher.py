"""Publishes document changes to all nodes, and repeats them after the broker was down."""

import json
import time
from collections import deque
from collections.abc import Iterable

import structlog

from callboard.adapters.broker.protocol import (
    BrokerConnection,
    BrokerError,
    OutgoingMessage,
    json_properties,
)
from callboard.adapters.repositories.maintenance import Change
from callboard.webhooks.events.changes import document_change

MAX_UNPUBLISHED = 10_000
"""Limit of changes kept while the broker is down. Every node reloads its hooks afterwards."""

EXCHANGE = "configuration"


class ChangePublisher:
    """Publishes document changes as Kazoo's data layer does; repeats unconfirmed ones."""

    def __init__(self, broker: BrokerConnection, node: str) -> None:
        self._broker = broker
        self._node = node
        self._unconfirmed: dict[int, OutgoingMessage] = {}
        self._waiting: deque[OutgoingMessage] = deque(maxlen=MAX_UNPUBLISHED)
        self._log = structlog.get_logger("callboard")

    def __len__(self) -> int:
        """The number of unconfirmed and waiting changes."""
        return len(self._unconfirmed) + len(self._waiting)

    def publish(self, changes: Iterable[Change]) -> None:
        """Publish changes to all nodes."""
        for change in changes:
            key, body = document_change(change.event, change.database, change.document, self._node)
            properties = json_properties(time.time())
            self._send(OutgoingMessage(EXCHANGE, key, json.dumps(body).encode(), properties))

    def _send(self, message: OutgoingMessage) -> None:
        try:
            self._unconfirmed[self._broker.publish(message)] = message
        except BrokerError as problem:  # such as an id that is longer than a routing key
            self._log.warning("change_not_published", reason=str(problem))

    def arrived(self, publish_ids: Iterable[int]) -> None:
        """The broker has confirmed these."""
        for id in publish_ids:
            self._unconfirmed.pop(id, None)

    def lost(self, publish_ids: Iterable[int]) -> None:
        """The broker has not confirmed these: keep them until it is up again."""
        unconfirmed = self._unconfirmed
        self._waiting.extend(unconfirmed.pop(id) for id in publish_ids if id in unconfirmed)

    def broker_is_up(self) -> None:
        """Publish the waiting changes."""
        while self._waiting:
            self._send(self._waiting.popleft())
