"""What a system costs while nothing happens: start-up time, memory of the tree, idle CPU."""

import tempfile
import time
from pathlib import Path

from contenders.running import cpu_s
from memory import all_mb
from report import Figure, Section
from surroundings import Bench
from system_under_test import SystemUnderTest

SECONDS, QUICK_S = 20.0, 8.0
SETTLE_S = 4.0

TEXT = """\
Embedded broker and store. All of Kazoo's modules, without the API; and a shop: two modules, none of
Kazoo's, with the API. Ready is from the command to the whole tree. Memory is the proportional set
size of all processes (shared pages count once); CPU is theirs, user and system: of the start, until
the API serves, and while nothing happens."""

SHOP = """\
[kazoo]
modules = []

[[modules]]
id = "order_paid"
exchange = "shop"
bindings = ["order.*.paid"]
account = "customer"

[[modules]]
id = "parcel_sent"
exchange = "shop"
bindings = ["parcel.*.sent"]
account = "customer"
"""


def measured(system: SystemUnderTest, seconds: float) -> tuple[float, float, float, float, int]:
    with system:
        time.sleep(SETTLE_S)  # The dust of the start settles.
        processes = system.processes()
        before, at = cpu_s(processes), time.monotonic()
        time.sleep(seconds)
        idle = (cpu_s(processes) - before) / (time.monotonic() - at)
        return system.ready_s, before, all_mb(processes), idle * 100, len(processes)


def run(bench: Bench) -> Section:
    seconds = QUICK_S if bench.quick else SECONDS
    figures = []
    with tempfile.TemporaryDirectory(prefix="callboard-bench-") as folder:
        shop = Path(folder, "shop.toml")
        shop.write_text(SHOP)
        for name, make in (
            ("Kazoo's modules", SystemUnderTest),
            ("a shop", lambda: SystemUnderTest(shop, api__enabled="true", api__port="0")),
        ):
            runs = (measured(make(), seconds) for _ in range(bench.runs))
            ready_s, start_s, memory_mb, idle, processes = zip(*runs, strict=True)
            figures += [
                Figure(f"{name}: from the command until ready", "s", ready_s),
                Figure(f"{name}: CPU of the start", "s", start_s),
                Figure(f"{name}: memory of the tree", "MB", memory_mb),
                Figure(f"{name}: idle CPU", "% of a core", idle),
                Figure(f"{name}: processes", "", processes),
            ]
    return Section("Footprint", tuple(figures), TEXT)
