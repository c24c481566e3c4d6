"""The same tree on simpleSystemBase: all actors in one process, driven by its owner."""

import json

from callboard.adapters.broker import brokers
from callboard.adapters.broker.protocol import (
    Confirmed,
    ConnectionUp,
    OutgoingMessage,
    Properties,
    Topology,
)
from callboard.adapters.store import stores
from callboard.adapters.store.views import WEBHOOKS
from callboard.webhooks.hooks.hook import new_hook
from support.running import ACCOUNT, call_event, outgoing


def test_events_are_delivered_and_it_stops_on_a_signal(start, receiver, tmp_path):
    data = tmp_path / "data0"
    data.mkdir()
    store = stores.connect("sqlite://", data)
    store.ensure_database("webhooks")
    store.ensure_views("webhooks", WEBHOOKS)
    store.ensure_database("accounts")
    store.save("accounts", {"_id": ACCOUNT, "pvt_type": "account", "pvt_tree": []})
    public = {"uri": f"{receiver.url}/a", "hook": "all", "name": "n", "pvt_account_id": ACCOUNT}
    store.save("webhooks", new_hook({**public, "format": "json"}, 0, "1" * 32, "node"))
    store.close()

    system = start(actors__base="simpleSystemBase")
    publisher = brokers.connect("memory://", Topology(), data)
    publisher.open()
    system.wait(lambda: any(isinstance(e, ConnectionUp) for e in publisher.poll()))
    for number in range(20):
        exchange, key, body, content_type = outgoing(call_event(number))
        publisher.publish(
            OutgoingMessage(exchange, key, body, Properties(content_type=content_type))
        )
    system.wait(lambda: any(isinstance(e, Confirmed) for e in publisher.poll()))
    publisher.close()

    requests = receiver.wait_for(20, timeout_s=20)
    assert {json.loads(r.body)["call_id"] for r in requests} == {
        f"call-{number}@switch" for number in range(20)
    }
    attached = system.run("status")
    assert attached.returncode == 1
    assert "simpleSystemBase" in attached.stderr
