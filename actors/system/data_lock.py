"""The lock of a data directory: the kernel's, on an open descriptor of the directory.

The file callboard.lock in the directory names the owner. It is locked, too: the version before
locks nothing else. The owner writes it again if it was deleted, which changes nothing of the lock.
"""

import errno
import fcntl
import json
import os
from contextlib import suppress
from pathlib import Path

from attrs import asdict, frozen

FILE = "callboard.lock"


class DataDirectoryLost(Exception):
    """The data directory is not the one that was locked; the text says what happened to it."""


@frozen
class Owner:
    """The process that runs the system of a data directory, and where to attach to it.

    `embedded`: it runs in a host's actor system, to which clients cannot attach. `version`: that of
    Callboard in the process. `node`: the node that this machine has joined; it has no top
    supervisor.
    """

    pid: int
    base: str
    bind: str
    admin_port: int
    started_at: float
    embedded: bool = False
    version: str = ""
    node: str = ""


class DataLock:
    """An open data directory, for its owner. Raises OSError."""

    def __init__(self, folder: Path) -> None:
        self._path = folder
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._file = self._open_file()
        except OSError:
            os.close(self._folder)
            raise

    @property
    def descriptors(self) -> tuple[int, int]:
        """The open descriptors. Processes forked from this one hold the lock as well."""
        return self._folder, self._file

    def take(self) -> bool:
        """Whether the directory is locked now; if not, another process has it."""
        return _locked(self._folder, fcntl.LOCK_EX) and _locked(self._file, fcntl.LOCK_EX)

    def holder(self) -> dict[str, object]:
        """The owner that the file names, or the last one; empty if unknown."""
        with suppress(ValueError):
            found = json.loads(_content(self._file))
            if isinstance(found, dict):
                return found
        return {}

    def name(self, owner: Owner) -> None:
        """Write the owner into the file."""
        self._owner = owner
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, json.dumps(asdict(owner)).encode(), 0)

    def check(self) -> None:
        """Write the file again if it is gone. Raises DataDirectoryLost.

        Other errors, as of a file system that is away, prove nothing: the next check tries again.
        """
        try:
            there = self._path.stat()
        except (FileNotFoundError, NotADirectoryError):
            raise DataDirectoryLost(f"the data directory {self._path} was moved away") from None
        except OSError:
            return
        if not os.path.samestat(there, os.fstat(self._folder)):
            raise DataDirectoryLost(f"the data directory {self._path} was replaced by another")
        with suppress(OSError):
            if not self._is_named():
                self._name_again()

    def _is_named(self) -> bool:
        try:
            file = os.stat(FILE, dir_fd=self._folder)
        except FileNotFoundError:
            return False
        return file.st_size > 0 and os.path.samestat(file, os.fstat(self._file))

    def _name_again(self) -> None:
        written = self._open_file()
        os.dup2(written, self._file, inheritable=False)
        os.close(written)
        _locked(self._file, fcntl.LOCK_EX)
        self.name(self._owner)

    def release(self) -> None:
        """Release the lock, also that of processes forked from this one."""
        for descriptor in self.descriptors:
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the descriptors; the lock remains while a forked process has them."""
        for descriptor in self.descriptors:
            os.close(descriptor)

    def _open_file(self) -> int:
        return os.open(FILE, os.O_RDWR | os.O_CREAT, 0o600, dir_fd=self._folder)


def read_owner(folder: Path) -> Owner | None:
    """The owner of a data directory; None if no process has locked it.

    Raises OSError, and ValueError or TypeError if the file does not name the owner.
    """
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        free = _locked(opened, fcntl.LOCK_SH)
        file = os.open(FILE, os.O_RDONLY, dir_fd=opened)
        try:
            if _locked(file, fcntl.LOCK_SH) and free:
                return None
            return Owner(**json.loads(_content(file)))
        finally:
            os.close(file)
    except FileNotFoundError:
        if free:
            return None
        raise ValueError("it is missing, and is written again within a second") from None
    finally:
        os.close(opened)


def _content(descriptor: int) -> bytes:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


def _locked(descriptor: int, how: int) -> bool:
    """Whether the descriptor is locked now."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        # NFS locks only what is open for writing, and so no folder (flock(2)): the file must do.
        if error.errno != errno.EBADF:
            raise
    return True
