"""The attempts of an account over a period, from its monthly databases."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from callboard.adapters.store.protocol import DatabaseMissing, Document, DocumentStore
from callboard.webhooks.values.kazoo_names import GREGORIAN_OFFSET_S, account_database

BY_TIME = "webhooks/attempts_by_time_listing"
BY_HOOK = "webhooks/attempts_by_hook_listing"

_AT_ONCE = 200


def attempts(
    store: DocumentStore,
    account_id: str,
    hook_id: str | None,
    created_from: int,
    created_to: int,
    *,
    ascending: bool = False,
    start: tuple[int, str] | None = None,
) -> Iterator[Document]:
    """Attempts of an account, or of one hook, in order of time; Gregorian seconds, inclusive.

    `start`: time and id of the first attempt to return, where an earlier reading ended. Reads page
    by page during iteration; months without a database are skipped. Raises StoreError.
    """
    if start is not None:
        bound = start[0]
        created_from = max(created_from, bound) if ascending else created_from
        created_to = created_to if ascending else min(created_to, bound)
    if created_from > created_to:
        return
    for month in _months(created_from, created_to, ascending=ascending):
        database = f"{account_database(account_id)}-{month}"
        rows = _rows(store, database, hook_id, created_from, created_to, ascending=ascending)
        for document in rows:
            if start is None or not _before(document, start, ascending=ascending):
                yield document


def _rows(
    store: DocumentStore,
    database: str,
    hook_id: str | None,
    created_from: int,
    created_to: int,
    *,
    ascending: bool,
) -> Iterator[Document]:
    low: Any = created_from if hook_id is None else [hook_id, created_from]
    high: Any = created_to if hook_id is None else [hook_id, created_to]
    try:
        for row in store.view(
            database,
            BY_TIME if hook_id is None else BY_HOOK,
            start=low if ascending else high,
            end=high if ascending else low,
            descending=not ascending,
            include_documents=True,
            page_size=_AT_ONCE,
        ):
            if row.document is not None:
                yield row.document
    except DatabaseMissing:
        return


def _before(document: Document, start: tuple[int, str], *, ascending: bool) -> bool:
    """Whether a row is before the start: rows of the same second are in order of their ids."""
    place = document["pvt_created"], document["_id"]
    return place < start if ascending else place > start


def _months(created_from: int, created_to: int, *, ascending: bool) -> list[str]:
    """The months of a period, `YYYYMM`."""
    first, last = _month(created_from), _month(created_to)
    months = [f"{m // 12:04}{m % 12 + 1:02}" for m in range(first, last + 1)]
    return months if ascending else months[::-1]


def _month(gregorian: int) -> int:
    """Months since the year 0."""
    moment = datetime.fromtimestamp(gregorian - GREGORIAN_OFFSET_S, UTC)
    return moment.year * 12 + moment.month - 1
