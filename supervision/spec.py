"""Child and supervisor specifications (Erlang/OTP: supervisor, child_spec and sup_flags)."""

from collections.abc import Iterable
from typing import Any

from attrs import Factory, field, frozen, validators
from thespian.actors import Actor

PERMANENT = "permanent"
"""Always restarted."""
TRANSIENT = "transient"
"""Restarted only when it ends abnormally."""
TEMPORARY = "temporary"
"""Never restarted; forgotten once it has ended."""

ONE_FOR_ONE = "one_for_one"
"""Only the child that ended is restarted."""
ONE_FOR_ALL = "one_for_all"
"""All children are stopped and started again."""
REST_FOR_ONE = "rest_for_one"
"""The child that ended and those started after it are stopped and started again."""

START_S = 10.0
"""The default time-out for the start of a child."""

_positive = validators.gt(0.0)


def _starting_s(child: "ChildSpec") -> float:
    """A supervisor starts its children one after the other, so their time-outs add up."""
    inside = child.args.children if isinstance(child.args, SupervisorSpec) else ()
    return max(START_S, sum(each.start_s for each in inside))


def _unique_ids(_instance: Any, _attribute: Any, children: Iterable["ChildSpec"]) -> None:
    seen: set[str] = set()
    for child in children:
        if child.id in seen:
            raise ValueError(
                f"two children have the id {child.id!r}: ids are unique in a supervisor"
            )
        seen.add(child.id)


@frozen
class ChildSpec:
    """How one child is started, watched, restarted and stopped.

    `actor`: a subclass of `SupervisedActor`; `args` are passed to its `on_start`, so they must
    pickle. `shutdown_s`: the time-out for stopping; 0 kills it at once (OTP: brutal_kill).
    `start_s`: the time-out for `on_start`, in a supervisor including the start of its children; by
    default the sum of theirs, and at least `START_S`. `peers`: paths of other actors of the tree
    whose addresses it receives; `*` matches any characters. `label`: a second name, for users.
    `waits_s`: how long it may wait for a server while it handles one message, and so be silent in
    addition to the supervisor's `hang_s`.
    """

    id: str = field(validator=validators.matches_re(r"[^/\s*?\[]+"))
    actor: type[Actor]
    args: Any = None
    restart: str = field(
        default=PERMANENT, validator=validators.in_((PERMANENT, TRANSIENT, TEMPORARY))
    )
    shutdown_s: float = field(default=5.0, validator=validators.ge(0.0))
    start_s: float = field(default=Factory(_starting_s, takes_self=True), validator=_positive)
    peers: tuple[str, ...] = ()
    label: str = ""
    waits_s: float = field(default=0.0, validator=validators.ge(0.0))


@frozen
class SupervisorSpec:
    """The children of a supervisor, in starting order, and its strategy when one ends.

    Restart intensity: after more than `max_restarts` within `within_s` seconds, the supervisor
    stops its children and gives up, which is an abnormal end for its own supervisor.
    `heartbeat_s`: the interval of heartbeats; a child silent for `hang_s` seconds, and its
    `waits_s`, is killed and restarted, which OTP does not do. `gather_s`: the longest that changes
    are gathered while children start or stop one after the other: each one would be sent to all
    actors that know the child.
    """

    children: tuple[ChildSpec, ...] = field(default=(), validator=_unique_ids)
    strategy: str = field(
        default=ONE_FOR_ONE, validator=validators.in_((ONE_FOR_ONE, ONE_FOR_ALL, REST_FOR_ONE))
    )
    max_restarts: int = field(default=5, validator=validators.ge(0))
    within_s: float = field(default=10.0, validator=_positive)
    heartbeat_s: float = field(default=2.0, validator=_positive)
    hang_s: float = field(default=10.0, validator=_positive)
    gather_s: float = field(default=0.25, validator=_positive)
