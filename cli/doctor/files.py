"""Checks of files: permissions and disk space."""

import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from callboard.adapters.keys.api_token import read_token
from callboard.adapters.keys.key_file import KeyFileError, check_folder
from callboard.adapters.keys.secret_box import SecretBox, SecretBoxError
from callboard.adapters.local.corrupt_file import is_corrupt, moved_aside
from callboard.adapters.local.sealed_transport import read_key
from callboard.cli.doctor.finding import Finding, ok, problem, warning
from callboard.config.settings import Settings

MEGABYTE = 2**20
KEPT = ("store.sqlite3",)
"""Files that are not replaced when they are corrupt: without the hooks, events would be lost."""
SPARE_MB = 512
"""Space besides the attempts' spool: quarantined events, logs, the embedded broker."""


def data_directory(settings: Settings) -> Iterator[Finding]:
    """Checks the data directory, or the place where it will be created."""
    folder = settings.data.dir
    if folder.is_dir():
        yield _rights(folder)
        yield room(shutil.disk_usage(folder).free, settings.attempts.spool_mb, folder)
        return
    above = next(parent for parent in folder.parents if parent.exists())
    mend = "create it for the user who runs Callboard, or set another data.dir"
    if folder.exists() or not above.is_dir():
        yield problem(
            "data directory", f"{folder} cannot be a directory: a file with this name exists", mend
        )
    elif not os.access(above, os.W_OK | os.X_OK):
        yield problem("data directory", f"{folder} is missing, {above} is not writable", mend)
    else:
        yield ok("data directory", f"{folder} will be made at the first start")
        yield room(shutil.disk_usage(above).free, settings.attempts.spool_mb, above)


def databases(settings: Settings) -> Iterator[Finding]:
    """Checks the SQLite files of the data directory, and reports those that were moved aside."""
    folder = settings.data.dir
    files = sorted(folder.glob("*.sqlite3"))
    damaged = [(path, fault) for path in files if (fault := _fault(path))]
    for path, fault in damaged:
        mend = "stop Callboard, and restore it from a backup or with `sqlite3 FILE .recover`"
        if path.name not in KEPT:
            mend = "nothing: it will be moved aside, and a new one takes its place"
        yield problem("databases", f"{path} is corrupt: {fault}", mend)
    for path in moved_aside(folder):
        yield warning(
            "databases",
            f"{path} was corrupt and moved aside; it holds {path.stat().st_size} bytes",
            "recover its records with `sqlite3 FILE .recover`, then delete it",
        )
    if files and not damaged:
        yield ok("databases", f"{', '.join(path.name for path in files)}")


def _fault(path: Path) -> str:
    """Why the file cannot be used; "" if it can, or if another process does not let it be read."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        return str(error) if is_corrupt(error) else ""
    return "" if found == "ok" else str(found)


def _rights(folder: Path) -> Finding:
    found = folder.stat()
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return problem(
            "data directory",
            f"{folder} belongs to user {found.st_uid}, and user {os.geteuid()} cannot write to it",
            "run as its owner, or chown it",
        )
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        what = f"{folder} is writable by other users (mode {stat.S_IMODE(found.st_mode):o})"
        return warning("data directory", what, f"chmod 700 {folder}")
    try:
        check_folder(folder)
    except KeyFileError as error:
        return problem("data directory", str(error), "Callboard does not start before")
    return ok("data directory", f"{folder}, writable")


def room(free: int, spool_mb: int, place: Path) -> Finding:
    """Checks that the disk has space for spooled data. `free`: bytes."""
    free_mb, wanted_mb = free // MEGABYTE, spool_mb + SPARE_MB
    what = f"{free_mb} MB free at {place}"
    if free_mb >= wanted_mb:
        return ok("disk space", what)
    mend = f"free disk space: {wanted_mb} MB, or lower attempts.spool_mb ({spool_mb})"
    return (warning if free_mb > SPARE_MB // 4 else problem)("disk space", what, mend)


def actors_key(settings: Settings) -> Finding:
    """Checks the actors' key, which every attaching command must be able to read."""
    path = settings.actors_key_file
    if settings.actors.key:
        return ok("actors' key", "given by actors.key")
    if not os.path.lexists(path) and settings.actors.key_file is None:
        return ok("actors' key", f"{path} will be made at the first start")
    try:
        read_key(path)
    except KeyFileError as error:
        return problem(
            "actors' key", str(error), "chmod 600 it, owned by the user who runs Callboard"
        )
    return ok("actors' key", f"{path}, readable only by its owner")


def secrets_key(settings: Settings) -> Finding:
    """Checks the keys of hooks' secrets."""
    path = settings.secrets_key_file
    if not settings.secrets.key and not path.exists():
        return ok("secrets' key", f"{path} will be made with the first secret")
    try:
        hints = SecretBox(settings.secrets.key, path).hints()
    except SecretBoxError as error:
        return problem("secrets' key", str(error), "see docs/signatures.md, “Where the keys lie”")
    return ok("secrets' key", f"key{'' if len(hints) == 1 else 's'} {', '.join(hints)}")


def api_token(settings: Settings) -> Finding:
    """Checks the admin's token of the API, which gives access to everything."""
    name, path = "API's token", settings.api_token_file
    if settings.api.admin_token:
        return ok(name, "given by api.admin_token")
    if not os.path.lexists(path):
        return ok(name, f"{path} will be made at the first start")
    try:
        read_token(path)
    except (OSError, KeyFileError, ValueError) as error:
        return problem(name, str(error), "until then the API does not listen")
    return ok(name, f"{path}, closed to other users")
