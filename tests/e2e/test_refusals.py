"""What is refused is not sent, and stands in the attempts with the reason."""

import pytest

from callboard.actors.messages import Published, PublishEvents
from callboard.actors.system.actor_system import RequestRefused
from callboard.webhooks.hooks.hook import new_hook
from support.attempts import recorded_attempts
from support.running import ACCOUNT, call_event
from support.stores import first_store

pytestmark = pytest.mark.multiprocess


@pytest.fixture
def store(tmp_path):
    """The embedded store of the first system that the test starts."""
    store = first_store(tmp_path)
    yield store
    store.close()


def test_refusals_are_recorded_and_harm_no_neighbour(store, start, receiver):
    # Stored by somebody else, as by Kazoo's own nodes, which have no such rules.
    uri = "http://169.254.169.254/latest/meta-data/"
    document = {"pvt_account_id": ACCOUNT, "name": "n", "uri": uri, "hook": "channel_create"}
    store.ensure_database("webhooks")
    store.save("webhooks", new_hook(document, 63867000000, "inside", "node"))
    system = start(delivery__max_payload=800)
    system.add_hook(f"{receiver.url}/good", format="json")
    large = system.add_hook(f"{receiver.url}/large", custom_data={"padding": "x" * 800})
    system.publish([call_event(1)])
    system.wait_settled(1)
    system.wait(lambda: system.node("deliveries/attempt_log").stats["written"] == 2)
    assert [request.path for request in receiver.wait_for(1)] == ["/good"]
    attempts = recorded_attempts(store, ACCOUNT)
    recorded = {a["hook_id"]: (a["result"], a["client_error"]) for a in attempts}
    assert recorded == {
        "inside": ("failure", "refused: address"),
        large: ("failure", "refused: payload"),
    }


@pytest.mark.parametrize("key", ["k" * 256, "\ud800"])
def test_what_no_broker_can_take_is_refused_and_ends_nothing(start, key):
    system = start()
    before = system.node("event_bridge")
    message = PublishEvents((("callevt", key, b"{}", "application/json"),))
    with pytest.raises(RequestRefused, match="the broker cannot take it"):
        system.client.ask_actor("event_bridge", message, Published, 30)
    after = system.node("event_bridge")
    assert (after.pid, after.restarts) == (before.pid, before.restarts)
