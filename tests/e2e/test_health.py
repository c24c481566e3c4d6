"""Readiness as a user reads it, while what it depends on is taken away."""

import json
import os
import signal
import time
import urllib.error
import urllib.request

import pytest

from services import free_port
from support.hooks import prepared_store, save_account
from support.metrics import metrics
from support.patience import patient
from support.running import ACCOUNT, call_event

pytestmark = [pytest.mark.multiprocess, pytest.mark.couchdb]

WITHIN_S = 30
RESPONDER = "responders/channel_create"


@pytest.fixture
def system(start, couchdb_url, tmp_path):
    store = prepared_store(couchdb_url, tmp_path)
    save_account(store, ACCOUNT)
    store.close()
    # The supervisor would replace a frozen actor, and so mend what is to be seen.
    return start(
        couchdb__url=couchdb_url,
        couchdb__timeout_ms=1000,
        actors__hang_timeout_ms=int(patient(300_000)),
        delivery__workers=1,
        api__enabled=True,
        api__port=free_port(),
    )


def readyz(system):
    url = f"http://127.0.0.1:{system.settings.api.port}/readyz"
    try:
        with urllib.request.urlopen(url, timeout=patient(5)) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
    except urllib.error.URLError:  # The API begins to listen after the tree is ready.
        return 0, {}


def ready(system):
    return readyz(system) == (200, {"ready": True, "problems": [], "details": [], "degraded": []})


def unready(system, kind, what, since):
    """Wait until it is not ready for this reason; all ways to ask agree."""

    def details():
        status, found = readyz(system)
        return status == 503 and [one for one in found["details"] if one["kind"] == kind]

    [detail] = system.wait(details, WITHIN_S, what)
    assert what in detail["what"]
    began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(since - 1))
    assert detail["since"] >= began
    for command in ("health", "status", "doctor"):
        shown = " ".join(system.run(command).stdout.split())
        assert f"{detail['what']} (since {detail['since']})" in shown, command
    assert json.loads(system.run("status", "--json").stdout)["ready"] is False
    system.wait(lambda: metrics(system)["ready",] == 0)
    assert metrics(system)["not_ready_seconds", kind] <= time.time() - since + 1


def test_each_thing_that_is_taken_away_is_told_and_its_return(system, receiver, couchdb_server):
    system.wait(lambda: ready(system), WITHIN_S, "readiness")
    system.add_hook(f"{receiver.url}/hook", format="json")
    system.wait(lambda: system.node(RESPONDER).stats.get("hooks") == 1)

    began, responder = time.time(), system.node(RESPONDER).pid
    os.kill(responder, signal.SIGSTOP)
    system.publish([call_event(1)])
    unready(system, "stalled", "event_bridge makes no progress with what it holds", began)
    os.kill(responder, signal.SIGCONT)
    receiver.wait_for(1)
    system.wait(lambda: ready(system), WITHIN_S, "readiness")

    began = time.time()
    listener = system.node("hook_listener").pid
    os.kill(listener, signal.SIGSTOP)
    os.kill(system.node("hook_table").pid, signal.SIGKILL)
    unready(system, "hooks", "hooks are not loaded in hook_table", began)
    os.kill(listener, signal.SIGCONT)
    system.wait(lambda: ready(system), WITHIN_S, "readiness")

    began = time.time()
    couchdb_server.stop()
    try:
        unready(system, "store", "the store is down", began)
    finally:
        couchdb_server.start()
    system.wait(lambda: ready(system), WITHIN_S, "readiness")

    began = time.time()
    for _incarnation in range(3):
        pid = system.node("maintenance").pid
        os.kill(pid, signal.SIGKILL)
        system.wait(lambda killed=pid: system.node("maintenance").pid not in (killed, None))
    unready(system, "restarts", "maintenance was restarted 3 times within 60 s", began)
