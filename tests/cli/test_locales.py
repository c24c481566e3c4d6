"""Commands work in any locale, and nothing of the product depends on the locale's encoding."""

import ast
import subprocess
import sys

import pytest

from support.building import PROJECT
from support.commands import environment

sys.path.append(str(PROJECT / "docs"))
from _generate.rooms import LAYERS

TEXT = {"read_text", "write_text", "fdopen", "NamedTemporaryFile", "TemporaryFile", "TextIOWrapper"}
"""Calls that decode or encode text, unless their mode is binary."""
RUNS = {"Popen", "run", "check_output"}


def without_encoding(source):
    """The lines with such a call that leaves the encoding to the locale."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or any(k.arg == "encoding" for k in node.keywords):
            continue
        call = ast.unparse(node.func)
        name = call.rpartition(".")[2]
        given = {k.arg: k.value for k in node.keywords}
        mode = given.get("mode") or next(
            (a for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)), None
        )
        binary = isinstance(mode, ast.Constant) and "b" in str(mode.value)
        if name in RUNS and {"text", "universal_newlines"} & given.keys():
            yield node.lineno
        elif name == "open" and (isinstance(node.func, ast.Name) or not node.args or mode):
            opens_text = call != "os.open" and (mode or isinstance(node.func, ast.Name))
            if opens_text and not binary:
                yield node.lineno
        elif name in TEXT and not binary:
            if name in ("NamedTemporaryFile", "TemporaryFile") and mode is None:
                continue  # binary by default
            yield node.lineno


def test_every_text_of_the_product_names_its_encoding():
    assert list(without_encoding("open('a')\nPath('a').open('r')\na.read_text()")) == [1, 2, 3]
    assert list(without_encoding("os.fdopen(3, 'r+')\nsubprocess.run(a, text=True)")) == [1, 2]
    assert not list(without_encoding("open(a, 'rb')\na.read_text(encoding='utf-8')\na.open()"))
    files = [*PROJECT.glob("*.py"), *(f for room in LAYERS for f in (PROJECT / room).rglob("*.py"))]
    assert len(files) > 200
    found = {str(f): list(without_encoding(f.read_text(encoding="utf-8"))) for f in files}
    assert {file: lines for file, lines in found.items() if lines} == {}


@pytest.mark.parametrize("command", ["--help", "plan", "modules list"])
def test_a_command_works_in_a_locale_of_ascii(command):
    ran = subprocess.run(
        [sys.executable, "-m", "callboard.run_system", *command.split()],
        env=environment(PYTHONUTF8="0", LC_ALL="C", PYTHONIOENCODING=""),
        capture_output=True,
        encoding="ascii",
        timeout=60,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert len(ran.stdout.splitlines()) > 8
