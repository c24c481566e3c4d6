"""Telling every node of documents that were saved, even if the broker is away for a while."""

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
"""More are not kept while the broker is away: every node loads its hooks anew afterwards."""

EXCHANGE = "configuration"


class ChangePublisher:
    """Publishes document changes as Kazoo's data layer does, again those that did not arrive."""

    def __init__(self, broker: BrokerConnection, node: str) -> None:
        self._broker = broker
        self._node = node
        self._under_way: dict[int, OutgoingMessage] = {}
        self._waiting: deque[OutgoingMessage] = deque(maxlen=MAX_UNPUBLISHED)
        self._log = structlog.get_logger("callboard")

    def __len__(self) -> int:
        """How many have not arrived yet."""
        return len(self._under_way) + len(self._waiting)

    def publish(self, changes: Iterable[Change]) -> None:
        """Let every node know of these."""
        for change in changes:
            key, body = document_change(change.event, change.database, change.document, self._node)
            properties = json_properties(time.time())
            self._send(OutgoingMessage(EXCHANGE, key, json.dumps(body).encode(), properties))

    def _send(self, message: OutgoingMessage) -> None:
        try:
            self._under_way[self._broker.publish(message)] = message
        except BrokerError as problem:  # such as an id that is longer than a routing key
            self._log.warning("change_not_published", reason=str(problem))

    def arrived(self, publish_ids: Iterable[int]) -> None:
        """The broker has these."""
        for id in publish_ids:
            self._under_way.pop(id, None)

    def lost(self, publish_ids: Iterable[int]) -> None:
        """The broker has not taken these: keep them until it is up again."""
        self._waiting.extend(self._under_way.pop(id) for id in publish_ids if id in self._under_way)

    def broker_is_up(self) -> None:
        """Send what waits."""
        while self._waiting:
            self._send(self._waiting.popleft())
