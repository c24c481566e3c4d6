"""What a system costs while nothing happens: start-up time, memory of the tree, idle CPU.

    python bench/footprint.py [--seconds 20] [--runs 3]

Embedded broker and store, default settings but for the data directory and the port. Memory is the
proportional set size (PSS: shared pages count once), CPU that of all processes together.
"""

import argparse
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import psutil


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def family(data_dir: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("CALLBOARD_DATA_DIR") == data_dir:
                found.append(process)
        except psutil.Error:
            continue
    return found


def cpu_s(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def pss_mb(process: psutil.Process) -> float:
    return process.memory_full_info().pss / 1e6


def measure(seconds: float) -> tuple[float, float, float, int]:
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "CALLBOARD_CONFIG": os.devnull,
            "CALLBOARD_DATA_DIR": folder,
            "CALLBOARD_ACTORS_ADMIN_PORT": str(free_port()),
            "CALLBOARD_LOG_LEVEL": "warning",
        }
        began = time.monotonic()
        command = [sys.executable, "-m", "callboard.run_system", "start"]
        owner = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        try:
            assert owner.stdout is not None
            owner.stdout.readline()
            ready_s = time.monotonic() - began
            time.sleep(3)  # The dust of the start settles.
            processes = family(folder)
            before, at = cpu_s(processes), time.monotonic()
            time.sleep(seconds)
            idle = (cpu_s(processes) - before) / (time.monotonic() - at)
            memory = sum(map(pss_mb, processes))
            return ready_s, idle * 100, memory, len(processes)
        finally:
            owner.send_signal(signal.SIGTERM)
            owner.wait(60)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    print(
        f"setting: Python {platform.python_version()}, {os.cpu_count()} processors, "
        f"{platform.system()} {platform.release()}, load {os.getloadavg()[0]:.1f}"
    )
    runs = [measure(options.seconds) for _ in range(options.runs)]
    names = ("command to ready, s", "idle CPU, % of one core", "memory (PSS), MB", "processes")
    for name, values in zip(names, zip(*runs, strict=True), strict=True):
        print(
            f"{name:26} median {statistics.median(values):8.2f}   "
            f"min {min(values):8.2f}   max {max(values):8.2f}"
        )


if __name__ == "__main__":
    main()
