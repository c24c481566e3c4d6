"""Calls of the kernel that processes make, counted by strace."""

import re
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

from support.patience import patient

_LINE = re.compile(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$", re.MULTILINE)


class Traced:
    """A process with all its threads, from `with` to its end; `calls` are there after that.

    `problem`: why it is not traced, as where the kernel does not let others look into it.
    """

    def __init__(self, pid: int, folder: Path) -> None:
        self._pid, self._file = pid, folder / f"strace-{pid}"
        self.calls: Counter[str] = Counter()
        self.problem = ""

    def __enter__(self):
        command = ["strace", "-f", "-c", "-o", str(self._file), "-p", str(self._pid)]
        self._strace = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        while self._strace.poll() is None and not self._attached():
            time.sleep(0.02)
        return self

    def __exit__(self, *_exc):
        self._strace.send_signal(signal.SIGINT)
        _, said = self._strace.communicate(timeout=patient(20))
        counted = self._file.read_text() if self._file.exists() else ""
        for calls, name in _LINE.findall(counted):
            if name != "total":
                self.calls[name] += int(calls)
        self.problem = "" if self.calls else said

    def _attached(self):
        threads = Path(f"/proc/{self._pid}/task").glob("*/status")
        return all("TracerPid:\t0\n" not in thread.read_text() for thread in threads)
