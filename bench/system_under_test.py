"""A system to measure: `callboard start` with the embedded parts, in a folder of its own."""

import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from callboard.actors.system.actor_system import Client, attach
from callboard.config.loader import load

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from services import free_port

START = """
import sys
from callboard.run_system import main

def down(frames):
    return down(frames - 1) if frames else main(["start"])

down(int(sys.argv[1]))
"""


def print_setting() -> None:
    print(
        f"setting: Python {platform.python_version()}, {os.cpu_count()} processors, "
        f"{platform.system()} {platform.release()}, load {os.getloadavg()[0]:.1f}"
    )


def print_spread(name: str, values: Sequence[float]) -> None:
    print(
        f"{name:28} median {statistics.median(values):8.2f}   "
        f"min {min(values):8.2f}   max {max(values):8.2f}"
    )


class SystemUnderTest:
    """Started by `with`; `ready_s`: seconds from the command to the whole tree.

    `config` is its configuration file. `data__dir` names a folder that is to outlive it; else it
    has one of its own. `python`: that of another installation, to measure another version. `depth`:
    so many frames further down the stack than usual.
    """

    def __init__(
        self,
        config: Path = Path(os.devnull),
        python: str = sys.executable,
        depth: int = 0,
        **settings: str,
    ) -> None:
        self._config, self._python, self._depth = str(config), python, depth
        self._folder = tempfile.TemporaryDirectory(prefix="callboard-bench-")
        self._overrides = {
            "data.dir": self._folder.name,
            "actors.admin_port": str(free_port()),
            "log.level": "critical",
            "api.enabled": "false",
        } | {key.replace("__", "."): value for key, value in settings.items()}
        self.ready_s = 0.0

    def __enter__(self) -> "SystemUnderTest":
        began = time.monotonic()
        self._owner = subprocess.Popen(
            [self._python, "-c", START, str(self._depth)],
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._owner.stdout is not None
        if "ready" not in self._owner.stdout.readline():
            raise RuntimeError("the system did not start")
        self.ready_s = time.monotonic() - began
        return self

    def __exit__(self, *_exception: object) -> None:
        self._owner.send_signal(signal.SIGTERM)
        self._owner.wait(60)
        self._folder.cleanup()

    def run(self, *arguments: str) -> Any:
        """Run a command of its own version against it; what that prints as JSON."""
        printed = subprocess.check_output(
            self.command(*arguments, "--json"), env=self.environment, text=True
        )
        return json.loads(printed)

    def command(self, *arguments: str) -> list[str]:
        return [self._python, "-m", "callboard.run_system", *arguments]

    @property
    def environment(self) -> dict[str, str]:
        variables = {
            f"CALLBOARD_{key.replace('.', '_')}".upper(): value
            for key, value in self._overrides.items()
        }
        return os.environ | variables | {"CALLBOARD_CONFIG": self._config}

    def client(self) -> Client:
        return attach(load(None, {"CALLBOARD_CONFIG": self._config}, self._overrides).settings)

    def processes(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("CALLBOARD_DATA_DIR") == self._overrides["data.dir"]:
                    found.append(process)
            except psutil.Error:
                continue
        return found
