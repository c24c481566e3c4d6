"""What a system costs while nothing happens: start-up time, memory of the tree, idle CPU."""

import time

from contenders.running import cpu_s
from memory import all_mb
from report import Figure, Section
from surroundings import Bench
from system_under_test import SystemUnderTest

SECONDS, QUICK_S = 20.0, 8.0
SETTLE_S = 4.0

TEXT = """\
Embedded broker and store, default settings without the API. Ready is from the command to the whole
tree. Memory is the proportional set size of all processes (shared pages count once); CPU is theirs,
user and system, while nothing happens."""


def measured(seconds: float) -> tuple[float, float, float, int]:
    with SystemUnderTest() as system:
        time.sleep(SETTLE_S)  # The dust of the start settles.
        processes = system.processes()
        before, at = cpu_s(processes), time.monotonic()
        time.sleep(seconds)
        idle = (cpu_s(processes) - before) / (time.monotonic() - at)
        return system.ready_s, all_mb(processes), idle * 100, len(processes)


def run(bench: Bench) -> Section:
    seconds = QUICK_S if bench.quick else SECONDS
    ready_s, memory_mb, idle, processes = zip(
        *(measured(seconds) for _ in range(bench.runs)), strict=True
    )
    figures = (
        Figure("from the command until ready", "s", ready_s),
        Figure("memory of the tree", "MB", memory_mb),
        Figure("idle CPU", "% of a core", idle),
        Figure("processes", "", processes),
    )
    return Section("Footprint", figures, TEXT)
