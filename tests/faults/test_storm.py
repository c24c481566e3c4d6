"""Several nodes in a storm of cut cables, frozen machines, alarms, kills and rolling changes.

`make storm` runs ten minutes of it, and `CALLBOARD_STORM=modest` a short one. Each node is on a
machine of its own (support/networks.py), with a cable to the broker, one to the store, and one to
everything else.
"""

import json
import math
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from contextlib import ExitStack, suppress
from itertools import pairwise

import psutil
import pytest
import requests
from attrs import Factory, define, frozen

from callboard.adapters.receiver.server import Answer
from support.chaos import Publisher
from support.cluster import prepared
from support.networks import BOTH, FROM, TO, Machine
from support.patience import patient
from support.receiver import Receiver
from support.running import ACCOUNT, RunningSystem, call_event
from support.slow_proxy import SlowProxy

pytestmark = [
    pytest.mark.multiprocess,
    pytest.mark.faults,
    pytest.mark.rabbitmq,
    pytest.mark.couchdb,
    pytest.mark.alone,
    pytest.mark.skipif(
        "CALLBOARD_STORM" not in os.environ, reason="takes minutes: `make storm` runs it"
    ),
]


@frozen
class Size:
    """`lasts_s`: the shortest and longest time of a trouble; one request in `fails` is to fail."""

    nodes: int
    per_s: int
    seconds: float
    lasts_s: tuple[float, float]
    fails: int


SIZES = {
    "modest": Size(2, 25, 30, (2, 3), 5),
    "full": Size(3, 100, 600, (5, 45), 500),
}
SIZE = SIZES[os.environ.get("CALLBOARD_STORM", "modest")]
SEED = int(os.environ.get("CALLBOARD_STORM_SEED", "1"))
STALE_S = 10.0
"""A node that was not cut off sends nothing to a hook that was deleted longer ago."""
TOLD_S = 30.0
"""A trouble that lasts so long is in the node's readiness."""
SLACK_S = 5.0
"""For the questions, which a node may answer late."""

MODULE = f"""
[[modules]]
id = "module_{{number}}"
exchange = "shop"
bindings = ["order.#"]
account_id = "{ACCOUNT}"
"""


class Node(RunningSystem):
    """A node on a machine of its own."""

    def __init__(self, machine, data, config, **settings):
        self.machine = machine
        super().__init__(
            data,
            config,
            delivery__allow_networks="198.18.0.0/15",
            actors__hang_timeout_ms=int(patient(10_000)),
            api__enabled="true",
            api__bind=machine.there["world"],
            api__port=8000,
            delivery__retry_policy="standard",
            delivery__retry_steps_s=",".join(["1"] * 100),
            disabler__enabled="false",
            amqp__single_active_consumer="true",
            node__name=f"callboard{machine.number}@storm",
            **settings,
        )

    def start(self):
        self.detach()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.machine.command(sys.executable, "-m", "callboard.run_system", "start"),
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert "ready" in self.process.stdout.readline(), self.tail()

    def run(self, *arguments):
        """Run a command on its machine; what it printed."""
        command = self.machine.command(sys.executable, "-m", "callboard.run_system", *arguments)
        ended = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=patient(60)
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def problems(self):
        """The kinds of its problems; `no answer` if it does not say."""
        url = f"http://{self.machine.there['world']}:8000/readyz"
        try:
            details = requests.get(url, timeout=2).json()["details"]
        except (requests.RequestException, ValueError, KeyError):
            return ("no answer",)
        return tuple(sorted({detail["kind"] for detail in details}))

    def signal_all(self, number):
        for process in self.family():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)


@frozen
class Trouble:
    """What was done to which node (None: to all), from when to when (`time.time`)."""

    what: str
    node: int | None
    began: float
    ended: float


@define
class Timeline:
    """What was done, and what the nodes said about it."""

    began: float = Factory(time.time)
    entries: list[tuple[float, str]] = Factory(list)
    troubles: list[Trouble] = Factory(list)
    said: dict[int, list[tuple[float, tuple[str, ...]]]] = Factory(lambda: defaultdict(list))

    def note(self, text):
        self.entries.append((time.time(), text))

    def trouble(self, what, node, began):
        self.troubles.append(Trouble(what, node, began, time.time()))

    def heard(self, node, problems):
        said = self.said[node]
        if not said or said[-1][1] != problems:
            said.append((time.time(), problems))
            told = f"not ready: {', '.join(problems)}" if problems else "ready"
            self.note(f"    node {node} is {told}")

    def excused(self, at):
        """Whether some node could not know at this time what had changed just before."""
        return any(
            trouble.began <= at <= trouble.ended + STALE_S
            for trouble in self.troubles
            if trouble.what.startswith(("cut", "freeze"))
        )

    def not_told(self):
        """The cuts that the node's readiness did not tell in time."""
        return [
            cut
            for cut in self.troubles
            if cut.what.startswith("cut")
            and cut.ended - cut.began >= TOLD_S
            and not self._was_told(cut)
        ]

    def _was_told(self, cut):
        return any(
            cut.began <= at <= cut.began + TOLD_S + SLACK_S and problems
            for at, problems in self.said[cut.node]
        )

    def __str__(self):
        return "\n".join(f"{at - self.began:6.1f} s {text}" for at, text in sorted(self.entries))


class Watch(threading.Thread):
    """Asks the nodes all the time whether they are ready."""

    def __init__(self, nodes, timeline):
        super().__init__(daemon=True)
        self._nodes, self._timeline = nodes, timeline
        self._over = threading.Event()

    def run(self):
        while not self._over.wait(0.5):
            for number, node in enumerate(self._nodes):
                self._timeline.heard(number, node.problems())

    def end(self):
        self._over.set()
        self.join()


class Storm:
    """One trouble after another, until the time is over."""

    def __init__(self, nodes, rabbitmq, hooks, timeline):
        self.nodes, self.rabbitmq, self.hooks, self.timeline = nodes, rabbitmq, hooks, timeline
        self.random = random.Random(SEED)
        self.counts = Counter()
        self.changes = 0
        kinds = ("cut_broker", "cut_store", "freeze", "alarm", "kill", "kill_node", "roll_module")
        self._kinds = [getattr(self, kind) for kind in kinds]

    def rage(self, until):
        """Each kind in turn, in a new order each time; hooks change meanwhile."""
        while time.time() < until:
            for kind in self.random.sample(self._kinds, len(self._kinds)):
                if time.time() < until:
                    number = self.random.randrange(len(self.nodes))
                    began = time.time()
                    what = kind(number)
                    self.timeline.trouble(what, None if what == "alarm" else number, began)
                    self.counts[kind.__name__] += 1
                    self._change(number)

    def _change(self, number):
        """Edit a hook, or delete one, at another node than the one that was in trouble."""
        node = self.nodes[(number + 1) % len(self.nodes)]
        self.changes += 1
        self.hooks.change(node, delete=self.changes % 2 == 0, timeline=self.timeline)

    def _last(self, what, number):
        self.timeline.note(f"{what} of node {number}")
        time.sleep(self.random.uniform(*SIZE.lasts_s))

    def cut_broker(self, number):
        return self._cut("broker", number)

    def cut_store(self, number):
        return self._cut("store", number)

    def _cut(self, cable, number):
        direction = self.random.choice((BOTH, TO, FROM))
        machine = self.nodes[number].machine
        machine.cut(cable, direction)
        self._last(f"cut {cable}, {direction},", number)
        machine.mend(cable)
        self.timeline.note("mended")
        return f"cut {cable}"

    def freeze(self, number):
        node = self.nodes[number]
        node.signal_all(signal.SIGSTOP)
        self._last("freeze", number)
        node.signal_all(signal.SIGCONT)
        self.timeline.note("woken")
        return "freeze"

    def alarm(self, number):
        self.rabbitmq.block_publishers()
        self._last("alarm; not", number)
        self.rabbitmq.unblock_publishers()
        self.timeline.note("alarm over")
        return "alarm"

    def kill(self, number):
        victims = self.nodes[number].family()[1:]
        if victims:
            with suppress(psutil.NoSuchProcess):
                self.random.choice(victims).kill()
        self._last("kill of a process", number)
        self._start(number)
        return "kill"

    def kill_node(self, number):
        node = self.nodes[number]
        node.signal_all(signal.SIGKILL)
        psutil.wait_procs(node.family(), timeout=patient(10))
        self._last("kill", number)
        self._start(number)
        return "kill node"

    def roll_module(self, _number):
        """Each node gets a new module, one after the other."""
        for number, node in enumerate(self.nodes):
            self.timeline.note(f"new module on node {number}")
            node.close()
            node.config_file.write_text(MODULE.format(number=self.counts["roll_module"]))
            node.start()
        return "roll module"

    def _start(self, number):
        """As systemd would, if it has ended."""
        node = self.nodes[number]
        if node.process.poll() is not None:
            node.process.stdout.close()
            self.timeline.note(f"start of node {number}")
            node.start()


class Hooks:
    """A plain hook, an ordered one, one that moves, and one that is replaced."""

    def __init__(self, node, url):
        self._url = url
        self._number = 0
        self.plain = self._add(node, "/plain")
        self.ordered = self._add(node, "/ordered", "--ordered")
        self.moving = self._add(node, "/moving/0")
        self.doomed = self._add(node, "/doomed/0")
        self.past = {}
        """When a path was told to be no hook's any more (`time.time`)."""

    def _add(self, node, path, *options):
        added = node.run(
            "hooks", "add", "--json", "--account", ACCOUNT, "--event", "channel_create",
            "--format", "json", *options, self._url + path,
        )  # fmt: skip
        return json.loads(added)["_id"]

    def change(self, node, delete, timeline):
        before = self._number
        self._number += 1
        if delete:
            node.run("hooks", "rm", self.doomed)
            self.past[f"/doomed/{before}"] = time.time()
            self.doomed = self._add(node, f"/doomed/{self._number}")
        else:
            node.run("hooks", "edit", self.moving, "--uri", f"{self._url}/moving/{self._number}")
            self.past[f"/moving/{before}"] = time.time()
        timeline.note(f"    hook {'replaced' if delete else 'moved'} by {node.settings.node.name}")


def number_of(request):
    return int(json.loads(request.body)["call_id"].split("@")[0][5:])


def test_nothing_is_lost_or_out_of_order_in_a_storm(rabbitmq, amqp_url, couchdb_url, tmp_path):
    prepared(couchdb_url, tmp_path).close()
    with ExitStack() as stack:
        receiver = stack.enter_context(Receiver("0.0.0.0"))
        machines = [
            stack.enter_context(Machine("broker", "store", "world")) for _ in range(SIZE.nodes)
        ]
        ports = {"broker": rabbitmq.port, "store": int(couchdb_url.rsplit(":", 1)[1].strip("/"))}
        nodes = []
        for machine in machines:
            to = {
                name: stack.enter_context(SlowProxy(port, machine.here[name]))
                for name, port in ports.items()
            }
            nodes.append(make_node(tmp_path / f"data{machine.number}", machine, to, amqp_url))
            stack.callback(nodes[-1].close)
        accepted = some_fail(receiver)
        timeline = Timeline()
        hooks = Hooks(nodes[0], f"http://{machines[0].here['world']}:{receiver.port}")
        for node in nodes:
            node_knows(node, 4)
        watch = Watch(nodes, timeline)
        watch.start()
        count = int(SIZE.per_s * SIZE.seconds)
        publisher = Publisher(amqp_url, map(call_event, range(count)), SIZE.per_s)
        publisher.start()
        storm = Storm(nodes, rabbitmq, hooks, timeline)
        try:
            storm.rage(time.time() + SIZE.seconds)
            timeline.note("the storm is over")
            publisher.end(patient(SIZE.seconds))
            arrived = receiver.wait_for(lambda got: is_complete(got, accepted, count), 240)
            end = time.monotonic() + patient(60)
            while any(node.problems() for node in nodes):
                assert time.monotonic() < end, f"not ready again\n{timeline}"
                time.sleep(0.5)
        finally:
            watch.end()
            print(f"\nseed {SEED}, {SIZE}\n{timeline}")
            print(f"troubles: {dict(storm.counts)}, changes of hooks: {storm.changes}")
        judge(arrived, accepted, hooks, timeline, count)


def is_complete(arrived, accepted, count):
    """Whether the hooks that stay have all events."""
    if len(set(accepted)) < count:
        return False
    got = {(r.path.split("/")[1], number_of(r)) for r in arrived}
    return all((path, number) in got for path in ("plain", "moving") for number in range(count))


def make_node(data, machine, to, amqp_url):
    config = data.with_suffix(".toml")
    config.write_text("")
    vhost = amqp_url.rsplit("/", 1)[1]
    node = Node(
        machine,
        data,
        config,
        amqp__url=f"amqp://guest:guest@{machine.here['broker']}:{to['broker'].port}/{vhost}",
        couchdb__url=f"http://{machine.here['store']}:{to['store'].port}",
        actors__key="the same key of all nodes, long enough",
    )
    node.config_file = config
    return node


def node_knows(node, hooks):
    end = time.monotonic() + patient(30)
    while f'"hooks": {hooks}' not in node.run("tree", "--json"):
        assert time.monotonic() < end, node.run("tree")


def some_fail(receiver):
    """The first request of one event in `fails` is answered with 500; returns the numbers taken.

    Those behind it in the ordered hook's queue wait for a second.
    """
    tried, accepted = Counter(), []

    def answer(request):
        number = number_of(request)
        tried[number] += 1
        if number % SIZE.fails == SIZE.fails - 1 and tried[number] == 1:
            return Answer(500)
        accepted.append(number)
        return Answer(200)

    receiver.answer("/ordered", answer)
    return accepted


def judge(arrived, accepted, hooks, timeline, count):
    lost = {
        path: count - len({number_of(r) for r in arrived if r.path.startswith(f"/{path}")})
        for path in ("plain", "moving")
    } | {"ordered": count - len(set(accepted))}
    firsts = list(dict.fromkeys(accepted))
    inversions = sum(later < earlier for earlier, later in pairwise(firsts))
    failed = sum(r.path == "/ordered" for r in arrived) - len(accepted)
    repeats = len(arrived) - failed - len({(r.path, number_of(r)) for r in arrived})
    late = [r for r in arrived if r.time > hooks.past.get(r.path, math.inf) + STALE_S]
    unexcused = [f"{r.path} at {r.time:.1f}" for r in late if not timeline.excused(r.time)]
    silent = timeline.not_told()
    print(f"{count} events; lost {lost}; inversions {inversions}")
    print(f"{repeats} of {len(arrived)} requests repeated")
    print(f"{len(late)} more than {STALE_S:g} s after a change of their hook,", end=" ")
    print(f"of these by nodes without trouble {len(unexcused)}")
    print(f"troubles that readiness did not tell: {silent or 'none'}")
    assert not any(lost.values())
    assert not inversions
    assert not unexcused
    assert not silent
