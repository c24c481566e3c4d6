"""Finds out from the store which changes of hooks the bus did not bring."""

import itertools
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from thespian.actors import ActorAddress

from callboard.actors.hooks.loading import RETRY_S, HookLoading
from callboard.actors.messages import HooksRefreshed
from callboard.adapters.repositories.hooks import HookStore
from callboard.adapters.store.protocol import Document, StoreError, StoreUnavailable
from callboard.supervision import Call, Timer

GATHER_S = 0.05
"""Actors that woke together are answered together."""
MAX_SEEN = 100_000
"""The most hooks whose revisions are remembered; beyond, the one seen longest ago is forgotten.

While very many hooks are stored, their announcements come some ten thousand hooks later.
"""
MAX_MISSED = 100
"""Of more missed changes in one page, with others behind it, all hooks are loaded again."""
MAX_BARRIERS = 100
"""Of more that are in flight, the oldest count as lost."""
GONE = "gone"
"""In place of a revision: the hook was removed."""


class HookRefreshing:
    """Compares the hooks with the store, and answers those who need that.

    The store lists the changes since the load, or since the last comparison, in pages: this costs
    one request for each, however many hooks there are. Changes that the bus has brought are known
    by their revisions. If the store cannot list them, all hooks are loaded again.

    `apply`: brings stored documents into effect. `load`: loads all hooks again.
    """

    def __init__(
        self,
        store: HookStore,
        loading: HookLoading,
        apply: Callable[[list[Document]], None],
        load: Callable[[], None],
        send: Callable[[ActorAddress, Any], None],
        timer: Callable[[Call], Timer],
        log: Any,
    ) -> None:
        self._store, self._loading, self._apply, self._load = store, loading, apply, load
        self._send, self._log = send, log
        self._due = timer(self.compare)
        self._seen: OrderedDict[str, str] = OrderedDict()
        self._asked: dict[str, tuple[ActorAddress, int]] = {}
        self._answers: dict[int, list[tuple[ActorAddress, int]]] = {}
        # The tickets of replies (changes.py) and of checks are not negative.
        self._tickets = itertools.count(-1, -1)
        self.missed = 0
        """Changes that the bus had not brought."""

    def ask(self, sender: ActorAddress, ask: int) -> None:
        """Answer with `HooksRefreshed` once the hooks are as they are stored now."""
        self._asked[str(sender)] = sender, ask
        self.soon()

    def soon(self) -> None:
        """Compare in a moment."""
        self._due.within(GATHER_S)

    def saw(self, hook_id: str, revision: str) -> None:
        """This revision of a hook is in effect."""
        self._seen[hook_id] = revision
        self._seen.move_to_end(hook_id)
        if len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)

    def has_seen(self, hook_id: str, revision: Any) -> bool:
        """Whether this revision of a hook is in effect, as far as is remembered."""
        return revision is not None and self._seen.get(hook_id) == revision

    def compare(self) -> None:
        """Read the changes since the last time; while hooks are loaded, once that is complete.

        One page at a time, so that requests are handled in between.
        """
        if not self._loading.complete:
            return
        try:
            missed = self._missed()
        except StoreUnavailable as problem:
            self._log.warning("hooks_not_compared", reason=str(problem))
            if self._asked:
                self._due.within(RETRY_S)
            return
        except StoreError as problem:
            self._log.warning("hooks_not_compared", reason=str(problem))
            missed = None
        if missed is None:
            self._load()
            return
        complete, found = missed
        if found:
            self.missed += len(found)
            self._log.warning("hook_changes_missed", hooks=len(found))
            self._apply(found)
        if not complete:
            self._due.within(0)
        elif self._asked:
            ticket = next(self._tickets)
            self._answers[ticket] = list(self._asked.values())
            if len(self._answers) > MAX_BARRIERS:
                del self._answers[next(iter(self._answers))]
            self._loading.barrier(ticket)

    def _missed(self) -> tuple[bool, list[Document]] | None:
        """Whether there are no further changes; and the documents of missed ones, of a page.

        None: all hooks are to be loaded. Raises StoreError.
        """
        assert self._loading.since is not None
        changes = self._store.changes(self._loading.since)
        missed = [
            each
            for each in changes.documents
            if self._seen.get(each.id) not in ((each.rev, GONE) if each.deleted else (each.rev,))
        ]
        if not changes.complete and (not changes.documents or len(missed) > MAX_MISSED):
            return None
        if any(each.deleted for each in missed):
            return None  # Its account, part of its key, is not stored any more.
        found = list(self._store.get_many([each.id for each in missed]).values())
        self._loading.since = changes.upto
        return changes.complete, found

    def applied(self, ticket: int) -> None:
        """The table and all responders have passed the barrier of a comparison."""
        for sender, ask in self._answers.pop(ticket, ()):
            if self._asked.get(str(sender)) == (sender, ask):
                del self._asked[str(sender)]
                self._send(sender, HooksRefreshed(ask))
