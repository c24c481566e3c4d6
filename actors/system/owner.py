"""The foreground process: it owns the actor system and watches the top supervisor.

If the top supervisor gives up, the run ends. If it is killed or hangs, the whole system is
restarted, within the same restart intensity.
"""

import os
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from types import FrameType

import structlog
from attrs import define, evolve, field

from callboard.actors.system import actor_system
from callboard.actors.system.actor_system import MULTIPROCESS, Client, SystemLost
from callboard.actors.system.tree import Top
from callboard.config import time_limits as limits
from callboard.config.settings import Settings
from callboard.supervision import GaveUp, Ready, Start, Stop, SupervisorSpec
from callboard.supervision.decision import RestartHistory
from callboard.supervision.messages import Finished, Heartbeat

TICK_S = 0.5


class GivenUp(Exception):
    """The restart intensity is exceeded; the text says why."""


@define
class Signals:
    """Counts signals to stop. The second one ends the system without an orderly stop."""

    count: int = 0
    _before: dict[int, object] = field(factory=dict)

    def __enter__(self) -> "Signals":
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            # nohup(1) starts a process that ignores SIGHUP, and is to go on doing so.
            if signal.getsignal(number) != signal.SIG_IGN or number != signal.SIGHUP:
                self._before[number] = signal.signal(number, self._count)
        return self

    def __exit__(self, *_exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _count(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1


def run(settings: Settings, ready: Callable[[Client, float], None]) -> None:
    """Run a system until it is asked to stop, by a signal or by `Stop` to its top supervisor.

    `ready` is called each time the tree has started, with the seconds it took. Raises GivenUp,
    SystemUnreachable, DataDirectoryLost.
    """
    log = structlog.get_logger("callboard").bind(actor="owner")
    settings = with_api(settings)
    spec, history = SupervisorSpec(max_restarts=settings.actors.max_restarts), RestartHistory()
    with actor_system.ownership(settings) as check, Signals() as signals:
        while True:
            cause = _run_once(settings, signals, check, ready, log)
            if cause is None:
                return
            now = time.monotonic()
            history = history.restarted(now, spec.within_s)
            if len(history.times) > spec.max_restarts:
                raise GivenUp(
                    f"the top supervisor ended abnormally more than {spec.max_restarts} times in "
                    f"{spec.within_s:g} s, at last because {cause}"
                )
            log.warning("top_supervisor_lost", restart=len(history.times), because=cause)


def with_api(settings: Settings) -> Settings:
    """The settings with the API enabled, unless they disable it."""
    enabled = settings.api.enabled is not False
    return evolve(settings, api=evolve(settings.api, enabled=enabled))


def _run_once(
    settings: Settings,
    signals: Signals,
    check: Callable[[], None],
    ready: Callable[[Client, float], None],
    log: structlog.typing.FilteringBoundLogger,
) -> str | None:
    """Run the system until its top supervisor ends; why, or None if that was intended."""
    began = time.monotonic()
    try:
        client = actor_system.create_top(actor_system.create(settings))
    except SystemLost as problem:
        log.warning("actor_system_lost", reason=str(problem))
        return str(problem)
    heartbeat_s = settings.actors.heartbeat_ms / 1000
    hang_s = limits.hang_s(settings)
    top = Top(settings, os.getpid() if settings.actors.base == MULTIPROCESS else None)
    try:
        client.system.tell(client.top, Start(args=top, heartbeat_s=heartbeat_s))
        pid: int | None = None
        seen, asked_at, asked = time.monotonic(), 0.0, 0
        while True:
            check()
            now = time.monotonic()
            match client.system.listen(timedelta(seconds=TICK_S)):
                case Ready(pid=pid):
                    seen = now
                    ready(client, now - began)
                case Heartbeat():
                    seen = now
                case Finished():
                    return None
                case GaveUp(reason=reason):
                    raise GivenUp(reason)
            if signals.count > asked:
                asked, asked_at = signals.count, asked_at or now
                log.info("stop_asked", times=asked)
                if asked > 1:
                    return None
                client.system.tell(client.top, Stop())
            if asked and now - asked_at > limits.STOP_S:
                log.warning("stop_overdue", after_s=limits.STOP_S)
                return None
            if pid is not None and not exists(pid):
                return None if asked else "it crashed or was killed"
            if pid is None and now - seen > limits.TREE_SILENT_S:
                log.warning("start_overdue", after_s=limits.TREE_SILENT_S)
                return f"it was silent for {limits.TREE_SILENT_S:g} s while its tree started"
            if pid is not None and now - seen > hang_s:
                log.warning("top_supervisor_hangs", pid=pid)
                os.kill(pid, signal.SIGKILL)
                return f"it was silent for {hang_s:g} s"
    finally:
        client.system.shutdown()


def exists(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
