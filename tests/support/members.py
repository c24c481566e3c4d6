"""Another machine that delivers for a node: `callboard join` on another loopback address."""

import signal
import time

from services import free_port
from support import commands
from support.patience import patient
from support.running import kill_all, processes_of


class Member:
    """`callboard join` a node; ended, with all its processes, by `close`."""

    program: tuple[str, ...] | None = None
    """What Python runs in place of Callboard."""

    def __init__(self, node, data_dir, name="other", bind="127.0.0.2", workers=1, **settings):
        self.name = name
        self.log = data_dir / "log"
        actors = node.settings.actors
        self.node = f"{actors.bind}:{actors.admin_port}"
        overrides = {
            "data.dir": str(data_dir),
            "actors.bind": bind,
            "actors.admin_port": str(free_port()),
            "actors.key": actors.key,
            "actors.heartbeat_ms": str(actors.heartbeat_ms),
            "actors.hang_timeout_ms": str(actors.hang_timeout_ms),
            "delivery.workers": str(workers),
        } | settings
        self._environment = commands.environment() | {
            f"CALLBOARD_{key.replace('.', '_')}".upper(): value for key, value in overrides.items()
        }
        data_dir.mkdir(parents=True, exist_ok=True)
        self.start()

    def run(self, *arguments):
        """A command on this machine's data directory."""
        return commands.run_in(self._environment, *arguments)

    def start(self):
        with self.log.open("ab") as log:
            joining = ("join", self.node, "--name", self.name)
            self.process = commands.start(self.program, self._environment, *joining, stderr=log)
        line = self.process.stdout.readline()
        assert "waiting" in line, f"not waiting: {line!r}\n{self.log.read_text()}"

    def wait_for(self, text, times=1, timeout_s=10.0):
        """Wait until its log says so."""
        end = time.monotonic() + patient(timeout_s)
        while self.log.read_text().count(text) < times:
            assert time.monotonic() < end, f"no {text} in {self.log.read_text()}"
            time.sleep(0.1)

    def family(self):
        """All processes of this machine."""
        return processes_of(self.log)

    def kill(self):
        """kill -9, all of its processes at once."""
        kill_all(self.family())
        self.process.wait(timeout=patient(10))
        self.process.stdout.close()

    def close(self):
        """Stop; a process that is left over fails the test."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=patient(30))
            self.process.stdout.close()
        left = self.family()
        for process in left:
            process.kill()
        assert not left, f"left behind: {left}\n{self.log.read_text()[-4000:]}"
