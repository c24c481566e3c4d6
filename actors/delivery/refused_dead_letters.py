"""Dead letters that the store refuses, kept in a file instead."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from callboard.adapters.store.protocol import Document, Saved
from callboard.adapters.store.spool import Spool
from callboard.webhooks.history.dead_letters import DATABASE

FILE = "refused.sqlite3"
"""In the data directory; the actors of a node share it."""


class RefusedDeadLetters:
    """A file of dead letters that the store has refused; each is logged."""

    def __init__(self, folder: Path, log: Any) -> None:
        self._spool = Spool(folder / FILE, dropping=False)
        self._log = log

    def take(self, documents: Sequence[Document], results: Iterable[Saved]) -> None:
        """Keep the refused ones. Raises StoreUnavailable if the disk is full.

        Conflicts are not refused: the store has the dead letter, but the process that wrote it
        ended before removing it from its spool.
        """
        refused = set()
        for saved in results:
            if saved.is_refused:
                self._log.error("dead_letter_refused", id=saved.id, error=saved.error)
                refused.add(saved.id)
        if refused:
            self._spool.append([(DATABASE, d) for d in documents if d["_id"] in refused])

    def close(self) -> None:
        """Close the file."""
        self._spool.close()
