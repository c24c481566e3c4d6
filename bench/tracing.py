"""What tracing costs each event: where it is off, and where it is on.

    python bench/tracing.py [--runs 5] [--events 2000] [--before FOLDER]

The same events through systems that take turns: without tracing; with a collector that takes all
spans (of each event three); with one that is down; and with --before of another
revision of Callboard, checked out into FOLDER, to see what being off costs. The CPU time of all
processes of the system for an event, which other work on the machine blurs less than events per
second. One hook, so one delivery an event; the collector and the endpoint run in processes of their
own.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from system_under_test import SystemUnderTest, print_setting, print_spread

from callboard.actors.messages import AddHook, HookSaved, Published, PublishEvents
from callboard.actors.system.actor_system import Client

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from services import free_port
from support.endpoints import Endpoints
from support.running import ACCOUNT, call_event, outgoing

TESTS = Path(__file__).parents[1] / "tests"
BATCH = 100
PATIENCE_S = 120.0
COLLECTOR = """
import sys
from support.collector import Collector
with Collector() as collector:
    print(collector.url, flush=True)
    sys.stdin.read()
print(len(collector.spans))
"""


@contextmanager
def collector() -> Iterator[str]:
    """The url of a collector in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", COLLECTOR],
        env=os.environ | {"PYTHONPATH": str(TESTS)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        spans, _ = process.communicate("", timeout=20)
        print(f"spans collected: {spans.strip()}")


@contextmanager
def revision(folder: Path | None) -> Iterator[None]:
    """What is started meanwhile runs that revision of Callboard."""
    if folder is None:
        yield
        return
    with tempfile.TemporaryDirectory() as path:
        (Path(path) / "callboard").symlink_to(folder.resolve())
        os.environ["PYTHONPATH"] = path
        try:
            yield
        finally:
            del os.environ["PYTHONPATH"]


class Driven:
    """A running system with one hook, and how much of its endpoint's record is read."""

    def __init__(self, system: SystemUnderTest, url: str, record: Path) -> None:
        self.client: Client = system.client()
        self._system, self._file, self._seen = system, record.open(), 0
        document = {
            "pvt_account_id": ACCOUNT,
            "name": "n",
            "uri": url,
            "hook": "channel_create",
            "format": "json",
        }
        self.client.ask_actor("hook_listener", AddHook(document), HookSaved)

    def cpu_s(self) -> float:
        return sum(sum(process.cpu_times()[:2]) for process in self._system.processes())

    def play(self, events: list[tuple[str, str, bytes, str]]) -> tuple[float, float]:
        """CPU and wall-clock seconds until all have arrived."""
        cpu, began, wanted = self.cpu_s(), time.monotonic(), self._seen + len(events)
        for first in range(0, len(events), BATCH):
            batch = tuple(events[first : first + BATCH])
            self.client.ask_actor("event_bridge", PublishEvents(batch), Published, 60)
        while self._seen < wanted:
            self._seen += len(self._file.readlines())
            if time.monotonic() > began + PATIENCE_S:
                raise TimeoutError(f"{wanted - self._seen} events are missing")
            time.sleep(0.01)
        return self.cpu_s() - cpu, time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--events", type=int, default=2000)
    parser.add_argument("--before", type=Path)
    options = parser.parse_args()
    print_setting()
    numbers = count()
    with collector() as url:
        modes: dict[str, tuple[Path | None, dict[str, str]]] = {
            "off": (None, {}),
            "on": (None, {"tracing__endpoint": url}),
            "down": (None, {"tracing__endpoint": f"http://127.0.0.1:{free_port()}"}),
        }
        if options.before is not None:
            modes = {"before": (options.before, {})} | modes
        cpu_us: dict[str, list[float]] = {mode: [] for mode in modes}
        rates: dict[str, list[float]] = {mode: [] for mode in modes}
        for run in range(options.runs):
            turns = list(modes)
            for mode in turns[run % len(turns) :] + turns[: run % len(turns)]:
                folder, settings = modes[mode]
                with tempfile.TemporaryDirectory() as place, revision(folder):
                    record = Path(place) / "arrivals"
                    record.touch()
                    with (
                        Endpoints(record, ["ok"]) as endpoints,
                        SystemUnderTest(
                            delivery__allow_networks="127.0.0.0/8",
                            amqp__prefetch="5000",
                            **settings,
                        ) as system,
                    ):
                        driven = Driven(system, f"{endpoints.urls[0]}/ok", record)
                        wanted = [outgoing(call_event(next(numbers))) for _ in range(400)]
                        driven.play(wanted)  # warm
                        played = [
                            outgoing(call_event(next(numbers))) for _ in range(options.events)
                        ]
                        cpu, took = driven.play(played)
                cpu_us[mode].append(cpu / options.events * 1e6)
                rates[mode].append(options.events / took)
    for mode in modes:
        print_spread(f"{mode}, CPU us/event", cpu_us[mode])
        print_spread(f"{mode}, events/s", rates[mode])
    base = next(iter(modes))
    for mode in list(modes)[1:]:
        ratio = statistics.median(cpu_us[mode]) / statistics.median(cpu_us[base])
        print(f"{mode} : {base}   {ratio:.3f}")


if __name__ == "__main__":
    main()
