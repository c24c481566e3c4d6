"""Files of one user: key files, and the data directory that holds them.

Key files are created completely or not at all, readable by their owner only. A user who could put a
file of his own in the place of one, or a link, could have Callboard use a key that he knows, or
write to another file.
"""

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

_ROOT = 0
MOST_BYTES = 65_536


class KeyFileError(Exception):
    """A file of this user cannot be used; the text gives the reason and a remedy."""


def put_if_missing(path: Path, text: str) -> None:
    """Create the file (mode 0600) with this line unless it exists. Raises OSError.

    If several processes do so at once, the first wins.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".key-") as draft:
        draft.write(text.encode() + b"\n")
        draft.flush()
        os.fsync(draft.fileno())
        with suppress(FileExistsError):
            os.link(draft.name, path)


def read_private(path: Path, *, alone: bool = False) -> bytes:
    """The file's content, MOST_BYTES at most. Raises KeyFileError; OSError.

    The file is this user's or root's, and closed to users outside of its group; a link to it is as
    well: container platforms mount secrets so. `alone`: it is this user's, no link, and closed to
    its group too.
    """
    owners = {os.geteuid()} if alone else {os.geteuid(), _ROOT}
    if path.is_symlink() and (alone or path.lstat().st_uid not in owners):
        raise KeyFileError(f"{path} is a symbolic link: put the file itself there")
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (os.O_NOFOLLOW if alone else 0)
    with os.fdopen(os.open(path, flags), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise KeyFileError(f"{path} is not a regular file")
        if found.st_uid not in owners:
            raise KeyFileError(
                f"{path} belongs to user {found.st_uid}, this is user {os.geteuid()}: run as the "
                "file's owner"
            )
        mode = stat.S_IMODE(found.st_mode)
        if mode & (0o077 if alone else 0o007):
            raise KeyFileError(f"{path} is open to other users (mode {mode:o}): chmod 600 it")
        return file.read(MOST_BYTES)


def check_folder(folder: Path) -> None:
    """Check that no other user has put, or may change, a file in a folder.

    Raises KeyFileError; OSError.
    """
    owners = {os.geteuid(), _ROOT}
    for entry in sorted(folder.iterdir()):
        with suppress(FileNotFoundError):  # it was deleted meanwhile
            found = entry.lstat()
            if found.st_uid not in owners:
                raise KeyFileError(
                    f"{entry} belongs to user {found.st_uid}, this is user {os.geteuid()}: remove "
                    "it, or run as its owner"
                )
            mode = stat.S_IMODE(found.st_mode)
            if mode & stat.S_IWOTH and not entry.is_symlink():
                raise KeyFileError(
                    f"{entry} can be changed by every user (mode {mode:o}): chmod o-w it"
                )
