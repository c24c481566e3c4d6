"""What the measures share: how much they are to do, and the servers to do it with."""

import platform
import shutil
import sys
import tempfile
from contextlib import ExitStack
from functools import cached_property
from importlib.metadata import version
from os import cpu_count, getloadavg
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from receiver import Receiver

from services.rabbitmq import PROGRAMS, RabbitMQ

LIBRARIES = (
    "callboard",
    "thespian",
    "pika",
    "requests",
    "celery",
    "dramatiq",
    "aio-pika",
    "aiohttp",
)


class Bench:
    """Given to each measure; what it starts is ended when the benchmark ends.

    `runs`: how often each thing is measured; `quick`: whether a rough answer is enough;
    `backlog`: how many events wait in the broker where that is measured.
    """

    def __init__(self, runs: int, quick: bool, backlog: int) -> None:
        self.runs = runs
        self.quick = quick
        self.backlog = self.size(backlog)
        self._started = ExitStack()

    def __enter__(self) -> "Bench":
        self.folder = Path(
            self._started.enter_context(tempfile.TemporaryDirectory(prefix="callboard-bench-"))
        )
        return self

    def __exit__(self, *_exception: object) -> None:
        self._started.close()

    def size(self, full: int) -> int:
        """So many, or a fifth of it where a rough answer is enough."""
        return max(1, full // 5) if self.quick else full

    @cached_property
    def broker(self) -> RabbitMQ:
        """A RabbitMQ of our own, started when it is first asked for; `vhost()` is an empty one."""
        program = next(filter(None, map(shutil.which, PROGRAMS)), None)
        if program is None:
            raise SystemExit("rabbitmq-server is not installed: `make services`")
        folder = self.folder / "rabbitmq"
        folder.mkdir()
        broker = RabbitMQ(program, folder)
        self._started.callback(broker.close)
        broker.start()
        return broker

    @cached_property
    def receiver(self) -> Receiver:
        """An nginx of our own, started when it is first asked for."""
        folder = self.folder / "receiver"
        folder.mkdir()
        receiver = Receiver(folder)
        receiver.start()
        self._started.callback(receiver.close)
        return receiver


def setting() -> str:
    """One line: the machine and the versions that the figures are of."""
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return (
        f"{cpu_count()} processors ({_processor()}), {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, {versions}; load at the start {getloadavg()[0]:.1f}"
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()
