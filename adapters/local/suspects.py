"""Messages whose handling has ended the process, in a small file that survives it.

A process that consumes messages marks in the file what it is about to handle, and removes the mark
afterwards. A mark that is found at the start is a death in between. The file is mapped into memory:
a mark costs no system call, and the kernel keeps it when the process is killed.
"""

import mmap
import struct
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from callboard.adapters.local.mapped_file import mapped

DIGEST_BYTES = 16
MOST = 2048
"""The most digests that are remembered; the oldest are forgotten first."""
DEATHS = 8
"""The number of deaths whose times are remembered."""

_NONE, _SOME, _ONE = range(3)
_MARK = struct.Struct(f"<B{DIGEST_BYTES}s")
_TIMES = struct.Struct(f"<{DEATHS}d")
_COUNT = struct.Struct("<H")
_ENTRY = struct.Struct(f"<{DIGEST_BYTES}sB")
_TIMES_AT = 32
_COUNT_AT = _TIMES_AT + _TIMES.size
_ENTRIES_AT = _COUNT_AT + _COUNT.size
SIZE = _ENTRIES_AT + MOST * _ENTRY.size


class Suspects:
    """How often handling a message has ended the process, by the message's digest.

    `wary`: the last process was killed while it handled some messages, and it is not known which.
    If the file cannot be used (a full disk, missing permissions), nothing is remembered and
    `on_error` is called once with the reason.
    """

    def __init__(
        self,
        path: Path,
        on_error: Callable[[OSError], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._counts: dict[bytes, int] = {}
        self._deaths: list[float] = []
        self._map: mmap.mmap | None = None
        self.wary = False
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._map = mapped(path, SIZE)
        except OSError as error:
            on_error(error)
            return
        self._read(self._map)

    def deaths_of(self, digest: bytes) -> int:
        """How often the process has ended while it handled this message."""
        return self._counts.get(digest, 0)

    def __len__(self) -> int:
        """The number of suspected messages."""
        return len(self._counts)

    def pause_s(self, most: int, within_s: float) -> float:
        """Seconds to wait, so that at most `most` deaths are within any `within_s`."""
        if len(self._deaths) < most:
            return 0.0
        left_s = self._deaths[-most] + within_s - self._clock()
        return left_s if 0 < left_s <= within_s else 0.0  # Else the clock was set.

    @contextmanager
    def handling(
        self, digests: Callable[[], Collection[bytes]], one: bytes = b""
    ) -> Iterator[None]:
        """Mark messages while the block handles them; an exception counts as a death.

        `digests`: called after an exception only. `one`: the digest, if it is a single message; if
        the block ends, it is suspected no longer.
        """
        self.mark(one)
        try:
            yield
        except Exception:
            self._mark(_NONE)
            self._died(digests())
            raise
        self.unmark()
        self.clear(one)

    def mark(self, one: bytes = b"") -> None:
        """Begin to handle the message with this digest, or some messages."""
        self._mark(_ONE if one else _SOME, one)

    def unmark(self) -> None:
        """The process has survived it."""
        self._mark(_NONE)

    def ended_by(self, one: bytes) -> None:
        """Handling the message with this digest is about to end the process."""
        self._mark(_NONE)
        self._died([one])

    def suspect(self, one: bytes) -> None:
        """Count a death in advance, of one of several that are being handled."""
        self._suspect(one)
        self._write()

    def clear(self, digest: bytes) -> None:
        """Forget a message: it was handled."""
        if self._counts.pop(digest, None) is not None:
            self._write()

    def close(self) -> None:
        """Close the file; its contents stay."""
        if self._map is not None:
            self._map.close()
            self._map = None

    def _mark(self, mark: int, digest: bytes = b"") -> None:
        if self._map is not None:
            self._map[: _MARK.size] = _MARK.pack(mark, digest)

    def _died(self, digests: Collection[bytes]) -> None:
        self._deaths = [*self._deaths, self._clock()][-DEATHS:]
        for digest in digests:
            self._suspect(digest)
        self._write()

    def _suspect(self, digest: bytes) -> None:
        self._counts[digest] = min(self._counts.pop(digest, 0) + 1, 255)
        if len(self._counts) > MOST:
            del self._counts[next(iter(self._counts))]

    def _write(self) -> None:
        if self._map is None:
            return
        times = [0.0] * (DEATHS - len(self._deaths)) + self._deaths
        self._map[_TIMES_AT:_COUNT_AT] = _TIMES.pack(*times)
        entries = b"".join(_ENTRY.pack(*entry) for entry in self._counts.items())
        self._map[_ENTRIES_AT : _ENTRIES_AT + len(entries)] = entries
        self._map[_COUNT_AT:_ENTRIES_AT] = _COUNT.pack(len(self._counts))

    def _read(self, file: mmap.mmap) -> None:
        """Read what an earlier process left. Any content is read as something."""
        (count,) = _COUNT.unpack(file[_COUNT_AT:_ENTRIES_AT])
        end = _ENTRIES_AT + min(count, MOST) * _ENTRY.size
        self._counts = dict(_ENTRY.iter_unpack(file[_ENTRIES_AT:end]))
        times = _TIMES.unpack(file[_TIMES_AT:_COUNT_AT])
        self._deaths = [at for at in times if 0 < at <= self._clock()]
        mark, digest = _MARK.unpack(file[: _MARK.size])
        self.wary = mark == _SOME
        if mark in (_SOME, _ONE):
            self._mark(_NONE)
            self._died([digest] if mark == _ONE else [])
