"""A whole system as users run it: `callboard start` in a process of its own, and a receiver."""

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

import certifi
import psutil

from callboard.actors.messages import AddHook, HookSaved, Published, PublishEvents
from callboard.actors.system.actor_system import SystemUnreachable, attach
from callboard.config.loader import load
from callboard.supervision import GetTree, TreeNode
from callboard.webhooks.values.kazoo_names import encode_segment
from services import free_port
from support import commands
from support.patience import patient

ACCOUNT = "a1b2c3d4e5f60718293a4b5c6d7e8f90"


def call_event(number, name="CHANNEL_CREATE", account=ACCOUNT):
    """The body of a call event; `number` makes its call id."""
    return {
        "Event-Category": "call_event",
        "Event-Name": name,
        "App-Name": "freeswitch",
        "App-Version": "1.0",
        "Msg-ID": "1672280800123456",
        "Timestamp": 63_839_500_001,
        "Call-ID": f"call-{number}@switch",
        "Call-Direction": "inbound",
        "Custom-Channel-Vars": {"Account-ID": account},
        "Request": "+15556783945@acme.example.com",
    }


def outgoing(body):
    """The messages for PublishEvents."""
    key = f"call.{body['Event-Name']}.{encode_segment(body['Call-ID'])}"
    return "callevt", key, json.dumps(body).encode(), "application/json"


class PatientClient:
    """A client of a system that may respond late."""

    def __init__(self, client):
        self.client, self.system, self.top = client, client.system, client.top

    def ask(self, address, question, kind, timeout_s=10.0):
        return self.client.ask(address, question, kind, patient(timeout_s))

    def ask_actor(self, path, question, kind, timeout_s=10.0):
        return self.client.ask_actor(path, question, kind, patient(timeout_s))

    def hear(self, kinds, timeout_s):
        return self.client.hear(kinds, patient(timeout_s))


def processes_of(log):
    """All processes whose standard error is this file: a system's, and no zombies."""

    def is_its(process):
        try:
            return Path(f"/proc/{process.pid}/fd/2").readlink() == log
        except OSError:
            return False

    return [process for process in psutil.process_iter() if is_its(process)]


def kill_all(processes):
    """kill -9 of each, before any can detect that another has ended; some may have ended."""
    for signal_each in psutil.Process.suspend, psutil.Process.kill:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                signal_each(process)


@cache
def one_authority():
    """A CA bundle of one certificate. To load all of certifi's takes a deliverer long."""
    begin, end, _rest = Path(certifi.where()).read_text().partition("-----END CERTIFICATE-----")
    return begin[begin.index("-----BEGIN") :] + end + "\n"


class RunningSystem:
    """`callboard start` on a data directory; ended, with all its processes, by `close`."""

    program: tuple[str, ...] | None = None
    """What Python runs in place of Callboard."""

    modules = "channel_create,object"
    """Those of Kazoo's that run, unless a file chooses; a system of all takes a quarter more."""

    def __init__(self, data_dir: Path, config=os.devnull, **settings):
        self.config = str(config)
        usual = {"kazoo.modules": self.modules} if config == os.devnull and self.modules else {}
        usual |= {
            "data.dir": str(data_dir),
            "actors.admin_port": str(free_port()),
            "actors.heartbeat_ms": "500",
            "actors.hang_timeout_ms": str(int(patient(3000))),
            "delivery.allow_networks": "127.0.0.0/8",
            "delivery.workers": "2",
            "delivery.ca_bundle": str(data_dir.parent / "one-authority.pem"),
            "delivery.request_timeout_ms": str(int(patient(10_000))),
            "api.enabled": "false",
        }
        chosen = {key.replace("__", "."): str(value) for key, value in settings.items()}
        self.overrides = usual | chosen
        self.settings = load(None, {"CALLBOARD_CONFIG": self.config}, self.overrides).settings
        self.log = data_dir / "log"
        data_dir.mkdir(parents=True, exist_ok=True)
        (data_dir.parent / "one-authority.pem").write_text(one_authority())
        self.start()

    @property
    def environment(self):
        mine = {
            f"CALLBOARD_{key.replace('.', '_')}".upper(): value
            for key, value in self.overrides.items()
        }
        return commands.environment(CALLBOARD_CONFIG=self.config, **mine)

    def start(self):
        self.detach()
        with self.log.open("ab") as log:
            self.process = commands.start(self.program, self.environment, "start", stderr=log)
        line = self.process.stdout.readline()
        assert "ready" in line, f"not ready: {line!r}\n{self.log.read_text()}"

    def run(self, *arguments, input="", **environment):
        """Run a command of the CLI against this system."""
        return commands.run_in(self.environment | environment, *arguments, input=input)

    def detach(self):
        """Attach again at the next question: the system that was asked has ended."""
        self._client = None

    @property
    def client(self):
        if self._client is None:
            self._client = PatientClient(attach(self.settings))
        return self._client

    def add_hook(self, uri, event="channel_create", account=ACCOUNT, **fields):
        document = {"pvt_account_id": account, "name": "n", "uri": uri, "hook": event} | fields
        saved = self.client.ask_actor("hook_listener", AddHook(document), HookSaved)
        return saved.document["_id"]

    def publish(self, bodies, batch=100):
        bodies = list(bodies)
        for first in range(0, len(bodies), batch):
            events = tuple(map(outgoing, bodies[first : first + batch]))
            self.client.ask_actor("event_bridge", PublishEvents(events), Published, 30)

    def send(self, *messages):
        """Publish (exchange, routing key, body) messages of any kind."""
        events = tuple(
            (e, key, json.dumps(body).encode(), "application/json") for e, key, body in messages
        )
        self.client.ask_actor("event_bridge", PublishEvents(events), Published, 30)

    def tree(self):
        return self.client.ask(self.client.top, GetTree(), TreeNode)

    def node(self, path):
        return self.tree().at(path)

    def paths(self):
        return [node.path for node in self.tree().below()]

    def wait(self, condition, timeout_s=15.0, what="the condition"):
        """Wait until `condition()` is true; returns its value."""
        timeout_s = patient(timeout_s)
        end = time.monotonic() + timeout_s
        pause_s = 0.05
        while not (result := condition()):
            assert time.monotonic() < end, f"{what} not within {timeout_s} s\n{self.state()}"
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.5, 0.3)  # Most figures change with a heartbeat only.
        return result

    def wait_hooks(self, hooks=1):
        """Wait until so many hooks may fire."""
        self.wait(
            lambda: self.node("hook_table").stats.get("hooks") == hooks, what=f"{hooks} hooks"
        )

    def wait_settled(self, events):
        """Wait until the bridge has taken at least this many events and acknowledged all of them.

        Hook changes that arrived while the broker was up count as events.
        """

        def settled():
            stats = self.node("event_bridge").stats
            return stats.get("acknowledged", 0) == stats.get("received") >= events

        self.wait(settled, what=f"{events} events acknowledged")

    def kill(self, path):
        """Kill an actor (kill -9); returns when its successor runs."""
        before = self.node(path)
        os.kill(before.pid, signal.SIGKILL)

        def replaced():
            after = self.node(path)
            return after.status == "running" and after.pid != before.pid

        self.wait(replaced, what=f"the successor of {path}")

    def state(self):
        """Facts to distinguish a stuck system from a slow one: all figures, the log's end."""
        try:
            figures = [
                f"{node.path} {node.status}, {node.restarts} restarts: "
                + str({name: figure for name, figure in node.stats.items() if figure})
                for node in self.tree().below()
            ]
        except SystemUnreachable as problem:
            figures = [str(problem)]
        lines = [line for line in self.log.read_text().splitlines() if " logger=pika" not in line]
        return "\n".join([*figures, *lines[-30:]])

    def tail(self):
        return self.log.read_text()[-4000:]

    def family(self):
        """All processes of this system."""
        return processes_of(self.log)

    def left(self):
        """Those that are left of them, in the moment that the kernel takes to end a process."""
        return psutil.wait_procs(self.family(), timeout=patient(5))[1]

    def close(self):
        """Stop, at once if deliveries take long; the test fails if a process remains."""
        for timeout_s in (3, 60):
            self.process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=patient(timeout_s))
        if self.process.poll() is None:
            self.process.kill()
        self.process.stdout.close()
        left = self.left()
        for process in left:
            process.kill()
        assert not left, f"left behind: {left}\n{self.tail()}"
