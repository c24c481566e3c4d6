"""Whose files are used: this user's, and nobody else's."""

import os
import stat

import pytest

from callboard.adapters.keys.api_token import admin_token
from callboard.adapters.keys.key_file import (
    KeyFileError,
    check_folder,
    put_if_missing,
    read_private,
)
from callboard.adapters.keys.secret_box import SecretBox, SecretBoxError

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
NOBODY = 65_534


@pytest.fixture
def file(tmp_path):
    put_if_missing(tmp_path / "key", "the key")
    return tmp_path / "key"


def test_a_file_is_made_once_for_its_owner_alone(file):
    put_if_missing(file, "another")
    assert read_private(file) == read_private(file, alone=True) == b"the key\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in file.parent.iterdir()] == ["key"]


def test_folders_on_the_way_to_a_file_are_for_its_owner_alone(tmp_path):
    put_if_missing(tmp_path / "a" / "b" / "key", "the key")
    assert read_private(tmp_path / "a" / "b" / "key") == b"the key\n"
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o601, 0o644])
def test_a_file_that_is_open_to_everybody_is_refused(file, mode):
    file.chmod(mode)
    for alone in (True, False):
        with pytest.raises(KeyFileError, match=rf"open to other users .*{mode:o}"):
            read_private(file, alone=alone)


@pytest.mark.parametrize("mode", [0o640, 0o620, 0o610])
def test_the_group_may_read_what_is_not_ones_own_alone(file, mode):
    file.chmod(mode)
    assert read_private(file) == b"the key\n"
    with pytest.raises(KeyFileError, match="open to other users"):
        read_private(file, alone=True)


def test_ones_own_link_leads_to_a_file_as_platforms_mount_secrets(file):
    link = file.parent / "link"
    link.symlink_to(file)
    assert read_private(link) == b"the key\n"
    with pytest.raises(KeyFileError, match="symbolic link"):
        read_private(link, alone=True)


@as_root
def test_what_another_user_put_there_is_refused(file):
    link = file.parent / "link"
    link.symlink_to(file)
    os.lchown(link, NOBODY, -1)
    with pytest.raises(KeyFileError, match="symbolic link"):
        read_private(link)
    link.unlink()
    os.chown(file, NOBODY, -1)
    for alone in (True, False):
        with pytest.raises(KeyFileError, match=f"belongs to user {NOBODY}"):
            read_private(file, alone=alone)


def test_a_fifo_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "key", 0o600)
    for alone in (True, False):
        with pytest.raises(KeyFileError, match="not a regular file"):
            read_private(tmp_path / "key", alone=alone)


def test_the_admins_token_and_the_keys_of_secrets_are_read_so(file):
    file.write_text("0123456789abcdef\n")
    assert admin_token(file) == "0123456789abcdef"
    file.chmod(0o604)
    with pytest.raises(KeyFileError, match="open to other users"):
        admin_token(file)
    with pytest.raises(SecretBoxError, match="open to other users"):
        SecretBox("", file).hints()


def test_a_folder_of_ones_own_files_and_links_is_good(file):
    (file.parent / "link").symlink_to("nowhere")
    (file.parent / "folder").mkdir(0o755)
    check_folder(file.parent)


def test_a_file_that_everybody_may_change_is_named(file):
    file.chmod(0o602)
    with pytest.raises(KeyFileError, match=r"key can be changed .*mode 602"):
        check_folder(file.parent)


@as_root
@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_what_belongs_to_another_user_is_named(file, kind):
    planted = file.parent / "planted"
    match kind:
        case "file":
            planted.touch(0o600)
        case "link":
            planted.symlink_to(file)
        case "folder":
            planted.mkdir(0o700)
    os.lchown(planted, NOBODY, -1)
    with pytest.raises(KeyFileError, match=f"planted belongs to user {NOBODY}"):
        check_folder(file.parent)
