"""The bases of Callboard's actors: settings, logs, and for some a broker connection."""

from collections.abc import Callable, Mapping
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

    `module`: the event module of a responder. `zone`: the URL of the broker of a zone listener.
    """

    settings: Settings
    module: str = ""
    zone: str = field(default="", repr=False)


@frozen
class Ports:
    """Connect an actor to its servers. Processes use the defaults; simulations pass others."""

    broker: Callable[..., BrokerConnection] = brokers.connect
    store: Callable[..., DocumentStore] = stores.connect


class Role(Counting):
    """An actor of Callboard's tree; started with a `Setup`."""

    settings: Settings

    def __init__(
        self, capabilities: Mapping[str, Any] | None = None, ports: Ports | None = None
    ) -> None:
        super().__init__(capabilities)
        self._ports = ports or Ports()

    def on_start(self, args: Setup) -> None:
        """Set up logging in this process, then begin."""
        self.settings = completed(args.settings)
        if self.own_process:
            configure_logs(self.settings.log)
        self.log = logger().bind(actor=self.path)
        self.begin(args)
        self.start_reporting()

    def begin(self, setup: Setup) -> None:
        """Start; for subclasses."""

    def connect_store(self) -> DocumentStore:
        """A connection to the document store, closed when the actor ends."""
        couchdb = self.settings.couchdb
        timeout_s = couchdb.timeout_ms / 1000
        return self.own(self._ports.store(couchdb.url, self.settings.data.dir, timeout_s=timeout_s))

    def directory(self, store: DocumentStore) -> StoreDirectory:
        """Accounts and system configuration; changes on the bus invalidate its cache."""
        node, couchdb = self.settings.node, self.settings.couchdb
        self._looked_up = StoreDirectory(
            store, node.name, node.zone, write_defaults=couchdb.write_defaults
        )
        return self._looked_up

    def receiveMsg_ConfigurationChanged(
        self, message: ConfigurationChanged, _sender: ActorAddress
    ) -> None:
        """Drop changed documents from the directory's cache."""
        if message.documents is None:
            self._looked_up.forget_all()
        for database, id in message.documents or ():
            self._looked_up.forget(database, id)
        self.on_configuration()

    def on_configuration(self) -> None:
        """Values of the directory may have changed; for subclasses."""


class BrokerRole(Role):
    """An actor with a broker connection, polled when it is readable or its timer is due."""

    broker: BrokerConnection

    def connect_broker(self, topology: Topology, url: str = "") -> None:
        """Begin to connect, by default to the node's broker; `on_broker` receives the events."""
        url = url or self.settings.amqp.url
        # Closing it returns unacknowledged messages to the broker.
        self.broker = self.own(
            self._ports.broker(url, topology, self.settings.data.dir, name=self.path)
        )
        self.broker.open()
        self._broker_due = self.timer(self._poll)
        self.tally.set(BROKER_UP, 0, self.path)
        self.watch(self.broker.fileno())
        self._arm()

    def on_broker(self, event: BrokerEvent) -> None:
        """Handle an event of the connection; for subclasses."""

    def after_poll(self) -> None:
        """Called after all pending events; for subclasses."""

    def receiveMsg_WatchMessage(self, _message: WatchMessage, _sender: Any) -> None:
        """Poll the connection."""
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
