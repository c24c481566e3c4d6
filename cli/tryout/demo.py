"""`callboard demo`: the main job, on the embedded broker and store, with a local receiver."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl

import click

from callboard.actors.messages import AddHook, HookSaved, Published, PublishEvents
from callboard.actors.messages.paths import DELIVERIES, EVENT_BRIDGE, HOOK_LISTENER
from callboard.actors.system.actor_system import Client, SystemUnreachable, attach
from callboard.adapters.receiver import ReceivedRequest, Receiver
from callboard.cli.system.tree_text import print_tree
from callboard.cli.terminal.output import FAILED, Failure, say
from callboard.cli.tryout.samples import ACCOUNT, call_events
from callboard.config.loader import load
from callboard.config.settings import Settings
from callboard.supervision import GetTree, TreeNode, die_with_parent

START_S = 20.0
ARRIVE_S = 30.0

Expected = tuple[str, str, str]
"""The hook's path, event and call of each expected request."""


@click.command()
@click.option("--calls", default=20, show_default=True, type=click.IntRange(1, 10_000))
def demo(calls: int) -> None:
    """Run a demonstration: events in, webhooks out, and processes killed in between.

    It uses a temporary directory and its own ports, and removes everything at the end.
    """
    with tempfile.TemporaryDirectory(prefix="callboard-demo-") as folder, _Screen() as screen:
        settings = _settings(Path(folder))
        with _running(settings) as client:
            say("[bold]A receiver listens, the system runs. Two hooks are added:[/]")
            _add_hook(client, screen.url("/everything"), "all", "json")
            _add_hook(client, screen.url("/new-calls"), "channel_create", "form-data")
            say(f"[bold]{calls} calls are played: each is created, answered, destroyed.[/]")
            expected = _play(client, calls)
            lost = screen.missing(expected)
            say("[bold]The supervision tree:[/]")
            time.sleep(2.5 * settings.actors.heartbeat_ms / 1000)  # the figures of two levels
            print_tree(client.ask(client.top, GetTree(), TreeNode))
        events = 3 * calls
        repeats = screen.count() - len(expected) + len(lost)
        if repeats:
            say(f"({repeats} arrived more than once, with the same identity: at least once)")
        say(f"[bold]{events} events, {len(expected) - len(lost)} deliveries, {len(lost)} lost[/]")
        if lost:
            raise SystemExit(FAILED)


def _settings(folder: Path) -> Settings:
    overrides = {
        "data.dir": str(folder),
        "amqp.url": "memory://",
        "couchdb.url": "sqlite://",
        "actors.base": "multiprocTCPBase",
        "actors.admin_port": str(_free_port()),
        "actors.heartbeat_ms": "500",
        "delivery.allow_networks": "127.0.0.0/8",
        "log.level": "error",
    }
    return load(None, {"CALLBOARD_CONFIG": os.devnull}, overrides).settings


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _running(settings: Settings) -> Iterator[Client]:
    """A separate system in a second process, as `callboard start` runs it."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("CALLBOARD_")} | {
        "CALLBOARD_CONFIG": os.devnull,
        "CALLBOARD_DATA_DIR": str(settings.data.dir),
        "CALLBOARD_ACTORS_ADMIN_PORT": str(settings.actors.admin_port),
        "CALLBOARD_ACTORS_HEARTBEAT_MS": str(settings.actors.heartbeat_ms),
        "CALLBOARD_DELIVERY_ALLOW_NETWORKS": "127.0.0.0/8",
        "CALLBOARD_API_ENABLED": "false",
        "CALLBOARD_LOG_LEVEL": "error",
    }
    command = [sys.executable, "-m", "callboard.run_system", "start"]
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        preexec_fn=die_with_parent,
    )
    try:
        assert process.stdout is not None
        if "ready" not in process.stdout.readline():
            raise Failure("the system did not start")
        yield attach(settings)
    except SystemUnreachable as problem:
        raise Failure(str(problem)) from None
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=START_S)
        except subprocess.TimeoutExpired:
            process.kill()


def _add_hook(client: Client, uri: str, event: str, format: str) -> None:
    document = {
        "pvt_account_id": ACCOUNT,
        "name": event,
        "uri": uri,
        "hook": event,
        "format": format,
    }
    client.ask_actor(HOOK_LISTENER, AddHook(document), HookSaved)
    say(f"  {event:15} as {format:10} to {uri}")


def _play(client: Client, calls: int) -> set[Expected]:
    """Publish every call's events; kill a deliverer and the bridge halfway."""
    expected: set[Expected] = set()
    for number in range(1, calls + 1):
        events = list(call_events(number))
        batch = tuple(
            (exchange, key, json.dumps(body).encode(), "application/json")
            for exchange, key, body in events
        )
        client.ask_actor(EVENT_BRIDGE, PublishEvents(batch), Published)
        for _exchange, _key, body in events:
            expected.add(("/everything", body["Event-Name"].lower(), body["Call-ID"]))
        expected.add(("/new-calls", "channel_create", events[0][2]["Call-ID"]))
        if number == (calls + 1) // 2:
            _kill(client, f"{DELIVERIES}/deliverer-1")
            _kill(client, EVENT_BRIDGE)
    return expected


def _kill(client: Client, path: str) -> None:
    node = client.ask(client.top, GetTree(), TreeNode).at(path)
    if node.pid is not None:
        say(f"[bold red]kill -9 {node.pid}[/] ({path}): its supervisor starts another")
        os.kill(node.pid, signal.SIGKILL)


class _Screen:
    """The receiver and its output."""

    def __init__(self) -> None:
        self._arrived: Counter[Expected] = Counter()
        self._receiver = Receiver(on_request=self._show)

    def __enter__(self) -> "_Screen":
        self._receiver.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._receiver.stop()

    def url(self, path: str) -> str:
        """The URL for a hook."""
        return f"{self._receiver.url}{path}"

    def count(self) -> int:
        """Received requests."""
        return sum(self._arrived.values())

    def missing(self, expected: set[Expected]) -> set[Expected]:
        """The requests that have not arrived after a reasonable wait."""
        end = time.monotonic() + ARRIVE_S
        while not expected <= self._arrived.keys() and time.monotonic() < end:
            time.sleep(0.05)
        return expected - self._arrived.keys()

    def _show(self, request: ReceivedRequest) -> None:
        payload = _payload(request)
        event, call = str(payload.get("hook_event")), str(payload.get("call_id"))
        self._arrived[request.path, event, call] += 1
        say(f"  {request.method} {request.path:12} {event:16} {call}")


def _payload(request: ReceivedRequest) -> dict[str, object]:
    if request.body.startswith(b"{"):
        payload: dict[str, object] = json.loads(request.body)
        return payload
    return dict(parse_qsl(request.body.decode()))
