"""Growth of hooks: what very many that do not fire cost those that do."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from contenders.running import Callboard, Running
from driving import Driven, Load, driven
from loading import HOOKS_AN_ACCOUNT, fill, tree, wait_until_loaded
from memory import all_mb, pss_mb
from report import Figure, Section
from surroundings import Bench
from system_under_test import SystemUnderTest

from callboard.adapters.store.stores import FILE_NAME
from callboard.supervision import TreeNode
from callboard.supervision.supervisor import ENDED

SIZES = (1, 1_000, 100_000)
MOST = 1_000_000
EVENTS = (*["bench"] * 5, "all", *["channel_answer"] * 2, *["channel_destroy"] * 2)
SECONDS, QUICK_S = 6.0, 2.0
WARM_UP = 1000
LEAST = 0.9
MEGA = 1e6

TEXT = f"""\
One of the hooks is fired. The others belong to other accounts, {HOOKS_AN_ACCOUNT} each; half of
them are on the same event, a tenth on all events, the rest on two others. They are prepared in the
embedded store. The systems run side by side, idle but for the one whose turn it is to drain its
full queue, once each has made the month's databases of its accounts; ratios are of the values of
one turn. Loaded is from the command until every responder has all its hooks, measured once. Memory
is the proportional set size after that."""


class Prepared(Callboard):
    """Callboard on a store with so many hooks already, none of which fires."""

    def __init__(self, store: Path, hooks: int) -> None:
        super().__init__("Callboard, requests")
        self._store, self._hooks_there = store, hooks

    @contextmanager
    def running(self, amqp_url: str, url: str, folder: Path) -> Iterator[Running]:
        (folder / "data").mkdir()
        if self._hooks_there:
            (folder / "data" / FILE_NAME).symlink_to(self._store / FILE_NAME)
        self._began = time.monotonic()
        with super().running(amqp_url, url, folder) as at_work:
            yield at_work

    def started(self, system: SystemUnderTest) -> None:
        client = system.client()
        wait_until_loaded(client, self._hooks_there, list(EVENTS))
        self.loaded_s = time.monotonic() - self._began
        # It makes this month's databases of all accounts, once; without any it waits for one.
        while not _prepared((top := tree(client)).at("initializer")):
            time.sleep(1)
        self.table_mb, self.responder_mb = (
            pss_mb(top.at(path).pid or 0) for path in ("hook_table", "responders/bench")
        )
        self.tree_mb = all_mb(system.processes())


def _prepared(initializer: TreeNode) -> bool:
    return initializer.status == ENDED or "waits_for" in initializer.stats


def prepared(folder: Path, others: int) -> Prepared:
    folder.mkdir(parents=True)
    if others:
        fill("sqlite://", folder, others, list(EVENTS))
    return Prepared(folder, others)


def run(bench: Bench) -> Section:
    sizes = (*SIZES, bench.size(MOST))
    systems = {hooks: prepared(bench.folder / "hooks" / str(hooks), hooks - 1) for hooks in sizes}
    with ExitStack() as running:
        at_work = {
            hooks: running.enter_context(driven(bench, system)) for hooks, system in systems.items()
        }
        loads = drained(bench, at_work)
    return Section("Growth of hooks", figures(systems, loads), TEXT)


def drained(bench: Bench, at_work: dict[int, Driven]) -> dict[int, list[Load]]:
    """Each drains as many events as the first is warmed up to deliver in some seconds."""
    seconds = QUICK_S if bench.quick else SECONDS
    events = round(min(one.warm_up(WARM_UP) for one in at_work.values()) * seconds)
    loads: dict[int, list[Load]] = {hooks: [] for hooks in at_work}
    for turn in range(bench.runs):
        for hooks in sorted(at_work, reverse=turn % 2 == 1):
            loads[hooks].append(at_work[hooks].drain(max(WARM_UP, events)))
    return loads


def figures(systems: dict[int, Prepared], loads: dict[int, list[Load]]) -> Sequence[Figure]:
    few, many = SIZES[1], max(systems)
    ratios = [b.per_s / a.per_s for a, b in zip(loads[few], loads[many], strict=True)]
    costs = [b.cpu_us / a.cpu_us for a, b in zip(loads[few], loads[many], strict=True)]
    named = {hooks: f"{hooks:,} hook{'s' * (hooks > 1)}" for hooks in systems}
    return (
        *(Figure(named[n], "events/s", [one.per_s for one in loads[n]]) for n in systems),
        Figure(f"{named[many]} : {named[few]}", "times the events/s", ratios, at_least=LEAST),
        *(Figure(named[n], "µs CPU/event", [one.cpu_us for one in loads[n]]) for n in systems),
        Figure(f"{named[many]} : {named[few]}", "times the CPU/event", costs),
        *(Figure(f"{named[n]}: tree", "MB", [systems[n].tree_mb]) for n in systems),
        Figure(f"{named[many]}: hook table", "MB", [systems[many].table_mb]),
        Figure(f"{named[many]}: responder with most", "MB", [systems[many].responder_mb]),
        *(Figure(f"{named[n]}: loaded", "s", [systems[n].loaded_s]) for n in systems),
        Figure("hooks loaded", "hooks/s", [many / systems[many].loaded_s]),
    )
