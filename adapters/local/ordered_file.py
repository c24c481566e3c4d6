"""What a node remembers of its ordered queues, in a small SQLite file.

The hooks whose queues may have deliveries, so that these are found after a restart even if the hook
is not ordered any more, and the states of deliveries that are to be attempted again: a message that
the broker gives back has that of its publication.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from attrs import evolve

from callboard.adapters.local.corrupt_file import file_number, is_corrupt, move_aside
from callboard.webhooks.retries.ordered_queue import HookKey
from callboard.webhooks.retries.retry_message import RetryMessage

SCHEMA = """
CREATE TABLE IF NOT EXISTS queue (account TEXT, hook TEXT, PRIMARY KEY (account, hook));
CREATE TABLE IF NOT EXISTS state (delivery TEXT PRIMARY KEY, state TEXT, saved_s INTEGER);
"""
KEPT_S = 30 * 86_400
"""States are kept for this time: another node may have ended the delivery."""


class OrderedFile:
    """See the module. Without a usable file it remembers nothing beyond this process.

    `on_error` is called with the reason; `clock`: Unix seconds.
    """

    def __init__(
        self, path: Path, on_error: Callable[[Exception], None], clock: Callable[[], float]
    ) -> None:
        self._path, self._on_error, self._clock = path, on_error, clock
        self._db: sqlite3.Connection | None = None
        self._ordered: set[HookKey] = set()
        self._states: dict[str, str] = {}
        self.is_new = False
        """Whether no process had called `used`: an earlier version may have left deliveries."""
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None)
            path.chmod(0o600)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(SCHEMA)
            self._db.execute("DELETE FROM state WHERE saved_s < ?", (int(clock()) - KEPT_S,))
            self._ordered.update(self._db.execute("SELECT account, hook FROM queue"))
            self._states.update(self._db.execute("SELECT delivery, state FROM state"))
            self.is_new = self._db.execute("PRAGMA user_version").fetchone() == (0,)
        except (OSError, sqlite3.Error) as error:
            self._give_up(error)

    @property
    def ordered_queues(self) -> frozenset[HookKey]:
        """The hooks whose queues may have deliveries."""
        return frozenset(self._ordered)

    def add_queue(self, key: HookKey) -> None:
        """The queue of this hook is about to get deliveries."""
        if key not in self._ordered:
            self._ordered.add(key)
            self._execute("INSERT OR IGNORE INTO queue VALUES (?, ?)", [key])

    def drop_queue(self, key: HookKey) -> None:
        """The queue of this hook is empty, and gets no more deliveries."""
        if key in self._ordered:
            self._ordered.remove(key)
            self._execute("DELETE FROM queue WHERE account = ? AND hook = ?", [key])

    def used(self) -> None:
        """What an earlier version has left is in the queues."""
        if self._db is None:
            return
        try:
            self._db.execute("PRAGMA user_version = 1")
        except sqlite3.Error as error:
            self._give_up(error)

    def keep(self, retries: Iterable[RetryMessage]) -> None:
        """Remember the states of these deliveries."""
        states = {retry.delivery.id: _state(retry) for retry in retries}
        self._states |= states
        rows = [(id, state, int(self._clock())) for id, state in states.items()]
        self._execute("INSERT OR REPLACE INTO state VALUES (?, ?, ?)", rows)

    def restored(self, retry: RetryMessage) -> RetryMessage:
        """The delivery with the state that is remembered, if that is later."""
        text = self._states.get(retry.delivery.id)
        if text is None:
            return retry
        made, due_ms, since_ms, deferrals, history, taken_ms = json.loads(text)
        if (made, deferrals) <= (retry.attempts_made, retry.deferrals):
            return retry
        return evolve(
            retry,
            attempts_made=made,
            due_ms=due_ms,
            left=(),
            deferred_since_ms=since_ms,
            deferrals=deferrals,
            history=tuple((at, told) for at, told in history),
            taken_ms=taken_ms,
        )

    def forget(self, deliveries: Iterable[str]) -> None:
        """These deliveries have ended."""
        rows = [(id,) for id in deliveries if self._states.pop(id, None) is not None]
        self._execute("DELETE FROM state WHERE delivery = ?", rows)

    def close(self) -> None:
        """Close the file; its contents stay."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def _execute(self, statement: str, rows: Sequence[tuple[str | int, ...]]) -> None:
        if self._db is None or not rows:
            return
        try:
            self._db.execute("BEGIN")
            self._db.executemany(statement, rows)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self.close()
        if is_corrupt(error):
            with suppress(OSError):
                move_aside(self._path, file_number(self._path), str(error))
        self._on_error(error)


def _state(retry: RetryMessage) -> str:
    return json.dumps(
        [
            retry.attempts_made,
            retry.due_ms,
            retry.deferred_since_ms,
            retry.deferrals,
            retry.history,
            retry.taken_ms,
        ]
    )
