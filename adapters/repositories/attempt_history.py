"""The attempts of an account over a period, from its monthly databases, and their end."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from callboard.adapters.store.protocol import (
    Document,
    DocumentStore,
    StoreError,
    StoreUnavailable,
)
from callboard.adapters.store.reading import rows_of
from callboard.adapters.store.views import MODB
from callboard.webhooks.values.kazoo_names import GREGORIAN_OFFSET_S, account_database

BY_TIME = "webhooks/attempts_by_time_listing"
BY_HOOK = "webhooks/attempts_by_hook_listing"

_AT_ONCE = 200
OLD_AT_ONCE = 20
"""Attempts, with their bodies, that are read and deleted together."""
NAMES_AT_ONCE = 500
_MONTHLY = re.compile(r"account/.*-(\d{6})")


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
    for row in rows_of(
        store,
        database,
        MODB,
        BY_TIME if hook_id is None else BY_HOOK,
        start=low if ascending else high,
        end=high if ascending else low,
        descending=not ascending,
        include_documents=True,
        page_size=_AT_ONCE,
    ):
        if row.document is not None:
            yield row.document


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


def delete_older(store: DocumentStore, created_before: int, done: set[str]) -> Iterator[int]:
    """Delete the attempts of all accounts from before then, in steps: the number that each deleted.

    A step makes a few requests. `done` gets the databases of months that ended before then, once
    none is left; they are skipped. Other documents of the databases stay, as these are Kazoo's,
    too. Raises StoreError.
    """
    last = f"{(month := _month(created_before)) // 12:04}{month % 12 + 1:02}"
    after = ""
    while names := store.list_databases("account/", after, NAMES_AT_ONCE):
        after = names[-1]
        yield 0
        for database in names:
            found = _MONTHLY.fullmatch(database)
            if found and found[1] <= last and database not in done:
                while (deleted := _delete_some(store, database, created_before)) is not None:
                    yield deleted
                yield 0
                if found[1] < last:
                    done.add(database)


def _delete_some(store: DocumentStore, database: str, created_before: int) -> int | None:
    """The number of deleted attempts; None if there was none to delete."""
    try:
        rows = list(
            store.view(
                database,
                BY_TIME,
                start=0,
                end=created_before - 1,
                include_documents=True,
                page_size=OLD_AT_ONCE,
                limit=OLD_AT_ONCE,
            )
        )
    except StoreUnavailable:
        raise
    except StoreError:  # It has no such view, and so no attempts; or it was deleted meanwhile.
        return None
    old = [row.document for row in rows if row.document is not None]
    if not old:
        return None
    gone = [{"_id": d["_id"], "_rev": d["_rev"], "_deleted": True} for d in old]
    return sum(saved.error is None for saved in store.save_many(database, gone)) or None
