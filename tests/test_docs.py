"""What the documentation says to type and to write, held against the program.

`make docs` checks the links of the pages below docs/; here are those of the other pages.
"""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from callboard.actors.delivery.retry_queue import topology
from callboard.actors.system.tree import tree
from callboard.cli import main
from callboard.cli.events.skeleton import project
from callboard.config import Settings
from callboard.config.loader import load
from callboard.supervision import SupervisorSpec
from callboard.webhooks.modules.discovery import ENTRY_POINT, admit, candidate
from support.patience import patient

PROJECT = Path(__file__).parents[1]
FRONT = [*PROJECT.glob("*.md")]
PAGES = [*FRONT, *(PROJECT / "docs").rglob("*.md")]

BLOCK = re.compile(r"^( *)```(\w+).*?\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
TYPED = re.compile(r"(?:^\$ |\| |\$\()callboard ([^|<>#&)$\n]*)", re.M)
INLINE = re.compile(r"`callboard ([^`…]+)`")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)")


def named(path):
    return str(path.relative_to(PROJECT))


def blocks(page, language):
    """The code of that language on a page, without what it is indented by."""
    for indent, found, code in BLOCK.findall(page.read_text()):
        if found == language:
            yield re.sub(rf"^{indent}", "", code, flags=re.MULTILINE)


def typed(page):
    """The command lines of `callboard` on a page, whole or as it names them in its text."""
    for code in blocks(page, "console"):
        yield from TYPED.findall(code.replace("\\\n", ""))
    yield from INLINE.findall(re.sub(r"\s+", " ", page.read_text()))


def is_understood(line):
    """Whether there is such a command, with those options, as far as the line goes.

    What a page's text names need not be complete; what is there must be right.
    """
    command, words = main, shlex.split(line)
    with click.Context(main, info_name="callboard") as context:
        while isinstance(command, click.Group) and words and not words[0].startswith("-"):
            _name, command, words = command.resolve_command(context, words)
        options = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help"}
        for word in words:
            if word.startswith("-") and word.partition("=")[0] not in options:
                raise click.NoSuchOption(word, ctx=context)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_command_exists(page, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    wrong = []
    for line in typed(page):
        try:
            is_understood(line)
        except click.UsageError as problem:
            wrong.append(f"callboard {line}: {problem.format_message()}")
    assert not wrong


def test_a_command_that_does_not_exist_is_noticed():
    is_understood("hooks add URI --account A --amqp-url memory://")
    for line in ("hook add", "hooks ad", "hooks add --acount A"):
        with pytest.raises(click.UsageError):
            is_understood(line)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_configuration_can_be_used(page, tmp_path):
    for code in blocks(page, "toml"):
        file = tmp_path / "callboard.toml"
        file.write_text(code)
        assert load(file, {}).file == file


@pytest.mark.parametrize("page", FRONT, ids=named)
def test_every_link_of_the_front_pages_leads_somewhere(page):
    assert not [link for link in LINK.findall(page.read_text()) if not (PROJECT / link).exists()]


def test_the_page_of_the_tree_has_every_actor():
    page = (PROJECT / "docs" / "tree.md").read_text()
    for child in tree(Settings()).children:
        assert f"`{child.id}" in page
        if isinstance(child.args, SupervisorSpec) and child.id != "responders":
            below = {re.sub(r"-\d+$", "-1", each.id) for each in child.args.children}
            assert {id for id in below if f"`{child.id}/{id}`" not in page} == set()


def test_what_an_operator_sees_in_the_log_is_logged():
    folders = ("actors", "adapters", "config", "supervision", "webhooks")
    code = "".join(f.read_text() for name in folders for f in (PROJECT / name).rglob("*.py"))
    page = (PROJECT / "docs" / "operations.md").read_text()
    (table,) = re.findall(r"^## What to do when\n(.*?)(?:^## |\Z)", page, re.DOTALL | re.MULTILINE)
    seen = re.findall(r"`([a-z]+(?:_[a-z]+)+)`", "".join(re.findall(r"^\|[^|]+\|", table, re.M)))
    assert len(seen) > 10
    assert not [word for word in seen if f'"{word}"' not in code]


def test_the_queues_to_go_over_to_are_within_the_rights_of_the_page_on_rabbitmq():
    (rights,) = blocks(PROJECT / "docs" / "rabbitmq.md", "text")
    page = (PROJECT / "docs" / "nodes.md").read_text()
    (queue,) = re.findall(r"another `amqp\.queue`, such as\s+`([^`]+)`", page)
    retries = topology(
        load(None, {"CALLBOARD_CONFIG": "/dev/null"}, {"amqp.queue": queue}).settings
    )
    assert f"`{retries.queue.name}`" in page
    for name in (queue, retries.queue.name, *(delay.name for delay in retries.delays)):
        assert re.search(rights.strip(), name), name


def test_the_module_of_the_page_passes_its_test_and_can_be_loaded(tmp_path):
    """The files of `callboard modules new`, with the contents that the page prints."""
    folder = tmp_path / "ticket_closed"
    folder.mkdir()
    files = project("ticket_closed")
    module, test = blocks(PROJECT / "docs" / "modules.md", "python")
    files |= {"callboard_ticket_closed.py": module, "test_callboard_ticket_closed.py": test}
    for name, text in files.items():
        (folder / name).write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    run = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=patient(60), check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "3 passed" in run.stdout
    names: dict[str, object] = {}
    exec(module, names)
    found = admit([candidate(ENTRY_POINT, "ticket_closed", lambda: names["MODULE"])])
    assert [each.id for each in found.modules] == ["ticket_closed"], found.problems
