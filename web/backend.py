"""What the API asks of the system behind it."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from attrs import frozen

from callboard.adapters.http.endpoint_rules import EndpointRules
from callboard.adapters.repositories.maintenance import Change
from callboard.adapters.store.protocol import DocumentStore
from callboard.webhooks.hooks.hook import Hook
from callboard.webhooks.modules.protocol import EventModule

A = TypeVar("A")


@frozen
class NodeFacts:
    """What does not change while the node runs.

    `embedded_store`: accounts come with their first hook there, as there is no Kazoo that has
    them. `known_events`: what `webhooks.hook.parse_hook` takes. `settings`: key and value of
    each, secrets hidden.
    """

    name: str
    zone: str
    version: str
    embedded_store: bool
    modules: tuple[EventModule, ...]
    known_events: frozenset[str]
    endpoints: EndpointRules
    settings: tuple[tuple[str, str], ...] = ()


class Backend(Protocol):
    """The system as the API sees it; called from many threads at once, and all of it may block."""

    @property
    def node(self) -> NodeFacts:
        """This node."""

    @property
    def store(self) -> DocumentStore:
        """A connection to the document store of the API's own, which threads may share."""

    @property
    def admin_token(self) -> str:
        """The token that may do everything."""

    def check_hook(self, hook: Hook) -> None:
        """Refuse a hook that nothing would ever be sent for. Raises InvalidHook."""

    def doubt(self, uri: str) -> str | None:
        """What speaks against a uri at this moment, by its name's meaning; waits a second for that
        at most. A sentence for whoever has just made the hook."""

    def changed(self, changes: Sequence[Change]) -> None:
        """Let every node know of documents that were saved. Returns at once; none gets lost
        while this process lives."""

    def hook_saved(self, change: Change) -> None:
        """The same for a hook; returns once it is in effect here, or after a few seconds."""

    def question(self, path: str, message: Any, kind: type[A]) -> "Future[A]":
        """Ask the actor at that path of the tree; the top of the tree is at the empty path.

        The future raises NoAnswer, RefusedByActor. Cancel it to give up.
        """

    def ask(self, path: str, message: Any, kind: type[A], timeout_s: float = 5.0) -> A:
        """The same, and wait for the answer. Raises NoAnswer, RefusedByActor."""

    def publish(
        self, messages: Sequence[tuple[str, str, bytes, str]], timeout_s: float = 10.0
    ) -> int:
        """Publish (exchange, routing key, body, content type) messages.

        Returns once the broker has confirmed them all; the number of those that found no queue.
        Raises NoAnswer, RefusedByActor: they may have been published, or not.
        """

    def stats(self) -> Mapping[str, Any]:
        """Figures of the server for `/healthz`."""
