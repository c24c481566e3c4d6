"""Changing a document that others may change at the same time."""

from collections.abc import Callable

from callboard.adapters.store.protocol import Conflict, Document, DocumentStore

SAVES = 10
"""How often a save is tried when somebody else saves in between, each time on what they saved."""


def revise(
    store: DocumentStore,
    database: str,
    id: str,
    change: Callable[[Document | None], Document | None],
) -> Document | None:
    """Read a document and save what `change` makes of it; the document as it is stored then.

    `change` gets None where there is no document, and returns None to leave things as they are.
    After a conflict both happen again. Raises DatabaseMissing, and Conflict when it never ends.
    """
    attempts_left = SAVES
    while True:
        existing = store.get(database, id)
        wanted = change(existing)
        if wanted is None:
            return existing
        attempts_left -= 1
        try:
            return {**wanted, "_rev": store.save(database, wanted)}
        except Conflict:
            if not attempts_left:
                raise
