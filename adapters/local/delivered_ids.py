"""The ids of finished deliveries, in a small file shared by all deliverers of a node.

An id written by a killed process remains readable for its successor and for the other processes. So
an event that is redelivered after a crash does not repeat its finished deliveries.

The file is a table of fixed size: an id belongs to one row and is put first in it, and the row's
last entry is dropped. The file is mapped into the memory of all processes, so that reading and
writing a row needs neither a lock nor a system call, which would let another thread run first. Two
processes that write the same row at once may lose an id, which only causes a repeat: an unfinished
id is never found, because a torn entry is the digest of no id.
"""

import mmap
import time
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

from callboard.adapters.local.mapped_file import mapped
from callboard.webhooks.dispatch.jobs import RECENT_S

DIGEST_BYTES = 12
ENTRY_BYTES = DIGEST_BYTES + 4
"""A digest of the id, and the time it was finished: Unix seconds."""
ROW_BYTES = 64 * ENTRY_BYTES
ROWS = 2048
"""2 MB, which hold about the last 130,000 ids."""


class DeliveredIds:
    """A set of ids, of which the oldest are forgotten; see the module.

    If the file cannot be used (a full disk, missing permissions), the set stays empty and
    `on_error` is called once with the reason.
    """

    def __init__(
        self,
        path: Path,
        on_error: Callable[[OSError], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._table: mmap.mmap | None = None
        try:
            self._table = mapped(path, ROWS * ROW_BYTES)
        except OSError as error:
            on_error(error)

    def add(self, id: str) -> None:
        """Record this delivery as finished."""
        if self._table is None:
            return
        digest, row = _place(id)
        entry = digest + (int(self._clock()) & 0xFFFF_FFFF).to_bytes(4)
        self._table[row] = entry + self._table[row][:-ENTRY_BYTES]

    def __contains__(self, id: str) -> bool:
        """Whether it was finished recently. After a jump of the clock, ids may be forgotten."""
        if self._table is None:
            return False
        digest, row = _place(id)
        entries = self._table[row]
        at = entries.find(digest)
        if at < 0 or at % ENTRY_BYTES:
            return False
        finished_s = int.from_bytes(entries[at + DIGEST_BYTES : at + ENTRY_BYTES])
        return abs(self._clock() - finished_s) <= RECENT_S

    def close(self) -> None:
        """Close the file; its contents stay."""
        if self._table is not None:
            self._table.close()
            self._table = None


def _place(id: str) -> tuple[bytes, slice]:
    """The digest of an id, and its row."""
    digest = blake2b(id.encode(errors="replace"), digest_size=DIGEST_BYTES).digest()
    begins = int.from_bytes(digest[:4]) % ROWS * ROW_BYTES
    return digest, slice(begins, begins + ROW_BYTES)
