"""Measures the throughput of healthy endpoints with and without bad endpoints beside them.

    python bench/bad_endpoints.py [--runs 5] [--events 1500] [--healthy 16] [--bad hang,hang,hang]
        [--load 0.75] [--one-host]

All measurements use one system, with embedded broker and store, and three accounts in turn. `alone`
has only hooks at healthy endpoints. `beside` has also a hook at each bad endpoint: one refuses
connections, one hangs until the time-out, one responds with 500 half the time, and one responds
byte by byte. `instead` has further healthy endpoints in place of the bad ones, which are not
counted, because on few processors four more deliveries for each event have a cost even if they
succeed. A measurement lasts from the first publication until the healthy endpoints have received
all deliveries; the deliveries to bad endpoints settle before the next one. The first burst to the
bad endpoints, before any circuit has opened, is reported separately. The endpoints run in their own
process. The ratios are those of the medians. With --one-host, all hooks of an account are at one
host, and the bad ones are paths of it.

The bursts keep the processors busy, so work for the bad endpoints slows the healthy ones. A second
part therefore publishes events to `alone` and `beside` at `load` times the rate reached alone, and
reports the throughput of the healthy endpoints and the latency.
"""

import argparse
import math
import statistics
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from system_under_test import SystemUnderTest, print_setting, print_spread

from callboard.actors.messages import AddHook, HookSaved, Published, PublishEvents
from callboard.actors.system.actor_system import Client
from callboard.supervision import GetTree, TreeNode

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.endpoints import Endpoints
from support.running import call_event, outgoing

BAD = ("refuse", "hang", "flaky", "drip")
ACCOUNTS = {"alone": "a" * 32, "instead": "c" * 32, "beside": "b" * 32}
BATCH, TICK_S = 100, 0.05
WARM_UP = 200
PATIENCE_S = 120.0


class Healthy:
    """The arrivals at the healthy endpoints, by account: (call id, monotonic seconds)."""

    def __init__(self, record: Path) -> None:
        self._file = record.open()
        self._line = ""
        self.arrivals: dict[str, list[tuple[str, float]]] = {a: [] for a in ACCOUNTS.values()}

    def wait_for(self, account: str, count: int) -> None:
        end = time.monotonic() + PATIENCE_S
        while len(self.arrivals[account]) < count:
            # The last line may be incomplete.
            *lines, self._line = (self._line + self._file.read()).split("\n")
            for line in lines:
                path, call_id, _status, at_s = line.split(" ")
                if path.startswith("/ok/"):
                    self.arrivals[path.removeprefix("/ok/")].append((call_id, float(at_s)))
            if time.monotonic() > end:
                got = len(self.arrivals[account])
                raise TimeoutError(f"{got} of {count} within {PATIENCE_S:g} s")
            time.sleep(0.005)


def add_hooks(client: Client, bad: Sequence[str], urls: Mapping[str, Sequence[str]]) -> None:
    """`urls`, by account: of bad endpoints, of those in their place, and of healthy ones."""
    for name, account in ACCOUNTS.items():
        mine = urls[name]
        ends = (mine[: len(bad)], mine[len(bad) : 2 * len(bad)], mine[2 * len(bad) :])
        wanted = [("ok", url) for url in ends[2]]
        if name == "beside":
            wanted += zip(bad, ends[0], strict=True)
        if name == "instead":
            wanted += [("more", url) for url in ends[1]]
        for kind, url in wanted:
            document = {
                "pvt_account_id": account,
                "name": kind,
                "uri": f"{url}/{kind}/{account}",
                "hook": "channel_create",
                "format": "json",
            }
            client.ask_actor("hook_listener", AddHook(document), HookSaved)


def publish(client: Client, account: str, first: int, count: int) -> None:
    for start in range(first, first + count, BATCH):
        events = tuple(
            outgoing(call_event(n, account=account))
            for n in range(start, min(start + BATCH, first + count))
        )
        client.ask_actor("event_bridge", PublishEvents(events), Published, 60)


def settle(client: Client) -> None:
    """Wait until all events are settled; deferred deliveries may remain."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        top: TreeNode = client.ask(client.top, GetTree(), TreeNode)
        workers = [n for n in top.below() if n.path.startswith("deliveries/deliverer-")]
        busy = sum(n.stats.get("in_flight", 0) for n in workers)
        if not busy and not top.at("event_bridge").stats.get("in_hand"):
            return
        time.sleep(0.1)


class Measured:
    """The accounts of a system, and the number of events published for each."""

    def __init__(self, client: Client, healthy: Healthy, endpoints: int) -> None:
        self._client, self._healthy, self._endpoints = client, healthy, endpoints
        self._sent: Counter[str] = Counter()

    def burst(self, name: str, events: int) -> float:
        """Publish all events at once; returns deliveries per second to the healthy endpoints."""
        began = time.monotonic()
        self._publish(name, events)
        return self._arrived(name, events, began)

    def paced(self, name: str, events: int, events_per_s: float) -> tuple[float, list[float]]:
        """Publish a batch every TICK_S; returns deliveries per second, and latencies in seconds."""
        account, began = ACCOUNTS[name], time.monotonic()
        due: dict[str, float] = {}
        for tick in range(math.ceil(events / (events_per_s * TICK_S))):
            at = began + tick * TICK_S
            time.sleep(max(0.0, at - time.monotonic()))
            batch = min(round(events_per_s * TICK_S * (tick + 1)), events) - len(due)
            numbers = range(self._sent[name], self._sent[name] + batch)
            due |= {call_event(number, account=account)["Call-ID"]: at for number in numbers}
            self._publish(name, batch)
        rate = self._arrived(name, events, began)
        arrivals = self._healthy.arrivals[account][-events * self._endpoints :]
        return rate, [at_s - due[call_id] for call_id, at_s in arrivals]

    def _publish(self, name: str, events: int) -> None:
        publish(self._client, ACCOUNTS[name], self._sent[name], events)
        self._sent[name] += events

    def _arrived(self, name: str, events: int, began: float) -> float:
        self._healthy.wait_for(ACCOUNTS[name], self._sent[name] * self._endpoints)
        took_s = time.monotonic() - began
        settle(self._client)
        return events * self._endpoints / took_s


def measure(measured: Measured, options: argparse.Namespace) -> None:
    """Measure, and print the results."""
    for name in ACCOUNTS:
        rate = measured.burst(name, WARM_UP)
        if name == "beside":
            print(f"beside, at first sight of the bad ones   {rate:.0f} /s")
    rates: dict[str, list[float]] = {name: [] for name in ACCOUNTS}
    for run in range(options.runs):
        turns = deque(ACCOUNTS)
        turns.rotate(run)
        for name in turns:
            rates[name].append(measured.burst(name, options.events))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    for name, values in rates.items():
        print_spread(f"{name}, /s", values)
    for name in ("alone", "instead"):
        print(f"beside : {name}   {medians['beside'] / medians[name]:.1%}")

    events_per_s = medians["alone"] / options.healthy * options.load
    print(f"\nat {options.load:.0%} of that: {events_per_s:.0f} events/s")
    paced: dict[str, list[float]] = {"alone": [], "beside": []}
    late: dict[str, list[float]] = {"alone": [], "beside": []}
    for run in range(options.runs):
        for name in ("alone", "beside") if run % 2 else ("beside", "alone"):
            rate, latencies = measured.paced(name, options.events, events_per_s)
            paced[name].append(rate)
            late[name] += latencies
    for name, values in paced.items():
        p50, p99 = (statistics.quantiles(late[name], n=100)[n - 1] * 1000 for n in (50, 99))
        print_spread(f"{name}, /s", values)
        print(f"{name}, late by   p50 {p50:.0f} ms   p99 {p99:.0f} ms")
    medians = {name: statistics.median(values) for name, values in paced.items()}
    print(f"beside : alone   {medians['beside'] / medians['alone']:.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--events", type=int, default=1500)
    parser.add_argument("--healthy", type=int, default=16)
    parser.add_argument("--bad", type=lambda text: tuple(text.split(",")), default=BAD)
    parser.add_argument("--load", type=float, default=0.75)
    parser.add_argument("--one-host", action="store_true")
    options = parser.parse_args()
    bad = options.bad
    print_setting()
    print(f"{options.healthy} healthy endpoints, bad ones {bad}, {options.events} events a run")
    manners = (*bad, *["ok"] * len(bad), *["ok"] * options.healthy)
    hooks = len(manners)
    if options.one_host:
        manners = ("any",) * len(ACCOUNTS)
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "arrivals"
        with (
            Endpoints(record, manners) as endpoints,
            SystemUnderTest(
                delivery__allow_networks="127.0.0.0/8",
                disabler__enabled="false",
                actors__heartbeat_ms="300",
            ) as system,
        ):
            client = system.client()
            urls = dict.fromkeys(ACCOUNTS, endpoints.urls)
            if options.one_host:
                urls = {n: [u] * hooks for n, u in zip(ACCOUNTS, endpoints.urls, strict=True)}
            add_hooks(client, bad, urls)
            record.touch()
            measure(Measured(client, Healthy(record), options.healthy), options)


if __name__ == "__main__":
    main()
