"""The REST API: a server in a thread, and the actor that sends and receives messages for it."""

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from thespian.actors import ActorAddress

from callboard.actors.api.applying import Applying
from callboard.actors.api.asking import Asked, Asking, settle
from callboard.actors.api.backend import ActorBackend, Changed, InboxItem, Posted, ServerEnded
from callboard.actors.api.connections import Connections
from callboard.actors.api.inbox import Inbox
from callboard.actors.api.thread import ApiThread, PortTaken, app_maker, write_place
from callboard.actors.base.event_modules import event_modules
from callboard.actors.base.role import Setup
from callboard.actors.events.event_publisher import EventPublisher
from callboard.actors.hooks.change_exchange import change_exchange
from callboard.actors.messages import ApplyHooks
from callboard.actors.messages.operational import ReportEvents
from callboard.actors.messages.paths import HOOK_LISTENER, TOP
from callboard.actors.operations.store_worker import StoreWorker
from callboard.adapters.broker.protocol import BrokerEvent, Exchange, Topology
from callboard.adapters.keys.api_token import admin_token
from callboard.adapters.keys.key_file import KeyFileError
from callboard.config.settings import Settings
from callboard.config.time_limits import API_STOP_S, LOOK_S
from callboard.supervision import Answer, Peer
from callboard.web.access.refusals import REFUSALS_S, Refusals
from callboard.webhooks.metrics.catalog import API_REFUSED
from callboard.webhooks.modules.posted_event import EXCHANGE as POSTED

RETRY_S = 3.0
"""The interval for listening again on a port that is in use."""


class ApiServer(StoreWorker):
    """Serves `callboard.web` and publishes the changes made through it.

    The application runs in threads. Its requests to the tree come through an inbox, and responses
    go back through futures. So a slow client or store does not delay the actor's messages.
    """

    waits_for_store = False  # Threads do.

    def begin(self, setup: Setup) -> None:
        """Connect, then serve."""
        super().begin(setup)
        self._problem = ""
        self._port: int | None = None
        self._stopping = False
        self._thread: ApiThread | None = None
        self._asking = Asking(self.send)
        self._applying = Applying(self._ask)
        self._inbox: Inbox[InboxItem] = Inbox()
        self._documents = self.connect_store()
        self.closing.callback(self._stop_thread)
        self.closing.callback(self._asking.give_up)
        self.work_with(
            Topology(exchanges=(change_exchange(self.settings), *_posted(self.settings)))
        )
        self._publisher = EventPublisher(self.broker, self.log)
        self.every(LOOK_S, self._publisher.gate.look)
        self.watch(self.broker.fileno(), self._inbox.fileno())
        self._began = time.monotonic()
        self._refusals = Refusals()
        self.every(REFUSALS_S, partial(self._refusals.log, self.log))
        self._listen()

    def stats(self) -> Mapping[str, Any]:
        """The port, or the problem that prevents listening."""
        own = {"asking": len(self._asking), "refused": self._refusals.total}
        figures: dict[str, Any] = {**super().stats(), **own}
        if self._port is not None:
            figures["port"] = self._port
        if self._problem:
            figures["problem"] = self._problem
        return figures

    def measure(self) -> None:
        """Count the refusals because of a limit."""
        self.tally.set(API_REFUSED, self._refusals.total)

    def _health(self) -> Mapping[str, Any]:
        """For `/healthz`; called in another thread."""
        return {"uptime_s": round(time.monotonic() - self._began, 1)}

    def why_posts_are_refused(self) -> str:
        """For posted events; called in other threads."""
        return self._publisher.refuses

    # The server

    def _listen(self) -> None:
        if self._stopping:
            return
        api = self.settings.api
        try:
            token = api.admin_token or admin_token(self.settings.api_token_file)
        except (OSError, KeyFileError, ValueError) as problem:
            self._listen_later(str(problem))
            return
        backend = ActorBackend(
            self.settings,
            self._documents,
            token,
            self._inbox,
            self._health,
            self.why_posts_are_refused,
        )
        make_app = app_maker(backend, api, self._refusals)
        connections = Connections(api.connections_per_client, api.trusted_proxies, self._refusals)
        self._thread = ApiThread(
            api.bind, api.port, make_app, self._listens, self._server_ended, connections
        )
        self._thread.start()

    def _listen_later(self, problem: str) -> None:
        """Retry later. A crash would not help, and deliveries do not need the API."""
        if self._problem != problem:
            self._problem = problem
            self.log.error("api_cannot_listen", reason=problem, retry_s=RETRY_S)
        self.after(RETRY_S, self._listen)

    def _listens(self, port: int) -> None:
        """Called in the server's thread."""
        try:
            write_place(self.settings.api_place_file, self.settings.api.bind, port)
        except OSError as problem:
            self.log.warning("api_place_not_written", reason=str(problem))
        self._port, self._problem = port, ""
        self.freeze()  # The libraries of the web application were not there before.
        self.log.info("api_listens", bind=self.settings.api.bind, port=port)

    def _server_ended(self, problem: BaseException | None) -> None:
        """Called in the server's thread."""
        self._port = None
        self._inbox.put(ServerEnded(problem))

    def _handle_server_end(self, problem: BaseException | None) -> None:
        if self._stopping:
            self._leave()
            return
        match problem:
            case PortTaken():
                self._listen_later(str(problem))
            case _:
                raise RuntimeError("the API's server has ended") from problem

    def on_stop(self) -> None:
        """Let requests in progress end, then end."""
        self._stopping = True
        if self._thread is None or self._problem:
            self._leave()
            return
        self._thread.stop()
        self.after(API_STOP_S, self._leave)

    def _leave(self) -> None:
        with suppress(FileNotFoundError):
            self.settings.api_place_file.unlink()
        self.finish()

    def _stop_thread(self) -> None:
        """Ask the thread to stop; it ends with the process at the latest."""
        if self._thread is not None:
            self._thread.stop()

    # Requests of the server's threads

    def receiveMsg_WatchMessage(self, message: Any, sender: Any) -> None:
        """Handle requests of the threads, and poll the broker's connection."""
        self.take_from_threads()
        super().receiveMsg_WatchMessage(message, sender)

    def take_from_threads(self) -> None:
        """Handle what the server's threads have put into the inbox."""
        for job in self._inbox.taken():
            match job:
                case Asked(message=ApplyHooks()):
                    self._applying.apply(job)
                case Asked():
                    self._ask(job)
                case Posted(events, future):
                    self._publisher.publish(events, partial(settle, future))
                case Changed(changes):
                    self.publish(changes)
                case ReportEvents() if listener := self.peer(HOOK_LISTENER):
                    self.send(listener, job)
                case ServerEnded(problem):
                    self._handle_server_end(problem)

    def _ask(self, asked: Asked) -> None:
        at_top = asked.path == TOP
        self._asking.ask(asked, self.supervisor if at_top else self.peer(asked.path))

    def on_broker(self, event: BrokerEvent) -> None:
        """Answer for posted events; publish changes."""
        self._publisher.on_broker(event)
        super().on_broker(event)

    def receiveMsg_Answer(self, message: Answer, _sender: ActorAddress) -> None:
        """An actor's response to a thread's request."""
        self._asking.answered(message)

    def on_peers(self, before: Mapping[str, Peer]) -> None:
        """Fail the requests to actors that died."""
        self._asking.on_peers(before, self.peers)


def _posted(settings: Settings) -> Iterator[Exchange]:
    """The exchange of posted events, if they are enabled."""
    for module in event_modules(settings).modules:
        if POSTED in module.exchanges:
            yield Exchange(POSTED.name, POSTED.type, POSTED.durable)
