"""Whether a node is ready to work: the rules, and since when each of them is broken.

Nothing is ready by default: an actor that has not reported yet makes the node unready.
"""

from collections import deque
from collections.abc import Iterable, Mapping

from attrs import Factory, define, frozen

from callboard.webhooks.metrics import catalog
from callboard.webhooks.metrics.tally import Key
from callboard.webhooks.metrics.totals import grown

RUNNING, ENDED = "running", "ended"

ANOTHER_ZONE = "zone_listener-"
"""Actors connected to another zone's broker; without it this node still works."""
MACHINES = "deliveries/elsewhere/"
"""The paths of actors on joined machines begin with it; without them this node still works."""
TREE_OLD_S = 10.0
"""Without a report from the top supervisor for this time, the tree counts as not responding."""
STALLED_S = 15.0
"""The longest time without progress that has nothing to mean."""
MANY_RESENDS = 3
"""A batch that was sent again more often does not arrive."""
MANY_RESTARTS, RESTARTS_WITHIN_S = 3, 60.0
"""An actor with so many restarts within this time restarts again and again."""
REFUSED_S = 300.0
"""The time for which a refused message counts: what it held is sent again within a minute."""
NAMED = 3
"""The most actors that one problem names."""

KINDS = (
    *("tree", "restarts", "report", "hooks", "stalled", "resent", "refused"),
    *("broker", "blocked", "store"),
)
"""The kinds of problems, each the value of a label."""
MACHINE = "machine"
"""The kind of a problem that only degrades the node: a machine that has joined it."""
EXCHANGE = "exchange"
"""Another one: an exchange that the broker refuses, without which the other modules work."""
DEGRADING = (MACHINE, EXCHANGE)


@frozen
class Child:
    """An actor of the tree. `restarts`: since the start. `reports`: whether it reports figures."""

    status: str
    restarts: int = 0
    reports: bool = True


@frozen
class Problem:
    """A reason for which the node is not ready, or is degraded. `since_unix_s`: when first seen."""

    kind: str
    what: str
    since_unix_s: float


@frozen
class State:
    """The facts about the node by which it is judged.

    `children`: the actors by path, `tree_age_s` seconds ago. `reported`: the paths of those whose
    latest incarnation has reported its figures. `gauges` and `counters`: the sums of these.
    `store_problem`: None while it is unknown, and "" if there is none.
    """

    children: Mapping[str, Child] = Factory(dict)
    tree_age_s: float = 0.0
    reported: frozenset[str] = frozenset()
    gauges: Mapping[Key, float] = Factory(dict)
    counters: Mapping[Key, int] = Factory(dict)
    store_problem: str | None = None


@define
class Watch:
    """The problems of a node over time.

    `degraded`: since the last `update`, failures without which the node works.
    """

    degraded: tuple[Problem, ...] = ()
    _problems: dict[tuple[str, str], Problem] = Factory(dict)
    _restarts: dict[str, tuple[int, deque[float]]] = Factory(dict)
    _refused: dict[str, tuple[int, float]] = Factory(dict)
    _progress: dict[str, tuple[float, float]] = Factory(dict)

    def update(self, state: State, now: float) -> tuple[Problem, ...]:
        """The present problems. `now`: Unix seconds.

        One that persists keeps its time, even if its details change.
        """
        found = {
            **faults(state, now),
            **self._restarting(state, now),
            **self._stalled(state, now),
            **self._refusals(state, now),
        }
        found = {
            (MACHINE if _is_elsewhere(subject) else kind, subject): seen
            for (kind, subject), seen in found.items()
        }
        known = self._problems
        self._problems = {
            key: Problem(key[0], what, known[key].since_unix_s if key in known else since)
            for key, (what, since) in found.items()
        }
        every = self._problems.values()
        self.degraded = tuple(one for one in every if one.kind in DEGRADING)
        own = (one for one in every if one.kind not in DEGRADING)
        return tuple(sorted(own, key=lambda one: KINDS.index(one.kind)))

    def _restarting(self, state: State, now: float) -> "_Faults":
        found: _Faults = {}
        for path, child in sorted(state.children.items()):
            before, times = self._restarts.get(path, (child.restarts, deque(maxlen=MANY_RESTARTS)))
            times.extend([now] * min(grown(before, child.restarts), MANY_RESTARTS))
            self._restarts[path] = child.restarts, times
            if len(times) == MANY_RESTARTS and now - times[0] <= RESTARTS_WITHIN_S:
                often = f"{MANY_RESTARTS} times within {RESTARTS_WITHIN_S:.0f} s"
                found["restarts", path] = f"{path} was restarted {often}", times[0]
        return found

    def _stalled(self, state: State, now: float) -> "_Faults":
        """Those whose progress is the same for too long, by the clock of this node only."""
        progress = _by_label(state.gauges, catalog.LAST_PROGRESS)
        self._progress = {
            actor: known if (known := self._progress.get(actor)) and known[0] == at else (at, now)
            for actor, at in progress.items()
            if at
        }
        return {
            ("stalled", actor): (f"{actor} makes no progress with what it holds", since)
            for actor, (_at, since) in sorted(self._progress.items())
            if now - since >= STALLED_S
        }

    def _refusals(self, state: State, now: float) -> "_Faults":
        found: _Faults = {}
        for (name, labels), count in state.counters.items():
            if name == catalog.MESSAGES_REFUSED.name:
                what = "{1} of {0}".format(*labels)
                before, last = self._refused.get(what, (0, now))
                last = now if count > before else last
                self._refused[what] = count, last
                if count and now - last <= REFUSED_S:
                    found["refused", what] = f"the transport refused {what}", last
        return found


_Faults = dict[tuple[str, str], tuple[str, float]]
"""By kind and subject: the description, and since when."""


def faults(state: State, now: float) -> _Faults:
    """The problems of this state, whatever was before."""
    return {
        **_of_tree(state, now),
        **_of_reports(state, now),
        **_of_hooks(state, now),
        **_of_batches(state, now),
        **_of_servers(state, now),
        **_of_exchanges(state),
    }


def _of_tree(state: State, now: float) -> _Faults:
    if state.tree_age_s > TREE_OLD_S:
        what = f"the top supervisor has not answered for {state.tree_age_s:.0f} s"
        return {("tree", ""): (what, now - state.tree_age_s)}
    if not state.children:
        return {("tree", ""): ("the top supervisor has not answered yet", now)}
    lost = {
        ("tree", path): (f"the machine {path.removeprefix(MACHINES)} is lost", now)
        for path, child in state.children.items()
        if _is_machine(path) and child.status != RUNNING
    }
    down = {
        ("tree", path): (f"{path} is {child.status}", now)
        for path, child in sorted(state.children.items())
        if child.status not in (RUNNING, ENDED)
    }
    return {**down, **lost}


def _of_reports(state: State, now: float) -> _Faults:
    """Actors that run and have not said how they are."""
    return _listed(
        "report",
        "no report yet of",
        (
            path
            for path, child in state.children.items()
            if child.reports
            and not _is_elsewhere(path)
            and child.status == RUNNING
            and path not in state.reported
        ),
        now,
    )


def _of_hooks(state: State, now: float) -> _Faults:
    loaded = _by_label(state.gauges, catalog.HOOKS_LOADED)
    if state.children and not loaded:
        return {("hooks", ""): ("no actor has hooks yet", now)}
    lacking = (actor for actor, is_loaded in loaded.items() if not is_loaded)
    return _listed("hooks", "hooks are not loaded in", lacking, now)


def _of_batches(state: State, now: float) -> _Faults:
    """Batches that do not arrive; those for the retry queue wait for a broker that is blocked."""
    if _of_blocked(state):
        return {}
    return {
        ("resent", actor): (f"{actor} has sent a batch {times:.0f} times again", now)
        for actor, times in sorted(_by_label(state.gauges, catalog.BATCH_RESENDS).items())
        if times > MANY_RESENDS
    }


def _of_servers(state: State, now: float) -> _Faults:
    found: _Faults = {}
    brokers = _by_label(state.gauges, catalog.BROKER_UP)
    ours = {actor: up for actor, up in brokers.items() if not actor.startswith(ANOTHER_ZONE)}
    down = sorted(actor for actor, up in ours.items() if not up)
    if down:
        found["broker", ""] = f"the broker is down for {', '.join(down)}", now
    elif not ours:
        found["broker", ""] = "no actor is connected to the broker yet", now
    found |= _of_blocked(state)
    if state.store_problem is None:
        found["store", ""] = "the store has not answered yet", now
    elif state.store_problem:
        found["store", ""] = f"the store is down: {state.store_problem}", now
    return found


def _of_blocked(state: State) -> _Faults:
    """Actors from which the broker takes no messages, such as retries and posted events."""
    blocked = {
        labels: since
        for (name, labels), since in state.gauges.items()
        if name == catalog.BROKER_BLOCKED.name and since
    }
    if not blocked:
        return {}
    actors = ", ".join(sorted({actor for actor, _reason in blocked}))
    reasons = ", ".join(sorted({reason for _actor, reason in blocked}))
    what = f"the broker takes no messages from {actors}: {reasons}"
    return {("blocked", ""): (what, min(blocked.values()))}


def _of_exchanges(state: State) -> _Faults:
    """Modules without events, since the broker refuses their exchanges."""
    return {
        (EXCHANGE, module): (f"the module {module} gets no events: {reason}", since)
        for (name, labels), since in sorted(state.gauges.items())
        if name == catalog.LEFT_OUT.name and since
        for module, reason in (labels,)
    }


def machines(children: Mapping[str, Child]) -> tuple[int, int]:
    """The machines that deliver for the node, and those that are lost.

    One that has left in order is none of them.
    """
    found = [child.status == RUNNING for path, child in children.items() if _is_machine(path)]
    return sum(found), len(found) - sum(found)


def _is_machine(path: str) -> bool:
    return _is_elsewhere(path) and path.count("/") == MACHINES.count("/")


def _is_elsewhere(path: str) -> bool:
    return path.startswith(MACHINES)


def _listed(kind: str, what: str, paths: Iterable[str], now: float) -> _Faults:
    names = sorted(paths)
    if not names:
        return {}
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return {(kind, ""): (f"{what} {', '.join(names[:NAMED])}{more}", now)}


def _by_label(gauges: Mapping[Key, float], metric: catalog.Metric) -> dict[str, float]:
    return {labels[0]: value for (name, labels), value in gauges.items() if name == metric.name}
