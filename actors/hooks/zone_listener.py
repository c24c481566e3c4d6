"""Document changes that are told in another zone of the cluster."""

from collections.abc import Mapping
from typing import Any

from callboard.actors.base.role import BrokerRole, Setup
from callboard.actors.hooks.listener import CHANGES
from callboard.actors.messages import ZoneChanges
from callboard.actors.messages.paths import HOOK_LISTENER
from callboard.adapters.broker.protocol import BrokerEvent, ConnectionDown, ConnectionUp, Received


class ZoneListener(BrokerRole):
    """Hands what it hears on one other zone's bus to the hook listener (Kazoo: `federate`).

    Each zone of a cluster has a broker of its own, while all of them share the documents.
    """

    def begin(self, setup: Setup) -> None:
        """Listen."""
        self._connected = False
        self._told = 0
        self.connect_broker(CHANGES, setup.zone)

    def stats(self) -> Mapping[str, Any]:
        """Whether the zone can be heard, and what it has told."""
        return {"broker": "up" if self._connected else "down", "changes": self._told}

    def on_broker(self, event: BrokerEvent) -> None:
        """Hand on changes. While the hook listener is down they are in what it will load."""
        match event:
            case Received(messages):
                self._told += len(messages)
                self._tell(ZoneChanges(messages))
                self.broker.ack([message.tag for message in messages])
            case ConnectionUp():
                self._connected = True
                self.log.info("broker_up")
                self._tell(ZoneChanges(None))
            case ConnectionDown(reason, retry_in_s):
                self._connected = False
                self.log.warning("broker_down", reason=reason, retry_in_s=round(retry_in_s, 2))

    def _tell(self, changes: ZoneChanges) -> None:
        if listener := self.peer(HOOK_LISTENER):
            self.send(listener, changes)
