"""What all of Callboard's actors share: settings, logs, and (for some) a broker connection."""

from typing import Any

from attrs import field, frozen
from thespian.actors import ActorAddress, WatchMessage

from callboard.actors.base.counting import Counting
from callboard.actors.base.own_settings import completed
from callboard.actors.messages import ConfigurationChanged
from callboard.adapters.broker import brokers
from callboard.adapters.broker.protocol import (
    BrokerConnection,
    BrokerEvent,
    ConnectionDown,
    ConnectionUp,
    Topology,
)
from callboard.adapters.repositories.directory import StoreDirectory
from callboard.adapters.store import stores
from callboard.adapters.store.protocol import DocumentStore
from callboard.config.logs import configure_logs, logger
from callboard.config.settings import Settings
from callboard.webhooks.metrics.catalog import BROKER_UP


@frozen
class Setup:
    """The arguments of every actor.

    `module`: the event module of a responder. `zone`: the broker of another zone, of its listener.
    """

    settings: Settings
    module: str = ""
    zone: str = field(default="", repr=False)


class Role(Counting):
    """An actor of Callboard's tree; started with a `Setup`."""

    settings: Settings

    def on_start(self, args: Setup) -> None:
        """Set up logging in this process, then begin."""
        self.settings = completed(args.settings)
        if self.own_process:
            configure_logs(self.settings.log)
        self.log = logger().bind(actor=self.path)
        self.begin(args)
        self.begin_to_tell()

    def begin(self, setup: Setup) -> None:
        """The start of the subclass."""

    def connect_store(self) -> DocumentStore:
        """A connection of this actor's own to the document store, closed when it ends."""
        couchdb = self.settings.couchdb
        timeout_s = couchdb.timeout_ms / 1000
        return self.own(stores.connect(couchdb.url, self.settings.data.dir, timeout_s=timeout_s))

    def directory(self, store: DocumentStore) -> StoreDirectory:
        """Accounts and system configuration as this node sees them, in step with the bus."""
        node, couchdb = self.settings.node, self.settings.couchdb
        self._looked_up = StoreDirectory(
            store, node.name, node.zone, write_defaults=couchdb.write_defaults
        )
        return self._looked_up

    def receiveMsg_ConfigurationChanged(
        self, message: ConfigurationChanged, _sender: ActorAddress
    ) -> None:
        """Documents were changed: read them again when they are needed."""
        if message.documents is None:
            self._looked_up.forget_all()
        for database, id in message.documents or ():
            self._looked_up.forget(database, id)
        self.on_configuration()

    def on_configuration(self) -> None:
        """Some of what the directory told may have changed."""


class BrokerRole(Role):
    """An actor with a broker connection, which is polled when its descriptor is readable or due."""

    broker: BrokerConnection

    def connect_broker(self, topology: Topology, url: str = "") -> None:
        """Begin to connect, to the node's own broker by default; `on_broker` hears of it."""
        url = url or self.settings.amqp.url
        # Closed, it gives back what was not acknowledged.
        self.broker = self.own(
            brokers.connect(url, topology, self.settings.data.dir, name=self.path)
        )
        self.broker.open()
        self._broker_due = self.timer(self._poll)
        self.tally.set(BROKER_UP, 0, self.path)
        self.watch(self.broker.fileno())
        self._arm()

    def on_broker(self, event: BrokerEvent) -> None:
        """Something happened on the connection."""

    def after_poll(self) -> None:
        """All that the connection had to report was reported."""

    def receiveMsg_WatchMessage(self, _message: WatchMessage, _sender: Any) -> None:
        """The connection has something to do."""
        self._poll()

    def _poll(self) -> None:
        for event in self.broker.poll():
            if isinstance(event, ConnectionUp | ConnectionDown):
                self.tally.set(BROKER_UP, int(isinstance(event, ConnectionUp)), self.path)
            self.on_broker(event)
        self.after_poll()
        self._arm()

    def _arm(self) -> None:
        deadline = self.broker.deadline()
        if deadline is not None:
            self._broker_due.at(deadline)
