"""The dead letters in the store: any node writes, lists, reads and removes them."""

from collections.abc import Sequence
from typing import Any

from attrs import frozen

from callboard.adapters.store.protocol import (
    DatabaseMissing,
    Document,
    DocumentStore,
    Row,
    Saved,
)
from callboard.adapters.store.reading import rows_of
from callboard.adapters.store.views import DEAD_LETTERS
from callboard.webhooks.history.dead_letters import DATABASE, TYPE

_AFTER_ALL: dict[str, Any] = {}
"""Sorts after every number and text (CouchDB, view collation)."""

Place = tuple[int, str]
"""The end of a page: a dead letter's time and id."""


@frozen
class Window:
    """Selects dead letters: of a hook, an account or all, of a kind, of a period.

    `since` and `until`: Gregorian seconds, both included.
    """

    account_id: str | None = None
    hook_id: str | None = None
    kind: str | None = None
    since: int | None = None
    until: int | None = None

    def shows(self, row: Row) -> bool:
        """Whether a row of the selected view is in the window."""
        return (self.kind is None or row.value.get("kind") == self.kind) and (
            self.account_id is None or row.value.get("account_id") == self.account_id
        )


class DeadLetterStore:
    """Database `callboard_dead_letters` of a document store; raises the store's errors.

    It is created with the first dead letter; a missing database counts as an empty one.
    """

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    def add(self, letters: Sequence[Document]) -> list[Saved]:
        """Store dead letters; returns each result. A conflict means that it is stored already."""
        try:
            return self._documents.save_many(DATABASE, letters)
        except DatabaseMissing:
            self._documents.ensure_database(DATABASE)
            self._documents.ensure_views(DATABASE, DEAD_LETTERS)
            return self._documents.save_many(DATABASE, letters)

    def page(
        self, window: Window, after: Place | None, limit: int
    ) -> tuple[list[Row], Place | None]:
        """Dead letters after a place, newest first, and the next page's place if there are more.

        Rows without documents; at most `limit` dead letters are read.
        """
        view, owner = "by_time", []
        if window.hook_id is not None:
            view, owner = "by_hook", [window.hook_id]
        elif window.account_id is not None:
            view, owner = "by_account", [window.account_id]
        newest: list[Any] = [_AFTER_ALL] if window.until is None else [window.until, _AFTER_ALL]
        first = window.until if after is None else after[0]
        if first is not None and window.since is not None and first < window.since:
            return [], None  # A store refuses a reversed range.
        rows = self._rows(
            f"dead_letters/{view}",
            start=[*owner, *(newest if after is None else after)],
            end=[*owner, *([] if window.since is None else [window.since])],
            descending=True,
            limit=limit + 2,
        )
        rows = [row for row in rows if after is None or tuple(row.key[-2:]) != after]
        more = (rows[limit - 1].key[-2], rows[limit - 1].key[-1]) if len(rows) > limit else None
        return [row for row in rows[:limit] if window.shows(row)], more

    def older_than(self, created: int, limit: int) -> list[str]:
        """Ids of the dead letters created before then, oldest first."""
        return [
            str(row.id)
            for row in self._rows("dead_letters/by_time", end=[created], limit=limit)
            if row.key[0] is not None
        ]

    def _rows(self, view: str, *, limit: int, **options: Any) -> list[Row]:
        options |= {"limit": limit, "page_size": limit}
        return list(rows_of(self._documents, DATABASE, DEAD_LETTERS, view, **options))

    def get(self, ids: Sequence[str]) -> dict[str, Document]:
        """The existing ones of these dead letters."""
        found = self._documents.get_many(DATABASE, ids)
        return {id: letter for id, letter in found.items() if letter.get("pvt_type") == TYPE}

    def remove(self, letters: Sequence[Document]) -> list[Saved]:
        """Delete dead letters as they were read; returns each result. A changed one stays."""
        gone = [{"_id": d["_id"], "_rev": d["_rev"], "_deleted": True} for d in letters]
        return self._documents.save_many(DATABASE, gone) if gone else []
