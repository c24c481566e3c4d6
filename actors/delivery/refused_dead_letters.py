"""Dead letters that the store takes in no way, kept in a file instead."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from callboard.adapters.store.protocol import Document, Saved
from callboard.adapters.store.spool import Spool
from callboard.webhooks.history.dead_letters import DATABASE

FILE = "refused.sqlite3"
"""In the data directory; the actors of a node share it."""


class RefusedDeadLetters:
    """A file of letters that the store has refused, which the log tells one by one."""

    def __init__(self, folder: Path, log: Any) -> None:
        self._spool = Spool(folder / FILE, dropping=False)
        self._log = log

    def take(self, letters: Sequence[Document], fared: Iterable[Saved]) -> None:
        """Keep the refused ones. Raises StoreUnavailable: the disk is full.

        A conflict means that the store has a letter: whoever wrote it died before he forgot it.
        """
        refused = set()
        for saved in fared:
            if saved.is_refused:
                self._log.error("dead_letter_refused", id=saved.id, error=saved.error)
                refused.add(saved.id)
        if refused:
            self._spool.append([(DATABASE, d) for d in letters if d["_id"] in refused])

    def close(self) -> None:
        """Close the file; the letters stay."""
        self._spool.close()
