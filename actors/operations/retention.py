"""Imports quarantined events as dead letters, and deletes old dead letters and attempts."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from callboard.actors.base.quarantine import FILE
from callboard.actors.base.role import Setup
from callboard.actors.delivery.refused_dead_letters import RefusedDeadLetters
from callboard.actors.operations.store_worker import StoreWorker
from callboard.adapters.repositories.attempt_history import delete_older
from callboard.adapters.repositories.dead_letters import DeadLetterStore
from callboard.adapters.store.protocol import StoreError
from callboard.adapters.store.spool import Spool
from callboard.webhooks.history.dead_letters import poison_dead_letter
from callboard.webhooks.values.kazoo_names import gregorian_s

POISON_S = 5.0
"""The interval for importing this node's quarantined events."""
POISON_AT_ONCE = 50
PURGE_S = 600.0
"""The interval for deleting old dead letters."""
PURGE_AGAIN_S = 1.0
"""The pause between batches of old dead letters, which limits the load on the store."""
PURGE_AT_ONCE = 20
ATTEMPTS_S = 3600.0
"""The interval for deleting old attempts."""
ATTEMPTS_AGAIN_S = 0.1
"""The pause between two steps of it."""
DAY_S = 24 * 3600


class DeadLetterRetention(StoreWorker):
    """Stores quarantined events of this node as dead letters; deletes old ones and old attempts."""

    def begin(self, setup: Setup) -> None:
        """Import events from before the start at once."""
        super().begin(setup)
        self.dead_letters = DeadLetterStore(self.store)
        self._poison = self.own(Spool(self.settings.data.dir / FILE, dropping=False))
        self._refused = self.own(RefusedDeadLetters(self.settings.data.dir, self.log))
        self._purged = self._deleted = 0
        self._old: Iterator[int] = iter(())
        self._months_done: set[str] = set()
        self.after(0, self._look_for_poison)
        self.after(PURGE_AGAIN_S, self._look_for_old)
        # Beside Kazoo's own application, it is Kazoo that decides what its databases keep.
        if self.settings.attempts.keep_days and not self.settings.is_trial:
            self.after(PURGE_AGAIN_S, self._begin_attempts)

    def stats(self) -> Mapping[str, Any]:
        """Quarantined events not imported yet; dead letters and attempts deleted for their age."""
        return {
            **super().stats(),
            "set_aside": self._poison.count(),
            "too_old": self._purged,
            "old_attempts": self._deleted,
        }

    def _look_for_poison(self) -> None:
        more = self._take_poison()
        self.after(0 if more else POISON_S, self._look_for_poison)

    def _look_for_old(self) -> None:
        more = self._purge_old()
        self.after(PURGE_AGAIN_S if more else PURGE_S, self._look_for_old)

    def _begin_attempts(self) -> None:
        before_s = gregorian_s(time.time() - self.settings.attempts.keep_days * DAY_S)
        self._old = delete_older(self.store, before_s, self._months_done)
        self._delete_attempts()

    def _delete_attempts(self) -> None:
        try:
            deleted = next(self._old, None)
        except StoreError as problem:
            self.log.warning("attempts_not_purged", reason=str(problem))
            deleted = None
        if deleted is None:
            self.after(ATTEMPTS_S, self._begin_attempts)
            return
        self._deleted += deleted
        self.after(ATTEMPTS_AGAIN_S, self._delete_attempts)

    def _take_poison(self) -> bool:
        """Import a batch of quarantined events; whether there may be more."""
        try:
            entries = self._poison.first(POISON_AT_ONCE)
            if not entries:
                return False
            node = self.settings.node.name
            documents = [poison_dead_letter(record, id, node) for id, _database, record in entries]
            self._refused.take(documents, self.dead_letters.add(documents))
            self._poison.remove([id for id, _database, _record in entries])
        except StoreError as problem:
            self.log.warning("dead_letters_wait", reason=str(problem))
            return False
        return True

    def _purge_old(self) -> bool:
        """Delete a batch of old dead letters; whether there may be more."""
        days = self.settings.dead_letters.keep_days
        if not days:
            return False
        try:
            before_s = gregorian_s(time.time() - days * DAY_S)
            ids = self.dead_letters.older_than(before_s, PURGE_AT_ONCE)
            gone = self.dead_letters.remove(list(self.dead_letters.get(ids).values()))
        except StoreError as problem:
            self.log.warning("dead_letters_not_purged", reason=str(problem))
            return False
        self._purged += sum(saved.error is None for saved in gone)
        return len(ids) == PURGE_AT_ONCE
