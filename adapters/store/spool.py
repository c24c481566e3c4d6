"""Records that wait on disk while the store is unavailable."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from callboard.adapters.local.corrupt_file import RecordDamaged
from callboard.adapters.store.embedded import SqliteFile, used_bytes
from callboard.adapters.store.protocol import Document, StoreError, StoreUnavailable

_SCHEMA = """
CREATE TABLE records (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    database TEXT NOT NULL,
    document TEXT NOT NULL
)
"""

_DROPPED_AT_ONCE = 10

FIRST_BYTES = 8_000_000
"""The most bytes that a store surely accepts in one request within its time-out."""


class Spool:
    """A queue of (database, document) in a SQLite file, first in first out.

    Records survive the death of the process once `append` has returned. The file stays at about
    `max_bytes`: when it is full, the oldest records are dropped and counted. With `dropping` False
    it refuses new records until there is room, and records also survive the loss of power.

    Every method may raise StoreUnavailable: the file or the disk is full, or cannot be opened. A
    corrupt file is moved aside (corrupt_file.py), and the next call uses a new one.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int = 256 * 1024 * 1024,
        timeout_s: float = 10.0,
        dropping: bool = True,
    ) -> None:
        self._file = SqliteFile(path, _SCHEMA, timeout_s, synced=not dropping, replaced=True)
        self._max_bytes = max_bytes
        self._dropping = dropping
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """The number of records that this object has dropped unread."""
        return self._dropped

    def append(self, records: Sequence[tuple[str, Document]]) -> None:
        """Add records at the end, all or none."""
        rows = [
            (database.encode(errors="replace").decode(), json.dumps(document))
            for database, document in records
        ]
        dropped = 0
        with self._file.writing() as connection:
            if not self._dropping and used_bytes(connection) > self._max_bytes:
                raise StoreUnavailable(f"{self._file.path}: it holds {self._max_bytes} bytes")
            connection.executemany("INSERT INTO records (database, document) VALUES (?, ?)", rows)
            if not self._dropping:
                return
            while used_bytes(connection) > self._max_bytes:
                deleted = connection.execute(
                    "DELETE FROM records WHERE id IN (SELECT id FROM records ORDER BY id LIMIT ?)",
                    (_DROPPED_AT_ONCE,),
                ).rowcount
                if not deleted:
                    break
                dropped += deleted
        self._dropped += dropped

    def first(
        self, n: int, most_bytes: int = FIRST_BYTES, after: int = 0
    ) -> list[tuple[int, str, Document]]:
        """The `n` oldest records as (id, database, document), oldest first; they stay.

        Fewer if they are large: up to the record with which they reach `most_bytes`. `after`: only
        records with larger ids.
        """
        found = []
        with self._file.reading() as connection:
            for id, database, document in connection.execute(
                "SELECT id, database, document FROM records WHERE id > ? ORDER BY id LIMIT ?",
                (after, n),
            ):
                found.append((id, database, _decoded(document)))
                most_bytes -= len(document)
                if most_bytes <= 0:
                    break
        return found

    def remove(self, ids: Iterable[int]) -> None:
        """Remove these records; a missing id is no error."""
        with self._file.writing() as connection:
            connection.executemany("DELETE FROM records WHERE id = ?", [(id,) for id in ids])

    def __len__(self) -> int:
        with self._file.reading() as connection:
            (count,) = connection.execute("SELECT count(*) FROM records").fetchone()
        return int(count)

    def count(self) -> int | None:
        """The number of records; None if the file cannot be read now, as on a full disk."""
        try:
            return len(self)
        except StoreError:
            return None

    def close(self) -> None:
        """Close the file; the records stay."""
        self._file.close()


def _decoded(document: str) -> Document:
    try:
        decoded = json.loads(document)
    except (ValueError, TypeError, RecursionError) as problem:
        raise RecordDamaged(f"a record is not JSON: {problem}") from None
    if not isinstance(decoded, dict):
        raise RecordDamaged("a record is no JSON object")
    return decoded
