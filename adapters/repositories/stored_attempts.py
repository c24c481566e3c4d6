"""The stored attempts of a hook, in the monthly databases of its account."""

import re
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from attrs import frozen

from callboard.adapters.repositories.maintenance import Step
from callboard.adapters.store.protocol import Document, DocumentStore, Row
from callboard.adapters.store.reading import rows_of
from callboard.adapters.store.views import MODB
from callboard.admin import Cursor, StoredAttempt
from callboard.webhooks.history.attempts import CANCELLED
from callboard.webhooks.history.dead_letters import NotRepeatable
from callboard.webhooks.history.resending import of_attempt
from callboard.webhooks.values.kazoo_names import GREGORIAN_OFFSET_S, account_database, gregorian_s

BY_HOOK = "webhooks/attempts_by_hook_listing"
"""Keys [hook, Gregorian seconds]."""

_MONTH = re.compile(r"[0-9]{6}")

CHUNK = 50
"""The number of attempts to read at a time, with the bodies of request and response."""


@frozen
class AttemptWindow:
    """Attempts of a hook in a period, in Unix seconds, both ends included."""

    account_id: str
    hook_id: str
    since_s: float
    until_s: float

    @property
    def months(self) -> tuple[str, ...]:
        """The months in the period, in UTC, as databases are named: `202611`."""
        first, last = time.gmtime(self.since_s), time.gmtime(self.until_s)
        span = range(first.tm_year * 12 + first.tm_mon - 1, last.tm_year * 12 + last.tm_mon)
        return tuple(f"{month // 12:04}{month % 12 + 1:02}" for month in span)


def list_attempts(
    store: DocumentStore, window: AttemptWindow, after: Cursor = (), limit: int = 100
) -> Iterator[Step]:
    """The attempts, the oldest first: `found` are `StoredAttempt`s. `after` is (month, s, id).

    A page ends after `limit` of them.
    """
    start = after or ("", "", "")
    for month in window.months:
        if month < start[0]:
            continue
        place = start if month == start[0] else (month, "", "")
        database = f"{account_database(window.account_id)}-{month}"
        found = 0
        rows = _rows(store, database, window, place)
        while chunk := list(islice(rows, CHUNK)):
            found += len(chunk)
            attempts = tuple(_attempt(month, row.document) for row in chunk if row.document)
            place = (month, str(int(chunk[-1].key[1])), str(chunk[-1].id))
            yield Step(attempts, after=place, page_ends=found >= limit)
        yield Step(after=(month, "~", ""))


def _rows(
    store: DocumentStore, database: str, window: AttemptWindow, place: Cursor
) -> Iterator[Row]:
    _month, second, id = place
    if second == "~":
        return
    since = gregorian_s(window.since_s) if second == "" else int(second)
    for row in rows_of(
        store,
        database,
        MODB,
        BY_HOOK,
        start=[window.hook_id, since],
        end=[window.hook_id, gregorian_s(window.until_s)],
        include_documents=True,
        page_size=CHUNK,
    ):
        if second == "" or (row.key[1], str(row.id)) > (since, id):
            yield row


def _attempt(month: str, document: Document) -> StoredAttempt:
    problem = ""
    try:
        of_attempt(document, "")
    except NotRepeatable as not_repeatable:
        problem = str(not_repeatable)
    outcome = document.get("client_error") or document.get("resp_status_code") or ""
    return StoredAttempt(
        id=f"{month}/{document['_id']}",
        event_id=str(document.get("event_id", "")),
        at_s=document["pvt_created"] - GREGORIAN_OFFSET_S,
        failed=document.get("result") not in ("success", CANCELLED),
        outcome=str(outcome),
        problem=problem,
    )


def read_attempts(
    store: DocumentStore, account_id: str, hook_id: str, ids: Sequence[str]
) -> dict[str, Document]:
    """The existing ones of these attempts (`StoredAttempt.id`) of this hook."""
    by_month: dict[str, list[str]] = {}
    for id in ids:
        month, _slash, document_id = id.partition("/")
        if _MONTH.fullmatch(month):
            by_month.setdefault(month, []).append(document_id)
    found: dict[str, Document] = {}
    for month, document_ids in by_month.items():
        database = f"{account_database(account_id)}-{month}"
        for document_id, document in store.get_many(database, document_ids).items():
            if _is_of(document, hook_id):
                found[f"{month}/{document_id}"] = document
    return found


def _is_of(document: Document, hook_id: Any) -> bool:
    return document.get("pvt_type") == "webhook_attempt" and document.get("hook_id") == hook_id
