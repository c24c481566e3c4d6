"""Parses hook documents, and collects the problems of hooks that cannot fire."""

from collections.abc import Collection
from typing import Any

from callboard.actors.messages import HookProblem
from callboard.adapters.store.protocol import Document
from callboard.webhooks.hooks.hook import Hook, InvalidHook, parse_hook, size_of
from callboard.webhooks.hooks.uris import uri_fault

MAX_PROBLEMS = 1000
"""Limit of stored problems."""
MAX_HOOK_BYTES = 16 * 2**20
"""A larger hook cannot fire: actors could not send it to each other in a page of hooks."""


class HookParser:
    """Parses hook documents and remembers why a document is invalid."""

    def __init__(self, known_events: Collection[str], log: Any) -> None:
        self._known_events, self._log = known_events, log
        self._problems: dict[str, HookProblem] = {}

    @property
    def problems(self) -> tuple[HookProblem, ...]:
        """The stored hooks that cannot fire, or whose URL would be refused now."""
        return tuple(self._problems.values())

    def parse(self, document: Document) -> Hook:
        """Parse a document without remembering a problem. Raises InvalidHook."""
        hook = parse_hook(document, self._known_events)
        if (size := size_of(hook)) > MAX_HOOK_BYTES:
            raise InvalidHook(hook.id, f"it has {size} bytes: at most {MAX_HOOK_BYTES} can be held")
        return hook

    def stored(self, document: Document) -> Hook | None:
        """Parse a stored document; None if the hook cannot fire. Its problem is remembered.

        A faulty URL that an earlier version has stored is a problem, but the hook still fires: it
        may reach an endpoint that accepts this URL.
        """
        hook_id = str(document.get("_id"))
        self.forget(hook_id)
        try:
            hook = self.parse(document)
        except InvalidHook as invalid:
            self._log.warning("hook_skipped", hook=hook_id, reason=str(invalid))
            self._remember(document, hook_id, invalid.reason)
            return None
        if (fault := uri_fault(hook.uri)) is not None:
            self._remember(document, hook_id, f"uri {hook.uri!r}: {fault}")
        return hook

    def forget(self, hook_id: str) -> None:
        """Forget the problem of a hook."""
        self._problems.pop(hook_id, None)

    def forget_all(self) -> None:
        """Forget all problems."""
        self._problems.clear()

    def _remember(self, document: Document, hook_id: str, reason: str) -> None:
        if len(self._problems) < MAX_PROBLEMS:
            account_id = str(document.get("pvt_account_id") or "")
            self._problems[hook_id] = HookProblem(account_id, hook_id, reason)
