"""The attempt log alone under a supervisor, in one process."""

import os

from callboard.actors.base.role import Setup
from callboard.actors.delivery.attempt_log import AttemptLog
from callboard.actors.messages import Attempts, AttemptsPersisted
from callboard.adapters.store import stores
from callboard.config.loader import load
from callboard.supervision import ChildSpec, Locate, Located, SupervisorSpec
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.history.attempts import attempt_database, attempt_document
from callboard.webhooks.retries.outcome import Response
from support.trees import SIMPLE, Tree

NOW = 1_700_000_000.0


def attempts(number):
    """An attempt as a deliverer hands it over, made anew each time."""
    delivery = Delivery("d", "e", "h", "acme", "all", "http://x/", "POST", "http://x/", (), b"")
    document = attempt_document(delivery, Response(500), 1, NOW, 100, number=number)
    return ((attempt_database(delivery, NOW), document),)


def test_an_attempt_that_is_handed_over_twice_is_one_record(tmp_path):
    overrides = {"data.dir": str(tmp_path), "log.level": "error"}
    settings = load(None, {"CALLBOARD_CONFIG": os.devnull}, overrides).settings
    child = ChildSpec("log", AttemptLog, Setup(settings))
    tree = Tree(SIMPLE, SupervisorSpec((child,), heartbeat_s=0.1))
    store = stores.connect("sqlite://", tmp_path)
    try:
        tree.wait(lambda found: found.at("log").status == "running")
        log = tree.ask(tree.top, Locate("log"), Located).peer.address
        for batch, number in enumerate((1, 2, 1)):
            tree.ask(log, Attempts(batch, attempts(number)), AttemptsPersisted)
        tree.wait(lambda found: found.at("log").stats.get("written") == 3)
        database = attempts(1)[0][0]
        found = [row.id for row in store.view(database, "webhooks/attempts_by_hook_listing")]
        assert sorted(found) == sorted(attempts(number)[0][1]["_id"] for number in (1, 2))
    finally:
        store.close()
        tree.close()
