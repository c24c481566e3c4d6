"""Every command with good and bad arguments, as a person types them."""

import json
import re
import resource
import signal
import subprocess
import sys
import time
from contextlib import closing
from functools import partial

import pytest

from callboard import admin
from callboard.actors.system.actor_system import SystemLost
from services import free_port
from support import commands
from support.patience import patient
from support.running import ACCOUNT, RunningSystem, call_event, kill_all

pytestmark = pytest.mark.multiprocess


run = commands.run
"""A command without any system."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A system for all tests that leave it running.

    (By commands alone once a test has attached to another: a process has one key at a time.)
    """
    with closing(RunningSystem(tmp_path_factory.mktemp("cli") / "data")) as system:
        yield system


@pytest.fixture
def system(shared):
    """The same; the hooks that a test adds go with it."""
    yield shared
    for hook in json.loads(shared.run("hooks", "list", "--json").stdout):
        assert shared.run("hooks", "rm", hook["_id"]).returncode == 0


def test_status_and_tree_show_the_whole_system(system):
    system.wait(lambda: system.run("status").returncode == 0)
    # Readiness is known at once, an actor's figures with its next heartbeat.
    system.wait(lambda: system.node("event_bridge").stats["broker"] == "up")
    status = json.loads(system.run("status", "--json").stdout)
    assert status["running"]
    assert status["whole"]
    assert status["actors"]["event_bridge"]["broker"] == "up"
    tree = json.loads(system.run("tree", "--json").stdout)
    assert [child["id"] for child in tree["children"]] == [
        "metrics",
        "failure_cache",
        "hook_table",
        "disabler",
        "hook_listener",
        "event_bridge",
        "maintenance",
        "redelivery",
        "responders",
        "deliveries",
        "initializer",
    ]
    shown = system.run("tree").stdout
    assert "webhooks_shared_listener" in shown
    assert "deliverer-2" in shown


def test_hooks_are_added_listed_and_removed(system, receiver):
    added = system.run(
        "hooks", "add", f"{receiver.url}/a", "--account", ACCOUNT, "--event", "channel_create"
    )
    assert added.returncode == 0, added.stderr
    hook = added.stdout.split()[-1]
    listed = json.loads(system.run("hooks", "list", "--json").stdout)
    assert [(d["_id"], d["hook"]) for d in listed] == [(hook, "channel_create")]
    assert hook in system.run("hooks", "list", "--account", ACCOUNT).stdout
    assert json.loads(system.run("hooks", "list", "--account", "x", "--json").stdout) == []
    assert system.run("hooks", "rm", hook).returncode == 0
    assert json.loads(system.run("hooks", "list", "--json").stdout) == []


def test_a_removed_hook_fires_no_more(system, receiver):
    gone, kept = (system.add_hook(f"{receiver.url}/{path}") for path in ("gone", "kept"))
    assert system.run("hooks", "rm", gone).returncode == 0
    system.publish([call_event(1)])
    assert [r.path for r in receiver.wait_for(1)] == ["/kept"]
    assert kept


def test_bad_hooks_are_refused_with_the_reason(system):
    unknown = system.run("hooks", "add", "http://x.example/", "--account", "a", "--event", "nope")
    assert unknown.returncode == 1
    assert "'nope'" in unknown.stderr
    assert "channel_create" in unknown.stderr
    missing = system.run("hooks", "rm", "0" * 32)
    assert missing.returncode == 1
    assert "there is no hook" in missing.stderr
    assert system.run("hooks", "add", "http://x.example/").returncode == 2
    custom = system.run(
        "hooks", "add", "http://x.example/", "--account", "a", "--custom-data", "[1]"
    )
    assert custom.returncode == 2
    assert "JSON object" in custom.stderr


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("ftp://hooks.example/", "refused: scheme"),
        ("http://user:password@hooks.example/", "refused: credentials"),
        ("http://hooks.example:25/", "refused: port"),
        ("http://10.0.0.1/", "refused: address: 10.0.0.1 (private)"),
        ("http://[::1]/", "refused: address: ::1 (loopback)"),
    ],
)
def test_hooks_that_point_where_they_may_not_are_refused(system, uri, reason):
    refused = system.run("hooks", "add", uri, "--account", "a")
    assert refused.returncode == 1
    assert reason in refused.stderr
    assert json.loads(system.run("hooks", "list", "--account", "a", "--json").stdout) == []


def test_a_name_that_is_not_known_is_a_warning(system):
    added = system.run("hooks", "add", "http://hooks.invalid/", "--account", "b", "--json")
    assert added.returncode == 0
    assert json.loads(added.stdout)["uri"] == "http://hooks.invalid/"
    assert "warning: hooks.invalid is not known at the moment" in added.stderr


def test_publish_takes_a_file_standard_input_and_lines(system, receiver, tmp_path):
    system.add_hook(f"{receiver.url}/a")
    file = tmp_path / "event.json"
    file.write_text(json.dumps(call_event(1)))
    assert "published 1 event" in system.run("publish", str(file)).stdout
    lines = "\n".join(json.dumps(call_event(n)) for n in (2, 3))
    published = system.run("publish", "--json", input=lines)
    assert json.loads(published.stdout) == {"published": 2, "unroutable": 0}
    receiver.wait_for(3)
    lost = system.run("publish", "--routing-key", "no.such.key", input="{}")
    assert "reached no queue" in lost.stdout


def test_publish_publishes_each_event_as_it_comes(system, receiver):
    system.add_hook(f"{receiver.url}/a")
    with subprocess.Popen(
        [sys.executable, "-m", "callboard.run_system", "publish", "--json"],
        env=system.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # A test run in the background may be told to ignore it.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    ) as process:
        for number in range(3):
            process.stdin.write(json.dumps(call_event(number)).encode() + b"\n")
            process.stdin.flush()
            receiver.wait_for(number + 1)
        process.send_signal(signal.SIGINT)
        published, _ = process.communicate(timeout=patient(20))
    assert process.returncode == 1
    assert json.loads(published)["published"] in (2, 3)  # the last may be unconfirmed yet


def test_publish_says_how_many_it_published_before_what_is_no_event(system):
    lines = f"{json.dumps(call_event(1))}\n[1]\n"
    refused = system.run("publish", input=lines)
    assert refused.returncode == 2
    assert "not 1; before it, 1 event published" in refused.stderr


@pytest.mark.parametrize(
    ("text", "says"),
    [("{", "line 1 is not JSON"), ("[1]", "JSON object"), ("{}", "--routing-key")],
)
def test_publish_refuses_what_is_no_event(system, text, says):
    refused = system.run("publish", input=text)
    assert refused.returncode == 2
    assert says in refused.stderr


def test_stop_ends_the_system_in_order(start):
    system = start()
    family = system.family()
    stopped = system.run("stop")
    assert (stopped.returncode, stopped.stdout.strip()) == (0, "stopped")
    assert system.process.wait(timeout=patient(10)) == 0
    assert family
    assert not system.left()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_with_exit_code_0(start, number):
    system = start()
    system.process.send_signal(number)
    assert system.process.wait(timeout=patient(30)) == 0
    assert not system.left()


def test_a_second_signal_stops_it_now(start, receiver):
    system = start(delivery__request_timeout_ms=60_000)
    system.add_hook(f"{receiver.url}/hang")
    system.publish([call_event(1)])
    receiver.wait_for(1)
    system.process.send_signal(signal.SIGTERM)
    system.wait(lambda: "draining" in system.tail())
    system.process.send_signal(signal.SIGTERM)
    assert system.process.wait(timeout=patient(15)) == 0
    assert not system.left()


def test_a_second_system_on_the_same_data_is_refused(system):
    refused = system.run("start")
    assert refused.returncode == 1
    assert str(system.process.pid) in refused.stderr


def test_a_command_does_not_wait_for_a_node_that_was_killed(start):
    system = start()
    client = system.client.client
    kill_all(system.family())
    system.process.wait(timeout=patient(10))
    began = time.monotonic()
    with pytest.raises(SystemLost, match="has ended"):
        client.ask_actor("redelivery", admin.ListDeadLetters(), admin.DeadLettersListed, 60.0)
    assert time.monotonic() - began < patient(5)


@pytest.mark.parametrize("descriptors", [16, 40])
def test_too_few_descriptors_are_named_as_the_cause_in_one_line(tmp_path, descriptors):
    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

    failed = subprocess.run(
        [sys.executable, "-m", "callboard.run_system", "start"],
        env=commands.environment(
            CALLBOARD_DATA_DIR=str(tmp_path / "data"), CALLBOARD_ACTORS_ADMIN_PORT=str(free_port())
        ),
        preexec_fn=limit,
        capture_output=True,
        encoding="utf-8",
        timeout=patient(60),
    )
    assert failed.returncode == 1
    error = failed.stderr.splitlines()[-1]
    assert error.startswith("error: the top supervisor")
    assert "Too many open files" in error
    assert error.endswith(
        f": raise the limit of open files, now {descriptors} (ulimit -n, LimitNOFILE)"
    )


def pids(system):
    tree = json.loads(system.run("tree", "--json").stdout)
    return {child["id"]: child["pid"] for child in tree["children"]}


def test_a_deleted_lock_file_ends_nobody_and_is_back_at_once(system):
    lock, before = system.settings.data.dir / "callboard.lock", pids(system)
    lock.unlink()
    refused = system.run("start")
    assert refused.returncode == 1
    assert "already" in refused.stderr
    system.wait(lambda: system.run("status").returncode == 0)
    assert lock.exists()
    assert pids(system) == before


def test_a_data_directory_that_is_moved_away_stops_the_system_with_the_reason(start):
    system = start()
    folder = system.settings.data.dir
    moved = folder.rename(folder.with_name("moved"))
    system.log = moved / system.log.name
    assert system.process.wait(timeout=patient(30)) == 2
    # An actor may have made a file in its place before the owner looked.
    assert re.search(
        rf"error: the data directory {folder} was (moved away|replaced by another): remove what is",
        system.tail(),
    )
    assert not system.left()


def test_attaching_takes_the_key(system):
    refused = system.run("status", CALLBOARD_ACTORS_KEY="x" * 64)
    assert refused.returncode == 1
    assert "does not accept this key" in refused.stderr


@pytest.mark.parametrize("command", ["status", "stop", "tree", "publish", "hooks list"])
def test_without_a_system_commands_fail_and_say_so(tmp_path, command):
    arguments = ["/dev/null"] if command == "publish" else []
    failed = run(*command.split(), *arguments, CALLBOARD_DATA_DIR=str(tmp_path))
    assert failed.returncode == 1
    assert "running" in failed.stdout + failed.stderr


def test_config_show_tells_values_and_origins_and_hides_secrets(tmp_path):
    file = tmp_path / "callboard.toml"
    file.write_text('[amqp]\nurl = "amqp://guest:sesame@broker/"\n')
    shown = run(
        *("config", "show", "--json", "--config", str(file), "--delivery-workers", "3"),
        CALLBOARD_LOG_LEVEL="warning",
    )
    values = json.loads(shown.stdout)
    assert "sesame" not in shown.stdout
    assert str(file) in values["amqp.url"]["origin"]
    assert values["delivery.workers"]["value"] == "3"
    assert "CALLBOARD_LOG_LEVEL" in values["log.level"]["origin"]
    assert values["amqp.prefetch"]["origin"] == "default"
    assert run("config", "show").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "environment", "says"),
    [
        (["--amqp-prefetch", "many"], {}, ["amqp.prefetch", "many"]),
        (
            [],
            {"CALLBOARD_AMQP_PREFETSH": "1"},
            ["CALLBOARD_AMQP_PREFETSH", "CALLBOARD_AMQP_PREFETCH?"],
        ),
        (["--config", "/no/such/file"], {}, ["/no/such/file"]),
        (["--no-such-option"], {}, ["--no-such-option"]),
    ],
)
def test_wrong_configuration_is_wrong_usage(arguments, environment, says):
    refused = run("config", "show", *arguments, **environment)
    assert refused.returncode == 2
    assert all(text in refused.stderr for text in says), refused.stderr


def test_help_and_version():
    assert "demo" in run("--help").stdout
    assert run("--version").stdout.startswith("callboard")
    assert run("frobnicate").returncode == 2
