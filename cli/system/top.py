"""`callboard top`: the running system, live."""

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import attrs
import click
from rich.console import Console
from rich.live import Live

from callboard.actors.messages import GetFigures, GetHealth, Health
from callboard.actors.messages.paths import METRICS
from callboard.actors.system.actor_system import Client, SystemUnreachable, attach
from callboard.cli.system.top_view import View, view
from callboard.cli.terminal.options import as_json, with_settings
from callboard.cli.terminal.output import Failure, print_json
from callboard.config.loader import Loaded
from callboard.config.settings import Settings
from callboard.supervision import GetTree, TreeNode
from callboard.webhooks.metrics.snapshot import Snapshot, as_plain

ANSWER_S = 3.0
"""Time limit for a response before the view reports that there is none."""


@click.command()
@click.option(
    "--once", is_flag=True, help="Print everything once and end, as for output to a file."
)
@click.option(
    "--interval", default=2.0, show_default=True, type=click.FloatRange(min=0.1), help="Seconds."
)
@as_json
@with_settings()
def top(loaded: Loaded, once: bool, interval: float, json_: bool) -> None:
    """Watch the tree, rates, latencies, endpoints and the retry queue; q ends it.

    It shows when the system ends or an actor dies, and continues when it is back. --json prints
    everything once.
    """
    watcher = _Watcher(loaded.settings)
    if once or json_ or not sys.stdout.isatty():
        found = watcher.look()
        if found.problem:
            raise Failure(found.problem)
        if json_:
            print_json(_as_json(found))
        else:
            Console(width=None if sys.stdout.isatty() else 160).print(view(found))
        return
    with suppress(KeyboardInterrupt), _keyboard(), Live(screen=True, auto_refresh=False) as live:
        live.update(view(watcher.look()), refresh=True)
        while not _ended_within(interval):
            live.update(view(watcher.look()), refresh=True)


def _as_json(found: View) -> dict[str, object]:
    assert found.tree and found.figures and found.health
    return {
        "health": found.health.as_plain(),
        "figures": as_plain(found.figures),
        "tree": attrs.asdict(found.tree),
    }


class _Watcher:
    """Queries the system, and attaches again if it was lost. Keeps the last response."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: Client | None = None
        self._seen = View()

    def look(self) -> View:
        """The system's state; missing parts are named."""
        try:
            self._seen = self._ask()
        except SystemUnreachable as problem:
            self._seen = attrs.evolve(self._seen, problem=str(problem))
            self._client = None
        return self._seen

    def _ask(self) -> View:
        if self._client is None:
            self._client = attach(self._settings)
        client = self._client
        tree: TreeNode = client.ask(client.top, GetTree(), TreeNode, ANSWER_S)
        self._seen = attrs.evolve(self._seen, tree=tree, now_unix_s=time.time())
        figures: Snapshot = client.ask_actor(METRICS, GetFigures(), Snapshot, ANSWER_S)
        health: Health = client.ask_actor(METRICS, GetHealth(), Health, ANSWER_S)
        return View(tree, figures, health, now_unix_s=time.time())


@contextmanager
def _keyboard() -> Iterator[None]:
    """Reads keys as they are pressed."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _ended_within(seconds: float) -> bool:
    """Wait until the time-out or until q is pressed; returns whether it was."""
    end = time.monotonic() + seconds
    while (left_s := end - time.monotonic()) > 0:
        keyboard = [sys.stdin.fileno()] if sys.stdin.isatty() else []
        heard = select.select(keyboard, (), (), left_s)[0]
        if heard and os.read(heard[0], 100) in (b"q", b"Q", b""):
            return True
    return False
