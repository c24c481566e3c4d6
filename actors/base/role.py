"""The bases of Callboard's actors: settings, logs, and for some a broker connection."""

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from attrs import field, frozen
from thespian.actors import ActorAddress, WatchMessage

from callboard.actors.base.counting import Counting
from callboard.actors.base.intake import Intake
from callboard.actors.base.own_settings import completed
from callboard.actors.base.quarantine import Quarantine
from callboard.actors.messages import ConfigurationChanged
from callboard.adapters.broker import brokers
from callboard.adapters.broker.protocol import (
    Blocked,
    BrokerConnection,
    BrokerEvent,
    ConnectionDown,
    ConnectionUp,
    IncomingMessage,
    Overdue,
    Received,
    Topology,
    Unblocked,
    Unreadable,
    UnreadableMessage,
)
from callboard.adapters.broker.publications import Publication, publication_of, set_aside
from callboard.adapters.broker.urls import in_any_order
from callboard.adapters.local.suspects import Suspects
from callboard.adapters.repositories.directory import StoreDirectory
from callboard.adapters.store import stores
from callboard.adapters.store.dry_run import DRY_RUN, DryRunStore
from callboard.adapters.store.protocol import DocumentStore
from callboard.config.logs import configure_logs, logger
from callboard.config.server_urls import broker_url, store_url
from callboard.config.settings import Settings
from callboard.config.time_limits import BROKER_SET_UP_S, CLOSE_S, overdue_s, store_call_s
from callboard.supervision import Call
from callboard.webhooks.metrics.catalog import BROKER_BLOCKED, BROKER_UP

MAX_MESSAGE_BYTES = 32 * 2**20
"""A larger message is quarantined: it would not fit in one between actors, of 64 MiB."""


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

    waits_for_store = False
    """Whether it calls the store while it handles a message, and so may be silent for longer."""

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
        url, folder = store_url(self.settings), self.settings.data.dir
        timeout_s = store_call_s(self.settings)
        store = self._ports.store(url, folder, timeout_s=timeout_s)
        if self.settings.delivery.dry_run:
            records = self._ports.store("sqlite://", folder / DRY_RUN, timeout_s=timeout_s)
            store = DryRunStore(store, records)
        return self.own(store)

    def directory(self, store: DocumentStore) -> StoreDirectory:
        """Accounts and system configuration; changes on the bus invalidate its cache."""
        node, couchdb = self.settings.node, self.settings.couchdb
        writes = couchdb.write_defaults and not self.settings.is_trial
        self._looked_up = StoreDirectory(store, node.name, node.zone, write_defaults=writes)
        return self._looked_up

    def open_suspects(self) -> Suspects:
        """The memory of messages that ended this actor."""
        file = self.settings.data.dir / "suspects" / self.path.replace("/", ".")
        return self.own(Suspects(file, self._not_remembered))

    @property
    def most_deaths(self) -> int:
        """The restarts within ten seconds that messages may cause: half of the supervisor's."""
        return max(1, self.settings.actors.max_restarts // 2)

    def _not_remembered(self, error: OSError) -> None:
        self.log.warning("suspects_not_remembered", reason=str(error))

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
    """An actor with a broker connection, polled when it is readable or its timer is due.

    Handlers see only messages that passed the edge; the others are quarantined here.
    """

    set_aside_event = "event_set_aside"
    """The log event of a quarantined message."""
    broker: BrokerConnection
    blocked = ""
    """Why the broker takes no messages from this actor; empty if it does, as far as is known."""

    def connect_broker(self, topology: Topology, url: str = "", first: Call | None = None) -> None:
        """Begin to connect, by default to the node's broker; `on_broker` receives the events.

        `first` is called before, once the start is reported: it may take as long as the store.
        """
        url = broker_url(self.settings, url)
        if self.settings.amqp.url_order == "random":
            url = in_any_order(url)
        folder = self.settings.data.dir
        # Closing it returns unacknowledged messages to the broker.
        self.broker = self.own(
            self._ports.broker(
                url,
                topology,
                folder,
                name=self.path,
                heartbeat_s=self.settings.amqp.heartbeat_s,
                set_up_s=BROKER_SET_UP_S,
                close_s=CLOSE_S,
                overdue_s=overdue_s(self.settings),
            )
        )
        self.quarantine = self.own(Quarantine(folder, self._acknowledge_now, self.timer, self.log))
        self._intake = Intake(
            self.open_suspects,
            self._handle_messages,
            self._quarantine_message,
            self.timer,
            self.most_deaths,
            self.log,
        )
        self._broker_due = self.timer(self._poll)
        self.tally.set(BROKER_UP, 0, self.path)
        if first is None:
            self._open_broker()
        else:
            self.after(0, partial(self._open_broker, first))

    def _open_broker(self, first: Call | None = None) -> None:
        if first is not None:
            first()
        self.broker.open()
        self.watch(self.broker.fileno())
        self._arm()

    def on_broker(self, event: BrokerEvent) -> None:
        """Handle an event of the connection; for subclasses."""

    def on_acknowledged(self, tags: list[int]) -> None:
        """These messages were acknowledged; for subclasses."""

    def on_overdue(self, tags: set[int]) -> None:
        """Return messages to the broker that were not acknowledged in time; for subclasses.

        The broker would end the consumer, and return all messages that it holds.
        """
        self.broker.requeue(list(tags))

    def after_poll(self) -> None:
        """Called after all pending events; for subclasses."""

    def acknowledge(self, tags: Iterable[int]) -> None:
        """Acknowledge handled messages, quarantined ones as soon as they are on disk."""
        if free := self.quarantine.settled(tags):
            self._acknowledge_now(free)

    def set_aside_if_large(self, message: IncomingMessage) -> bool:
        """Quarantine a message that is too large for another actor; whether it is."""
        size = len(message.body)
        if size <= MAX_MESSAGE_BYTES:
            return False
        reason = f"it has {size} bytes: at most {MAX_MESSAGE_BYTES} can be handled"
        self.set_aside(message.tag, publication_of(message), reason)
        return True

    def set_aside(
        self,
        tag: int,
        message: Publication,
        reason: str,
        *,
        module: str = "",
        raw: Mapping[str, str] | None = None,
        log: bool = True,
    ) -> None:
        """Quarantine a message; `quarantine.write` writes it to disk. `log`: with a log line."""
        record = set_aside(message, module=module, reason=reason, now_unix_s=time.time(), raw=raw)
        self.quarantine.add(tag, record)
        if not log:
            return
        where = {"module": module} if module else {}
        self.log.warning(
            self.set_aside_event, **where, routing_key=message.routing_key, reason=reason
        )

    def receiveMsg_WatchMessage(self, _message: WatchMessage, _sender: Any) -> None:
        """Poll the connection."""
        self._poll()

    def _poll(self) -> None:
        events = self.broker.poll()
        for event in events:
            match event:
                case Received(messages):
                    self._intake.take(messages)
                    continue
                case Unreadable(unreadable):
                    for message in unreadable:
                        self._quarantine_message(message)
                    continue
                case Overdue(tags):
                    self.log.warning("messages_overdue", messages=len(tags))
                    self.quarantine.drop(tags)
                    self.on_overdue(set(tags))
                    continue
                case ConnectionUp():
                    self.tally.set(BROKER_UP, 1, self.path)
                case Blocked(reason):
                    self.log.warning("broker_blocked", reason=reason)
                    self._set_blocked(reason)
                case Unblocked():
                    self.log.info("broker_unblocked")
                    self._set_blocked("")
                case ConnectionDown():
                    self._set_blocked("")
                    self.tally.set(BROKER_UP, 0, self.path)
                    self.quarantine.forget()
                    self._intake.forget()
            self.on_broker(event)
        if not events or any(not isinstance(event, Received) for event in events):
            self.after_poll()
        self._arm()

    def _set_blocked(self, reason: str) -> None:
        if self.blocked:
            self.tally.set(BROKER_BLOCKED, 0, self.path, self.blocked)
        if reason:
            self.tally.set(BROKER_BLOCKED, time.time(), self.path, reason)
        self.blocked = reason

    def _handle_messages(self, messages: tuple[IncomingMessage, ...]) -> None:
        self.on_broker(Received(messages))
        self.after_poll()

    def _quarantine_message(self, unreadable: UnreadableMessage) -> None:
        """Quarantine a message that no handler is to see."""
        message = unreadable.message
        self.on_broker(Unreadable((unreadable,)))
        self.set_aside(message.tag, publication_of(message), unreadable.reason, raw=unreadable.raw)
        self.quarantine.write()
        self.acknowledge([message.tag])

    def _acknowledge_now(self, tags: list[int]) -> None:
        self.broker.ack(tags)
        self.on_acknowledged(tags)

    def _arm(self) -> None:
        deadline = self.broker.deadline()
        if deadline is not None:
            self._broker_due.at(deadline)
