"""The processes of a system, and what they do not share: each has a price in memory."""

import json
import os
import signal
import subprocess
import sys

import pytest

from callboard.actors.system.tree import tree
from callboard.config import ModuleSettings, Settings
from callboard.config.settings import ApiSettings, DeliverySettings, KazooSettings
from callboard.supervision import SupervisorSpec
from services import free_port

WITHOUT_CHILDREN = 4
"""The owner, Thespian's admin and logger, and the top supervisor."""

MODULES = """
[kazoo]
modules = []

[[modules]]
id = "order_paid"
exchange = "shop"
bindings = ["order.*.paid"]
account = "customer"
"""

RUN = """
import json, os, sys
from pathlib import Path
from callboard.run_system import main
from callboard.supervision.actor import SupervisedActor

shared = set()
os.register_at_fork(before=lambda: shared or shared.update(sys.modules))
handle = SupervisedActor.receiveMessage

def handled(self, message, sender):
    result = handle(self, message, sender)
    if type(message).__name__ in ("Start", "WakeupMessage") and self.path:
        own = sorted(set(sys.modules) - shared)
        Path(sys.argv[1], self.path.replace("/", ".")).write_text(json.dumps(own))
    return result

SupervisedActor.receiveMessage = handled
sys.exit(main(["start"]))
"""


def shop(**settings):
    modules = (
        ModuleSettings(id="order_paid", exchange="shop", bindings=("#",), account_id="a"),
        ModuleSettings(id="parcel_sent", exchange="shop", bindings=("#",), account_id="a"),
    )
    delivery = DeliverySettings(workers=2)
    kazoo = KazooSettings(modules=())
    return Settings(modules=modules, kazoo=kazoo, delivery=delivery, **settings)


def children(spec: SupervisorSpec) -> list[str]:
    """The ids of all children that stay, supervisors included."""
    found = []
    for child in spec.children:
        if child.id != "initializer":  # It ends when the system is ready.
            found.append(child.id)
        if isinstance(child.args, SupervisorSpec):
            found += children(child.args)
    return found


@pytest.mark.parametrize(("api", "most"), [(True, 22), (False, 21)])
def test_the_processes_of_a_shop(api, most):
    spec = tree(shop(api=ApiSettings(enabled=api)))
    assert ("api" in children(spec)) == api
    assert len(children(spec)) + WITHOUT_CHILDREN <= most


@pytest.mark.multiprocess
def test_actors_import_nothing_after_the_fork(tmp_path):
    """Else each of them has it in memory of its own. Only the API's process may: its thread
    imports the libraries of the web."""
    seen, config = tmp_path / "seen", tmp_path / "callboard.toml"
    seen.mkdir()
    config.write_text(MODULES)
    variables = {
        "CALLBOARD_CONFIG": str(config),
        "CALLBOARD_DATA_DIR": str(tmp_path / "data"),
        "CALLBOARD_ACTORS_ADMIN_PORT": str(free_port()),
        "CALLBOARD_ACTORS_HEARTBEAT_MS": "200",
        "CALLBOARD_API_PORT": "0",
        "CALLBOARD_DELIVERY_WORKERS": "1",
    }
    owner = subprocess.Popen(
        [sys.executable, "-c", RUN, str(seen)],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert "ready" in owner.stdout.readline()
    finally:
        owner.send_signal(signal.SIGTERM)
        owner.communicate(timeout=60)
    own = {path.name: json.loads(path.read_text()) for path in seen.iterdir()}
    assert own.keys() >= {"event_bridge", "responders.order_paid", "deliveries.deliverer-1", "api"}
    del own["api"]
    assert {name: modules for name, modules in own.items() if modules} == {}
