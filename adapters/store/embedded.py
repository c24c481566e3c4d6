"""A document store in one SQLite file: for a first run, for tests, for a single machine.

It has CouchDB's revisions and conflicts, and views in CouchDB's order of keys. It lacks
attachments, replication, and design documents as documents.
"""

import json
import os
import re
import sqlite3
import struct
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import md5
from pathlib import Path
from string import ascii_letters
from typing import Any
from uuid import uuid4

from attrs import evolve, field, frozen

from callboard.adapters.local.corrupt_file import (
    RecordDamaged,
    file_number,
    is_corrupt,
    move_aside,
)
from callboard.adapters.store.protocol import (
    CONFLICT,
    ChangedDocument,
    Changes,
    Conflict,
    DatabaseMissing,
    Document,
    Row,
    Saved,
    StoreError,
    StoreUnavailable,
    View,
    ViewMissing,
    may_be_read,
)

_SCHEMA = """
CREATE TABLE databases (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE documents (
    database INTEGER NOT NULL,
    id TEXT NOT NULL,
    rev TEXT NOT NULL,
    deleted INTEGER NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (database, id)
);
CREATE TABLE views (
    id INTEGER PRIMARY KEY,
    database INTEGER NOT NULL,
    name TEXT NOT NULL,
    source TEXT NOT NULL,
    reduce TEXT,
    UNIQUE (database, name)
);
CREATE TABLE view_rows (
    view INTEGER NOT NULL,
    sort BLOB NOT NULL,
    id TEXT NOT NULL,
    number INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (view, sort, id, number)
) WITHOUT ROWID;
CREATE INDEX view_rows_by_document ON view_rows (id, view);
"""

_DATABASE_NAME = re.compile(r"[a-z][a-z0-9_$()+/-]*")
_OUR_MEMBERS = frozenset({"_id", "_rev", "_deleted"})
_LOWER_FIRST = str.maketrans(ascii_letters, ascii_letters.swapcase())

_to_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode

_Map = Callable[[Mapping[str, Any]], Iterable[tuple[Any, Any]]]


class SqliteFile:
    """A SQLite file readable by its owner only, shared by processes and threads.

    Opened at the first use and again after a fork. A transaction that returned survives the death
    of the process; with `synced` also a power failure, at the cost of some time.

    `schema`: the statements that fill a new file. `timeout_s`: how long to wait for other writers.
    `replaced`: a corrupt file is moved aside, and a new one takes its place.
    """

    def __init__(
        self,
        path: Path,
        schema: str,
        timeout_s: float,
        *,
        synced: bool = False,
        replaced: bool = False,
    ) -> None:
        self.path = path
        self._synced = synced
        self._replaced = replaced
        self._schema = schema
        self._timeout_s = timeout_s
        self._opened: _Opened | None = None
        self._left_behind: list[_Opened] = []

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, for one short read; other threads wait. Raises StoreUnavailable."""
        with self._errors():
            opened = self._open()
            with opened.lock:
                yield opened.connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The connection in a transaction: committed at the end, rolled back on any error."""
        with self.reading() as connection, _transaction(connection):
            yield connection

    def close(self) -> None:
        """Close the file; it reopens at the next use."""
        opened = self._opened
        if opened is not None and opened.pid == os.getpid():
            with opened.lock:
                opened.connection.close()
            self._opened = None

    def _open(self) -> "_Opened":
        opened = self._opened
        if opened is not None and opened.pid != os.getpid():
            # SQLite forbids even closing a connection that a parent process opened.
            self._left_behind.append(opened)
            opened = None
        if opened is not None and self._replaced and file_number(self.path) != opened.number:
            self.close()  # Another process has moved it aside.
            opened = None
        if opened is None:
            opened = self._opened = _Opened(self._connect(), file_number(self.path))
        return opened

    def _connect(self) -> sqlite3.Connection:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        connection = sqlite3.connect(
            self.path, timeout=self._timeout_s, isolation_level=None, check_same_thread=False
        )
        try:
            self._set_up(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_up(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if self._synced else 'NORMAL'}")
        if _is_new(connection):  # else no lock: another's long write must not matter
            with _transaction(connection):
                if _is_new(connection):
                    for statement in self._schema.split(";"):
                        connection.execute(statement)
                    connection.execute("PRAGMA user_version = 1")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        number = file_number(self.path) if self._opened is None else self._opened.number
        try:
            yield
        except (sqlite3.DatabaseError, RecordDamaged) as error:
            if is_corrupt(error):
                raise self._corrupt(number, error) from error
            if isinstance(error, sqlite3.OperationalError):
                raise StoreUnavailable(f"{self.path}: {error}") from error
            raise StoreError(f"{self.path}: {error}") from error
        except OSError as error:
            raise StoreUnavailable(f"{self.path}: {error}") from error
        except UnicodeEncodeError as error:
            raise StoreError(f"{self.path}: {error}") from error

    def _corrupt(self, number: int | None, error: Exception) -> StoreUnavailable:
        """The error for a corrupt file, which is moved aside if it is to be replaced."""
        self.close()
        if not self._replaced:
            return StoreUnavailable(f"{self.path}: {error}")
        try:
            aside = move_aside(self.path, number, str(error))
        except OSError as problem:
            return StoreUnavailable(f"{self.path} is corrupt ({error}) and stays: {problem}")
        return StoreUnavailable(f"{self.path} was corrupt ({error}), and moved to {aside}")


@frozen
class _Opened:
    connection: sqlite3.Connection
    number: int | None
    lock: threading.RLock = field(factory=threading.RLock)
    pid: int = field(factory=os.getpid)


def used_bytes(connection: sqlite3.Connection) -> int:
    """The bytes of a file in use; it also has the pages of deleted rows, which it uses again."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _is_new(connection: sqlite3.Connection) -> bool:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version) == 0


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


class EmbeddedStore:
    """Databases of documents in one SQLite file, used by several processes at once.

    The rows of views are written together with their documents, so every process that saves must
    know the views of the database: those given here and those it passed to `ensure_views`. A save
    in a database with a view unknown to the process raises StoreError.
    """

    def __init__(self, path: Path, timeout_s: float = 10.0, views: Iterable[View] = ()) -> None:
        self._file = SqliteFile(path, _SCHEMA, timeout_s)
        self._maps = {_declared(view): view.map_document for view in views}

    def ensure_database(self, database: str) -> bool:
        """See `DocumentStore.ensure_database`.

        Raises StoreError for a name that CouchDB refuses.
        """
        if not _DATABASE_NAME.fullmatch(database):
            raise StoreError(f"{self._file.path}: {database!r} is no name for a database")
        if self.database_exists(database):
            return False
        with self._file.writing() as connection:
            statement = "INSERT OR IGNORE INTO databases (name) VALUES (?)"
            return connection.execute(statement, (database,)).rowcount == 1

    def database_exists(self, database: str) -> bool:
        """See `DocumentStore.database_exists`."""
        with self._file.reading() as connection:
            return _find_database(connection, database) is not None

    def list_databases(self, prefix: str, after: str, limit: int) -> list[str]:
        """See `DocumentStore.list_databases`."""
        where = "name BETWEEN ? AND ? AND name > ?"
        query = f"SELECT name FROM databases WHERE {where} ORDER BY name LIMIT ?"  # noqa: S608
        with self._file.reading() as connection:
            rows = connection.execute(query, (prefix, f"{prefix}\uffff", after, limit))
            return [name for (name,) in rows]

    def ensure_views(self, database: str, views: Sequence[View]) -> None:
        """See `DocumentStore.ensure_views`. A new or changed view is filled at once."""
        for view in views:
            if view.reduce not in (None, "_count"):
                raise StoreError(f"view {_name(view)}: the embedded store has no {view.reduce}")
            self._maps[_declared(view)] = view.map_document
        with self._file.reading() as connection:
            stored = _stored_views(connection, self._database(connection, database))
        if {_declared(view) for view in views} <= stored.keys():
            return
        with self._file.writing() as connection:
            database_id = self._database(connection, database)
            for view in views:
                _replace_view(connection, database_id, view)

    def get(self, database: str, id: str) -> Document | None:
        """See `DocumentStore.get`."""
        return self.get_many(database, [id]).get(id) if may_be_read(id) else None

    def get_many(self, database: str, ids: Sequence[str]) -> dict[str, Document]:
        """See `DocumentStore.get_many`. A missing database counts as an empty one."""
        statement = (
            "SELECT id, rev, body FROM documents WHERE database = ? AND NOT deleted"
            " AND id IN (SELECT value FROM json_each(?))"
        )
        with self._file.reading() as connection:
            where = (_find_database(connection, database), _to_json(ids))
            found = connection.execute(statement, where).fetchall()
        return {row[0]: _document(*row) for row in found}

    def save(self, database: str, document: Document) -> str:
        """See `DocumentStore.save`."""
        (saved,) = self.save_many(database, [document])
        if saved.rev is None:
            kind = Conflict if saved.error == CONFLICT else StoreError
            raise kind(f"{self._file.path}: saving {database} {saved.id}: {saved.error}")
        return saved.rev

    def save_many(self, database: str, documents: Sequence[Document]) -> list[Saved]:
        """See `DocumentStore.save_many`. One transaction; `error` is `conflict` or a reason."""
        with self._file.writing() as connection:
            database_id = self._database(connection, database)
            maps = self._maps_of(connection, database_id)
            return [_save(connection, database_id, maps, document) for document in documents]

    def delete(self, database: str, id: str, rev: str) -> None:
        """See `DocumentStore.delete`."""
        try:
            self.save(database, {"_id": id, "_rev": rev, "_deleted": True})
        except Conflict:
            if self.get(database, id) is not None:
                raise

    def view(
        self,
        database: str,
        view: str,
        *,
        key: Any = ...,
        keys: Sequence[Any] | None = None,
        start: Any = ...,
        end: Any = ...,
        descending: bool = False,
        include_documents: bool = False,
        group: bool = False,
        reduce: bool | None = None,
        page_size: int = 1000,
        limit: int | None = None,
    ) -> Iterator[Row]:
        """See `DocumentStore.view`. Strings are in the order of `sort_key`."""
        with self._file.reading() as connection:
            view_id = _find_view(connection, self._database(connection, database), view)
            _check_reduce(connection, view_id, view, group=group, reduce=reduce)
        if key is not ...:
            start = end = key
        left = sys.maxsize if limit is None else limit
        for first, last in [(start, end)] if keys is None else [(one, one) for one in keys]:
            low, high = (last, first) if descending else (first, last)
            reader = _Reader(view_id, low, high, descending=descending, group=group)
            for page in self._pages(reader, page_size, left):
                ids = [row.id for row in page if row.id is not None]
                documents = self.get_many(database, ids) if include_documents else {}
                yield from (evolve(row, document=documents.get(row.id or "")) for row in page)
                left -= len(page)

    def documents(
        self, database: str, *, start: str = "", end: str = "\uffff", page_size: int = 1000
    ) -> Iterator[Document]:
        """See `DocumentStore.documents`."""
        statement = (
            "SELECT id, rev, body FROM documents WHERE database = ? AND id >= ? AND id <= ?"
            " AND NOT deleted ORDER BY id LIMIT ?"
        )
        while True:
            with self._file.reading() as connection:
                where = (self._database(connection, database), start, end, page_size + 1)
                page = connection.execute(statement, where).fetchall()
            yield from (_document(*row) for row in page[:page_size])
            if len(page) <= page_size:
                return
            start = page[-1][0]

    def changes(self, database: str, since: str | None, limit: int = 1000) -> Changes:
        """See `DocumentStore.changes`. The position is the largest number of a row (`_save`)."""
        with self._file.reading() as connection:
            database_id = self._database(connection, database)
            (last,) = connection.execute("SELECT max(rowid) FROM documents").fetchone()
            upto = int(last or 0)
            if since is None or int(since) > upto:
                return Changes((), str(upto), since is None)
            found = connection.execute(
                "SELECT id, rev, deleted, rowid FROM documents WHERE database = ? AND rowid > ?"
                " AND rowid <= ? ORDER BY rowid LIMIT ?",
                (database_id, int(since), upto, limit),
            ).fetchall()
        documents = tuple(ChangedDocument(id, rev, bool(gone)) for id, rev, gone, _row in found)
        complete = len(found) < limit
        return Changes(documents, str(upto if complete else found[-1][3]), complete)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _pages(self, reader: "_Reader", page_size: int, limit: int) -> Iterator[list[Row]]:
        while limit > 0:
            count = min(page_size, limit)
            with self._file.reading() as connection:
                page = reader.read(connection, count)
            yield page
            if len(page) < count:
                return
            limit -= count

    def _database(self, connection: sqlite3.Connection, name: str) -> int:
        database_id = _find_database(connection, name)
        if database_id is None:
            raise DatabaseMissing(f"{self._file.path}: no database {name}")
        return database_id

    def _maps_of(self, connection: sqlite3.Connection, database_id: int) -> dict[int, _Map]:
        stored = _stored_views(connection, database_id)
        unknown = sorted(view.name for view in stored.keys() - self._maps.keys())
        if unknown:
            raise StoreError(f"{self._file.path}: this process does not know the views {unknown}")
        return {view_id: self._maps[view] for view, view_id in stored.items()}


def sort_key(value: Any) -> bytes:
    """Bytes that sort like CouchDB's order of JSON values.

    The types sort as null, booleans, numbers, strings, arrays, objects. Strings sort by their
    case-folded code points, then lower case before upper. That is CouchDB's order (ICU's root
    collation) for a-z and for digits. It differs in punctuation, which ICU puts before
    digits, and in accented characters, which ICU puts beside their base characters. Integers beyond
    2**53 are rounded, as JavaScript does.
    """
    match value:
        case None:
            return b"\1"
        case bool():
            return b"\3" if value else b"\2"
        case int() | float():
            return b"\4" + _sorting_number(value)
        case str():
            return b"\5" + _ended(value.casefold()) + _ended(value.translate(_LOWER_FIRST))
        case list() | tuple():
            return b"\6" + b"".join(map(sort_key, value)) + b"\0"
        case Mapping():
            members = (sort_key(name) + sort_key(member) for name, member in value.items())
            return b"\7" + b"".join(members) + b"\0"
    raise TypeError(f"not a JSON value: {value!r}")


def _sorting_number(value: float) -> bytes:
    largest = sys.float_info.max
    (bits,) = struct.unpack(
        ">Q", struct.pack(">d", float(max(-largest, min(value, largest))) + 0.0)
    )
    return struct.pack(">Q", bits ^ (0xFFFF_FFFF_FFFF_FFFF if bits >> 63 else 1 << 63))


def _ended(text: str) -> bytes:
    """UTF-8 with an end mark that sorts before any continuation."""
    return text.encode().replace(b"\0", b"\0\xff") + b"\0"


@frozen
class _Declared:
    """A view as it is stored: two processes have the same view if all fields are equal."""

    name: str
    source: str
    reduce: str | None


def _declared(view: View) -> _Declared:
    return _Declared(_name(view), view.map_javascript, view.reduce)


def _name(view: View) -> str:
    return f"{view.design}/{view.name}"


class _Reader:
    """Reads the rows of a view in [low, high], page by page, narrowing the range as it goes.

    Internally the range is half open: from one position up to, but excluding, another. A position
    is a row's (sort, id, number), or (sort,) of a group.
    """

    def __init__(self, view_id: int, low: Any, high: Any, *, descending: bool, group: bool) -> None:
        width = 1 if group else 3
        self._view_id = view_id
        self._descending = descending
        self._from = (b"" if low is ... else sort_key(low), "", 0)[:width]
        self._before = (b"\xff" if high is ... else sort_key(high) + b"\0", "", 0)[:width]
        if self._from > self._before:
            raise StoreError("no rows can match: start lies beyond end")
        place = ", ".join(("sort", "id", "number")[:width])
        marks = ", ".join("?" * width)
        shown = "NULL, key, count(*)" if group else "id, key, value"
        order = place.replace(",", " DESC,") + " DESC" if descending else place
        self._statement = (
            f"SELECT {shown}, {place} FROM view_rows"  # noqa: S608  (no text from outside)
            f" WHERE view = ? AND ({place}) >= ({marks}) AND ({place}) < ({marks})"
            f" {'GROUP BY sort' if group else ''} ORDER BY {order} LIMIT ?"
        )

    def read(self, connection: sqlite3.Connection, count: int) -> list[Row]:
        """The next rows, at most `count`."""
        parameters = (self._view_id, *self._from, *self._before, count)
        found = connection.execute(self._statement, parameters).fetchall()
        if found:
            self._pass(found[-1][3:])
        return [Row(id, json.loads(key), json.loads(str(value))) for id, key, value, *_ in found]

    def _pass(self, place: tuple[Any, ...]) -> None:
        if self._descending:
            self._before = place
        else:
            *above, lowest = place
            self._from = (*above, lowest + (b"\0" if isinstance(lowest, bytes) else 1))


def _find_database(connection: sqlite3.Connection, name: str) -> int | None:
    found = connection.execute("SELECT id FROM databases WHERE name = ?", (name,)).fetchone()
    return None if found is None else int(found[0])


def _find_view(connection: sqlite3.Connection, database_id: int, name: str) -> int:
    statement = "SELECT id FROM views WHERE database = ? AND name = ?"
    found = connection.execute(statement, (database_id, name)).fetchone()
    if found is None:
        raise ViewMissing(f"no view {name}")
    return int(found[0])


def _check_reduce(
    connection: sqlite3.Connection, view_id: int, name: str, *, group: bool, reduce: bool | None
) -> None:
    statement = "SELECT reduce FROM views WHERE id = ?"
    (reduces,) = connection.execute(statement, (view_id,)).fetchone()
    if reduces and not group and reduce is not False:
        raise StoreError(f"view {name} has a reduce: say reduce=False")
    if group and not reduces:
        raise StoreError(f"view {name} has no reduce to group by")


def _stored_views(connection: sqlite3.Connection, database_id: int) -> dict[_Declared, int]:
    statement = "SELECT name, source, reduce, id FROM views WHERE database = ?"
    found = connection.execute(statement, (database_id,))
    return {_Declared(name, source, reduce): id for name, source, reduce, id in found}


def _replace_view(connection: sqlite3.Connection, database_id: int, view: View) -> None:
    declared = _declared(view)
    if declared in _stored_views(connection, database_id):
        return
    connection.execute(
        "DELETE FROM view_rows WHERE view IN"
        " (SELECT id FROM views WHERE database = ? AND name = ?)",
        (database_id, declared.name),
    )
    connection.execute(
        "INSERT OR REPLACE INTO views (database, name, source, reduce) VALUES (?, ?, ?, ?)",
        (database_id, declared.name, declared.source, declared.reduce),
    )
    view_id = _find_view(connection, database_id, declared.name)
    statement = "SELECT id, rev, body FROM documents WHERE database = ? AND NOT deleted"
    for found in connection.execute(statement, (database_id,)):
        _write_rows(connection, view_id, view.map_document, _document(*found))


def _document(id: str, rev: str, body: str) -> Document:
    return {"_id": id, "_rev": rev, **json.loads(body)}


def _save(
    connection: sqlite3.Connection,
    database_id: int,
    maps: Mapping[int, _Map],
    document: Document,
) -> Saved:
    id = document["_id"] if "_id" in document else uuid4().hex
    given = document.get("_rev")
    deleted = document.get("_deleted", False)
    try:
        body = _body(document, id)
    except (TypeError, ValueError) as error:
        return Saved(str(id), error=str(error))
    current = connection.execute(
        "SELECT rev, deleted FROM documents WHERE database = ? AND id = ?", (database_id, id)
    ).fetchone()
    current_rev, gone = current or (None, True)
    if given != current_rev and not (given is None and gone):
        return Saved(id, error=CONFLICT)
    rev = _next_revision(current_rev, body, deleted=deleted)
    # A replaced row gets the next number, so that the numbers tell the order of changes.
    connection.execute(
        "INSERT OR REPLACE INTO documents (database, id, rev, deleted, body)"
        " VALUES (?, ?, ?, ?, ?)",
        (database_id, id, rev, deleted, body),
    )
    for view_id, map_document in maps.items():
        if not gone:
            statement = "DELETE FROM view_rows WHERE view = ? AND id = ?"
            connection.execute(statement, (view_id, id))
        if not deleted:
            _write_rows(connection, view_id, map_document, {**document, "_id": id, "_rev": rev})
    return Saved(id, rev=rev)


def _body(document: Document, id: Any) -> str:
    """The document's own members as JSON. Raises ValueError or TypeError where CouchDB refuses."""
    if not isinstance(id, str) or not id or id.startswith("_"):
        raise ValueError(f"{id!r} is no document id")
    members = {name: member for name, member in document.items() if name not in _OUR_MEMBERS}
    for name in members:
        if name.startswith("_"):
            raise ValueError(f"Bad special document member: {name}")
    body = _to_json(members)
    (id + body).encode()  # a lone surrogate is no UTF-8
    return body


def _next_revision(current: str | None, body: str, *, deleted: bool) -> str:
    generation = int(current.partition("-")[0]) if current else 0
    digest = md5(f"{current} {deleted} {body}".encode(), usedforsecurity=False).hexdigest()
    return f"{generation + 1}-{digest}"


def _write_rows(
    connection: sqlite3.Connection, view_id: int, map_document: _Map, document: Document
) -> None:
    connection.executemany(
        "INSERT INTO view_rows (view, sort, id, number, key, value) VALUES (?, ?, ?, ?, ?, ?)",
        [
            (view_id, sort_key(key), document["_id"], number, _to_json(key), _to_json(value))
            for number, (key, value) in enumerate(map_document(document))
        ],
    )
