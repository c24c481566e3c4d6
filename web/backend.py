"""The API's interface to the system behind it."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

from attrs import Factory, frozen

from callboard.actors.messages import Published
from callboard.adapters.http.endpoint_rules import EndpointRules
from callboard.adapters.portal.links import PortalLinks
from callboard.adapters.repositories.maintenance import Change
from callboard.adapters.store.protocol import DocumentStore
from callboard.webhooks.hooks.hook import Hook
from callboard.webhooks.hooks.quotas import Quotas
from callboard.webhooks.modules.bus_module import BusModule
from callboard.webhooks.modules.operational import OperationalEvent
from callboard.webhooks.modules.payload_schema import REJECT
from callboard.webhooks.modules.posted_event import EXCHANGE as POSTED
from callboard.webhooks.modules.protocol import EventModule
from callboard.webhooks.values.endpoint_options import NO_GRANTS, Grants

A = TypeVar("A")


@frozen
class Portal:
    """The dashboard as customers see it.

    `url`: its address for links, empty if only requests tell it. `name`: in place of Callboard's.
    `colours`: of buttons and links in light and in dark, `#rrggbb` or empty. `logo`: a file, or
    None.
    """

    url: str = ""
    name: str = "Callboard"
    colours: tuple[str, str] = ("", "")
    logo: Path | None = None


@frozen
class NodeFacts:
    """A node's facts that do not change while it runs.

    `embedded_store`: accounts are created with their first hook, as there is no Kazoo that manages
    them. `known_events`: the argument of `parse_hook`. `usual_events`: that of `defaults_of`.
    `settings`: key and value of each, with
    secrets masked. `quotas`: those of an account that has none of its own. `grants`: what hooks and
    accounts may permit of their endpoints. `test_s`: the time limit for a test delivery, seconds.
    `portal`: how customers see the dashboard, and where.
    """

    name: str
    zone: str
    version: str
    embedded_store: bool
    modules: tuple[EventModule, ...]
    known_events: frozenset[str]
    endpoints: EndpointRules
    settings: tuple[tuple[str, str], ...] = ()
    quotas: Quotas = Factory(Quotas)
    grants: Grants = NO_GRANTS
    usual_events: frozenset[str] = frozenset()
    test_s: float = 60.0
    portal: Portal = Factory(Portal)

    @cached_property
    def exchanges(self) -> frozenset[str]:
        """The names of the exchanges from which the modules take events."""
        return frozenset(exchange.name for m in self.modules for exchange in m.exchanges)

    @cached_property
    def rejecting(self) -> tuple[BusModule, ...]:
        """The modules that reject posted events which their schema does not allow."""
        tables = (module for module in self.modules if isinstance(module, BusModule))
        return tuple(m for m in tables if m.exchange == POSTED and m.validate == REJECT)


class Backend(Protocol):
    """The system as the API uses it; called from many threads at once, and any call may block."""

    @property
    def node(self) -> NodeFacts:
        """This node."""

    @property
    def store(self) -> DocumentStore:
        """The API's own connection to the document store, which threads may share."""

    @property
    def links(self) -> PortalLinks:
        """Links into the dashboard."""

    @property
    def admin_token(self) -> str:
        """The token with all permissions."""

    def check_hook(self, hook: Hook) -> None:
        """Refuse a hook to which nothing could ever be sent. Raises InvalidHook."""

    def doubt(self, uri: str, rules: EndpointRules) -> str | None:
        """A present objection to a URL, by the address of its name; takes at most a second.

        A sentence for the client that has just created the hook.
        """

    def changed(self, changes: Sequence[Change]) -> None:
        """Notify all nodes of saved documents.

        Returns at once; no change is lost while this process lives.
        """

    def hook_saved(self, change: Change) -> None:
        """The same for a hook; returns once it is in effect here, or after a few seconds."""

    def question(self, path: str, message: Any, kind: type[A]) -> "Future[A]":
        """Ask the actor at that path of the tree; the top supervisor has the empty path.

        The future raises NoAnswer, RefusedByActor. Cancel it to stop waiting.
        """

    def ask(self, path: str, message: Any, kind: type[A], timeout_s: float = 5.0) -> A:
        """The same, and wait for the reply. Raises NoAnswer, RefusedByActor."""

    def publish(self, messages: Sequence[tuple[str, str, bytes, str]]) -> "Future[Published]":
        """Publish (exchange, routing key, body, content type) messages.

        The result comes once the broker has confirmed them all. The future raises RefusedByActor:
        they may have been published, or not. Cancel it to stop waiting.
        """

    def report(self, events: Sequence[OperationalEvent]) -> None:
        """Publish operational events; returns at once. They can be lost with this process."""

    def posts_refused(self) -> str:
        """Why the broker takes no events at present, empty if it does; returns at once.

        It is known some seconds after a block has begun.
        """

    def stats(self) -> Mapping[str, Any]:
        """The server's figures for `/healthz`."""
