"""Delivery ids that are finished, in a small file that all deliverers of a node share.

What a killed process has written into a file is there for the next one, and for those beside it.
So an event that comes again after a death is not delivered again where it was.

The file is a table of fixed size: an id belongs to one of its rows, and goes first there, and the
last of the row falls out. Reading and writing a row takes some microseconds and no lock. Two
processes that write the same row at once may lose an id, which costs a repeat and nothing else: an
id that was not finished is never found, for a torn entry is the digest of nothing.
"""

import os
import time
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

from callboard.webhooks.in_hand import RECENT_S

DIGEST_BYTES = 12
ENTRY_BYTES = DIGEST_BYTES + 4
"""A digest of the id, and when it was finished: Unix seconds."""
ROW_BYTES = 64 * ENTRY_BYTES
ROWS = 2048
"""2 MB, which hold about the last 130,000 ids."""


class FinishedFile:
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
        self._on_error, self._clock = on_error, clock
        self._file: int | None = None
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.posix_fallocate(self._file, 0, ROWS * ROW_BYTES)
        except OSError as error:
            self._fail(error)

    def add(self, id: str) -> None:
        """This one is finished."""
        if self._file is None:
            return
        digest, offset = _place(id)
        entry = digest + (int(self._clock()) & 0xFFFF_FFFF).to_bytes(4)
        try:
            row = os.pread(self._file, ROW_BYTES, offset)
            os.pwrite(self._file, entry + row[:-ENTRY_BYTES], offset)
        except OSError as error:
            self._fail(error)

    def __contains__(self, id: str) -> bool:
        """Whether it was finished lately. A clock that has jumped makes it forget."""
        if self._file is None:
            return False
        digest, offset = _place(id)
        try:
            row = os.pread(self._file, ROW_BYTES, offset)
        except OSError as error:
            self._fail(error)
            return False
        at = row.find(digest)
        if at < 0 or at % ENTRY_BYTES:
            return False
        finished_s = int.from_bytes(row[at + DIGEST_BYTES : at + ENTRY_BYTES])
        return abs(self._clock() - finished_s) <= RECENT_S

    def close(self) -> None:
        """Close the file; what is in it stays."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _fail(self, error: OSError) -> None:
        self.close()
        self._on_error(error)


def _place(id: str) -> tuple[bytes, int]:
    """The digest of an id, and where its row begins."""
    digest = blake2b(id.encode(errors="replace"), digest_size=DIGEST_BYTES).digest()
    return digest, int.from_bytes(digest[:4]) % ROWS * ROW_BYTES
