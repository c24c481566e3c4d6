"""What bad endpoints cost the healthy ones: their throughput beside bad ones and without them.

    python bench/bulkheads.py [--runs 5] [--events 1500] [--healthy 16] [--bad hang,hang,hang]

One system throughout, embedded broker and store. Three accounts take turns: `alone` has healthy
hooks only; `beside` has a hook more at each of the bad endpoints: one refuses connections, one
hangs until the time-out, one answers 500 half the time, one drips; `instead` has healthy ones
in their place, which are not counted: on a machine with few processors four more deliveries an
event cost something, however well they go. Measured from the first publication until the healthy
endpoints have everything; what the bad ones still owe then settles before the next turn. At first
sight of the bad ones, before any circuit has opened, it is measured apart. The endpoints are in a
process of their own. The ratios are those of the medians.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path

from system_under_test import SystemUnderTest, print_setting, print_spread

from callboard.actors.messages import AddHook, HookSaved, Published, PublishEvents
from callboard.actors.running.system import Client
from callboard.supervision import GetTree, TreeNode

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.endpoints import Endpoints
from support.running import call_event, outgoing

BAD = ("refuse", "hang", "flaky", "drip")
ACCOUNTS = {"alone": "a" * 32, "instead": "c" * 32, "beside": "b" * 32}
BATCH = 100
PATIENCE_S = 120.0


class Healthy:
    """Counts what has arrived at the healthy endpoints."""

    def __init__(self, record: Path) -> None:
        self._file = record.open()
        self._line = ""
        self._counts: Counter[str] = Counter()

    def wait_for(self, account: str, count: int) -> None:
        end = time.monotonic() + PATIENCE_S
        while self._counts[account] < count:
            # What is being written may end within a line.
            *lines, self._line = (self._line + self._file.read()).split("\n")
            for line in lines:
                path = line.split(" ")[0]
                if path.startswith("/ok/"):
                    self._counts[path.removeprefix("/ok/")] += 1
            if time.monotonic() > end:
                raise TimeoutError(f"{self._counts[account]} of {count} within {PATIENCE_S:g} s")
            time.sleep(0.005)


def add_hooks(client: Client, bad: Sequence[str], urls: Sequence[str]) -> None:
    """`urls`: of the bad ones, of those in their place, of the healthy ones."""
    ends = (urls[: len(bad)], urls[len(bad) : 2 * len(bad)], urls[2 * len(bad) :])
    for name, account in ACCOUNTS.items():
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
    """Wait until nothing is in hand; deliveries that are put off need not be done."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        top: TreeNode = client.ask(client.top, GetTree(), TreeNode)
        workers = [n for n in top.below() if n.path.startswith("deliveries/deliverer-")]
        busy = sum(n.stats.get("in_flight", 0) for n in workers)
        if not busy and not top.at("event_bridge").stats.get("in_hand"):
            return
        time.sleep(0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--events", type=int, default=1500)
    parser.add_argument("--healthy", type=int, default=16)
    parser.add_argument("--bad", type=lambda text: tuple(text.split(",")), default=BAD)
    options = parser.parse_args()
    bad = options.bad
    print_setting()
    print(f"{options.healthy} healthy endpoints, bad ones {bad}, {options.events} events a run")
    manners = (*bad, *["ok"] * len(bad), *["ok"] * options.healthy)
    rates: dict[str, list[float]] = {name: [] for name in ACCOUNTS}
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
            add_hooks(client, bad, endpoints.urls)
            record.touch()
            healthy = Healthy(record)
            warm_up = 200
            sent = Counter(dict.fromkeys(ACCOUNTS, warm_up))
            for name, account in ACCOUNTS.items():
                began = time.monotonic()
                publish(client, account, 0, warm_up)
                healthy.wait_for(account, warm_up * options.healthy)
                if name == "beside":
                    rate = warm_up * options.healthy / (time.monotonic() - began)
                    print(f"beside, at first sight of the bad ones   {rate:.0f} /s")
            settle(client)
            for run in range(options.runs):
                turns = deque(ACCOUNTS)
                turns.rotate(run)
                for name in turns:
                    began = time.monotonic()
                    publish(client, ACCOUNTS[name], sent[name], options.events)
                    sent[name] += options.events
                    healthy.wait_for(ACCOUNTS[name], sent[name] * options.healthy)
                    took_s = time.monotonic() - began
                    rates[name].append(options.events * options.healthy / took_s)
                    settle(client)
    for name, values in rates.items():
        print_spread(f"{name}, /s", values)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    for name in ("alone", "instead"):
        print(f"beside : {name}   {medians['beside'] / medians[name]:.1%}")


if __name__ == "__main__":
    main()
