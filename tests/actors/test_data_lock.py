"""The lock of a data directory is the kernel's, whatever becomes of its files."""

import fcntl
import json
import os
import re
import shutil
import signal
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from callboard.actors.system.actor_system import SystemUnreachable, owner_of, ownership
from callboard.actors.system.data_lock import DataDirectoryLost, DataLock, Owner
from callboard.actors.system.owner import Signals
from callboard.config.loader import load


@pytest.fixture
def settings(tmp_path):
    overrides = {"data.dir": str(tmp_path / "data"), "actors.base": "simpleSystemBase"}
    return load(None, {}, overrides).settings


@pytest.fixture
def file(settings):
    return settings.data.dir / "callboard.lock"


def test_without_an_owner_there_is_no_lock_even_if_a_file_was_left(settings, file):
    assert owner_of(settings) is None
    with ownership(settings):
        assert owner_of(settings).pid == os.getpid()
    assert file.stat().st_mode & 0o777 == 0o600
    assert owner_of(settings) is None


def test_a_deleted_lock_file_starts_no_second_owner_and_is_written_again(settings, file):
    with ownership(settings) as check:
        written = file.read_text()
        for _time in range(2):
            file.unlink()
            with (
                pytest.raises(SystemUnreachable, match="already"),
                ownership(settings),
            ):
                pass
            file.unlink(missing_ok=True)
            with pytest.raises(SystemUnreachable, match="it is missing, and is written again"):
                owner_of(settings)
            check()
            assert file.read_text() == written
            assert owner_of(settings).pid == os.getpid()
            with file.open("r+") as theirs, pytest.raises(BlockingIOError):
                fcntl.flock(theirs, fcntl.LOCK_EX | fcntl.LOCK_NB)
            assert not any(map(os.get_inheritable, descriptors_of(settings)))
    assert owner_of(settings) is None


def descriptors_of(settings):
    """Those of this process that are open on the data directory or its lock file."""
    places = {settings.data.dir, settings.data.dir / "callboard.lock"}
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # That of the listing itself.
            found += [int(link.name)] if link.readlink() in places else []
    return sorted(found)


@pytest.mark.parametrize(
    ("written", "embedded", "who"),
    [
        (None, False, "process {}"),
        (None, True, "process {}, embedded"),
        ("{}", False, "process unknown"),
        ("[1]", False, "process unknown"),
        ("", False, "process unknown"),
    ],
)
def test_a_second_owner_is_told_of_the_first(settings, file, written, embedded, who):
    who = who.format(os.getpid())
    already = f"a system is running on {settings.data.dir} already ({who}): stop it, or choose"
    with ownership(settings, embedded=embedded):
        if written is not None:
            file.write_text(written)
        with pytest.raises(SystemUnreachable, match=re.escape(already)), ownership(settings):
            pass


def test_what_an_earlier_owner_wrote_is_written_over(settings, file):
    file.parent.mkdir(mode=0o700)
    file.write_text("x" * 1000)
    file.chmod(0o600)
    with ownership(settings):
        assert owner_of(settings).pid == os.getpid()


def test_a_data_directory_is_made_with_those_above_it_for_its_owner_alone(tmp_path):
    overrides = {"data.dir": str(tmp_path / "a" / "b"), "actors.base": "simpleSystemBase"}
    settings = load(None, {}, overrides).settings
    with ownership(settings):
        assert settings.data.dir.stat().st_mode & 0o777 == 0o700


def test_to_read_the_owner_leaves_no_descriptor_open(settings):
    for _time in range(2):
        with ownership(settings):
            held = descriptors_of(settings)
            owner_of(settings)
            assert descriptors_of(settings) == held
        owner_of(settings)
        assert descriptors_of(settings) == []


def test_what_a_dead_owner_left_is_waited_for(settings):
    settings.data.dir.mkdir(mode=0o700)
    left = DataLock(settings.data.dir)
    assert left.take()
    left.name(Owner(2**22 + 1, "simpleSystemBase", "", 0, 0.0))  # No process has this number.
    threading.Timer(0.05, left.close).start()
    with ownership(settings):
        assert owner_of(settings).pid == os.getpid()


@pytest.mark.parametrize("embedded", [False, True])
def test_only_an_embedded_owner_releases_what_others_have_inherited(settings, embedded):
    """Those of an owner's own system are to be waited for."""
    with ownership(settings, embedded=embedded):
        inherited = [os.dup(descriptor) for descriptor in descriptors_of(settings)]
    assert len(inherited) == 2
    assert (owner_of(settings) is None) is embedded
    for descriptor in inherited:
        os.close(descriptor)


def are_same_in_a_fork(*descriptors):
    """Whether they are open on the same files in a process forked from this one."""
    here = [os.fstat(descriptor) for descriptor in descriptors]
    child = os.fork()
    if child == 0:
        there = [os.fstat(descriptor) for descriptor in descriptors]
        os._exit(0 if all(map(os.path.samestat, here, there)) else 1)
    return os.waitpid(child, 0)[1] == 0


def test_what_a_host_forks_has_not_the_lock_of_what_is_embedded_in_it(settings):
    with ownership(settings, embedded=True):
        held = descriptors_of(settings)
        assert len(held) == 2
        assert not any(map(are_same_in_a_fork, held))
    with ownership(settings):
        assert are_same_in_a_fork(*descriptors_of(settings))


def test_a_lock_file_that_is_in_place_is_left_alone(settings, file):
    with ownership(settings) as check:
        before = file.stat()
        check()
        after = file.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_lock_file_that_was_emptied_is_written_again(settings, file):
    with ownership(settings) as check:
        written = file.read_text()
        file.write_text("")
        check()
        assert file.read_text() == written


def test_a_lock_file_that_was_replaced_is_written_again(settings, file):
    with ownership(settings) as check:
        file.unlink()
        file.write_text("{}")
        check()
        assert owner_of(settings).pid == os.getpid() == json.loads(file.read_text())["pid"]


def test_a_lock_file_that_could_not_be_written_is_written_later(settings, file):
    with ownership(settings) as check:
        written = file.read_text()
        os.truncate(file, 0)
        check()
        assert file.read_text() == written


def test_a_directory_that_cannot_be_looked_at_is_not_lost(settings, tmp_path):
    with ownership(settings) as check:
        settings.data.dir.rename(tmp_path / "elsewhere")
        settings.data.dir.symlink_to(settings.data.dir)  # ELOOP, even for root
        check()


def test_a_check_of_an_untouched_directory_writes_nothing(settings, file):
    with ownership(settings) as check:
        before = file.stat()
        check()
        assert file.stat() == before


def test_the_version_before_is_kept_out_and_seen_by_the_lock_of_its_file(settings, file):
    with ownership(settings), file.open("r+") as theirs, pytest.raises(BlockingIOError):
        fcntl.flock(theirs, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with file.open("r+") as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        assert owner_of(settings).pid == os.getpid()
        with pytest.raises(SystemUnreachable, match="already"), ownership(settings):
            pass


def test_the_lock_of_a_version_that_wrote_less_about_its_owner_is_read(settings, file):
    written = {"pid": 7, "base": "b", "bind": "127.0.0.1", "admin_port": 1900, "started_at": 1.5}
    with ownership(settings):
        file.write_text(json.dumps(written))
        found = owner_of(settings)
    assert (found.pid, found.embedded, found.version, found.node) == (7, False, "", "")


def test_a_directory_that_was_moved_away_is_noticed(settings, tmp_path):
    with ownership(settings) as check:
        settings.data.dir.rename(tmp_path / "elsewhere")
        with pytest.raises(DataDirectoryLost, match=f"{settings.data.dir} was moved away"):
            check()
    assert not settings.data.dir.exists()


def test_a_directory_that_was_replaced_by_a_copy_is_noticed(settings, tmp_path):
    with ownership(settings) as check:
        settings.data.dir.rename(tmp_path / "elsewhere")
        shutil.copytree(tmp_path / "elsewhere", settings.data.dir)
        with pytest.raises(DataDirectoryLost, match="was replaced by another"):
            check()


def test_a_directory_reached_by_another_name_is_the_same(settings, tmp_path):
    with ownership(settings) as check:
        settings.data.dir.rename(tmp_path / "elsewhere")
        settings.data.dir.symlink_to(tmp_path / "elsewhere")
        check()


def test_a_hang_up_asks_to_stop_unless_it_is_to_be_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # A test run may be told to ignore it.
    try:
        with Signals() as signals:
            signal.raise_signal(signal.SIGHUP)
            assert signals.count == 1
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with Signals() as signals:
            signal.raise_signal(signal.SIGHUP)
            assert signals.count == 0
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_data_directory_with_a_file_that_others_may_change_is_not_used(settings, file):
    file.parent.mkdir()
    file.write_text("{}")
    file.chmod(0o666)
    with pytest.raises(SystemUnreachable, match=r"callboard\.lock"), ownership(settings):
        pass
    file.chmod(0o600)
    with ownership(settings):
        pass
