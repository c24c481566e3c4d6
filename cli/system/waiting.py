"""Waiting for a starting system, until its hooks are loaded."""

import time

from callboard.actors.messages.paths import HOOK_TABLE
from callboard.actors.system.actor_system import SystemUnreachable, attach
from callboard.cli.terminal.output import Failure
from callboard.config.settings import Settings
from callboard.supervision import GetTree, TreeNode

LOOK_S = 0.5


def wait_until_loaded(settings: Settings, timeout_s: float, *, quiet: bool) -> None:
    """Wait until a system runs, is complete and has its hooks. Fails the command on a time-out.

    An actor's figures are as old as its heartbeat, so this may return a few seconds late.
    """
    from callboard.cli.terminal.progress import counting  # rich's bars, which few commands need

    end = time.monotonic() + timeout_s
    client, seen, lacking = None, 0, ""
    with counting("loading hooks", quiet=quiet) as step:
        while True:
            try:
                client = client or attach(settings)
                top = client.ask(client.top, GetTree(), TreeNode)
                lacking = _lacking(top)
            except SystemUnreachable as problem:
                client, top, lacking = None, None, str(problem)
            if not lacking:
                return
            hooks = _hooks(top)
            step(hooks - seen)
            seen = hooks
            if time.monotonic() > end:
                raise Failure(f"not ready within {timeout_s:g} s: {lacking}")
            time.sleep(LOOK_S)


def _lacking(top: TreeNode) -> str:
    """The missing parts; empty if the system is ready."""
    down = not_running(top)
    if down:
        return f"not running: {', '.join(down)}"
    loaded = any(node.path == HOOK_TABLE and node.stats.get("loaded") for node in top.children)
    return "" if loaded else "hooks are loading"


def not_running(top: TreeNode) -> list[str]:
    """The paths of the actors that should run and do not."""
    return [node.path for node in top.below() if node.status not in ("running", "ended")]


def _hooks(top: TreeNode | None) -> int:
    nodes = () if top is None else top.children
    return sum(node.stats.get("hooks", 0) for node in nodes if node.path == HOOK_TABLE)
