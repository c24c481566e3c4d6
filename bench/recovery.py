"""How long the tree takes to be whole again after kill -9 of each kind of child.

    python bench/recovery.py [--runs 3]

From the signal until `callboard tree` would show the successor running (and its children, for a
supervisor). Embedded broker and store, default settings.
"""

import argparse
import os
import signal
import time

from system_under_test import SystemUnderTest, print_setting, print_spread

from callboard.actors.system.actor_system import Client
from callboard.supervision import GetTree, TreeNode

KINDS = (
    "metrics",
    "failure_cache",
    "hook_table",
    "disabler",
    "hook_listener",
    "event_bridge",
    "responders",
    "responders/channel_create",
    "deliveries",
    "deliveries/attempt_log",
    "deliveries/deliverer-1",
)


def node(client: Client, path: str) -> TreeNode:
    top: TreeNode = client.ask(client.top, GetTree(), TreeNode)
    return top.at(path)


def whole(found: TreeNode) -> bool:
    return found.status == "running" and all(map(whole, found.children))


def recover_s(client: Client, path: str) -> float:
    before = node(client, path)
    assert before.pid is not None
    began = time.monotonic()
    os.kill(before.pid, signal.SIGKILL)
    while (after := node(client, path)).pid == before.pid or not whole(after):
        time.sleep(0.005)
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    print_setting()
    with SystemUnderTest() as system:
        client = system.client()
        for kind in KINDS:
            times = []
            for _ in range(options.runs):
                times.append(recover_s(client, kind))
                time.sleep(2.5)  # Stay below the restart intensity.
            print_spread(f"{kind}, s", times)


if __name__ == "__main__":
    main()
