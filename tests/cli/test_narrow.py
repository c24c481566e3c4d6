"""What commands print on a terminal of 80 columns."""

import os
import re
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from callboard.cli.system.tree_text import print_tree
from callboard.supervision import TreeNode
from support import commands

COLUMNS = {"COLUMNS": "80", "TERM": "xterm"}


def shown(*arguments):
    """The lines that a command prints on such a terminal."""
    here, there = os.openpty()
    with os.fdopen(there, "wb", buffering=0) as terminal, Path(os.devnull).open() as nothing:
        stdio = [nothing, terminal, terminal]
        command = commands.Command(commands.environment(**COLUMNS), *arguments, stdio=stdio)
    printed = b""
    with os.fdopen(here, "rb", buffering=0) as screen, suppress(OSError):  # it has ended
        while some := screen.read(4096):
            printed += some
    assert command.wait() == 0
    return unstyled(printed.decode())


def unstyled(text):
    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()]


def test_the_list_of_modules_fits():
    lines = shown("modules", "list")
    assert lines[0].split() == ["module", "events", "bindings"]
    assert max(map(len, lines)) <= 80
    # No name is folded: each line begins with a module, or is a further binding of one.
    assert all(re.match(r"[a-z_]+ |  +\S+ \S", line) for line in lines[1:])


@pytest.mark.parametrize(
    ("columns", "left_out"),
    [("300", set()), ("80", {"figures", "Kazoo"}), ("64", {"figures", "Kazoo", "class"})],
)
def test_the_tree_fits(monkeypatch, capsys, columns, left_out):
    def node(id, *children):
        stats = dict.fromkeys(("received", "settled", "handed_out", "waiting"), 123456)
        began = time.time() - 5_000_000
        return TreeNode(id, id, "Responder", "webhooks_channel", "running", 1234567, began, 12,
                        stats, children)  # fmt: skip

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for name, value in (COLUMNS | {"COLUMNS": columns}).items():
        monkeypatch.setenv(name, value)
    print_tree(node("", node("responders", node("channel_answer"), node("channel_destroy"))))
    lines = unstyled(capsys.readouterr().out)
    assert len(lines) == 1 + 4
    assert max(map(len, lines)) <= int(columns)
    assert {"figures", "Kazoo", "class"} - {*lines[0].split()} == left_out
