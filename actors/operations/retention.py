"""The part of the redelivery that keeps the letters: brings events in, and takes the old out."""

import time
from collections.abc import Mapping
from typing import Any

from callboard.actors.base.role import Setup
from callboard.actors.delivery.refused_dead_letters import RefusedDeadLetters
from callboard.actors.operations.store_worker import StoreWorker
from callboard.adapters.repositories.dead_letters import DeadLetterStore
from callboard.adapters.store.protocol import StoreError
from callboard.adapters.store.spool import Spool
from callboard.webhooks.history.dead_letters import poison_dead_letter
from callboard.webhooks.values.kazoo_names import gregorian_s

POISON_S = 5.0
"""How often it is looked whether something was set aside on this node."""
POISON_AT_ONCE = 50
PURGE_S = 600.0
"""How often it is looked for letters that are too old,"""
PURGE_AGAIN_S = 1.0
"""and how soon again while there are, to spare the store."""
PURGE_AT_ONCE = 20
DAY_S = 24 * 3600


class DeadLetterRetention(StoreWorker):
    """Makes dead letters of what this node has set aside, and deletes those that are too old."""

    def begin(self, setup: Setup) -> None:
        """What waits from before goes first."""
        super().begin(setup)
        self.letters = DeadLetterStore(self.store)
        self._poison = self.own(Spool(self.settings.data.dir / "poison.sqlite3", dropping=False))
        self._refused = self.own(RefusedDeadLetters(self.settings.data.dir, self.log))
        self._purged = 0
        self.after(0, self._look_for_poison)
        self.after(PURGE_AGAIN_S, self._look_for_old)

    def stats(self) -> Mapping[str, Any]:
        """Events set aside that are no letters yet; letters deleted for their age."""
        return {
            **super().stats(),
            "set_aside": self._poison.count(),
            "too_old": self._purged,
        }

    def _look_for_poison(self) -> None:
        more = self._take_poison()
        self.after(0 if more else POISON_S, self._look_for_poison)

    def _look_for_old(self) -> None:
        more = self._purge_old()
        self.after(PURGE_AGAIN_S if more else PURGE_S, self._look_for_old)

    def _take_poison(self) -> bool:
        """Make letters of some of what was set aside; whether to go on at once."""
        try:
            entries = self._poison.first(POISON_AT_ONCE)
            if not entries:
                return False
            node = self.settings.node.name
            letters = [poison_dead_letter(record, id, node) for id, _database, record in entries]
            self._refused.take(letters, self.letters.add(letters))
            self._poison.remove([id for id, _database, _record in entries])
        except StoreError as problem:
            self.log.warning("dead_letters_wait", reason=str(problem))
            return False
        return True

    def _purge_old(self) -> bool:
        """Delete some letters that are too old; whether there may be more."""
        days = self.settings.dead_letters.keep_days
        if not days:
            return False
        try:
            ids = self.letters.older_than(gregorian_s(time.time() - days * DAY_S), PURGE_AT_ONCE)
            gone = self.letters.remove(list(self.letters.get(ids).values()))
        except StoreError as problem:
            self.log.warning("dead_letters_not_purged", reason=str(problem))
            return False
        self._purged += sum(saved.error is None for saved in gone)
        return len(ids) == PURGE_AT_ONCE
