"""Changes a document that other clients may change at the same time."""

from collections.abc import Callable

from callboard.adapters.store.protocol import Conflict, Document, DocumentStore

SAVES = 10
"""The most saves of one change, each based on the latest version of another client."""


def revise(
    store: DocumentStore,
    database: str,
    id: str,
    change: Callable[[Document | None], Document | None],
) -> Document | None:
    """Read a document and save the result of `change`; returns the stored document.

    `change` gets None if there is no document, and returns None to change nothing. After a conflict
    both steps are repeated. Raises DatabaseMissing, and Conflict after too many conflicts.
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
