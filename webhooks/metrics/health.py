"""Whether the system is ready to work."""

from collections.abc import Mapping

from attrs import frozen

RUNNING, ENDED = "running", "ended"

ANOTHER_ZONE = "zone_listener-"
"""Actors connected to another zone's broker; without it this node still works."""
TREE_OLD_S = 10.0
"""Without a report from the top supervisor for this time, the tree counts as not responding."""


@frozen
class Ready:
    """Broker, store and tree are in order."""


@frozen
class NotReady:
    """`problems`: descriptions of the faults, one each."""

    problems: tuple[str, ...]


def readiness(
    children: Mapping[str, str],
    tree_age_s: float,
    brokers: Mapping[str, float],
    store_problem: str | None,
) -> Ready | NotReady:
    """Whether broker and store are up and all actors run.

    `children`: the status of every actor by path, `tree_age_s` seconds ago; `brokers`: whether the
    connection of each actor that has one is up; `store_problem`: None while it is unknown, and ""
    if there is none.
    """
    problems = []
    if tree_age_s > TREE_OLD_S:
        problems.append(f"the top supervisor has not answered for {tree_age_s:.0f} s")
    elif not children:
        problems.append("the top supervisor has not answered yet")
    broken = {p: status for p, status in children.items() if status not in (RUNNING, ENDED)}
    problems += [f"{path} is {status}" for path, status in sorted(broken.items())]
    down = sorted(actor for actor, up in brokers.items() if not up and not _remote(actor))
    if down:
        problems.append(f"the broker is down for {', '.join(down)}")
    elif not any(not _remote(actor) for actor in brokers):
        problems.append("nobody is connected to the broker yet")
    if store_problem is None:
        problems.append("the store has not answered yet")
    elif store_problem:
        problems.append(f"the store is down: {store_problem}")
    return NotReady(tuple(problems)) if problems else Ready()


def _remote(actor: str) -> bool:
    return actor.startswith(ANOTHER_ZONE)
