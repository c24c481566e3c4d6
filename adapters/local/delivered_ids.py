"""The state of the latest deliveries, in a small file shared by all deliverers of a node.

What a killed process has written remains readable for its successor and for the other processes. So
an event that is redelivered after a crash does not repeat a finished delivery, an attempt that
was answered, or a delivery that the retry queue has.

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
from callboard.webhooks.dispatch.jobs import RECENT_S, Answered, Deferred, Finished, Known

DIGEST_BYTES = 12
ENTRY_BYTES = DIGEST_BYTES + 4
"""A digest of the id, and a word: see `_FINISHED`."""
ROW_BYTES = 64 * ENTRY_BYTES
ROWS = 2048
"""2 MB, which hold about the last 130,000 ids."""

_FINISHED = 1 << 31
"""A word below this is the time at which the delivery was finished: Unix seconds modulo this.

In a word from this on, which versions before read as no recent time, 13 bits are the time in
minutes, 8 a number, and 10 the status of its response, or 0: it is deferred.
"""
_TIMES, _NUMBERS, _STATUSES = 1 << 13, 1 << 8, 1 << 10


class DeliveredIds:
    """The state of deliveries by their ids, of which the oldest are forgotten; see the module.

    If the file cannot be used (a full disk, missing permissions), this process keeps what it has
    itself added, and `on_error` is called once with the reason.
    """

    def __init__(
        self,
        path: Path,
        on_error: Callable[[OSError], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        try:
            self._table = mapped(path, ROWS * ROW_BYTES)
        except OSError as error:
            on_error(error)
            self._table = mmap.mmap(-1, ROWS * ROW_BYTES)

    def add(self, id: str) -> None:
        """Record this delivery as finished."""
        self._put(id, int(self._clock()) % _FINISHED)

    def answered(self, id: str, attempts: int, status: int) -> None:
        """Record that this attempt got a response which did not finish the delivery yet."""
        self._put(id, self._unfinished(attempts, min(max(status, 1), _STATUSES - 1)))

    def deferred(self, id: str, deferrals: int) -> None:
        """Record that the retry queue has the delivery, deferred for this time."""
        self._put(id, self._unfinished(deferrals, 0))

    def known(self, id: str) -> Known:
        """The latest of it within an hour. After a jump of the clock, ids may be forgotten."""
        digest, row = _place(id)
        entries = self._table[row]
        at = entries.find(digest)
        if at < 0 or at % ENTRY_BYTES:
            return None
        word = int.from_bytes(entries[at + DIGEST_BYTES : at + ENTRY_BYTES])
        if word < _FINISHED:
            return Finished() if self._is_recent(word, 1, _FINISHED) else None
        word, status = divmod(word - _FINISHED, _STATUSES)
        minute, number = divmod(word, _NUMBERS)
        if not self._is_recent(minute, 60, _TIMES):
            return None
        return Answered(number, status) if status else Deferred(number)

    def close(self) -> None:
        """Close the file; its contents stay."""
        self._table.close()

    def _put(self, id: str, word: int) -> None:
        digest, row = _place(id)
        entries = self._table[row]
        at = entries.find(digest)
        end = at if at >= 0 and not at % ENTRY_BYTES else len(entries) - ENTRY_BYTES
        entry = digest + word.to_bytes(4)
        self._table[row] = entry + entries[:end] + entries[end + ENTRY_BYTES :]

    def _unfinished(self, number: int, status: int) -> int:
        minute = int(self._clock()) // 60 % _TIMES
        number = min(number, _NUMBERS - 1)
        return _FINISHED + (minute * _NUMBERS + number) * _STATUSES + status

    def _is_recent(self, time: int, unit_s: int, modulo: int) -> bool:
        """Whether a time, in this unit and modulo this number, is at most RECENT_S away."""
        passed = (int(self._clock()) // unit_s - time) % modulo
        return min(passed, modulo - passed) * unit_s <= RECENT_S


def _place(id: str) -> tuple[bytes, slice]:
    """The digest of an id, and its row."""
    digest = blake2b(id.encode(errors="replace"), digest_size=DIGEST_BYTES).digest()
    begins = int.from_bytes(digest[:4]) % ROWS * ROW_BYTES
    return digest, slice(begins, begins + ROW_BYTES)
