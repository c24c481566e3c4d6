"""Runs the actor system of a machine that joins a node: `callboard join`."""

import os
import time
from collections.abc import Callable
from datetime import timedelta
from importlib.metadata import version

import structlog

from callboard.actors.base import own_settings
from callboard.actors.system import actor_system
from callboard.actors.system.orphan_guard import AnotherVersion, OrphanGuard
from callboard.actors.system.owner import TICK_S, Signals, exists
from callboard.actors.system.worker_capabilities import WorkerCapabilities
from callboard.config.settings import Settings
from callboard.config.time_limits import TREE_SILENT_S
from callboard.supervision import Ready, Start

AGAIN_S = 2.0
LONELY_S = 30.0
"""The interval of the warning that the node has not started any actors here yet."""


def run(
    settings: Settings, node: str, worker: WorkerCapabilities, ready: Callable[[], None]
) -> None:
    """Run until a signal asks to stop. Raises SystemUnreachable, DataDirectoryLost.

    `ready` is called when the actor system has started, even if the node cannot be reached yet: the
    registration is repeated.
    """
    with actor_system.ownership(settings, node=node) as check, Signals() as signals:
        while not _run_once(settings, node, worker, ready, signals, check):
            structlog.get_logger("callboard").warning("actor_system_lost", actor="member")
            time.sleep(AGAIN_S)


def _run_once(
    settings: Settings,
    node: str,
    worker: WorkerCapabilities,
    ready: Callable[[], None],
    signals: Signals,
    check: Callable[[], None],
) -> bool:
    """Run the actor system until it ends; whether it was asked to."""
    system = actor_system.join(settings, node, worker)
    began = warned = time.monotonic()
    try:
        orphan_guard = actor_system.created(system, OrphanGuard)
        system.tell(orphan_guard, Start(args=os.getpid(), heartbeat_s=0))
        pid: int | None = None
        while not signals.count:
            check()
            match system.listen(timedelta(seconds=TICK_S)):
                case Ready(pid=pid):
                    ready()
                case AnotherVersion(version=theirs):
                    structlog.get_logger("callboard").error(
                        "refused_by_node",
                        node=node,
                        version=theirs,
                        own=version("callboard"),
                        todo="install the same version here and on the node",
                    )
            if pid is not None and not exists(pid):
                return False
            if time.monotonic() - warned > LONELY_S and not own_settings.have_begun():
                warned = time.monotonic()
                structlog.get_logger("callboard").warning(
                    "node_starts_nothing_here",
                    node=node,
                    waited_s=round(warned - began),
                    look_at="is it reached, does it reach this machine, and has it the same key, "
                    "the same version, and actors.convention?",
                )
            if pid is None and time.monotonic() - began > TREE_SILENT_S:
                return False
        return True
    finally:
        system.shutdown()
