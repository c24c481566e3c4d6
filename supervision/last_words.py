"""Memory that a child's process shares with its supervisor's: why it has ended, in its own words,
and when it was alive.

A process that ends at an exception cannot send a message any more, and one that waits for a server
in a handler sends none before its end.
"""

import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager

SIZE = 512
"""Bytes of the text; longer ones are cut."""
_AT = struct.Struct("=d")


class LastWords:
    """The text of one child; no descriptor is needed, so it works when there is none left."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, SIZE + _AT.size)

    @property
    def alive_at(self) -> float:
        """The latest `alive`, by the monotonic clock; 0 if there was none."""
        return float(_AT.unpack_from(self._page, SIZE)[0])

    def alive(self, now: float) -> None:
        """Say that the process works."""
        _AT.pack_into(self._page, SIZE, now)

    def write(self, error: BaseException) -> None:
        """Say that this exception ended the process, unless an earlier one is known."""
        if not self.read():
            text = " ".join(f"{type(error).__name__}: {error}".split())
            self._page[:SIZE] = text.encode(errors="backslashreplace")[:SIZE].ljust(SIZE, b"\0")

    def read(self) -> str:
        """The text on one line; empty if the process wrote none."""
        return self._page[:SIZE].rstrip(b"\0").decode(errors="ignore")


_own: LastWords | None = None


@contextmanager
def inherited(words: LastWords) -> Iterator[None]:
    """An actor that is created here has these last words."""
    global _own
    before, _own = _own, words
    try:
        yield
    finally:
        _own = before


def own() -> LastWords | None:
    """Those of the actor that is being created, or of this process; None without a supervisor."""
    return _own


@contextmanager
def spoken() -> Iterator[None]:
    """Write an exception, which ends the actor that is being created or this process."""
    try:
        yield
    except Exception as error:
        if _own is not None:
            _own.write(error)
        raise
