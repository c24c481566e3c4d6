"""The store during a dry run: shared documents are only read, and records are kept apart."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from callboard.adapters.store.protocol import (
    Changes,
    Document,
    DocumentStore,
    Row,
    Saved,
    StoreReadOnly,
    View,
)

DRY_RUN = "dry_run"
"""The folder in the data directory with the records of a dry run."""

_RECORDS = re.compile(r"account/.*-\d{6}|callboard_(dead_letters|posted_events)")
"""The databases of attempts, dead letters and posted events."""


class DryRunStore:
    """`shared`, without changes; databases of records are in `records` instead.

    To create a shared database or view does nothing: who reads one that is missing finds it so.
    Everything else that would change a shared document raises StoreReadOnly.
    """

    def __init__(self, shared: DocumentStore, records: DocumentStore) -> None:
        self._shared, self._records = shared, records

    def _store(self, database: str) -> DocumentStore:
        return self._records if _is_of_records(database) else self._shared

    def _writable(self, database: str) -> DocumentStore:
        if _is_of_records(database):
            return self._records
        raise StoreReadOnly(f"{database} is not changed during a dry run (delivery.dry_run)")

    def ensure_database(self, database: str) -> bool:
        """See `DocumentStore`."""
        return _is_of_records(database) and self._records.ensure_database(database)

    def database_exists(self, database: str) -> bool:
        """See `DocumentStore`."""
        return self._store(database).database_exists(database)

    def list_databases(self, prefix: str, after: str, limit: int) -> list[str]:
        """See `DocumentStore`. Those of records."""
        return self._records.list_databases(prefix, after, limit)

    def ensure_views(self, database: str, views: Sequence[View]) -> None:
        """See `DocumentStore`."""
        if _is_of_records(database):
            self._records.ensure_views(database, views)

    def get(self, database: str, id: str) -> Document | None:
        """See `DocumentStore`."""
        return self._store(database).get(database, id)

    def get_many(self, database: str, ids: Sequence[str]) -> dict[str, Document]:
        """See `DocumentStore`."""
        return self._store(database).get_many(database, ids)

    def save(self, database: str, document: Document) -> str:
        """See `DocumentStore`. Raises StoreReadOnly."""
        return self._writable(database).save(database, document)

    def save_many(self, database: str, documents: Sequence[Document]) -> list[Saved]:
        """See `DocumentStore`. Raises StoreReadOnly."""
        return self._writable(database).save_many(database, documents)

    def delete(self, database: str, id: str, rev: str) -> None:
        """See `DocumentStore`. Raises StoreReadOnly."""
        self._writable(database).delete(database, id, rev)

    def view(self, database: str, view: str, **query: Any) -> Iterator[Row]:
        """See `DocumentStore`."""
        return self._store(database).view(database, view, **query)

    def documents(self, database: str, **query: Any) -> Iterator[Document]:
        """See `DocumentStore`."""
        return self._store(database).documents(database, **query)

    def changes(self, database: str, since: str | None, limit: int = 1000) -> Changes:
        """See `DocumentStore`."""
        return self._store(database).changes(database, since, limit)

    def close(self) -> None:
        """Close both."""
        self._shared.close()
        self._records.close()


def _is_of_records(database: str) -> bool:
    return _RECORDS.fullmatch(database) is not None
