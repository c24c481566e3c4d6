"""Corrupt SQLite files: recognised, and moved aside so that a new file takes their place."""

import fcntl
import os
import sqlite3
import time
from pathlib import Path

import structlog

MARK = ".corrupt-"
"""Precedes the time in the name of a file that was moved aside."""
LOCK = ".corrupt.lock"
"""The name of the file that is locked while a file is moved aside."""
_BESIDE = ("", "-wal", "-shm")
_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class RecordDamaged(Exception):
    """SQLite read a row, but its content has changed since it was written."""


def is_corrupt(error: Exception) -> bool:
    """Whether the error says that the file is damaged, or is no database of ours."""
    if isinstance(error, RecordDamaged):
        return True
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None and (code & 0xFF in _CORRUPT or code == sqlite3.SQLITE_IOERR_SHORT_READ):
        return True
    return "no such table" in str(error) or "no such column" in str(error)


def file_number(path: Path) -> int | None:
    """Identifies the file at this path now; None if there is none."""
    try:
        return path.stat().st_ino
    except OSError:
        return None


def move_aside(path: Path, number: int | None, reason: str) -> Path:
    """Rename the file and those that SQLite has beside it, and log it; returns the new path.

    Nothing happens if the path names another file than `number`, since several processes may find
    the same one corrupt. Raises OSError.
    """
    aside = path.with_name(f"{path.name}{MARK}{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}")
    # Not the folder itself, which the owner of the data directory has locked.
    lock = os.open(path.with_name(LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if number is None or file_number(path) != number:
            return aside
        size = path.stat().st_size
        for ending in _BESIDE:
            beside = path.with_name(path.name + ending)
            if beside.exists():
                beside.rename(aside.with_name(aside.name + ending))
    finally:
        os.close(lock)
    structlog.get_logger("callboard").error(
        "file_moved_aside", file=str(path), to=str(aside), bytes=size, reason=reason
    )
    return aside


def moved_aside(folder: Path) -> list[Path]:
    """The files of the data directory that were moved aside."""
    found = folder.glob(f"*{MARK}*")
    return sorted(path for path in found if not path.name.endswith(_BESIDE[1:]))
