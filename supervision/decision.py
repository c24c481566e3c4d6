"""A supervisor's decision when a child ends: pure functions of specification and history.

The rules are those of Erlang/OTP's supervisor (Supervision Principles: restart strategy, maximum
restart intensity, restart type). Here they can be tested without an actor.
"""

from collections.abc import Collection, Mapping

from attrs import evolve, frozen

from callboard.supervision.spec import (
    ONE_FOR_ALL,
    ONE_FOR_ONE,
    PERMANENT,
    TEMPORARY,
    ChildSpec,
    SupervisorSpec,
)


@frozen
class RestartHistory:
    """The times of restarts within the window of the restart intensity, in seconds on any clock."""

    times: tuple[float, ...] = ()

    def restarted(self, now: float, within_s: float) -> "RestartHistory":
        """The history with a restart at `now`, without those older than `within_s` seconds."""
        return evolve(self, times=(*(t for t in self.times if now - t <= within_s), now))


@frozen
class Decision:
    """The actions: stop some children, then start some; or stop all and give up."""

    stop: tuple[str, ...] = ()
    start: tuple[str, ...] = ()
    give_up: bool = False


def on_exit(
    spec: SupervisorSpec,
    alive: Collection[str],
    child: ChildSpec,
    normal: bool,
    history: RestartHistory,
    now: float,
) -> tuple[Decision, RestartHistory]:
    """Decide on the end of `child`, and count the restart if there is one.

    `alive`: ids of the other children that run or are starting. `normal`: it ended because it had
    finished. Temporary children that are stopped along with others are not started again.
    """
    if child.restart == TEMPORARY or (normal and child.restart != PERMANENT):
        return Decision(), history
    history = history.restarted(now, spec.within_s)
    if len(history.times) > spec.max_restarts:
        return Decision(give_up=True), history
    group = _restart_group(spec, child)
    return (
        Decision(
            stop=tuple(id for id in stop_order(spec, alive) if id in group and id != child.id),
            start=tuple(
                other.id
                for other in spec.children
                if other.id in group and other.restart != TEMPORARY
            ),
        ),
        history,
    )


def stop_order(spec: SupervisorSpec, alive: Collection[str]) -> tuple[str, ...]:
    """The living children in the order in which they are stopped: last started, first stopped."""
    return tuple(other.id for other in reversed(spec.children) if other.id in alive)


def hanging(last_seen: Mapping[str, float], now: float, hang_s: float) -> tuple[str, ...]:
    """Which children have been silent for longer than `hang_s` seconds."""
    return tuple(id for id, seen in last_seen.items() if now - seen > hang_s)


def _restart_group(spec: SupervisorSpec, child: ChildSpec) -> Collection[str]:
    ids = [other.id for other in spec.children]
    if spec.strategy == ONE_FOR_ONE:
        return {child.id}
    if spec.strategy == ONE_FOR_ALL:
        return set(ids)
    return set(ids[ids.index(child.id) :])
