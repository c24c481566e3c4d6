"""An index of the deliveries that wait in the broker's delay queues, which cannot be searched.

Each node has its own: a delivery is in that of the node that deferred it (docs/adr/0040).
"""

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from attrs import frozen

from callboard.adapters.store.embedded import SqliteFile, used_bytes
from callboard.webhooks.retries.retry_message import RetryMessage

LATE_MS = 3_600_000
"""After this time beyond its due time, a delivery is no longer expected here."""
_TIMEOUT_S = 1.0
_AT_ONCE = 500
"""Deliveries that are dropped together when the file is full."""

_SCHEMA = """
CREATE TABLE waiting (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL,
    hook_id TEXT NOT NULL,
    deferrals INTEGER NOT NULL,
    due_ms INTEGER NOT NULL,
    taken_ms INTEGER NOT NULL,
    put_ms INTEGER NOT NULL,
    older_ms INTEGER NOT NULL,
    waits INTEGER NOT NULL,
    reason TEXT NOT NULL,
    message BLOB
);
CREATE INDEX waiting_by_hook ON waiting (hook_id, waits, due_ms, id);
CREATE INDEX waiting_by_time ON waiting (waits, due_ms, id)
"""
# deferrals: of the latest copy. waits: 1, or 0 when that has arrived; then there is no message.
# older_ms: when the last copy before the latest is due, 0: there is none.

_PUT = """
INSERT INTO waiting VALUES (?, ?, ?, ?, ?, ?, ?, 0, 1, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    account_id = excluded.account_id, hook_id = excluded.hook_id, deferrals = excluded.deferrals,
    due_ms = excluded.due_ms, taken_ms = excluded.taken_ms, put_ms = excluded.put_ms,
    waits = 1, reason = excluded.reason, message = excluded.message
WHERE excluded.deferrals >= deferrals
"""
_DELETE_PAST = "DELETE FROM waiting WHERE waits IN (0, 1) AND due_ms < ? AND older_ms < ?"
_DELETE_LAST = """
DELETE FROM waiting WHERE id IN (
    SELECT id FROM waiting WHERE waits = 1 ORDER BY due_ms DESC, id DESC LIMIT ?
)
"""
_SENT_EARLY = """
INSERT INTO waiting VALUES (?, ?, ?, ?, ?, ?, 0, ?, 0, '', NULL)
ON CONFLICT (id) DO UPDATE SET
    older_ms = max(older_ms, excluded.older_ms),
    waits = CASE WHEN deferrals < excluded.deferrals THEN 0 ELSE waits END,
    message = CASE WHEN deferrals < excluded.deferrals THEN NULL ELSE message END,
    deferrals = max(deferrals, excluded.deferrals)
"""

Place = tuple[int, str]
"""The place of a delivery in a listing: its due time (Unix ms) and its id."""


@frozen
class Waiting:
    """A delivery that waits: its message in the retry queue, and why it was deferred."""

    id: str
    account_id: str
    hook_id: str
    deferrals: int
    due_ms: int
    taken_ms: int
    reason: str
    message: bytes

    @property
    def place(self) -> Place:
        """Its place in a listing."""
        return self.due_ms, self.id


@frozen
class Window:
    """Those of one hook or account, or all. `put_until_ms`: only those that are here since then."""

    hook_id: str | None = None
    account_id: str | None = None
    put_until_ms: int | None = None


class WaitingIndex:
    """The index in an SQLite file, which several processes may open.

    Every method may raise StoreUnavailable. A corrupt file is replaced by an empty one. When
    `max_bytes` are used, the deliveries that are due last are dropped.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._file = SqliteFile(path, _SCHEMA, _TIMEOUT_S, replaced=True)
        self._max_bytes = max_bytes

    def put(self, deferred: Iterable[tuple[RetryMessage, bytes, str]], now_ms: int) -> None:
        """Record deliveries that the broker has: each with its message, and the reason."""
        rows = [
            (
                *map(_text, (retry.delivery.id, retry.delivery.account_id, retry.delivery.hook_id)),
                retry.deferrals,
                retry.due_ms,
                retry.taken_at_ms,
                now_ms,
                _text(reason),
                message,
            )
            for retry, message, reason in deferred
        ]
        with self._file.writing() as connection:
            connection.execute(_DELETE_PAST, (now_ms - LATE_MS, now_ms - LATE_MS))
            connection.executemany(_PUT, rows)
            while used_bytes(connection) > self._max_bytes:
                if not connection.execute(_DELETE_LAST, (_AT_ONCE,)).rowcount:
                    break

    def arrived(self, due: Sequence[RetryMessage], now_ms: int) -> list[bool]:
        """Remove deliveries that are due; for each, whether a newer copy of it was deferred."""
        with self._file.writing() as connection:
            return [_arrived(connection, retry, now_ms) for retry in due]

    def sent_early(self, sent: Iterable[Waiting]) -> None:
        """Record that newer copies of these are in the due queue, and theirs are outdated."""
        rows = [
            (w.id, w.account_id, w.hook_id, w.deferrals + 1, w.due_ms, w.taken_ms, w.due_ms)
            for w in sent
        ]
        with self._file.writing() as connection:
            connection.executemany(_SENT_EARLY, rows)

    def cancelled(self, hook_id: str, taken_until_ms: int) -> None:
        """Remove the deliveries of a hook whose events were taken until then."""
        with self._file.writing() as connection:
            connection.execute(
                "DELETE FROM waiting WHERE hook_id = ? AND waits = 1 AND taken_ms <= ?",
                (_text(hook_id), taken_until_ms),
            )

    def hooks_among(self, hook_ids: Iterable[str]) -> list[str]:
        """The hooks of which deliveries wait."""
        query = "SELECT 1 FROM waiting WHERE hook_id = ? AND waits = 1"
        with self._file.reading() as connection:
            return [id for id in hook_ids if connection.execute(query, (_text(id),)).fetchone()]

    def count(self, window: Window) -> int:
        """The number of deliveries that wait."""
        where, values = _where(window, None)
        with self._file.reading() as connection:
            query = f"SELECT count(*) FROM waiting WHERE {where}"  # noqa: S608
            return int(connection.execute(query, values).fetchone()[0])

    def page(self, window: Window, after: Place | None, limit: int) -> list[Waiting]:
        """The next deliveries, by due time."""
        where, values = _where(window, after)
        columns = "id, account_id, hook_id, deferrals, due_ms, taken_ms, reason, message"
        query = f"SELECT {columns} FROM waiting WHERE {where} ORDER BY due_ms, id LIMIT ?"  # noqa: S608
        with self._file.reading() as connection:
            return [Waiting(*row) for row in connection.execute(query, (*values, limit))]

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _arrived(connection: sqlite3.Connection, retry: RetryMessage, now_ms: int) -> bool:
    id = _text(retry.delivery.id)
    query = "SELECT deferrals, older_ms FROM waiting WHERE id = ?"
    deferrals, older_ms = connection.execute(query, (id,)).fetchone() or (0, 0)
    if retry.deferrals < deferrals:
        return True
    if older_ms + LATE_MS > now_ms:
        change = "UPDATE waiting SET waits = 0, message = NULL, deferrals = ? WHERE id = ?"
        connection.execute(change, (retry.deferrals, id))
    elif deferrals:
        connection.execute("DELETE FROM waiting WHERE id = ?", (id,))
    return False


def _where(window: Window, after: Place | None) -> tuple[str, list[int | str]]:
    conditions: list[tuple[str, list[int | str]]] = [("waits = 1", [])]
    if window.hook_id is not None:
        conditions.append(("hook_id = ?", [_text(window.hook_id)]))
    if window.account_id is not None:
        conditions.append(("account_id = ?", [_text(window.account_id)]))
    if window.put_until_ms is not None:
        conditions.append(("put_ms <= ?", [window.put_until_ms]))
    if after is not None:
        conditions.append(("(due_ms, id) > (?, ?)", [*after]))
    where = " AND ".join(condition for condition, _values in conditions)
    return where, [value for _condition, values in conditions for value in values]


def _text(text: str) -> str:
    """The text as SQLite accepts it: without lone surrogates."""
    return text.encode(errors="replace").decode()
