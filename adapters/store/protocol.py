"""Callboard's interface to a document store: CouchDB's documents, revisions and views, no more.

Database names are CouchDB's own (`webhooks`, `account/ab/cd/ef…-202611`). Documents are plain dicts
with `_id` and `_rev`. Calls block; every call ends within the store's time-out.

Implementations: `callboard.adapters.store.couchdb` (through couchdb) and
`callboard.adapters.store.embedded` (SQLite). One contract test suite runs against both.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from attrs import frozen

Document = dict[str, Any]


def may_be_read(id: str) -> bool:
    """Whether `get` may read a document or design document with this id.

    The addresses of the other ids are used by CouchDB itself: for the database, its listings, and
    its security object.
    """
    name = id.removeprefix("_design/")
    return name not in ("", ".", "..") and not name.startswith("_")


class StoreError(Exception):
    """Any failure of a document store."""


class StoreUnavailable(StoreError):
    """The store cannot be reached or does not respond: retry later."""


class Conflict(StoreError):
    """The document was changed in the meantime (HTTP 409): read it again."""


class DatabaseMissing(StoreError):
    """The database does not exist (HTTP 404, reason `no_db_file`)."""


class ViewMissing(StoreError):
    """The database exists, but not this view of it (HTTP 404)."""


class StoreForbidden(StoreError):
    """The user of the store's URL is not permitted to do this (HTTP 401 or 403; rights.py)."""


class StoreReadOnly(StoreError):
    """A change of a shared document during a dry run (dry_run.py)."""


@frozen
class View:
    """A CouchDB view, written twice: in JavaScript for CouchDB, in Python for the embedded store.

    `map_document` yields (key, value) for each row, as the JavaScript emits them.
    `reduce`: CouchDB's built-in reduce function (`_count`), or None.
    """

    design: str
    name: str
    map_javascript: str
    map_document: Callable[[Mapping[str, Any]], Iterable[tuple[Any, Any]]]
    reduce: str | None = None


@frozen
class Row:
    """A row of a view. `document` only if requested; `id` is None in grouped rows."""

    id: str | None
    key: Any
    value: Any
    document: Document | None = None


CONFLICT = "conflict"
"""The error for a document that already exists, or that another client has changed."""


@frozen
class Saved:
    """The result for one document of a bulk save: `rev` if saved, else `error` (CONFLICT, …)."""

    id: str
    rev: str | None = None
    error: str | None = None

    @property
    def is_refused(self) -> bool:
        """Whether the store rejects the document: neither saved nor in conflict."""
        return self.error not in (None, CONFLICT)


@frozen
class ChangedDocument:
    """A document that was saved or deleted, with its latest revision."""

    id: str
    rev: str
    deleted: bool


@frozen
class Changes:
    """The changes of a database since a position, each document once.

    `upto`: the position up to which they are listed, from which the next ones can be read.

    A position is an opaque text of the database's own; it holds for as long as the database does.
    `complete` False: there are more, or the position is not one of this database.
    """

    documents: tuple[ChangedDocument, ...]
    upto: str
    complete: bool = True


class DocumentStore(Protocol):
    """Documents with revisions, in named databases. Every method may raise StoreUnavailable."""

    def ensure_database(self, database: str) -> bool:
        """Create the database if it is missing; returns whether it was created."""

    def database_exists(self, database: str) -> bool:
        """Whether the database exists."""

    def list_databases(self, prefix: str, after: str, limit: int) -> list[str]:
        """At most `limit` names that begin with the prefix, in order, those after `after`."""

    def ensure_views(self, database: str, views: Sequence[View]) -> None:
        """Store the design documents of these views, leaving other views of them in place."""

    def get(self, database: str, id: str) -> Document | None:
        """The document, or None if it (or the database) does not exist or is deleted.

        Returns None without a request if `may_be_read` is False.
        """

    def get_many(self, database: str, ids: Sequence[str]) -> dict[str, Document]:
        """The existing ones of these documents, by id, in one request."""

    def save(self, database: str, document: Document) -> str:
        """Create or update; returns the new revision. A missing `_id` is generated: 32 hex digits.

        The dict passed in is not changed. Raises Conflict, DatabaseMissing.
        """

    def save_many(self, database: str, documents: Sequence[Document]) -> list[Saved]:
        """Save in one request, each independently, in order. Raises DatabaseMissing."""

    def delete(self, database: str, id: str, rev: str) -> None:
        """Delete one revision. Raises Conflict, DatabaseMissing; a missing document is no error."""

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
        """The rows of `design/name`, read page by page during iteration (bounded memory).

        `start` and `end` are inclusive keys; with `descending`, `start` is the higher one. `...`
        stands for "not given". A view with a reduce yields its rows only with `reduce=False` or
        `group=True`. Raises DatabaseMissing, ViewMissing.
        """

    def documents(
        self, database: str, *, start: str = "", end: str = "\uffff", page_size: int = 1000
    ) -> Iterator[Document]:
        """All documents with ids in [start, end], by id, in pages, without design documents."""

    def changes(self, database: str, since: str | None, limit: int = 1000) -> Changes:
        """The documents saved or deleted after `since`, except designs; None: only `upto`.

        At most `limit` documents. Raises DatabaseMissing.
        """

    def close(self) -> None:
        """Release connections and files."""
