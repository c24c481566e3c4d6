"""How long the hooks take to load, what memory they take meanwhile, and what a reload holds up.

    python bench/loading.py [--hooks 100000] [--runs 3] [--events all,channel_create,…] [--couchdb]

The store is filled first: that, and with --couchdb the building of the views by a pouchdb-server
in memory (`make services`), is no part of the figures. Each run then starts a system on it.

loaded    from the command until every responder has all its hooks; and the CPU time of all
          processes until then, which other work on the machine blurs less
memory    proportional set size (PSS) of the hook listener, the hook table, the responder with the
          most hooks, and all processes, from the birth of the hook table until all is loaded
reload    kill -9 of the hook listener: its successor loads every hook again, while events are
          published one by one. From publishing each until it is received, then and at rest.
"""

import argparse
import contextlib
import itertools
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import requests
from attrs import frozen
from memory import Memory
from system_under_test import SystemUnderTest, print_setting, print_spread

from callboard.actors.messages import AddHook, HookSaved, Published, PublishEvents, RemoveHook
from callboard.actors.system.actor_system import Client, SystemUnreachable
from callboard.adapters.receiver import Receiver
from callboard.adapters.store import stores
from callboard.adapters.store.views import ACCOUNTS, WEBHOOKS
from callboard.cli.terminal.output import print_table
from callboard.cli.tryout.samples import ACCOUNT, call_events
from callboard.supervision import GetTree, TreeNode
from callboard.webhooks.hooks.hook import new_hook

EVENTS = "all,channel_create,channel_answer,channel_destroy"
SAVED_AT_ONCE = 1000
HOOKS_AN_ACCOUNT = 10
VIEW_S = 3600.0
TICK_S = 0.2
GIVE_UP_S = 900.0
MOMENTS = 5
CALLS_AT_REST = 40


@contextlib.contextmanager
def couchdb_server(folder: Path) -> Iterator[str]:
    """The URL of a pouchdb-server of our own, the one that the tests use."""
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    from services.couchdb import PouchServer, program

    found = program()
    if found is None:
        raise SystemExit("pouchdb-server is not installed: `make services`")
    server = PouchServer(found, folder)
    try:
        server.start()
        yield server.url
    finally:
        server.stop()


def fill(url: str, folder: Path, hooks: int, events: list[str]) -> None:
    """Make the databases, the views, the account that is called and the hooks of others."""
    store = stores.connect(url, folder, VIEW_S)
    for database in ("webhooks", "accounts"):
        store.ensure_database(database)
    store.ensure_views("webhooks", WEBHOOKS)
    store.ensure_views("accounts", ACCOUNTS)
    store.save("accounts", {"_id": ACCOUNT, "pvt_type": "account", "pvt_tree": []})
    for first in range(0, hooks, SAVED_AT_ONCE):
        numbers = range(first, min(first + SAVED_AT_ONCE, hooks))
        store.save_many("webhooks", [document(n, events[n % len(events)]) for n in numbers])
    store.close()


def document(number: int, event: str) -> dict[str, object]:
    public = {
        "name": f"hook {number}",
        "uri": f"https://receiver-{number % 997}.example.com/hooks/{number}",
        "hook": event,
        "format": "json",
        "pvt_account_id": f"{number // HOOKS_AN_ACCOUNT:032x}",
    }
    return new_hook(public, 63_839_500_000, f"{number:032x}", "bench@host.example")


def build_views(url: str) -> None:
    """All that a start reads; CouchDB builds them together, pouchdb-server when each is read."""
    design = f"{url}/webhooks/_design/webhooks/_view"
    for view, parameters in (("webhooks_listing", {}), ("accounts_listing", {"reduce": "false"})):
        query = {"limit": "1", **parameters}
        requests.get(f"{design}/{view}", params=query, timeout=VIEW_S).raise_for_status()


def print_memory(memory: Memory, top: TreeNode) -> None:
    table = top.at("hook_table").pid
    samples = [sizes for sizes in memory.samples if table in sizes]
    busiest = max(responders(top).values(), key=lambda node: node.stats["hooks"])
    rows = []
    for path in ("hook_listener", "hook_table", busiest.path, "all processes"):
        pid = top.at(path).pid if path != "all processes" else None
        sizes = [sum(one.values()) if pid is None else one.get(pid, 0.0) for one in samples]
        moments = [sizes[n * (len(sizes) - 1) // (MOMENTS - 1)] for n in range(MOMENTS)]
        rows.append((path, *(f"{size:.0f}" for size in (*moments, max(sizes)))))
    parts = (f"{n * 100 // (MOMENTS - 1)} %" for n in range(MOMENTS))
    print_table(("PSS, MB, while loading", *parts, "peak"), rows)


def tree(client: Client) -> TreeNode:
    top: TreeNode = client.ask(client.top, GetTree(), TreeNode, 60)
    return top


def responders(top: TreeNode) -> dict[str, TreeNode]:
    return {node.path: node for node in top.below() if node.path.startswith("responders/")}


def due(hooks: int, events: list[str], responder: str) -> int:
    """How many hooks a responder is to have; each is named after its module, as the events are."""
    mine = {responder.removeprefix("responders/"), "all"}
    return sum(events[number % len(events)] in mine for number in range(hooks))


def wait_until_loaded(client: Client, hooks: int, events: list[str]) -> TreeNode:
    """The tree when every responder has its hooks."""
    end = time.monotonic() + GIVE_UP_S
    wanted: dict[str, int] = {}
    while time.monotonic() < end:
        with contextlib.suppress(SystemUnreachable):
            top = tree(client)
            found = responders(top)
            wanted |= {path: due(hooks, events, path) for path in found.keys() - wanted}
            if found and all(node.stats.get("hooks") == wanted[p] for p, node in found.items()):
                return top
        time.sleep(TICK_S)
    raise RuntimeError(f"not loaded within {GIVE_UP_S:.0f} s")


class Caller:
    """Plays calls, one at a time."""

    def __init__(self, client: Client, receiver: Receiver) -> None:
        self._client = client
        self._receiver = receiver
        self._numbers = itertools.count(1)

    def call_ms(self) -> float:
        """Publish an event: how long until it was received."""
        exchange, key, body = next(call_events(next(self._numbers)))
        event = exchange, key, json.dumps(body).encode(), "application/json"
        seen = self._receiver.count
        began = time.time()
        self._client.ask_actor("event_bridge", PublishEvents((event,)), Published, 60)
        return (self._receiver.wait_for(seen + 1, 60)[-1].time - began) * 1000


def reload(client: Client, hooks: int, caller: Caller) -> tuple[list[float], float]:
    """Call while a new listener loads all hooks: the latencies in ms, the seconds it took."""
    old = tree(client).at("hook_listener").pid
    assert old is not None
    began = time.monotonic()
    os.kill(old, signal.SIGKILL)
    latencies = []
    while True:
        latencies.append(caller.call_ms())
        node = tree(client).at("hook_listener")
        loaded = node.stats.get("loading") is False and node.stats.get("loaded", 0) > hooks
        if node.pid != old and node.status == "running" and loaded:
            return latencies, time.monotonic() - began


@frozen
class Run:
    ready_s: float
    loaded_s: float
    loaded_cpu_s: float
    reload_s: float
    at_rest_ms: list[float]
    while_loading_ms: list[float]


def measure(settings: Mapping[str, str], hooks: int, events: list[str], receiver: Receiver) -> Run:
    began = time.monotonic()
    system = SystemUnderTest(**settings)
    with Memory(system) as memory, system:
        client = system.client()
        top = wait_until_loaded(client, hooks, events)
        loaded_s = time.monotonic() - began
        cpu_s = sum(sum(process.cpu_times()[:2]) for process in system.processes())
        memory.stop()
        print_memory(memory, top)

        called = {"pvt_account_id": ACCOUNT, "hook": "channel_create", "name": "called"}
        message = AddHook({**called, "uri": f"{receiver.url}/called", "format": "json"})
        saved = client.ask_actor("hook_listener", message, HookSaved)
        caller = Caller(client, receiver)
        at_rest = []
        for _call in range(CALLS_AT_REST):
            at_rest.append(caller.call_ms())
            tree(client)  # As often as during the reload.
        while_loading, reload_s = reload(client, hooks, caller)
        client.ask_actor("hook_listener", RemoveHook(saved.document["_id"]), HookSaved)
    return Run(system.ready_s, loaded_s, cpu_s, reload_s, at_rest, while_loading)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hooks", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--events", default=EVENTS, help="in turn, one a hook")
    parser.add_argument("--couchdb", action="store_true")
    options = parser.parse_args()
    events = options.events.split(",")
    print_setting()
    print(f"{options.hooks:,} hooks on {', '.join(events)}")
    with contextlib.ExitStack() as used:
        folder = Path(used.enter_context(tempfile.TemporaryDirectory(prefix="callboard-bench-")))
        receiver = used.enter_context(Receiver())
        url = used.enter_context(couchdb_server(folder)) if options.couchdb else "sqlite://"
        began = time.monotonic()
        fill(url, folder, options.hooks, events)
        print(f"filled the store in {time.monotonic() - began:.1f} s")
        if options.couchdb:
            began = time.monotonic()
            build_views(url)
            print(f"built the views in {time.monotonic() - began:.1f} s")
        settings = {
            "data__dir": str(folder),
            "couchdb__url": url,
            "delivery__allow_networks": "127.0.0.0/8",
            "actors__heartbeat_ms": "500",  # Figures in the tree are this old.
        }
        runs = [measure(settings, options.hooks, events, receiver) for _ in range(options.runs)]
    print_spread("ready, s", [run.ready_s for run in runs])
    print_spread("loaded, s", [run.loaded_s for run in runs])
    print_spread("loaded, CPU s", [run.loaded_cpu_s for run in runs])
    print_spread("reloaded, s", [run.reload_s for run in runs])
    print_spread("event at rest, ms", [ms for run in runs for ms in run.at_rest_ms])
    print_spread("event while loading, ms", [ms for run in runs for ms in run.while_loading_ms])


if __name__ == "__main__":
    main()
