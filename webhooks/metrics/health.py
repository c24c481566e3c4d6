"""Whether the system can do its work."""

from collections.abc import Mapping

from attrs import frozen

RUNNING, ENDED = "running", "ended"

ANOTHER_ZONE = "zone_listener-"
"""Actors whose broker is another zone's; without it this node still does its work."""
TREE_OLD_S = 10.0
"""No word from the top supervisor for so long means that it does not answer."""


@frozen
class Ready:
    """Broker, store and tree are as they should be."""


@frozen
class NotReady:
    """`problems`: what is wrong, in words, one each."""

    problems: tuple[str, ...]


def readiness(
    children: Mapping[str, str],
    tree_age_s: float,
    brokers: Mapping[str, float],
    store_problem: str | None,
) -> Ready | NotReady:
    """Whether broker and store are up and the tree is whole.

    `children`: the status of every actor by path, `tree_age_s` seconds ago; `brokers`: whether
    the connection of each actor that has one is up; `store_problem`: None while it is not known
    yet, and "" if there is none.
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
