"""May this node write where it has to, and is there room?"""

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from callboard.adapters.keys.secret_box import SecretBox, SecretBoxError
from callboard.adapters.local.sealed_transport import KeyFileError, read_key
from callboard.cli.doctor.finding import Finding, ok, problem, warning
from callboard.config.settings import Settings

MEGABYTE = 2**20
SPARE_MB = 512
"""Room beyond the attempts' spool: events set aside, logs, the embedded broker."""


def data_directory(settings: Settings) -> Iterator[Finding]:
    """The data directory, or where it will be made."""
    folder = settings.data.dir
    if folder.is_dir():
        yield _rights(folder)
        yield room(shutil.disk_usage(folder).free, settings.attempts.spool_mb, folder)
        return
    above = next(parent for parent in folder.parents if parent.exists())
    mend = "make it for the user who runs Callboard, or choose another with data.dir"
    if folder.exists() or not above.is_dir():
        yield problem("data directory", f"{folder} can be no folder: a file is in the way", mend)
    elif not os.access(above, os.W_OK | os.X_OK):
        yield problem("data directory", f"{folder} is missing, {above} is not writable", mend)
    else:
        yield ok("data directory", f"{folder} will be made at the first start")
        yield room(shutil.disk_usage(above).free, settings.attempts.spool_mb, above)


def _rights(folder: Path) -> Finding:
    found = folder.stat()
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return problem(
            "data directory",
            f"{folder} belongs to user {found.st_uid}, and user {os.geteuid()} may not write it",
            "run as its owner, or chown it",
        )
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        what = f"{folder} may be written by others (mode {stat.S_IMODE(found.st_mode):o})"
        return warning("data directory", what, f"chmod 700 {folder}")
    return ok("data directory", f"{folder}, writable")


def room(free: int, spool_mb: int, place: Path) -> Finding:
    """Whether the disk has room for what may have to wait on it. `free`: bytes."""
    free_mb, wanted_mb = free // MEGABYTE, spool_mb + SPARE_MB
    what = f"{free_mb} MB free at {place}"
    if free_mb >= wanted_mb:
        return ok("disk space", what)
    mend = f"make room for {wanted_mb} MB, or lower attempts.spool_mb ({spool_mb})"
    return (warning if free_mb > SPARE_MB // 4 else problem)("disk space", what, mend)


def actors_key(settings: Settings) -> Finding:
    """The key between actors, which whoever attaches has to read."""
    path = settings.actors_key_file
    if settings.actors.key:
        return ok("actors' key", "given by actors.key")
    if not os.path.lexists(path) and settings.actors.key_file is None:
        return ok("actors' key", f"{path} will be made at the first start")
    try:
        read_key(path)
    except KeyFileError as error:
        return problem("actors' key", str(error), "chmod 600 it, for the user who runs Callboard")
    return ok("actors' key", f"{path}, for its owner alone")


def secrets_key(settings: Settings) -> Finding:
    """The keys of hooks' secrets."""
    path = settings.secrets_key_file
    if not settings.secrets.key and not path.exists():
        return ok("secrets' key", f"{path} will be made with the first secret")
    try:
        hints = SecretBox(settings.secrets.key, path).hints()
    except SecretBoxError as error:
        return problem("secrets' key", str(error), "see docs/signatures.md, where the keys lie")
    return ok("secrets' key", f"key{'' if len(hints) == 1 else 's'} {', '.join(hints)}")
