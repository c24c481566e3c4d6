"""A session with plain curl, as an operator of Kazoo has it: each answer as Crossbar's."""

import json
import re
import shutil
import subprocess

import pytest

from callboard.adapters.receiver.server import Answer
from callboard.adapters.store import stores
from support.running import ACCOUNT, call_event

pytestmark = [
    pytest.mark.multiprocess,
    pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl"),
]

HOOKS = f"/v2/accounts/{ACCOUNT}/webhooks"


@pytest.fixture
def system(tmp_path, start):
    """With eager limits, so that a hook that fails is disabled soon."""
    folder = tmp_path / "data0"
    folder.mkdir()
    store = stores.connect("sqlite://", folder)
    store.ensure_database("system_config")
    limits = {"attempt_failure_count": 3, "attempt_failure_expiry_ms": 8000}
    store.save("system_config", {"_id": "webhooks", "default": limits})
    store.close()
    system = start(api__enabled="true", api__port=0)
    system.wait(system.settings.api_place_file.exists, what="the API")
    return system


@pytest.fixture
def curl(system):
    """curl(method, path, data) -> (HTTP status, answer)."""
    url = json.loads(system.settings.api_place_file.read_text())["url"]
    token = system.settings.api_token_file.read_text().strip()

    def curl(method, path, data=None):
        body = [] if data is None else ["-d", json.dumps({"data": data})]
        command = ["curl", "-s", "-m", "30", "-X", method, url + path, *body]
        command += ["-H", f"X-Auth-Token: {token}", "-w", "\n%{http_code}"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        answer, _line, status = said.rpartition("\n")
        return int(status), json.loads(answer)

    return curl


def test_a_hook_is_created_listed_patched_broken_enabled_and_deleted(system, curl, receiver):
    hook = {"name": "calls", "uri": f"{receiver.url}/ok", "hook": "channel_create"}
    status, refused = curl("PUT", HOOKS, {"name": "calls"})
    assert (status, refused["error"], refused["message"]) == (400, "400", "validation error")
    assert refused["data"].keys() == {"hook", "uri"}

    status, made = curl("PUT", HOOKS, hook)
    id = made["data"]["id"]
    assert (status, made["status"]) == (201, "success")
    status, listed = curl("GET", HOOKS)
    assert (status, listed["data"]) == (200, [hook | {"id": id, "enabled": True}])

    status, patched = curl("PATCH", f"{HOOKS}/{id}", {"uri": f"{receiver.url}/status/500"})
    assert (status, patched["data"]["uri"]) == (200, f"{receiver.url}/status/500")
    assert patched["revision"].startswith("2-")
    for number in range(3):  # failures of one millisecond count as one
        system.publish([call_event(number)])
        receiver.wait_for(number + 1)
    system.wait(
        lambda: curl("GET", f"{HOOKS}/{id}")[1]["data"].get("disable_reason"), what="the disabler"
    )
    status, shown = curl("GET", f"{HOOKS}/{id}")
    assert shown["data"]["disable_reason"] == "too many failed attempts"
    assert shown["data"]["enabled"] is False

    def attempts():
        return curl("GET", f"{HOOKS}/{id}/attempts?filter_resp_status_code=500")[1]["data"]

    system.wait(lambda: len(attempts()) == 3, what="the attempts")
    assert {a["result"] for a in attempts()} == {"failure"}
    assert {a["reason"] for a in attempts()} == {"bad response code"}
    # Otherwise than Kazoo: what can be sent again has a name.
    assert re.fullmatch(r"\d{6}/[0-9a-f]{32}", attempts()[0]["id"])

    receiver.answer("/status/500", Answer(200))
    assert curl("PATCH", HOOKS, {"re-enable": False})[0] == 400
    status, enabled = curl("PATCH", HOOKS, {"re-enable": True})
    assert (status, enabled["data"]) == (200, "hooks updated")
    status, shown = curl("GET", f"{HOOKS}/{id}")
    assert shown["data"]["enabled"] is True
    assert "disable_reason" not in shown["data"]
    system.wait(
        lambda: system.node("responders/channel_create").stats.get("hooks") == 1,
        what="the hook in effect",
    )
    system.publish([call_event(9)])
    receiver.wait_for(4)

    status, deleted = curl("DELETE", f"{HOOKS}/{id}")
    assert (status, deleted["data"]["_read_only"]) == (200, {"deleted": True})
    status, gone = curl("GET", f"{HOOKS}/{id}")
    assert (status, gone["message"], gone["data"]["cause"]) == (404, "bad_identifier", id)
    assert curl("GET", HOOKS)[1]["data"] == []
