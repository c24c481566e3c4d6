"""What waits for a hook follows it: exact counts of requests after the hook has changed."""

import json
import threading
import time

import pytest

from callboard.actors.messages import CancelDeliveries, EditHook, HookSaved, RemoveHook
from callboard.adapters.receiver.server import Answer
from support.running import ACCOUNT, call_event
from support.stores import first_store

pytestmark = pytest.mark.multiprocess

WAITING = 100
SETTINGS = {
    "delivery__retry_policy": "standard",
    "delivery__retry_steps_s": "3,3,3,3,3,3",
    "disabler__enabled": "false",
}


@pytest.fixture
def failing(start, receiver, tmp_path):
    """A hook whose first WAITING deliveries have failed once, and wait in the retry queue."""
    yield Failing(start(**SETTINGS), receiver, tmp_path)


class Failing:
    def __init__(self, system, receiver, tmp_path):
        self.system, self.receiver = system, receiver
        self.fails = True
        receiver.answer("/old", lambda _request: Answer(500 if self.fails else 200))
        self.id = system.add_hook(f"{receiver.url}/old", format="json")
        system.wait_hooks()
        system.publish(call_event(n) for n in range(WAITING))
        receiver.wait_for(WAITING)
        system.wait(lambda: self.stats("retry_queue")["kept"] == WAITING)

    def stats(self, actor):
        return self.system.node(f"deliveries/{actor}").stats

    def ask(self, message):
        self.system.client.ask_actor("hook_listener", message, HookSaved)

    def count(self, path="/old"):
        return sum(request.path == path for request in self.receiver.requests)

    def ended(self):
        """Wait until nothing waits any more."""
        self.system.wait(lambda: self.stats("retry_queue").get("settled", 0) >= WAITING, 30)

    def cancelled(self):
        deliverers = [n for n in self.system.tree().below() if "deliverer-" in n.path]
        return sum(n.stats.get("cancelled", 0) for n in deliverers)


def end(hook, store, name):
    if name == "deleted":
        hook.ask(RemoveHook(hook.id))
    elif name == "disabled":
        hook.ask(EditHook(hook.id, {"enabled": False}))
    else:
        hook.ask(CancelDeliveries(hook.id))


@pytest.mark.parametrize("name", ["deleted", "disabled", "cancelled"])
def test_nothing_is_sent_for_a_hook_that_is(failing, name):
    end(failing, None, name)
    failing.fails = False
    failing.ended()
    assert failing.count() == WAITING
    failing.system.wait(lambda: failing.cancelled() == WAITING)
