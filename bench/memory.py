"""The memory of processes as proportional set size (PSS): shared pages count once."""

import contextlib
import threading
import time
from pathlib import Path
from typing import Protocol

import psutil

TICK_S = 0.5


class HasProcesses(Protocol):
    def processes(self) -> list[psutil.Process]: ...


class Memory:
    """Samples the memory of a system's processes, from `with` until `stop`."""

    def __init__(self, system: HasProcesses) -> None:
        self._system = system
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.samples: list[dict[int, float]] = []
        """MB by process, one at each tick."""

    @property
    def totals_mb(self) -> list[float]:
        """Of all processes together, at each tick."""
        return [sum(sizes.values()) for sizes in self.samples]

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        processes: list[psutil.Process] = []
        looked_at = 0.0
        while not self._over.wait(TICK_S):
            if time.monotonic() - looked_at > 1.0:
                processes, looked_at = self._system.processes(), time.monotonic()
            sizes = {}
            for process in processes:
                with contextlib.suppress(OSError):
                    sizes[process.pid] = pss_mb(process.pid)
            self.samples.append(sizes)


def pss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def all_mb(processes: list[psutil.Process]) -> float:
    """Of all of them together."""
    return sum(pss_mb(process.pid) for process in processes)
