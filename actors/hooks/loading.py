"""Loads hooks from the store into the hook table, and sends it the changes in between."""

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

from thespian.actors import ActorAddress

from callboard.actors.hooks.parser import HookParser
from callboard.actors.messages import Barrier, ChangeHooks, HooksLoaded, LoadHooks
from callboard.adapters.repositories.hooks import HookStore
from callboard.adapters.store.protocol import StoreError
from callboard.supervision import Call, Timer
from callboard.webhooks.hooks.hook import Hook, is_enabled
from callboard.webhooks.values.kazoo_names import gregorian_s

RETRY_S = 2.0
NOT_YET_S = 0.1
MISSES_AT_ONCE = 20
PAGES_ON_THE_WAY = 2
"""So that the next page is read while the table takes in the one before."""
LOAD_STALLS_S = 30.0
"""A load without progress for this time is restarted: a message was lost."""


class HookLoading:
    """Loads the stored hooks into the table, page by page, and sends it changes.

    Pages and changes are numbered together, as the table is to take them in this order. Without a
    table there is nothing to change: the next one is loaded from the store.
    """

    def __init__(
        self,
        store: HookStore,
        parser: HookParser,
        table: Callable[[], ActorAddress | None],
        send: Callable[[ActorAddress, Any], None],
        timer: Callable[[Call], Timer],
        log: Any,
    ) -> None:
        self._store, self._parser = store, parser
        self._table, self._send, self._log = table, send, log
        self._due = timer(self._go_on)
        self._stream = 0
        self._numbers = itertools.count()
        self._pages: Iterator[tuple[Hook, ...]] | None = None
        self._loaded_to: Any = None
        self._misses = 0
        self._unanswered = 0
        self._progress_at = time.monotonic()
        self.total = 0
        """Hooks in the table, by its last answer."""

    @property
    def under_way(self) -> bool:
        """Whether there are pages that were not sent yet."""
        return self._pages is not None

    def begin_within(self, seconds: float) -> None:
        """Begin a load in so many seconds, or earlier if that was asked for before."""
        self._pages = None
        self._due.within(seconds)

    def restart_if_stalled(self) -> None:
        """Restart a load whose last page the table has not answered for `LOAD_STALLS_S`."""
        if self._unanswered and time.monotonic() - self._progress_at > LOAD_STALLS_S:
            self.begin_within(0)

    def loaded(self, message: HooksLoaded) -> None:
        """The table has a page; send the next."""
        if message.stream != self._stream:
            return
        self.total, self._progress_at = message.total, time.monotonic()
        self._unanswered -= 1
        if self._pages is not None:
            self._send_pages()
        elif not self._unanswered:
            problems = len(self._parser.problems)
            self._log.info("hooks_loaded", hooks=message.total, problems=problems)

    def change(self, **change: Any) -> None:
        """Have the table put or remove hooks; members of `ChangeHooks`."""
        if table := self._table():
            self._send(table, ChangeHooks(self._stream, next(self._numbers), **change))

    def barrier(self, ticket: int) -> None:
        """Have the table answer with `Applied` once all that was sent before is in effect."""
        if table := self._table():
            self._send(table, Barrier(self._stream, next(self._numbers), ticket))

    def _go_on(self) -> None:
        if self._pages is not None:
            self._send_pages()
        elif self._table():
            self._begin()

    def _begin(self) -> None:
        self._stream = max(self._stream + 1, time.time_ns())
        self._numbers = itertools.count()
        self._progress_at = time.monotonic()
        self._parser.forget_all()
        self._loaded_to = None
        self._unanswered = 0
        self._pages = self._stored_pages()
        self._send_pages()

    def _stored_pages(self) -> Iterator[tuple[Hook, ...]]:
        for page in self._store.pages(gregorian_s(time.time()), after=self._loaded_to):
            enabled = (document for document in page.documents if is_enabled(document))
            parsed = (self._parser.stored(document) for document in enabled)
            hooks = tuple(hook for hook in parsed if hook is not None)
            self._loaded_to = page.end
            yield hooks

    def _send_pages(self) -> None:
        while self._pages is not None and self._unanswered < PAGES_ON_THE_WAY:
            if not self._send_page():
                return

    def _send_page(self) -> bool:
        """Send the next page to the table; whether it could be read."""
        table = self._table()
        if self._pages is None or table is None:
            return False
        try:
            page = next(self._pages, None)
        except StoreError as problem:
            # Database and views are missing until the initializer has made them.
            self._log.info("hooks_not_loaded", reason=str(problem))
            self._pages = None if self._loaded_to is None else self._stored_pages()
            self._misses += 1
            self._due.within(NOT_YET_S if self._misses < MISSES_AT_ONCE else RETRY_S)
            return False
        self._misses = 0
        last = page is None
        if last:
            self._pages = None
        self._unanswered += 1
        self._send(table, LoadHooks(self._stream, next(self._numbers), page or (), last))
        return True
