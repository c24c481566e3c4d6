"""The backend of the API, whose threads reach the system through an actor."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from importlib.metadata import version
from typing import Any, TypeVar

from attrs import field, frozen

from callboard.actors.api.asking import Asked
from callboard.actors.api.doubts import Doubts
from callboard.actors.api.inbox import Inbox
from callboard.actors.base.event_modules import event_modules
from callboard.actors.base.node_quotas import node_quotas
from callboard.actors.delivery.transports import check_hook, doubt, grants, rules
from callboard.actors.events.event_publisher import ClientEvent
from callboard.actors.messages import (
    ApplyHooks,
    HooksApplied,
    NoAnswer,
    Published,
    RefusedByActor,
)
from callboard.actors.messages.operational import ReportEvents
from callboard.actors.messages.paths import HOOK_LISTENER
from callboard.adapters.http.endpoint_rules import EndpointRules
from callboard.adapters.keys.secret_box import SecretBox
from callboard.adapters.portal.links import PortalLinks
from callboard.adapters.repositories.account_quotas import endpoint_config
from callboard.adapters.repositories.maintenance import Change
from callboard.adapters.store.protocol import DocumentStore
from callboard.config.settings import Settings
from callboard.config.show import shown
from callboard.config.time_limits import API_APPLY_S, sample_delivery_s
from callboard.web.backend import NodeFacts, Portal
from callboard.webhooks.hooks.hook import Hook
from callboard.webhooks.modules.operational import OperationalEvent

A = TypeVar("A")


@frozen
class Changed:
    """Documents that a thread has saved, to be published to all nodes."""

    changes: tuple[Change, ...]


@frozen
class Posted:
    """Events to publish, and the thread's future, which gets what became of them."""

    events: Sequence[ClientEvent]
    future: "Future[Published]" = field(factory=Future, eq=False)


@frozen
class ServerEnded:
    """The server's thread has ended; `problem` None: it was asked to stop."""

    problem: BaseException | None


InboxItem = Asked | Changed | Posted | ReportEvents | ServerEnded
"""Items that the threads of the API put into the actor's inbox."""


class ActorBackend:
    """Implements `callboard.web.backend.Backend` by the actor that reads `inbox`."""

    def __init__(
        self,
        settings: Settings,
        store: DocumentStore,
        admin_token: str,
        inbox: "Inbox[InboxItem]",
        stats: Callable[[], Mapping[str, Any]],
        posts_refused: Callable[[], str],
    ) -> None:
        self.node = node_facts(settings)
        self.store = store
        self.links = links_of(settings, store)
        self.admin_token = admin_token
        self._settings = settings
        self._doubts = Doubts(doubt)
        self._inbox = inbox
        self._stats = stats
        self._posts_refused = posts_refused

    def check_hook(self, hook: Hook) -> None:
        """See `Backend.check_hook`."""
        account = endpoint_config(self.store, hook.account_id, self.node.grants)
        check_hook(hook, self._settings, account)

    def doubt(self, uri: str, rules: EndpointRules) -> str | None:
        """See `Backend.doubt`."""
        return self._doubts.of(uri, rules)

    def changed(self, changes: Sequence[Change]) -> None:
        """See `Backend.changed`."""
        self._inbox.put(Changed(tuple(changes)))

    def hook_saved(self, change: Change) -> None:
        """See `Backend.hook_saved`."""
        self.changed([change])
        message = ApplyHooks(((change.document["pvt_account_id"], change.document["_id"]),))
        try:
            self.ask(HOOK_LISTENER, message, HooksApplied, API_APPLY_S)
        except (NoAnswer, RefusedByActor):
            return  # It is saved and will be published; a new listener loads all hooks.

    def question(self, path: str, message: Any, kind: type[A]) -> "Future[A]":
        """See `Backend.question`."""
        asked = Asked(path, message, kind)
        self._inbox.put(asked)
        return asked.future

    def ask(self, path: str, message: Any, kind: type[A], timeout_s: float = 5.0) -> A:
        """See `Backend.ask`."""
        future = self.question(path, message, kind)
        try:
            return future.result(timeout_s)
        except TimeoutError:
            future.cancel()
            raise NoAnswer(f"{path} did not answer within {timeout_s:g} s") from None

    def publish(self, messages: Sequence[ClientEvent]) -> "Future[Published]":
        """See `Backend.publish`."""
        posted = Posted(messages)
        self._inbox.put(posted)
        return posted.future

    def report(self, events: Sequence[OperationalEvent]) -> None:
        """See `Backend.report`."""
        self._inbox.put(ReportEvents(tuple(events)))

    def posts_refused(self) -> str:
        """See `Backend.posts_refused`."""
        return self._posts_refused()

    def stats(self) -> Mapping[str, Any]:
        """See `Backend.stats`."""
        return self._stats()


def links_of(settings: Settings, store: DocumentStore) -> PortalLinks:
    """The links that this node's keys make and accept."""
    return PortalLinks(SecretBox(settings.secrets.key, settings.secrets_key_file), store)


def node_facts(settings: Settings) -> NodeFacts:
    """The facts of this node that the API needs."""
    modules = event_modules(settings)
    return NodeFacts(
        name=settings.node.name,
        zone=settings.node.zone,
        version=version("callboard"),
        embedded_store=settings.couchdb.url.startswith("sqlite:"),
        modules=modules.modules,
        known_events=modules.known_events,
        usual_events=modules.usual_events,
        endpoints=rules(settings.delivery),
        grants=grants(settings),
        settings=shown(settings),
        quotas=node_quotas(settings),
        test_s=sample_delivery_s(settings),
        portal=Portal(
            settings.portal.url,
            settings.portal.name,
            (settings.portal.colour, settings.portal.colour_dark),
            settings.portal.logo,
        ),
    )
