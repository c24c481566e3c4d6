"""Messages that cannot be handled, kept on disk until they are imported as dead letters."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from callboard.adapters.store.protocol import StoreError
from callboard.adapters.store.spool import Spool
from callboard.supervision import Call, Timer

FILE = "poison.sqlite3"
"""In the data directory; the actors of a node share it."""
KEEP_AGAIN_S = 2.0
"""The interval for writing records again if the disk is full."""


class Quarantine:
    """Writes records of messages to disk; until then the messages stay unacknowledged.

    `acknowledge` is called with the tags that `settled` withheld, once their records are on disk.
    """

    def __init__(
        self,
        folder: Path,
        acknowledge: Callable[[list[int]], None],
        timer: Callable[[Call], Timer],
        log: Any,
    ) -> None:
        self._spool = Spool(folder / FILE, dropping=False)
        self._acknowledge, self._log = acknowledge, log
        self._again = timer(self.write)
        self._unwritten: dict[int, list[dict[str, Any]]] = {}
        self._withheld: list[int] = []
        self.count = 0
        """Records since the start."""

    def add(self, tag: int, record: dict[str, Any]) -> None:
        """Add a record (publications.set_aside) of the message with this tag; see `write`."""
        self._unwritten.setdefault(tag, []).append(record)
        self.count += 1

    def write(self) -> None:
        """Write the added records. If the disk is full, they are written again later."""
        records = [("poison", record) for added in self._unwritten.values() for record in added]
        if not records:
            return
        try:
            self._spool.append(records)
        except StoreError as problem:
            self._log.error("event_not_set_aside", reason=str(problem), events=len(self._unwritten))
            self._again.within(KEEP_AGAIN_S)
            return
        self._unwritten.clear()
        withheld, self._withheld = self._withheld, []
        if withheld:
            self._acknowledge(withheld)

    def settled(self, tags: Iterable[int]) -> list[int]:
        """Of the tags of handled messages those that may be acknowledged now."""
        if not self._unwritten:
            return list(tags)
        free: list[int] = []
        for tag in tags:
            (self._withheld if tag in self._unwritten else free).append(tag)
        return free

    def drop(self, tags: Iterable[int]) -> None:
        """These messages return to the broker, which redelivers them: forget their records."""
        for tag in tags:
            self._unwritten.pop(tag, None)
        self._withheld = [tag for tag in self._withheld if tag in self._unwritten]

    def forget(self) -> None:
        """The connection was lost: the broker redelivers the messages without a record on disk."""
        self._unwritten.clear()
        self._withheld.clear()

    def close(self) -> None:
        """Close the file; the records stay."""
        self._spool.close()
