"""What a system costs while nothing happens: start-up time, memory of the tree, idle CPU.

    python bench/footprint.py [--seconds 20] [--runs 3]

Embedded broker and store, default settings but for the data directory and the port. Memory is the
proportional set size (PSS: shared pages count once), CPU that of all processes together.
"""

import argparse
import time

import psutil
from system_under_test import SystemUnderTest, print_setting, print_spread


def cpu_s(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def pss_mb(process: psutil.Process) -> float:
    return process.memory_full_info().pss / 1e6


def measure(seconds: float) -> tuple[float, float, float, int]:
    with SystemUnderTest() as system:
        time.sleep(3)  # The dust of the start settles.
        processes = system.processes()
        before, at = cpu_s(processes), time.monotonic()
        time.sleep(seconds)
        idle = (cpu_s(processes) - before) / (time.monotonic() - at)
        return system.ready_s, idle * 100, sum(map(pss_mb, processes)), len(processes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    print_setting()
    runs = [measure(options.seconds) for _ in range(options.runs)]
    names = ("command to ready, s", "idle CPU, % of one core", "memory (PSS), MB", "processes")
    for name, values in zip(names, zip(*runs, strict=True), strict=True):
        print_spread(name, values)


if __name__ == "__main__":
    main()
