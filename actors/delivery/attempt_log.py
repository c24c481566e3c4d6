"""Writes attempts and dead letters to disk first, and then to the store in bulk."""

import itertools
import uuid
from collections import deque
from collections.abc import Mapping
from functools import partial
from typing import Any

from thespian.actors import ActorAddress

from callboard.actors.base.placement import deliverers_among
from callboard.actors.base.role import Role, Setup
from callboard.actors.delivery.refused_dead_letters import RefusedDeadLetters
from callboard.actors.delivery.transports import CONNECT_TIMEOUT_MS
from callboard.actors.messages import AttemptPolicy, Attempts, AttemptsPersisted, WhichAttempts
from callboard.actors.messages.operational import EventsReported, ReportEvents
from callboard.actors.messages.paths import HOOK_LISTENER
from callboard.adapters.store.dry_run import DRY_RUN
from callboard.adapters.store.protocol import (
    DatabaseMissing,
    StoreError,
    StoreForbidden,
    StoreUnavailable,
)
from callboard.adapters.store.spool import Spool
from callboard.adapters.store.views import DEAD_LETTERS as LETTER_VIEWS
from callboard.adapters.store.views import MODB
from callboard.webhooks.history.dead_letters import DATABASE as DEAD_LETTERS
from callboard.webhooks.metrics import catalog
from callboard.webhooks.modules.operational import delivery_exhausted
from callboard.webhooks.values.json_values import as_int, is_true

BULK = 500
LETTERS_BULK = 50
"""Smaller, because dead letters include complete bodies."""
GATHER_S = 0.25
"""Records collect on disk for this time before they are written to the store."""
RETRY_S = 2.0
REPORTED_S = 5.0
"""Events about dead letters that are not confirmed within this time are reported again."""
LETTERS_RETRY_S = 30.0
"""Dead letters that the store refuses are never dropped; they are written again after this time."""
POLICY_S = 30.0
"""The interval for reading `log_successful_attempts`."""


class AttemptLog(Role):
    """Keeps attempts on disk until the store has them; confirms them once they are on disk.

    An exhausted delivery is therefore settled at once, even while CouchDB is down. Dead letters
    have their own file: when the files are full, the oldest attempts are dropped, dead letters not.
    """

    waits_for_store = True

    def begin(self, setup: Setup) -> None:
        """Open the spools and write what an earlier process left in them."""
        self._store = self.connect_store()
        self._directory = self.directory(self._store)
        most = self.settings.attempts.spool_mb * 1024 * 1024
        folder = self.settings.data.dir
        if self.settings.delivery.dry_run:  # A later run must not write them into the store.
            folder /= DRY_RUN
        self._spool = self.own(Spool(folder / "attempts.sqlite3", max_bytes=most))
        self._letters = self.own(
            Spool(folder / "dead_letters.sqlite3", max_bytes=most, dropping=False)
        )
        self._refused_dead_letters = self.own(RefusedDeadLetters(folder, self.log))
        self._unkept: deque[tuple[Attempts, ActorAddress]] = deque()
        self._room_due = self.timer(self._keep)
        self._ready_databases: set[str] = set()
        spools = self._spool, self._letters
        self._write_due = {spool: self.timer(partial(self._write, spool)) for spool in spools}
        self._at_once = {spool: self._bulk(spool) for spool in spools}
        self._written = 0
        self._refused = 0
        self._numbers = itertools.count(1)
        self._reported: tuple[int, list[int]] = 0, []
        self._policy = AttemptPolicy(successes=False, connect_timeout_ms=CONNECT_TIMEOUT_MS)
        self.after(0, self._follow_policy)  # Not here: a frozen store would outlast the start.
        self._write_soon(self._spool, 0)
        self._write_soon(self._letters, 0)

    def stats(self) -> Mapping[str, Any]:
        """Attempts written since the start, and those still on disk."""
        return {
            "written": self._written,
            "refused": self._refused,
            "waiting": self._spool.count(),
            "dropped": self._spool.dropped,
            "letters_waiting": self._letters.count(),
        }

    def measure(self) -> None:
        """Count written, dropped and waiting attempts."""
        self.tally.set(catalog.ATTEMPTS_WRITTEN, self._written)
        self.tally.set(catalog.ATTEMPTS_DROPPED, self._refused + self._spool.dropped)
        if (waiting := self._spool.count()) is not None:
            self.tally.set(catalog.ATTEMPTS_WAITING, waiting)

    def receiveMsg_Attempts(self, message: Attempts, sender: ActorAddress) -> None:
        """Write a deliverer's attempts to disk, then confirm them.

        While the disk is full they wait in memory. A deliverer has a limited number of unconfirmed
        batches, and repeats them if there is no confirmation.
        """
        if any((m.batch, s) == (message.batch, sender) for m, s in self._unkept):
            return
        self._unkept.append((message, sender))
        if not self._room_due.is_set:
            self._keep()

    def _keep(self) -> None:
        """Write waiting batches to disk.

        All have ids, so that one written twice, such as after a lost response of the store, is a
        conflict and not a second document; attempts of an earlier version get theirs here. The
        dead letters are written first, because repeating them is harmless if the attempts then do
        not fit.
        """
        while self._unkept:
            message, sender = self._unkept[0]
            dead_letters = [(db, dict(doc)) for db, doc in message.documents if db == DEAD_LETTERS]
            attempts = [
                (db, {"_id": uuid.uuid4().hex, **doc})
                for db, doc in message.documents
                if db != DEAD_LETTERS
            ]
            try:
                if dead_letters:
                    self._letters.append(dead_letters)
                self._spool.append(attempts)
            except StoreUnavailable as problem:
                self.log.error("attempts_not_kept", reason=str(problem), batches=len(self._unkept))
                self._room_due.within(RETRY_S)
                return
            self._unkept.popleft()
            self.send(sender, AttemptsPersisted(message.batch))
            self._write_soon(self._spool, GATHER_S)
            if dead_letters:
                self._write_soon(self._letters, GATHER_S)

    def receiveMsg_WhichAttempts(self, _message: WhichAttempts, sender: ActorAddress) -> None:
        """Send a deliverer the attempt policy."""
        self.send(sender, self._policy)

    def on_configuration(self) -> None:
        """Read the policy again; `log_successful_attempts` may have changed."""
        self._read_policy()

    def _write_soon(self, spool: Spool, seconds: float) -> None:
        if not self._write_due[spool].is_set:  # do not shorten the pause after a failure
            self._write_due[spool].within(seconds)

    def _bulk(self, spool: Spool) -> int:
        return BULK if spool is self._spool else LETTERS_BULK

    def _write(self, spool: Spool) -> None:
        try:
            entries = spool.first(self._at_once[spool])
        except StoreUnavailable as problem:
            self.log.error("attempts_not_read", reason=str(problem))
            self._write_soon(spool, RETRY_S)
            return
        if not entries:
            return
        database = entries[0][1]
        chosen = [(id, document) for id, db, document in entries if db == database]
        try:
            self._save(database, [document for _id, document in chosen])
        except StoreUnavailable as problem:
            self.log.warning("store_unavailable", reason=str(problem), waiting=spool.count())
            self._write_soon(spool, RETRY_S)
            return
        except StoreError as problem:
            if spool is self._letters:
                self.log.error("dead_letters_refused", reason=str(problem), waiting=spool.count())
                # Written singly, they show which one is refused.
                self._at_once[spool] = 1
                self._write_soon(spool, LETTERS_RETRY_S if len(chosen) == 1 else 0)
                return
            # Waiting would not help, such as for an account id that is no valid database name.
            self._refused += len(chosen)
            self.log.error("attempts_refused", database=database, reason=str(problem))
        else:
            self._written += len(chosen) if spool is self._spool else 0
            self._at_once[spool] = self._bulk(spool)
        ids = [id for id, _document in chosen]
        if spool is self._letters and self._report_exhausted(
            [document for _id, document in chosen], ids
        ):
            return
        self._remove(spool, ids)

    def _report_exhausted(self, letters: list[dict[str, Any]], ids: list[int]) -> bool:
        """Report exhausted deliveries; the dead letters stay on disk until these are there, too."""
        events = tuple(event for letter in letters if (event := delivery_exhausted(letter)))
        if self.settings.is_trial or not events:
            return False
        if listener := self.peer(HOOK_LISTENER):
            self._reported = next(self._numbers), ids
            self.send(listener, ReportEvents(events, self._reported[0]))
        self._write_soon(self._letters, REPORTED_S)  # Again, unless it is confirmed before.
        return True

    def receiveMsg_EventsReported(self, message: EventsReported, _sender: ActorAddress) -> None:
        """The events about these dead letters are on disk."""
        number, ids = self._reported
        if message.number == number:
            self._write_due[self._letters].clear()
            self._remove(self._letters, ids)

    def _remove(self, spool: Spool, ids: list[int]) -> None:
        try:
            spool.remove(ids)
        except StoreUnavailable as problem:
            # Removal needs disk space, too. A document written again is a conflict.
            self.log.error("attempts_not_kept", reason=str(problem), batches=len(self._unkept))
            self._write_soon(spool, RETRY_S)
            return
        self._write_soon(spool, 0)

    def _save(self, database: str, documents: list[dict[str, Any]]) -> None:
        if database not in self._ready_databases:
            new = self._store.ensure_database(database)
            if new or not self.settings.is_trial:  # Kazoo's own views are left as they are.
                views = LETTER_VIEWS if database == DEAD_LETTERS else MODB
                try:
                    self._store.ensure_views(database, views)
                except StoreForbidden as problem:
                    # The documents may be written all the same; only their lists need the views.
                    self.log.error("views_not_stored", database=database, reason=str(problem))
            self._ready_databases.add(database)
        try:
            results = self._store.save_many(database, documents)
        except DatabaseMissing:
            self._ready_databases.discard(database)
            self._save(database, documents)
            return
        if database == DEAD_LETTERS:
            self._refused_dead_letters.take(documents, results)
            return
        for saved in results:
            # A conflict: this attempt was written before a restart.
            if saved.is_refused:
                self.log.error("attempt_refused", database=database, id=saved.id, error=saved.error)

    def _follow_policy(self) -> None:
        self._read_policy()
        self.after(POLICY_S, self._follow_policy)

    def _read_policy(self) -> None:
        setting = self._directory.setting
        try:
            successes = is_true(setting("webhooks", "log_successful_attempts", False))
            timeout_ms = as_int(setting("webhooks", "connect_timeout_ms", CONNECT_TIMEOUT_MS))
        except StoreError as problem:
            self.log.warning("store_unavailable", reason=str(problem))
            return
        policy = AttemptPolicy(successes, max(1, timeout_ms or CONNECT_TIMEOUT_MS))
        if policy != self._policy:
            self._policy = policy
            for deliverer in deliverers_among(self.peers):
                self.send(deliverer.address, policy)
