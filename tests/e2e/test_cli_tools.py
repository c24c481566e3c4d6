"""`listen`, `doctor` and `status --wait` beside a running system."""

import json
import os
import re

import pytest

from support import commands
from support.running import ACCOUNT, RunningSystem, call_event

pytestmark = pytest.mark.multiprocess


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    system = RunningSystem(tmp_path_factory.mktemp("cli-tools") / "data")
    yield system
    system.close()


def findings(system, *arguments, **environment):
    ran = system.run("doctor", "--json", *arguments, **environment)
    return ran.returncode, {finding["name"]: finding for finding in json.loads(ran.stdout)}


def wait_ready(system):
    system.wait(lambda: system.run("health").returncode == 0, timeout_s=30, what="readiness")


def test_the_wait_ends_when_hooks_are_loaded(system):
    waited = system.run("status", "--wait", "60", "--json")
    assert waited.returncode == 0, waited.stderr
    status = json.loads(waited.stdout)
    assert status["whole"]
    assert status["actors"]["hook_table"]["loaded"]


def test_the_wait_for_nobody_ends_too(system, tmp_path):
    waited = system.run("status", "--wait", "0.1", CALLBOARD_DATA_DIR=str(tmp_path))
    assert waited.returncode == 1
    assert "not ready within 0.1 s: no system is running" in waited.stderr


def test_the_doctor_finds_a_running_system_well(system):
    wait_ready(system)
    code, found = findings(system)
    assert code == 0, [one for one in found.values() if one["result"] == "problem"]
    assert "tree whole" in found["system"]["what"]
    assert found["version"]["result"] == found["settings"]["result"] == "ok"
    assert "in use" in found[f"port {system.settings.actors.admin_port}"]["what"]


def test_the_doctor_tells_a_wrong_key_and_other_settings(system):
    wait_ready(system)
    code, found = findings(system, CALLBOARD_ACTORS_KEY="x" * 64)
    assert code == 1
    assert "does not accept this key" in found["system"]["what"]
    code, found = findings(system, "--delivery-threads", "7")
    assert code == 0
    assert "delivery" in found["settings"]["what"]


def test_a_signed_webhook_is_seen_by_a_listener(system, tmp_path):
    """What a newcomer does: listen, add a hook, give it a secret, publish."""
    account = ACCOUNT[::-1]
    listening = ("listen", "--port", "0", "--count", "2", "--first-fail", "1", "--close")
    unbuffered = system.environment | {"PYTHONUNBUFFERED": "1"}
    with commands.Command(unbuffered, *listening) as listener:
        url = re.search(r"http://\S+", listener.stdout.readline())[0]
        added = system.run("hooks", "add", url, "--account", account, "--event", "channel_create")
        assert added.returncode == 0, added.stderr
        hook = added.stdout.split()[-1]
        made = system.run("hooks", "secret", "new", hook, "--json")
        secret = json.loads(made.stdout)["secret"]
        assert secret.startswith("whsec_")
        event = tmp_path / "event.json"
        event.write_text(json.dumps(call_event("listened", account=account)))
        assert system.run("publish", os.fspath(event)).returncode == 0
        shown = listener.stdout.read()  # until it ends, by --count
    assert "answered close" in shown
    assert "answered 200  attempt 2" in shown
    assert "webhook-signature: v1," in shown
    assert "2 requests, 1 delivery by webhook-id, 1 answered well, 0 repeats" in shown
