"""Loads hooks from the store into the hook table and sends it changes."""

import itertools
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

from thespian.actors import ActorAddress

from callboard.actors.hooks.parser import HookParser
from callboard.actors.messages import Barrier, ChangeHooks, HooksLoaded, LoadHooks
from callboard.adapters.repositories.hooks import HookStore
from callboard.adapters.store.protocol import StoreError, StoreUnavailable
from callboard.supervision import Call, Timer
from callboard.webhooks.acknowledgement.outbox import cut
from callboard.webhooks.hooks.hook import Hook, is_enabled, size_of
from callboard.webhooks.values.kazoo_names import gregorian_s

RETRY_S = 2.0
NOT_YET_S = 0.1
MISSES_AT_ONCE = 20
PREPARED_S = 20.0
"""At the first start the database and its views may be missing for this time without a word: until
the initializer, which starts last, has created them."""
PAGE_HOOKS = 500
PAGES_ON_THE_WAY = 2
"""Two, so that the next page is read while the table handles the previous one."""
LOAD_STALLS_S = 30.0
"""A load without progress for this time is restarted: a message was lost."""
LOADS_BITS = 32
"""The bits of a stream's number that count the loads of a life."""
CHECK = 0
"""The ticket of barriers that check whether a message was lost; replies have others."""


class HookLoading:
    """Loads the stored hooks into the table, page by page, and sends it changes.

    Pages and changes share one numbering, because the table must apply them in this order. While
    the table is down changes are dropped: a new table is loaded from the store.

    `life`: grows with each restart of the actor, even if the clock is set back; the table drops
    messages of earlier lives and loads. `clock`: monotonic, in seconds.
    """

    def __init__(
        self,
        store: HookStore,
        parser: HookParser,
        table: Callable[[], ActorAddress | None],
        send: Callable[[ActorAddress, Any], None],
        timer: Callable[[Call], Timer],
        log: Any,
        life: int,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._store, self._parser = store, parser
        self._clock = clock or time.monotonic
        self._table, self._send, self._log = table, send, log
        self._due = timer(self._go_on)
        self._stream = life << LOADS_BITS
        self._numbers = itertools.count()
        self._pages: Iterator[tuple[Hook, ...]] | None = None
        self._loaded_to: Any = None
        self._misses = 0
        self._missing_since = math.inf
        self._unconfirmed = 0
        self._checking = False
        self._progress_at = self._clock()
        self.incomplete_since: float | None = self._progress_at
        """When an incomplete load, or an earlier one, last had a page confirmed; else None."""
        self.since: str | None = None
        """The position in the store from which the load began; None before the first."""
        self.total = 0
        """Hooks in the table when it last confirmed a page."""

    @property
    def under_way(self) -> bool:
        """Whether some pages have not been sent yet."""
        return self._pages is not None

    @property
    def complete(self) -> bool:
        """Whether the table has confirmed all pages, and no other load is to begin."""
        return self.since is not None and self.incomplete_since is None

    def begin_within(self, seconds: float) -> None:
        """Begin a load after `seconds`, or earlier if one is due earlier."""
        self._pages = None
        if self.incomplete_since is None:
            self.incomplete_since = self._clock()
        self._due.within(seconds)

    def check(self) -> None:
        """Load again if a message to the table was lost; to be called every `LOAD_STALLS_S`.

        It was, if the table has confirmed no page for this time, or has not passed the last
        check's barrier, which also shows the responders what they have missed.
        """
        if self._unconfirmed:
            lost = self._clock() - self._progress_at > LOAD_STALLS_S
        else:
            lost = self._checking
        if lost:
            self.begin_within(0)
        elif not self.under_way and not self._unconfirmed and self._table():
            self._checking = True
            self.barrier(CHECK)

    def checked(self) -> None:
        """The table and all responders have passed the barrier of the last check."""
        self._checking = False

    def loaded(self, message: HooksLoaded) -> None:
        """The table has a page; send the next."""
        if message.stream != self._stream:
            return
        self.total, self._progress_at = message.total, self._clock()
        self.incomplete_since = self._progress_at
        self._unconfirmed -= 1
        if self._pages is not None:
            self._send_pages()
        elif not self._unconfirmed:
            self.incomplete_since = None
            problems = len(self._parser.problems)
            self._log.info("hooks_loaded", hooks=message.total, problems=problems)

    def change(self, **change: Any) -> None:
        """Send the table a `ChangeHooks` with these fields."""
        if table := self._table():
            self._send(table, ChangeHooks(self._stream, next(self._numbers), **change))

    def barrier(self, ticket: int) -> None:
        """Ask the table for `Applied` once all earlier messages are in effect."""
        if table := self._table():
            self._send(table, Barrier(self._stream, next(self._numbers), ticket))

    def _go_on(self) -> None:
        if self._pages is not None:
            self._send_pages()
        elif self._table():
            self._begin()

    def _begin(self) -> None:
        self._stream += 1
        self._numbers = itertools.count()
        self._progress_at = self._clock()
        self._checking = False
        self._parser.forget_all()
        self._loaded_to = None
        self._unconfirmed = 0
        self._pages = self._stored_pages()
        self._send_pages()

    def _stored_pages(self) -> Iterator[tuple[Hook, ...]]:
        if self._loaded_to is None:
            self.since = self._store.position()
        for page in self._store.pages(gregorian_s(time.time()), after=self._loaded_to):
            enabled = (document for document in page.documents if is_enabled(document))
            parsed = (self._parser.stored(document) for document in enabled)
            yield from cut((hook for hook in parsed if hook is not None), PAGE_HOOKS, size_of)
            self._loaded_to = page.end

    def _send_pages(self) -> None:
        while self._pages is not None and self._unconfirmed < PAGES_ON_THE_WAY:
            if not self._send_page():
                return

    def _send_page(self) -> bool:
        """Send the next page to the table; False if it could not be read."""
        table = self._table()
        if self._pages is None or table is None:
            return False
        try:
            page = next(self._pages, None)
        except StoreError as problem:
            if self._clock() - self._missing_since >= PREPARED_S or isinstance(
                problem, StoreUnavailable
            ):
                self._log.info("hooks_not_loaded", reason=str(problem))
            self._missing_since = min(self._missing_since, self._clock())
            self._pages = None if self._loaded_to is None else self._stored_pages()
            self._misses += 1
            self._due.within(NOT_YET_S if self._misses < MISSES_AT_ONCE else RETRY_S)
            return False
        self._misses, self._missing_since = 0, math.inf
        last = page is None
        if last:
            self._pages = None
        self._unconfirmed += 1
        self._send(table, LoadHooks(self._stream, next(self._numbers), page or (), last))
        return True
