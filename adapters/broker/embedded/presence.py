"""How connections of the embedded broker, each in its own process, find and wake each other."""

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

_IN_THIS_PROCESS: dict[str, int] = {}
"""Tokens of this process's connections; the process id distinguishes it from forked children."""


class Presence:
    """A connection's sign of life and its doorbell, as two files named by its `token`.

    The sign of life is a POSIX record lock: the kernel releases it at any end of the process, and a
    forked child does not inherit it. The doorbell is a FIFO.
    """

    def __init__(self, folder: Path) -> None:
        """Raises OSError if files cannot be created in the folder."""
        self.token = uuid4().hex
        self._folder = folder
        # Only a locked file gets its name: without the lock, others would consider us dead.
        unlocked = folder / f"{self.token}.new"
        self._lock = os.open(unlocked, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.lockf(self._lock, fcntl.LOCK_EX)
        unlocked.rename(_life(folder, self.token))
        _IN_THIS_PROCESS[self.token] = os.getpid()
        os.mkfifo(_bell(folder, self.token), 0o600)
        # Open for writing too, so that it never reports the end of the file.
        self._bell = os.open(_bell(folder, self.token), os.O_RDWR | os.O_NONBLOCK)

    def fileno(self) -> int:
        """Readable once another connection has rung."""
        return self._bell

    def ring(self) -> None:
        """Ring one's own doorbell."""
        _write(self._bell)

    def silence(self) -> None:
        """Make the descriptor unreadable until the next ring."""
        with suppress(BlockingIOError):
            while os.read(self._bell, 65536):
                pass

    def close(self) -> None:
        """End the sign of life and remove the files."""
        del _IN_THIS_PROCESS[self.token]
        _remove(self._folder, self.token)
        os.close(self._bell)
        os.close(self._lock)


def ring(folder: Path, token: str) -> None:
    """Ring another connection's doorbell; has no effect if it is gone."""
    try:
        bell = os.open(_bell(folder, token), os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENXIO):  # no such file, or no process has it open
            return
        raise
    try:
        _write(bell)
    finally:
        os.close(bell)


def is_alive(folder: Path, token: str) -> bool:
    """Whether the connection still exists."""
    if _IN_THIS_PROCESS.get(token) == os.getpid():
        return True
    try:
        lock = os.open(_life(folder, token), os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.lockf(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return True
    finally:
        os.close(lock)
    return False


def remove_the_dead(folder: Path) -> None:
    """Remove the files of killed connections."""
    for life in folder.glob("*.life"):
        if not is_alive(folder, life.stem):
            _remove(folder, life.stem)


def _remove(folder: Path, token: str) -> None:
    # The doorbell first: while the sign of life is present, a later call removes both.
    _bell(folder, token).unlink(missing_ok=True)
    _life(folder, token).unlink(missing_ok=True)


def _write(bell: int) -> None:
    with suppress(BlockingIOError):  # a full FIFO is readable already
        os.write(bell, b"\0")


def _life(folder: Path, token: str) -> Path:
    return folder / f"{token}.life"


def _bell(folder: Path, token: str) -> Path:
    return folder / f"{token}.bell"
