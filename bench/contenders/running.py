"""One contender at work: its processes, fed by a publisher, delivering to the receiver."""

import os
import secrets
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from attrs import frozen
from system_under_test import SystemUnderTest

from callboard.adapters.keys import key_file
from callboard.adapters.keys.secret_box import KEY_BYTES, SecretBox
from callboard.adapters.store import stores
from callboard.adapters.store.views import WEBHOOKS
from callboard.supervision import die_with_parent
from callboard.webhooks.deliveries.signing import new_secret
from callboard.webhooks.hooks.hook import new_hook
from callboard.webhooks.hooks.secrets import StoredSecret, adding
from callboard.webhooks.values.kazoo_names import gregorian_s

HERE = Path(__file__).parent
READY_S = 30.0
KINDS = {
    "bridge": "event_bridge",
    "responder": "responders/bench",
    "deliverers": "deliveries/deliverer-",
}
"""Those of Callboard's actors that have to do with each event, by how their paths begin."""
OTHERS = "others"
STORE_S = 60.0

ONE_ACCOUNT = 'account_id = "bench"'
MODULE = """\
[[modules]]
id = "bench"
exchange = "bench"
exchange_type = "topic"
exchange_durable = true
bindings = ["#"]
{account}
"""


class Contender(ABC):
    """`wrap` is how it wants its events (contenders.messages), `queue` where they wait for it."""

    name: str
    wrap = "event"
    queue = "bench"

    @contextmanager
    @abstractmethod
    def running(self, amqp_url: str, url: str, folder: Path) -> Iterator["Running"]:
        """It runs, with files of its own in `folder`, and delivers what comes to `url`."""


class Running(ABC):
    """The processes of a contender that runs."""

    @abstractmethod
    def processes(self) -> list[psutil.Process]: ...

    def cpu_s(self) -> float:
        """User and system time of all its processes so far."""
        return cpu_s(self.processes())

    def kinds(self) -> Mapping[str, list[psutil.Process]]:
        """All its processes, by what they do."""
        return {"all": self.processes()}

    def put_off(self) -> int:
        """How many deliveries it has laid into a durable queue for later."""
        return 0

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Its processes stand still meanwhile."""
        stopped = self.processes()
        for process in stopped:
            process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in stopped:
                process.send_signal(signal.SIGCONT)


def cpu_s(processes: Sequence[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


class Command(Contender):
    """A program, and the processes that it starts."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        wrap: str = "event",
        queue: str = "bench",
        named: bool = False,
    ) -> None:
        """`named`: whether it takes queue and URLs as arguments, or else from the environment."""
        self.name, self.wrap, self.queue = name, wrap, queue
        self._arguments, self._named = arguments, named

    @contextmanager
    def running(self, amqp_url: str, url: str, folder: Path) -> Iterator[Running]:
        given = [amqp_url, self.queue, url] if self._named else []
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [*self._arguments, *given],
                cwd=HERE,
                env=os.environ | {"BENCH_AMQP_URL": amqp_url, "BENCH_URL": url},
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,
            )
        family = Family(psutil.Process(process.pid))
        try:
            yield family
        finally:
            for member in family.processes():
                member.kill()
            process.wait(20)


class Family(Running):
    """A process and its descendants."""

    def __init__(self, first: psutil.Process) -> None:
        self._first = first

    def processes(self) -> list[psutil.Process]:
        return [self._first, *self._first.children(recursive=True)]


@frozen
class Hook:
    """Where the events of an account go."""

    account: str
    url: str


class Callboard(Contender):
    """Callboard as it comes, with a module of its own for the bus, and hooks that sign.

    `python`: that of another installation, to measure another version beside this one. `depth`: as
    in SystemUnderTest.

    `account` is the line of the module that says whose an event is. `hooks` are stored before it
    starts; without any it is given one, for the account `bench`, to where it is let deliver to.
    """

    queue = "callboard.events"

    def __init__(
        self,
        name: str,
        account: str = ONE_ACCOUNT,
        hooks: Sequence[Hook] = (),
        python: str = sys.executable,
        depth: int = 0,
        **settings: str,
    ) -> None:
        self.name = name
        self._account, self._hooks, self.settings = account, hooks, settings
        self._python, self._depth = python, depth

    @contextmanager
    def running(self, amqp_url: str, url: str, folder: Path) -> Iterator[Running]:
        config, data = folder / "callboard.toml", folder / "data"
        config.write_text(MODULE.format(account=self._account))
        if self._hooks:
            data.mkdir(mode=0o700)
            _store(self._hooks, data)
        system = SystemUnderTest(
            config,
            self._python,
            self._depth,
            amqp__url=amqp_url,
            delivery__allow_networks="127.0.0.0/8",
            data__dir=str(data),
            log__level="error",
            **self.settings,
        )
        with system:
            self.started(system)
            if not self._hooks:
                _add_hook(system, url)
            _wait_for(len(self._hooks) or 1, system)
            yield Tree(system)

    def started(self, system: SystemUnderTest) -> None:
        """It runs, and has yet to be given its hooks."""


class Tree(Running):
    """The processes of `callboard start`."""

    def __init__(self, system: SystemUnderTest) -> None:
        self.system = system

    def processes(self) -> list[psutil.Process]:
        return self.system.processes()

    def kinds(self) -> Mapping[str, list[psutil.Process]]:
        paths = {node["pid"]: node["path"] for node in _nodes(self.system)}
        kinds: dict[str, list[psutil.Process]] = {kind: [] for kind in (*KINDS, OTHERS)}
        for process in self.processes():
            path = paths.get(process.pid, "")
            kind = next((kind for kind, begins in KINDS.items() if path.startswith(begins)), OTHERS)
            kinds[kind].append(process)
        return kinds

    def put_off(self) -> int:
        return sum(
            node["stats"].get("put_off", 0)
            for node in _nodes(self.system)
            if node["path"].startswith(KINDS["deliverers"])
        )


def _store(hooks: Sequence[Hook], folder: Path) -> None:
    """Fill the embedded store, as `callboard hooks add` and `callboard hooks secret new` would."""
    key, now = b64encode(secrets.token_bytes(KEY_BYTES)).decode(), gregorian_s(time.time())
    key_file.put_if_missing(folder / "secrets.key", key)
    box = SecretBox(key, folder)
    documents = []
    for number, hook in enumerate(hooks):
        hook_id, secret = f"{number:032x}", new_secret()
        document = new_hook(_document(hook), now, hook_id, "bench@host.example")
        sealed = box.sealed(secret.text, hook_id)
        stored = StoredSecret(secret.fingerprint, secret.kind, now, sealed)
        documents.append({**document, **adding(document, stored)})
    store = stores.connect("sqlite://", folder, STORE_S)
    store.ensure_database("webhooks")
    store.ensure_views("webhooks", WEBHOOKS)
    store.save_many("webhooks", documents)
    store.close()


def _document(hook: Hook) -> dict[str, str]:
    return {
        "pvt_account_id": hook.account,
        "name": "bench",
        "uri": hook.url,
        "hook": "bench",
        "format": "json",
    }


def _add_hook(system: SystemUnderTest, url: str) -> None:
    """Add the one hook, unless it is there already."""
    if any(hook["uri"] == url for hook in system.run("hooks", "list", "--account", "bench")):
        return
    added = system.run("hooks", "add", url, "--account", "bench", "--event", "bench")
    system.run("hooks", "secret", "new", added["_id"])


def _wait_for(hooks: int, system: SystemUnderTest) -> None:
    """Returns when the responder has so many."""
    give_up = time.monotonic() + READY_S
    while True:
        responder = next(n for n in _nodes(system) if n["path"] == "responders/bench")
        found = responder["stats"].get("hooks", 0)
        if found >= hooks:
            return
        if time.monotonic() > give_up:
            raise TimeoutError(f"of {hooks} hooks {found} are known")
        time.sleep(0.1)


def _nodes(system: SystemUnderTest) -> Iterator[dict[str, Any]]:
    """The actors of its tree, as `callboard tree --json` has them."""
    left = [system.run("tree")]
    while left:
        node = left.pop()
        left += node["children"]
        yield node
