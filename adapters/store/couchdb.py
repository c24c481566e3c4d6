"""A CouchDB server as document store, through the `couchdb` client library."""

import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit
from uuid import uuid4

import couchdb
from couchdb import http, json

from callboard.adapters.keys.tls import Tls, take_options, tls_problem
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
    StoreForbidden,
    StoreUnavailable,
    View,
    ViewMissing,
    may_be_read,
)
from callboard.adapters.store.urls import mask_url

# CouchDB 1 and BigCouch use the first, CouchDB 2 and 3 the second.
_NO_DATABASE = ("no_db_file", "Database does not exist.")

_DESIGN_SAVES = 10


class CouchdbStore:
    """The databases of one CouchDB server (or of the proxy before a cluster).

    `timeout_s` bounds each wait for the server: to connect, and for each part of a response.
    Threads and forked processes may share a store; each has its own connections, which are kept
    alive.

    The library repeats a request once if its connection breaks. A save whose first request had
    reached the server then ends in Conflict: read the document again.
    """

    def __init__(self, url: str, timeout_s: float = 10.0) -> None:
        url, self._tls = take_options(url)
        self._url = _with_quoted_credentials(url)
        self._timeout_s = timeout_s
        self._own = threading.local()
        self._is_couchdb: bool | None = None
        self.url = mask_url(url)

    def ensure_database(self, database: str) -> bool:
        """See `DocumentStore.ensure_database`. Only the server's administrators may create one.

        To others CouchDB refuses it even if the database exists, which is no error here.
        """
        try:
            with (
                self._errors(f"creating database {database}"),
                suppress(couchdb.PreconditionFailed),
            ):
                self._server().resource.put_json(database)
                return True
        except StoreForbidden:
            if not self.database_exists(database):
                raise
        return False

    def database_exists(self, database: str) -> bool:
        """See `DocumentStore.database_exists`."""
        with self._errors(f"looking for database {database}"):
            try:
                self._server().resource.head(database)
            except couchdb.ResourceNotFound:
                return False
        return True

    def list_databases(self, prefix: str, after: str, limit: int) -> list[str]:
        """See `DocumentStore.list_databases`. By default, only the server's administrators may."""
        begins, ends = max(prefix, after), f"{prefix}\uffff"
        options = {"startkey": begins, "endkey": ends, "limit": limit + 1}
        with self._errors(f"listing databases {prefix}"):
            query = {name: json.encode(value) for name, value in options.items()}
            _status, _headers, names = self._server().resource.get_json("_all_dbs", **query)
        return [name for name in names if name.startswith(prefix) and name > after][:limit]

    def ensure_views(self, database: str, views: Sequence[View]) -> None:
        """See `DocumentStore.ensure_views`. Nothing is written without a change.

        Only the database's administrators may write. For others, views of the same names will do,
        such as Kazoo's own; StoreForbidden names those that are missing.
        """
        for design in sorted({view.design for view in views}):
            ours = {view.name: _functions(view) for view in views if view.design == design}
            self._ensure_design(database, f"_design/{design}", ours)

    def _ensure_design(self, database: str, id: str, ours: Mapping[str, Document]) -> None:
        for attempts_left in reversed(range(_DESIGN_SAVES)):
            stored = self.get(database, id) or {"_id": id}
            wanted = {
                **stored,
                "language": "javascript",
                "views": {**stored.get("views", {}), **ours},
            }
            if wanted == stored:
                return
            try:
                self.save(database, wanted)
            except Conflict:
                if not attempts_left:
                    raise
            except StoreForbidden as refused:
                missing = sorted(ours.keys() - stored.get("views", {}).keys())
                if not missing:
                    return
                raise StoreForbidden(f"{refused} (missing: {', '.join(missing)})") from refused
            else:
                return

    def security(self, database: str) -> Document:
        """The database's security object: its administrators and members (CouchDB, `_security`)."""
        with self._errors(f"reading the security object of {database}"):
            _status, _headers, found = self._database(database).resource.get_json("_security")
            return dict(found)

    def get(self, database: str, id: str) -> Document | None:
        """See `DocumentStore.get`."""
        if not may_be_read(id):
            return None
        with self._errors(f"reading {database} {id}"):
            document = self._database(database).get(id)
            return None if document is None else dict(document)

    def get_many(self, database: str, ids: Sequence[str]) -> dict[str, Document]:
        """See `DocumentStore.get_many`. A missing database counts as an empty one."""
        if not ids:
            return {}
        try:
            rows = self._rows(database, "_all_docs", keys=list(ids), include_docs=True)
        except DatabaseMissing:
            return {}
        return {row["id"]: row["doc"] for row in rows if row.get("doc")}

    def save(self, database: str, document: Document) -> str:
        """See `DocumentStore.save`."""
        ours = {"_id": uuid4().hex, **document}
        _check_storable(ours)
        with self._errors(f"saving {database} {ours['_id']}"):
            _id, rev = self._database(database).save(ours)
            return str(rev)

    def save_many(self, database: str, documents: Sequence[Document]) -> list[Saved]:
        """See `DocumentStore.save_many`. `error` is `conflict` or the server's reason."""
        ours = [{"_id": uuid4().hex, **document} for document in documents]
        outcomes: dict[int, Saved] = {}
        for place, document in enumerate(ours):
            try:
                _check_storable(document)
            except StoreError as error:
                outcomes[place] = Saved(document["_id"], error=str(error))
        sent = [place for place in range(len(ours)) if place not in outcomes]
        with self._errors(f"saving {len(sent)} documents of {database}"):
            answers = self._database(database).update([ours[place] for place in sent])
        for place, (saved, id, outcome) in zip(sent, answers, strict=True):
            outcomes[place] = Saved(id, rev=outcome) if saved else Saved(id, error=_reason(outcome))
        return [outcomes[place] for place in range(len(ours))]

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
        """See `DocumentStore.view`."""
        if key is not ...:
            start = end = key
        options = _given(
            keys=... if keys is None else list(keys),
            startkey=start,
            endkey=end,
            descending=descending or ...,
            include_docs=include_documents or ...,
            group=group or ...,
            reduce=... if reduce is None else reduce,
        )
        json.encode(options)  # a key that is not JSON must raise before any request
        for row in self._paged(database, view, options, page_size, limit):
            if "id" not in row and not group:
                raise StoreError(f"view {view} of {database} has a reduce: say reduce=False")
            yield Row(row.get("id"), row["key"], row["value"], row.get("doc"))

    def documents(
        self, database: str, *, start: str = "", end: str = "\uffff", page_size: int = 1000
    ) -> Iterator[Document]:
        """See `DocumentStore.documents`."""
        options = {"startkey": start, "endkey": end, "include_docs": True}
        for row in self._paged(database, "_all_docs", options, page_size):
            if row.get("doc") and not row["id"].startswith("_design/"):
                yield row["doc"]

    def changes(self, database: str, since: str | None, limit: int = 1000) -> Changes:
        """See `DocumentStore.changes`.

        A position that is a number, as of CouchDB 1 and PouchDB, is not of this database if it is
        larger than the latest one. The positions of later versions identify the database.
        """
        with self._errors(f"reading the changes of {database}"):
            if since is None or since.isdecimal():
                latest = _position(self._database(database).info()["update_seq"])
                if since is None or (latest.isdecimal() and int(since) > int(latest)):
                    return Changes((), latest, since is None)
            found = self._database(database).changes(since=since, limit=limit)
            rows, upto = found["results"], _position(found["last_seq"])
        documents = tuple(
            ChangedDocument(row["id"], row["changes"][0]["rev"], bool(row.get("deleted")))
            for row in rows
            if not row["id"].startswith("_design/")
        )
        return Changes(documents, upto, len(rows) < limit)

    def close(self) -> None:
        """Drop this thread's connections; those of other threads end with their threads."""
        self._own.__dict__.clear()

    def _paged(
        self,
        database: str,
        view: str,
        options: Mapping[str, Any],
        page_size: int,
        limit: int | None = None,
    ) -> Iterator[Document]:
        """The rows as the server sends them; every page also requests the first row of the next."""
        anchor: dict[str, Any] = {}
        skip = 0
        left = sys.maxsize if limit is None else limit
        while left > 0:
            count = min(page_size, left)
            place = {**options, **anchor, "skip": skip, "limit": count + 1}
            rows = self._rows(database, view, **place)
            page, following = rows[:count], rows[count:]
            yield from page
            left -= count
            if not following or not left:
                return
            passed, anchor = anchor, self._anchor(following[0], options)
            skip = (skip if _same(anchor, passed) else 0) + sum(
                _same(anchor, self._anchor(row, options)) for row in page
            )

    def _anchor(self, row: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters with which a page starts at this row, except the `skip` among equal ones.

        Rows of several `keys` have no common order, so they need `skip` alone.
        """
        if "keys" in options:
            return {}
        if "id" not in row or not self._knows_startkey_docid():
            return {"startkey": row["key"]}
        return {"startkey": row["key"], "startkey_docid": row["id"]}

    def _knows_startkey_docid(self) -> bool:
        """True for CouchDB; PouchDB's server, which identifies itself, ignores the parameter."""
        if self._is_couchdb is None:
            with self._errors("asking what it is"):
                _status, _headers, about = self._server().resource.get_json()
                self._is_couchdb = "express-pouchdb" not in about
        return self._is_couchdb

    def _rows(self, database: str, view: str, **options: Any) -> list[Document]:
        with self._errors(f"reading view {view} of {database}", not_found=ViewMissing):
            rows: list[Document] = self._database(database).view(view, **options).rows
            return rows

    def _database(self, name: str) -> couchdb.Database:
        # Not server[name], which checks each time that the database exists.
        return couchdb.Database(self._server().resource(name), name)

    def _server(self) -> couchdb.Server:
        """This thread's client: the library's connections support neither sharing nor a fork."""
        if getattr(self._own, "pid", None) != os.getpid():
            session = http.Session(timeout=self._timeout_s)
            session.cache = _NoCache()
            session.connection_pool = _Pool(self._timeout_s, self._tls)
            self._own.server = couchdb.Server(self._url, session=session)
            self._own.pid = os.getpid()
        return self._own.server

    @contextmanager
    def _errors(self, doing: str, not_found: type[StoreError] = StoreError) -> Iterator[None]:
        """Convert the library's exceptions while `doing` into the port's errors.

        `not_found`: the error for a missing document or view of an existing database.
        """
        where = f"{self.url}: {doing}"
        try:
            yield
        except couchdb.ResourceConflict as error:
            raise Conflict(f"{where}: conflict") from error
        except couchdb.ResourceNotFound as error:
            missing = DatabaseMissing if _reason(error) in _NO_DATABASE else not_found
            raise missing(f"{where}: {_reason(error)}") from error
        except (couchdb.Unauthorized, http.Forbidden) as error:
            raise StoreForbidden(f"{where}: credentials refused: {_reason(error)}") from error
        except couchdb.ServerError as error:
            status, reason = error.args[0]
            kind = StoreUnavailable if status >= 500 or status == 429 else StoreError
            raise kind(f"{where}: HTTP {status}: {reason}") from error
        except (http.HTTPError, http.RedirectLimit) as error:
            raise StoreError(f"{where}: {_reason(error)}") from error
        except (OSError, HTTPException) as error:
            self.close()  # the state of those connections is unknown
            told = str(error) or type(error).__name__
            raise StoreUnavailable(f"{where}: {tls_problem(told) or told}") from error
        except UnicodeEncodeError as error:
            raise StoreError(f"{where}: {error}") from error
        except (AttributeError, TypeError, ValueError) as error:
            # The library fails in various ways on responses that are not CouchDB's: a proxy's error
            # page without a content type or in chunks, a body that is not JSON.
            self.close()
            raise StoreUnavailable(f"{where}: not a response of CouchDB: {error!r}") from error


class _Pool(http.ConnectionPool):  # type: ignore[misc]
    """Connects with TLS as the URL says; the library has no options for it."""

    def __init__(self, timeout_s: float, tls: Tls) -> None:
        super().__init__(timeout_s)
        self._tls = tls

    def get(self, url: str) -> Any:
        """A connection to the server, a kept one if there is one."""
        parts = urlsplit(url)
        kept = self.conns.get((parts.scheme, parts.netloc))
        if parts.scheme != "https" or kept or self._tls == Tls():
            return super().get(url)
        try:
            context = self._tls.context()
        except ValueError as error:
            raise ConnectionError(str(error)) from None
        connection = _HTTPSConnection(parts.netloc, timeout=self.timeout, context=context)
        connection.server_name = self._tls.server_name
        connection.connect()
        return connection


class _HTTPSConnection(http.HTTPSConnection):  # type: ignore[misc]
    """Expects `server_name` in the certificate, if it is not empty."""

    server_name = ""
    sock: Any

    def connect(self) -> None:
        """Connect, then begin TLS."""
        if not self.server_name:
            super().connect()
            return
        HTTPConnection.connect(self)
        self.sock = self._context.wrap_socket(self.sock, server_hostname=self.server_name)


class _NoCache(http.Cache):  # type: ignore[misc]
    """Caches nothing: the library's cache would hold stale rows in memory without use."""

    def put(self, url: str, response: Any) -> None:
        """Does nothing."""


def _functions(view: View) -> Document:
    reduce = {} if view.reduce is None else {"reduce": view.reduce}
    return {"map": view.map_javascript, **reduce}


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not ...}


def _position(sequence: Any) -> str:
    """BigCouch's sequences are lists, those of others numbers or texts."""
    return sequence if isinstance(sequence, str) else str(json.encode(sequence))


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether both are the same JSON; by Python's `==`, true equals 1."""
    return bool(json.encode(one) == json.encode(other))


def _check_storable(document: Document) -> None:
    """Raise StoreError for values that are no JSON in UTF-8: NaN, a lone surrogate, an object."""
    try:
        json.encode(document).encode()
    except (TypeError, ValueError) as error:
        raise StoreError(f"document {document['_id']!r} cannot be stored: {error}") from error


def _reason(error: Exception) -> str:
    """The server's reason for an error; CONFLICT for conflicts."""
    if isinstance(error, couchdb.ResourceConflict):
        return CONFLICT
    told = error.args[0] if error.args else ""
    return str(told[-1] if isinstance(told, tuple) else told) or type(error).__name__


def _with_quoted_credentials(url: str) -> str:
    """The URL with user and password in the only form that the library parses correctly."""
    parts = urlsplit(url)
    if parts.username is None:
        return url
    user, password = (
        quote(unquote(text or ""), safe="") for text in (parts.username, parts.password)
    )
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}:{password}@{host}"))
