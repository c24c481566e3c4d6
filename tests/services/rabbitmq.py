"""A private RabbitMQ server for the tests, on free ports of 127.0.0.1 and in a temporary folder.

The server runs with an Erlang shell on its standard input. That gives the tests quick access to
its inside (virtual hosts, queue depths, alarms), and ends it when the test run ends for any reason.
"""

import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote
from uuid import uuid4

import pika
import psutil
import pytest

from services import free_port, missing
from support.patience import patient

PROGRAMS = ("/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server")
START_S = patient(60.0)
STOP_S = patient(20.0)

CONFIG = """\
listeners.tcp.local = 127.0.0.1:{port}
log.console = false
log.file.level = info
disk_free_limit.absolute = 1MB
"""

PEER = """\
cluster_formation.peer_discovery_backend = classic_config
cluster_formation.classic_config.nodes.1 = {name}
"""

DENYING = """\
-module(callboard_denies).
-behaviour(rabbit_channel_interceptor).
-export([init/1, description/0, intercept/3, applies_to/0]).
init(Channel) -> rabbit_channel:get_vhost(Channel).
description() -> [{description, <<"RabbitMQ 4.3 without transient_nonexcl_queues">>}].
applies_to() -> ['queue.declare'].
intercept({'queue.declare', _, Name, Passive, Durable, Exclusive, _, _, _} = Method, Content,
          VHost) ->
    case Passive orelse Durable orelse Exclusive
         orelse not ets:member(callboard_denying, VHost) of
        true -> {Method, Content};
        false -> rabbit_misc:protocol_error(internal_error,
            "Feature `transient_nonexcl_queues` is deprecated. Queue '~s'", [Name])
    end;
intercept(Method, Content, _VHost) -> {Method, Content}.
"""
"""Refuses what `deprecated_features.permit.transient_nonexcl_queues = false` refuses, in RabbitMQ
versions before that setting (3.13), and for some virtual hosts only."""


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float) -> None:
    """Wait for a condition of another process, which offers nothing to wait on but looking."""
    give_up = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > give_up:
            raise TimeoutError(f"no {what} within {timeout_s:g} s")
        select.select([], [], [], 0.01)


def end(processes: list[psutil.Process]) -> None:
    """End these processes and wait until they are gone."""
    for process in processes:
        if process.is_running():
            process.kill()
    psutil.wait_procs(processes, timeout=patient(5))


class RabbitMQ:
    """One broker node; it keeps its port and its data when stopped and started again."""

    def __init__(self, program: str, folder: Path, first: "RabbitMQ | None" = None) -> None:
        """`first`: a running node, whose cluster the node joins at its first start."""
        self.folder = folder
        self.name = f"callboard{uuid4().hex[:8]}@localhost"
        self.port = free_port()
        self.program = program
        self._console = folder / "console.txt"
        self._questions = 0
        self._server: subprocess.Popen[bytes] | None = None
        self._epmd_port = first._epmd_port if first else free_port()
        config = CONFIG.format(port=self.port)
        if first:
            config += PEER.format(name=first.name)
            shutil.copy(first.folder / ".erlang.cookie", folder)
        (folder / "rabbitmq.conf").write_text(config)
        (folder / "enabled_plugins").write_text("[].\n")
        self._environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(folder),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "RABBITMQ_ALLOW_INPUT": "1",
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "no-env.conf"),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "config"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none"
            ),
        }
        self._epmd = None
        if first:
            return
        # epmd would outlive a killed test run; the shell ends it when its own input closes.
        self._epmd = subprocess.Popen(
            [
                "sh",
                "-c",
                "epmd -address 127.0.0.1 -port $0 & read -r _; kill $!; wait",
                str(self._epmd_port),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    @property
    def url(self) -> str:
        """The default virtual host; `vhost` gives an empty one."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/%2F"

    def vhost(self) -> str:
        """The URL of a new, empty virtual host."""
        name = uuid4().hex
        self.erlang(f'rabbit_vhost:add(<<"{name}">>, <<"guest">>)')
        self.erlang(
            f'rabbit_auth_backend_internal:set_permissions(<<"guest">>, <<"{name}">>, '
            '<<".*">>, <<".*">>, <<".*">>, <<"guest">>)'
        )
        return f"amqp://guest:guest@127.0.0.1:{self.port}/{quote(name)}"

    def deny_deprecated(self, url: str) -> None:
        """Refuse deprecated queues in that virtual host, as RabbitMQ 4 can be told to."""
        vhost = unquote(url.rsplit("/", 1)[1])
        file = self.folder / "callboard_denies.erl"
        if not file.exists():
            file.write_text(DENYING)
        # What a broker registers is forgotten with each stop.
        self.erlang(
            f'begin {{ok, M, Code}} = compile:file("{file}", [binary]), '
            'code:is_loaded(M) =:= false andalso code:load_binary(M, "denying", Code), '
            "Shell = self(), ets:whereis(callboard_denying) =:= undefined andalso begin "
            "spawn(fun() -> ets:new(callboard_denying, [named_table, public]), "
            "Shell ! made, receive never -> ok end end), receive made -> ok end end, "
            'ok = rabbit_registry:register(channel_interceptor, <<"callboard denies">>, M) end'
        )
        self.erlang(f'ets:insert(callboard_denying, {{<<"{vhost}">>}})')

    @contextmanager
    def tls(self, ca: Path, certificate: Path, **options: str) -> Iterator[int]:
        """A port with TLS, whose options are Erlang's. `certificate`: with the key."""
        port = free_port()
        given = {"verify": "verify_none", **options}
        shown = "".join(f", {{{name}, {value}}}" for name, value in given.items())
        place = f'{{"127.0.0.1", {port}}}'
        self.erlang(
            f"begin rabbit_networking:ensure_ssl(), rabbit_networking:start_ssl_listener({place}, "
            f'[{{cacertfile, "{ca}"}}, {{certfile, "{certificate}"}}, {{keyfile, "{certificate}"}}'
            f"{shown}], 1) end"
        )
        try:
            yield port
        finally:
            self.erlang(f"rabbit_networking:stop_tcp_listener({place})")

    def queues(self, url: str) -> list[tuple[str, bool, bool, bool, dict[str, Any]]]:
        """The queues of that virtual host: name, durable, exclusive, auto_delete and arguments."""
        vhost = unquote(url.rsplit("/", 1)[1])
        file = self.folder / "queues.json"
        self.erlang(
            f'ok = file:write_file("{file}", rabbit_json:encode([[element(4, Name), Durable, '
            "Exclusive, AutoDelete, maps:from_list([{Key, Value} || {Key, _, Value} <- Table])] "
            "|| [{_, Name}, {_, Durable}, {_, Exclusive}, {_, AutoDelete}, {_, Table}] <- "
            f'rabbit_amqqueue:info_all(<<"{vhost}">>, '
            "[name, durable, exclusive, auto_delete, arguments])]))"
        )
        found = json.loads(file.read_bytes())
        # A quorum queue says "" where others say false.
        return sorted(
            ((name, d, bool(e), a, args) for name, d, e, a, args in found), key=itemgetter(0)
        )

    @property
    def processes(self) -> list[psutil.Process]:
        """Those of the running node."""
        assert self._server is not None
        node = psutil.Process(self._server.pid)
        return [node, *node.children(recursive=True)]

    def start(self) -> None:
        """Start the broker; returns when it accepts AMQP connections.

        After `stop` the node still runs: to boot another takes ten times the processor time.
        """
        if self._server is not None:
            self.erlang("rabbit:start()")
            wait_until(self._answers, "AMQP connection", START_S)
            return
        with self._console.open("wb") as console:
            self._server = subprocess.Popen(
                [self.program],
                env=self._environment,
                cwd=self.folder,
                stdin=subprocess.PIPE,
                stdout=console,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_until(self._answers, "AMQP connection", START_S)
        except TimeoutError as error:
            raise RuntimeError(f"{error}; it said:\n{self._console.read_text()}") from error

    def stop(self) -> None:
        """Shut the broker down in order, and its port with it."""
        self.erlang("rabbit:stop()")

    def kill(self) -> None:
        """SIGKILL: what durable queues hold must survive even this."""
        server, self._server = self._server, None
        if server is None:
            return
        assert server.stdin is not None
        if server.poll() is None:  # it may have ended by itself
            node = psutil.Process(server.pid)
            end([node, *node.children(recursive=True)])
            server.wait()
        server.stdin.close()

    def close(self) -> None:
        """End everything that was started here."""
        try:
            self.kill()
        finally:
            if self._epmd is not None:
                self._epmd.communicate(b"\n", timeout=STOP_S)

    def erlang(self, expression: str) -> str:
        """Evaluate an Erlang expression in the node; its value as text."""
        assert self._server is not None and self._server.stdin is not None
        self._questions += 1
        mark = f"ANSWER {self._questions}"
        # `catch` so that a mistake is shown to the test instead of ending the shell's process.
        line = f'io:format("~n{mark} ~0p.~n", [catch ({expression})]).\n'
        self._server.stdin.write(line.encode())
        self._server.stdin.flush()
        answer: list[str] = []

        def answered() -> bool:
            text = self._console.read_text(errors="replace")
            answer.extend(re.findall(rf"^{mark} (.*)\.$", text, re.MULTILINE))
            return bool(answer)

        wait_until(answered, f"answer to {expression}", STOP_S)
        if "'EXIT'" in answer[0]:
            raise RuntimeError(f"{expression}: {answer[0]}")
        return answer[0]

    def messages(self, url: str, queue: str) -> int:
        """How many messages a queue of that virtual host has: ready, or given and not acked."""
        vhost = unquote(url.rsplit("/", 1)[1])
        found = self.erlang(
            f'element(2, rabbit_amqqueue:with(rabbit_misc:r(<<"{vhost}">>, queue, <<"{queue}">>), '
            "fun(Q) -> {ok, hd([N || {messages, N} <- rabbit_amqqueue:info(Q, [messages])])} end))"
        )
        return int(found)

    def drop_connections(self) -> None:
        """Begin to close every connection from the broker's side (320 CONNECTION_FORCED)."""
        self.erlang('rabbit_networking:close_all_connections(<<"dropped by the test">>)')

    def block_publishers(self) -> None:
        """Raise the memory alarm: the broker no longer reads from connections that publish."""
        self.erlang("rabbit_alarm:set_alarm({{resource_limit, memory, node()}, []})")

    def unblock_publishers(self) -> None:
        """Clear the memory alarm."""
        self.erlang("rabbit_alarm:clear_alarm({resource_limit, memory, node()})")

    @contextmanager
    def consumer_timeout(self, seconds: float) -> Iterator[None]:
        """Let channels that are opened meanwhile close for a message that is held for so long."""
        names = "consumer_timeout", "channel_tick_interval"
        values = int(seconds * 1000), 200
        before = [self.erlang(f"application:get_env(rabbit, {name})") for name in names]
        for name, value in zip(names, values, strict=True):
            self.erlang(f"application:set_env(rabbit, {name}, {value})")
        try:
            yield
        finally:
            for name, was in zip(names, before, strict=True):
                self.erlang(f"application:set_env(rabbit, {name}, element(2, {was}))")

    @property
    def said(self) -> str:
        """The node's log."""
        return "".join(file.read_text() for file in (self.folder / "log").glob("*.log"))

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop the node's process for a while: connections stay, and nobody answers."""
        assert self._server is not None
        self._server.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._server.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        assert self._server is not None
        if self._server.poll() is not None:
            raise RuntimeError(f"rabbitmq-server ended:\n{self._console.read_text()}")
        with socket.socket() as probe:  # pika takes some 20 ms to find that nothing listens.
            if probe.connect_ex(("127.0.0.1", self.port)):
                return False
        try:
            pika.BlockingConnection(pika.URLParameters(self.url)).close()
        except pika.exceptions.AMQPError:
            return False
        return True


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """A running RabbitMQ server of this test run's own; skipped where none is installed."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None or shutil.which("epmd") is None:
        missing("rabbitmq-server", "apt-get install rabbitmq-server")
    server = RabbitMQ(str(program), tmp_path_factory.mktemp("rabbitmq"))
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def rabbitmq_cluster(
    rabbitmq: RabbitMQ, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[RabbitMQ]]:
    """Three clustered nodes: a quorum queue of two has no majority without one of them."""
    nodes: list[RabbitMQ] = []
    try:
        for _ in range(3):
            folder = tmp_path_factory.mktemp("cluster")
            nodes.append(RabbitMQ(rabbitmq.program, folder, *nodes[:1]))
            nodes[-1].start()
        yield nodes
    finally:
        for node in reversed(nodes):
            node.close()


@pytest.fixture
def amqp_url(rabbitmq: RabbitMQ) -> str:
    """The URL of an empty virtual host on the test run's RabbitMQ server."""
    return rabbitmq.vhost()
