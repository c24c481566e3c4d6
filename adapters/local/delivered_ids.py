"""Delivery ids that are finished, in a small file that all deliverers of a node share.

What a killed process has written into a file is there for the next one, and for those beside it.
So an event that comes again after a death is not delivered again where it was.

The file is a table of fixed size: an id belongs to one of its rows, and goes first there, and the
last of the row falls out. It lies in the memory of all, so that reading and writing a row takes
neither a lock nor a system call, upon which another thread would run first. Two processes that
write the same row at once may lose an id, which costs a repeat and nothing else: an id that was
not finished is never found, for a torn entry is the digest of nothing.
"""

import mmap
import os
import time
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

from callboard.webhooks.dispatch.jobs import RECENT_S

DIGEST_BYTES = 12
ENTRY_BYTES = DIGEST_BYTES + 4
"""A digest of the id, and when it was finished: Unix seconds."""
ROW_BYTES = 64 * ENTRY_BYTES
ROWS = 2048
"""2 MB, which hold about the last 130,000 ids."""


class DeliveredIds:
    """A set of ids, of which the oldest are forgotten; see the module.

    Where the file cannot be used (a full disk, a folder that is not ours) nothing is ever known,
    and `on_error` hears why, once.
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
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(file, 0, ROWS * ROW_BYTES)
                self._table = mmap.mmap(file, ROWS * ROW_BYTES)
            finally:
                os.close(file)
        except OSError as error:
            on_error(error)

    def add(self, id: str) -> None:
        """This one is finished."""
        if self._table is None:
            return
        digest, row = _place(id)
        entry = digest + (int(self._clock()) & 0xFFFF_FFFF).to_bytes(4)
        self._table[row] = entry + self._table[row][:-ENTRY_BYTES]

    def __contains__(self, id: str) -> bool:
        """Whether it was finished lately. A clock that has jumped makes it forget."""
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
        """Close the file; what is in it stays."""
        if self._table is not None:
            self._table.close()
            self._table = None


def _place(id: str) -> tuple[bytes, slice]:
    """The digest of an id, and its row."""
    digest = blake2b(id.encode(errors="replace"), digest_size=DIGEST_BYTES).digest()
    begins = int.from_bytes(digest[:4]) % ROWS * ROW_BYTES
    return digest, slice(begins, begins + ROW_BYTES)
