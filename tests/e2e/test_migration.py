"""Hooks on modules of old are migrated while they are loaded, and fire."""

import pytest

from support.cluster import prepared
from support.running import ACCOUNT

pytestmark = [pytest.mark.multiprocess]

FAX = {
    "Event-Category": "notification",
    "App-Name": "fax",
    "App-Version": "4.0.0",
    "Msg-ID": "5f" * 16,
    "Account-ID": ACCOUNT,
    "Fax-ID": "202401-fax",
    "From-User": "15550100001",
    "From-Realm": "acme.example.com",
    "To-User": "15550100002",
    "To-Realm": "acme.example.com",
}


def test_a_fax_hook_becomes_two_that_fire(start, receiver, tmp_path):
    folder = tmp_path / "data0"
    folder.mkdir()
    store = prepared("sqlite://", folder)
    hook = {"pvt_type": "webhook", "pvt_account_id": ACCOUNT, "format": "json", "name": "fax"}
    old = hook | {"_id": "old", "uri": f"{receiver.url}/fax", "hook": "inbound_fax"}
    store.save("webhooks", old)
    system = start(kazoo__modules="*")
    system.wait(lambda: system.node("responders/notifications").stats.get("hooks") == 2)

    first = store.get("webhooks", "old")
    assert (first["hook"], first["type"]) == ("notifications", "inbound_fax")
    twin = store.get("webhooks", first["other_id"])
    assert (twin["type"], twin["other_id"]) == ("inbound_fax_error", "old")
    system.send(
        ("notifications", "notifications.fax.inbound", FAX | {"Event-Name": "inbound_fax"}),
        (
            "notifications",
            "notifications.fax.inbound_error",
            FAX | {"Event-Name": "inbound_fax_error"},
        ),
    )
    requests = receiver.wait_for(2)
    assert {request.headers["x-hook-id"] for request in requests} == {"old", twin["_id"]}
    store.close()
