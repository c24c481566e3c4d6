"""The API of a real system: what is changed through it takes effect, and it survives."""

import json
import socket

import pytest
import requests

from services import free_port
from support.patience import patient
from support.running import ACCOUNT, call_event

pytestmark = pytest.mark.multiprocess


def place(system):
    return json.loads(system.settings.api_place_file.read_text())


class Client:
    """Calls the API of a running system as its admin."""

    def __init__(self, system):
        system.wait(system.settings.api_place_file.exists, what="the API")
        self.url = place(system)["url"]
        self.token = system.settings.api_token_file.read_text().strip()

    def call(self, method, path, data=None, token=None):
        return requests.request(
            method,
            self.url + path,
            json=None if data is None else {"data": data},
            headers={"X-Auth-Token": token or self.token},
            timeout=patient(20),
        )


def test_a_hook_made_by_http_fires_and_the_server_comes_back(start, receiver):
    port = free_port()
    system = start(api__enabled="true", api__port=port)
    api = Client(system)
    assert place(system)["port"] == port
    assert system.settings.api_token_file.stat().st_mode & 0o777 == 0o600

    hooks = f"/v2/accounts/{ACCOUNT}/webhooks"
    hook = {"name": "n", "uri": f"{receiver.url}/a", "hook": "channel_create", "format": "json"}
    made = api.call("PUT", hooks, hook)
    assert made.status_code == 201, made.text
    system.publish([call_event(1)])
    assert json.loads(receiver.wait_for(1)[0].body)["call_id"] == "call-1@switch"

    system.kill("api")
    system.wait(lambda: system.node("api").stats.get("port") == port, what="the port")
    id = made.json()["data"]["id"]
    moved = api.call("PATCH", f"{hooks}/{id}", {"uri": f"{receiver.url}/b"})
    assert moved.status_code == 200, moved.text
    system.publish([call_event(2)])
    assert [r.path for r in receiver.wait_for(2)] == ["/a", "/b"]

    enabled = api.call("PATCH", hooks, {"re-enable": True})
    assert enabled.json()["data"] == "hooks updated", enabled.text

    account = system.run("tokens", "add", "--account", ACCOUNT, "--name", "portal", "--json")
    token = json.loads(account.stdout)["token"]
    assert api.call("GET", f"{hooks}/{id}", token=token).status_code == 200
    assert api.call("GET", f"/v2/accounts/{'f' * 32}/webhooks", token=token).status_code == 403


def test_what_keeps_it_from_listening_is_shown_and_tried_again(start, tmp_path):
    def wait_for_problem(text):
        system.wait(lambda: text in system.node("api").stats.get("problem", ""), what=text)

    (tmp_path / "data0").mkdir()
    token = tmp_path / "data0" / "api.token"
    token.write_text("short\n")
    token.chmod(0o644)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        system = start(api__enabled="true", api__port=port)
        wait_for_problem("api.token is open to other users (mode 644): chmod 600 it")
        token.chmod(0o600)
        wait_for_problem("api.token holds no token")
        system.settings.api_token_file.unlink()
        wait_for_problem(f"port {port} of 127.0.0.1: another program has it")
    system.wait(lambda: system.node("api").stats.get("port") == port, what="the port")
    assert system.node("api").restarts == 0
    assert "problem" not in system.node("api").stats
    assert "api_cannot_listen" in system.log.read_text()
