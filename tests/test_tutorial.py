"""docs/tutorial.md, followed to the letter: files written, commands run, outputs compared."""

import re
import shutil
import socket
import sys
import sysconfig
from pathlib import Path

import pytest

from services import free_port
from support.terminals import Terminal

PAGE = Path(__file__).parents[1] / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(\w+)(?: (\w+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"a file `([\w.]+)`:\n*\Z")
STAY = ("callboard start", "python receiver.py")
PORT = "5000"


@pytest.fixture
def terminal(tmp_path, built):
    """terminal(name) -> the Terminal of that name."""
    folder = tmp_path / "tutorial"
    folder.mkdir()
    shutil.copy(built[1], folder)
    environment = environment_of_a_reader(tmp_path)
    terminals = {}

    def terminal(name):
        if name not in terminals:
            terminals[name] = Terminal(folder, environment)
        return terminals[name]

    terminal.folder = folder
    yield terminal
    for each in terminals.values():
        each.close()


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


def page():
    """The text; with another port where the printed one is taken on this machine."""
    text = PAGE.read_text()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(PORT)))
        except OSError:
            return text.replace(PORT, str(free_port()))
    return text


def commands(block):
    """(command, what is printed after it) of a console block."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, printed = part.partition("\n")
        yield command, printed


@pytest.mark.multiprocess
@pytest.mark.timeout(300)
def test_the_tutorial_does_what_it_says(terminal):
    text = page()
    blocks = list(BLOCK.finditer(text))
    assert {block[1] for block in blocks} == {"console", "text", "toml", "python", "json"}
    for block in blocks:
        kind, name, content = block.groups()
        if kind == "console":
            for command, printed in commands(content):
                does = terminal(name).leave_running if command in STAY else terminal(name).run
                does(command, printed)
        elif kind == "text":
            terminal(name).shows(content)
        else:
            (file,) = FILE.findall(text[: block.start()])
            (terminal.folder / file).write_text(content)
    terminal(None).ended()
    assert (terminal.folder / "venv" / "bin" / "callboard").is_file()
