"""docs/tutorial.md, followed to the letter: files written, commands run, outputs compared."""

import re
import shutil
import sys
import sysconfig
from pathlib import Path

import pytest

from services import free_port
from support.tutorials import Reader, with_free_ports

PAGE = Path(__file__).parents[1] / "docs" / "tutorial.md"


@pytest.fixture
def reader(tmp_path, built):
    folder = tmp_path / "tutorial"
    folder.mkdir()
    shutil.copy(built[1], folder)
    text = with_free_ports(PAGE.read_text(), "5000")
    reader = Reader(folder, environment_of_a_reader(tmp_path), text)
    yield reader
    reader.close()


def environment_of_a_reader(tmp_path):
    """One that has Python and nothing else.

    In place of the package index pip has the environment of the tests, for what the wheel needs;
    without Callboard itself, which is to be installed.
    """
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(sys._base_executable)
    (tmp_path / "packages").mkdir()
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if not re.match(r"callboard|__editable__|pip\b", entry.name):
            (tmp_path / "packages" / entry.name).symlink_to(entry)
    return {
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin",
        "PYTHONPATH": str(tmp_path / "packages"),
        "PIP_NO_INDEX": "1",
        "CALLBOARD_ACTORS_ADMIN_PORT": str(free_port()),
    }


@pytest.mark.multiprocess
@pytest.mark.timeout(300)
def test_the_tutorial_does_what_it_says(reader):
    assert reader.kinds == {"console", "text", "toml", "python", "json"}
    reader.follow()
    reader.terminal(None).ended()
    assert (reader.folder / "venv" / "bin" / "callboard").is_file()
