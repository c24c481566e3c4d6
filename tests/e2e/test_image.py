"""The image CALLBOARD_TEST_IMAGE, in containers as deploy/compose.yaml makes them: `make image`."""

import json
import os
import subprocess
import tarfile
import time
from pathlib import Path
from uuid import uuid4

import pytest
import yaml

from callboard.config.time_limits import STOP_S
from services import free_port
from support.building import PROJECT
from support.cluster import prepared
from support.patience import patient
from support.running import ACCOUNT, call_event

IMAGE = os.environ.get("CALLBOARD_TEST_IMAGE", "")
ENGINE = os.environ.get("CALLBOARD_TEST_ENGINE", "docker")
SERVICE = yaml.safe_load((PROJECT / "deploy" / "compose.yaml").read_text())["services"]["callboard"]

pytestmark = [
    pytest.mark.skipif(not IMAGE, reason="CALLBOARD_TEST_IMAGE names no image"),
    pytest.mark.multiprocess,
    pytest.mark.slow,
    pytest.mark.timeout(300),
]

ADD = ("callboard", "hooks", "add")
HAS_CURL = ("-c", "import pycurl")
HAS_WHAT_PYTHON_NEEDS = """
import ssl, sys, zoneinfo
assert sys.getfilesystemencoding() == sys.stdout.encoding == "utf-8"
assert ssl.create_default_context().get_ca_certs()
assert zoneinfo.ZoneInfo("Europe/Vienna")
"""


def call(*arguments, input=""):
    """Run a command of the engine."""
    return subprocess.run(
        [ENGINE, *arguments], input=input, capture_output=True, text=True, timeout=patient(120)
    )


def engine(*arguments, input=""):
    """What a command of the engine prints; it must succeed."""
    ended = call(*arguments, input=input)
    assert ended.returncode == 0, (arguments, ended.stdout, ended.stderr)
    return ended.stdout


def confined():
    """The options that deploy/compose.yaml gives its container."""
    assert SERVICE["read_only"]
    yield "--read-only"
    if ENGINE == "podman":
        yield "--read-only-tmpfs=false"  # As Docker: only what `tmpfs` names can be written.
    for option in ("tmpfs", "cap_drop", "security_opt"):
        for value in SERVICE[option]:
            yield f"--{option.replace('_', '-')}={value}"


class Container:
    """A running container of the image on the machine's own network; removed by `close`."""

    def __init__(self, **settings):
        self.name = f"callboard-test-{uuid4().hex[:12]}"
        usual = {
            "actors_admin_port": free_port(),
            "api_port": free_port(),
            "delivery_allow_networks": "127.0.0.0/8",
            "delivery_workers": 2,
            "kazoo_modules": "channel_create",
        }
        variables = [
            f"--env=CALLBOARD_{key}={value}".replace(key, key.upper(), 1)
            for key, value in (usual | settings).items()
        ]
        volume = f"--volume={self.name}:/var/lib/callboard"
        engine(
            *("run", "--detach", "--network=host", "--name", self.name, volume),
            *(*confined(), *variables, IMAGE),
        )

    def run(self, *command, input=""):
        """Run a command within."""
        return engine("exec", "--interactive", self.name, *command, input=input)

    def wait(self):
        """Wait until it is complete and its hooks are loaded."""
        give_up = time.monotonic() + patient(60)
        asked = ("exec", self.name, "callboard", "status", "--wait", "10")
        while (said := call(*asked)).returncode:
            assert time.monotonic() < give_up, (said, call("logs", self.name))

    def actors(self):
        """The nodes of its tree, by their paths."""
        found, below = {}, [json.loads(self.run("callboard", "tree", "--json"))]
        while below:
            node = below.pop()
            found[node["path"]] = node
            below += node["children"]
        return found

    def kill(self, path):
        """Kill an actor (kill -9)."""
        pid = self.actors()[path]["pid"]
        self.run("python", "-c", f"import os; os.kill({pid}, 9)")

    def inspect(self):
        return json.loads(engine("container", "inspect", self.name))[0]

    def close(self):
        engine("rm", "--force", "--volumes", self.name)
        engine("volume", "rm", "--force", self.name)


@pytest.fixture
def contain():
    """contain(**settings) -> Container; removed with the test."""
    made = []

    def contain(**settings):
        made.append(Container(**settings))
        return made[-1]

    yield contain
    for container in made:
        container.close()


@pytest.fixture(scope="module")
def files():
    """The files of the image."""
    name = engine("create", IMAGE).strip()
    try:
        with (
            subprocess.Popen([ENGINE, "export", name], stdout=subprocess.PIPE) as export,
            tarfile.open(fileobj=export.stdout, mode="r|") as archive,
        ):
            yield {member.name.removeprefix("./"): member for member in archive}
    finally:
        engine("rm", "--volumes", name)


def test_it_is_small_and_has_only_what_runs(files):
    assert sum(member.size for member in files.values()) < 150e6
    programs = {Path(name).name for name in files if Path(name).parent.name in {"bin", "sbin"}}
    assert programs >= {"callboard", "python3", "tini"}
    assert not programs & {"sh", "bash", "dash", "apt", "apt-get", "dpkg", "perl", "pip", "gcc"}
    assert not [member for member in files.values() if member.isfile() and member.mode & 0o6000]
    data = files["var/lib/callboard"]
    assert (data.uid, data.gid, data.mode & 0o777) == (10001, 10001, 0o700)
    assert "var/lib/dpkg/status.d/libssl3t64" in files
    assert "usr/share/doc/libssl3t64/copyright" in files


@pytest.mark.parametrize("transport", ["requests", "curl"])
@pytest.mark.parametrize(
    "servers",
    ["embedded", pytest.param("real", marks=[pytest.mark.rabbitmq, pytest.mark.couchdb])],
)
def test_events_become_requests_though_processes_are_killed(
    contain, receiver, request, tmp_path, servers, transport
):
    settings = {"delivery_transport": transport}
    if servers == "real":
        settings |= {url: request.getfixturevalue(url) for url in ("amqp_url", "couchdb_url")}
        prepared(settings["couchdb_url"], tmp_path).close()
    if (
        transport == "curl"
        and call("run", "--rm", "--entrypoint=python", IMAGE, *HAS_CURL).returncode
    ):
        pytest.skip("the image was built without requirements-async.lock")
    container = contain(**settings)
    container.wait()
    container.run(*ADD, "--account", ACCOUNT, "--event", "channel_create", receiver.url)
    killed = ["deliveries/deliverer-1", "event_bridge"]
    for first in (0, 100):
        events = [call_event(number) for number in range(first, first + 100)]
        container.run("callboard", "publish", input=json.dumps(events))
        if first == 0:
            for path in killed:
                container.kill(path)
            container.wait()
    wanted = {f"call-{number}@switch" for number in range(200)}
    receiver.wait_for(lambda got: {json.loads(r.body)["call_id"] for r in got} >= wanted, 60)
    actors = container.actors()
    assert [actors[path]["restarts"] for path in killed] == [1, 1]

    kind, *check = container.inspect()["Config"]["Healthcheck"]["Test"]
    assert kind == "CMD"
    container.run(*check)
    container.run("callboard", "doctor")
    container.run("callboard", "listen", "--help")
    container.run("python", "-c", HAS_WHAT_PYTHON_NEEDS)
    began = time.monotonic()
    engine("stop", "-t", SERVICE["stop_grace_period"].removesuffix("s"), container.name)
    assert time.monotonic() - began < patient(STOP_S)
    state = container.inspect()["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 0)
