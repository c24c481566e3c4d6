"""More deliverers, and more nodes, on one broker."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
from contenders.running import Callboard, Contender, Running
from driving import driven
from report import Figure, Section
from surroundings import Bench

DELIVERERS = (1, 2, 3, 4)
NODES = (1, 2, 3)
SECONDS, QUICK_S = 5.0, 2.0
WARM_UP = 1000

TEXT = """\
One hook, 2 kB, a full queue is drained, and all takes part on this one machine: broker, receiver
and every node. Where its processors are busy already, more deliverers and nodes cannot add to the
rate; what shows is whether they lose any of it, and what CPU an event costs. Nodes share one queue
of one RabbitMQ, and have two deliverers each."""


class Nodes(Contender):
    """So many nodes of one cluster, each with a store of its own."""

    queue = Callboard.queue

    def __init__(self, count: int) -> None:
        self.name = _many(count, "node")
        self._nodes = [
            Callboard(self.name, node__name=f"bench{n}@localhost", delivery__workers="2")
            for n in range(count)
        ]

    @contextmanager
    def running(self, amqp_url: str, url: str, folder: Path) -> Iterator[Running]:
        with ExitStack() as started:
            nodes = []
            for number, node in enumerate(self._nodes):
                own = folder / str(number)
                own.mkdir()
                nodes.append(started.enter_context(node.running(amqp_url, url, own)))
            yield Together(nodes)


class Together(Running):
    """The processes of several."""

    def __init__(self, running: Sequence[Running]) -> None:
        self._running = running

    def processes(self) -> list[psutil.Process]:
        return [process for one in self._running for process in one.processes()]


def run(bench: Bench) -> Section:
    seconds = QUICK_S if bench.quick else SECONDS
    taking_part: list[Contender] = [
        Callboard(_many(count, "deliverer"), delivery__workers=str(count)) for count in DELIVERERS
    ]
    taking_part += map(Nodes, NODES)
    rates: dict[str, list[float]] = {contender.name: [] for contender in taking_part}
    costs: dict[str, list[float]] = {contender.name: [] for contender in taking_part}
    for turn in range(bench.runs):
        for contender in taking_part if turn % 2 == 0 else reversed(taking_part):
            with driven(bench, contender) as at_work:
                load = at_work.drain(max(WARM_UP, round(at_work.warm_up(WARM_UP) * seconds)))
            rates[contender.name].append(load.per_s)
            costs[contender.name].append(load.cpu_us)
    figures = [
        *(Figure(name, "events/s", values) for name, values in rates.items()),
        *(Figure(name, "µs CPU/event", values) for name, values in costs.items()),
    ]
    return Section("Deliverers and nodes", figures, TEXT)


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count > 1)}"
