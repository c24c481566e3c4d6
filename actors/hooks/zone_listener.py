"""Document changes published in another zone of the cluster."""

from collections.abc import Mapping
from typing import Any

from callboard.actors.base.role import BrokerRole, Setup
from callboard.actors.hooks.change_exchange import change_topology
from callboard.actors.messages import ZoneChanges
from callboard.actors.messages.paths import HOOK_LISTENER
from callboard.adapters.broker.protocol import BrokerEvent, ConnectionDown, ConnectionUp, Received


class ZoneListener(BrokerRole):
    """Forwards the changes on another zone's bus to the hook listener (Kazoo: `federate`).

    Each zone of a cluster has its own broker; all zones share the documents.
    """

    def begin(self, setup: Setup) -> None:
        """Connect to the zone's broker."""
        self._connected = False
        self._received = 0
        self.connect_broker(change_topology(self.settings), setup.zone)

    def stats(self) -> Mapping[str, Any]:
        """Whether the zone's broker is up, and the number of changes received."""
        return {"broker": "up" if self._connected else "down", "changes": self._received}

    def on_broker(self, event: BrokerEvent) -> None:
        """Forward changes. If the hook listener is down, it will load them from the store."""
        match event:
            case Received(messages):
                self._received += len(messages)
                self._forward(ZoneChanges(messages))
                self.broker.ack([message.tag for message in messages])
            case ConnectionUp():
                self._connected = True
                self.log.info("broker_up")
                self._forward(ZoneChanges(None))
            case ConnectionDown(reason, retry_in_s):
                self._connected = False
                self.log.warning("broker_down", reason=reason, retry_in_s=round(retry_in_s, 2))

    def _forward(self, changes: ZoneChanges) -> None:
        if listener := self.peer(HOOK_LISTENER):
            self.send(listener, changes)
