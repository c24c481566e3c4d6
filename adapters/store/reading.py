"""Reads the views of Callboard's own databases, whose creation takes more than one request."""

from collections.abc import Iterator, Sequence
from typing import Any

from callboard.adapters.store.protocol import (
    DatabaseMissing,
    DocumentStore,
    Row,
    View,
    ViewMissing,
)


def rows_of(
    store: DocumentStore, database: str, views: Sequence[View], view: str, **options: Any
) -> Iterator[Row]:
    """The rows of a view, read page by page during iteration; none if the database is missing.

    `views`: all views of the database. They are stored first if the view is missing: another
    process has created the database and not yet its views, or died before. `options`: see
    `DocumentStore.view`. Raises StoreForbidden if the user may not store views; other StoreErrors.
    """
    try:
        try:
            yield from store.view(database, view, **options)
        except ViewMissing:
            store.ensure_views(database, views)
            yield from store.view(database, view, **options)
    except DatabaseMissing:
        return
