import base64
import multiprocessing
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from callboard.adapters.keys.secret_box import SecretBox, SecretBoxError
from support.patience import patient

SECRET = "whsec_" + "c2VzYW1l" * 4


def key(byte):
    return base64.b64encode(bytes([byte]) * 32).decode()


@pytest.fixture
def file(tmp_path):
    return tmp_path / "data" / "secrets.key"


def put(file, *keys):
    file.parent.mkdir(exist_ok=True)
    file.write_text("\n".join(keys))
    file.chmod(0o600)


def test_a_secret_comes_back_for_its_hook_and_lies_encrypted(file):
    sealed = SecretBox("", file).sealed(SECRET, "h1")
    assert "c2VzYW1l" not in sealed
    assert SecretBox("", file).opened(sealed, "h1") == SECRET
    with pytest.raises(SecretBoxError, match="encrypted for hook h1 and not for hook h2"):
        SecretBox("", file).opened(sealed, "h2")


def test_the_key_file_is_made_with_the_first_secret_for_its_owner_alone(file):
    box = SecretBox("", file)
    with pytest.raises(SecretBoxError, match="all nodes need the keys"):
        box.opened("01234567.x", "h")
    assert not file.exists()
    with capture_logs() as logs:
        box.sealed(SECRET, "h")
    assert file.stat().st_mode & 0o777 == 0o600
    made = file.read_bytes()
    with capture_logs() as later:
        box.sealed(SECRET, "h")
    assert [(log["event"], log["log_level"]) for log in logs] == [("secrets_key_made", "warning")]
    assert later == []
    assert file.read_bytes() == made
    assert [each.name for each in file.parent.iterdir()] == ["secrets.key"]


def _seal_at_once(file, barrier, sealed):
    barrier.wait()
    sealed.put(SecretBox("", file).sealed(SECRET, "h"))


def test_processes_that_make_the_file_at_once_agree_on_one_key(file):
    context = multiprocessing.get_context("spawn")
    barrier, sealed = context.Barrier(4), context.Queue()
    processes = [
        context.Process(target=_seal_at_once, args=(file, barrier, sealed)) for _ in range(4)
    ]
    for process in processes:
        process.start()
    texts = [sealed.get(timeout=patient(30)) for _ in processes]
    for process in processes:
        process.join()
    assert [SecretBox("", file).opened(text, "h") for text in texts] == [SECRET] * 4


def test_given_keys_take_the_place_of_the_file(file):
    sealed = SecretBox(key(1), file).sealed(SECRET, "h")
    assert not file.exists()
    assert SecretBox(key(1), file).opened(sealed, "h") == SECRET


def test_keys_are_rotated_newest_first(file):
    old = SecretBox(key(1), file).sealed(SECRET, "h")
    both = SecretBox(f"{key(2)}, {key(1)}", file)
    assert both.opened(old, "h") == SECRET
    new = both.sealed(SECRET, "h")
    assert SecretBox(key(2), file).opened(new, "h") == SECRET
    with pytest.raises(SecretBoxError):
        SecretBox(key(1), file).opened(new, "h")


def test_resealed_a_secret_needs_the_old_key_no_more(file):
    old = SecretBox(key(1), file).sealed(SECRET, "h")
    both = SecretBox(f"{key(2)} {key(1)}", file)
    new = both.resealed(old, "h")
    assert both.resealed(new, "h") == new
    assert SecretBox(key(2), file).opened(new, "h") == SECRET
    with pytest.raises(SecretBoxError, match="all nodes"):
        SecretBox(key(3), file).resealed(old, "h")


def test_a_wrong_key_is_named_with_the_keys_there_are(file):
    sealed = SecretBox(key(1), file).sealed(SECRET, "h")
    hint, other = sealed[:8], SecretBox(key(2), file).sealed(SECRET, "h")[:8]
    with pytest.raises(SecretBoxError, match=f"key {hint}; secrets.key has {other}: give all"):
        SecretBox(key(2), file).opened(sealed, "h")
    put(file, key(2))
    with pytest.raises(SecretBoxError, match=f"key {hint}; {file} has {other}"):
        SecretBox("", file).opened(sealed, "h")


def test_a_key_put_into_the_file_later_needs_no_restart(file):
    sealed = SecretBox(key(1), file).sealed(SECRET, "h")
    put(file, key(2))
    box = SecretBox("", file)
    with pytest.raises(SecretBoxError):
        box.opened(sealed, "h")
    put(file, key(2), key(1))
    assert box.opened(sealed, "h") == SECRET


@pytest.mark.parametrize("damage", [lambda t: t[:-5], lambda t: t[:9] + "x" + t[9:], lambda t: ""])
def test_what_is_damaged_is_refused(file, damage):
    box = SecretBox(key(1), file)
    with pytest.raises(SecretBoxError):
        box.opened(damage(box.sealed(SECRET, "h")), "h")


HINT = SecretBox(key(1), Path("none")).sealed(SECRET, "h")[:8]


@given(st.text() | st.builds((HINT + ".{}").format, st.text(st.characters(exclude_categories=()))))
@example("\ud800" * 8 + ".x")
def test_no_sealed_text_crashes_it(text):
    with pytest.raises(SecretBoxError) as caught:
        SecretBox(key(1), Path("none")).opened(text, "h")
    str(caught.value).encode()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "has no key"),
        ("!" + key(1), "key number 1 of .* is not 32 bytes in base64"),
        (key(1) + "\nhunter2", "key number 2 of .* is not 32 bytes in base64"),
        (key(1)[:20], "key number 1 of .* is not 32 bytes"),
        ("schlüssel", "holds an invalid key"),
    ],
)
def test_a_bad_key_file_says_what_is_wrong_and_shows_nothing(file, content, says):
    put(file)
    file.write_text(content, encoding="utf-8")
    with pytest.raises(SecretBoxError, match=says) as caught:
        SecretBox("", file).sealed(SECRET, "h")
    assert "hunter2" not in str(caught.value)


def test_a_key_file_open_to_every_user_is_refused(file):
    put(file, key(1))
    file.chmod(0o644)
    with pytest.raises(SecretBoxError, match=r"mode 644\): chmod 600"):
        SecretBox("", file).sealed(SECRET, "h")
    file.chmod(0o640)
    assert SecretBox("", file).sealed(SECRET, "h")


def test_a_key_file_that_cannot_be_made_says_so(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SecretBoxError, match="cannot be made"):
        SecretBox("", tmp_path / "file" / "secrets.key").sealed(SECRET, "h")
    (tmp_path / "folder").mkdir()
    with pytest.raises(SecretBoxError, match="cannot be read"):
        SecretBox("", tmp_path / "folder").sealed(SECRET, "h")
