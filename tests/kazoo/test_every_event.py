"""Every kind of Kazoo's events through the whole system, on a real RabbitMQ and CouchDB.

What is to come out was written down from the facts, not taken from the code.
"""

import couchdb
import pytest

from kazoo.calls import (
    ANSWER,
    BRIDGE,
    CREATE,
    CREATED,
    DESTROY,
    LOOPBACK,
    NAMED_LOOPBACK,
    OF_PARENT,
    event,
)
from kazoo.calls_without_account import CALLS
from kazoo.cluster import CHILD, CLUSTER, DOCUMENTS, MASTER, NUMBERED, Publisher, prepare
from kazoo.hooks import HOOKS, SLEEPING, hook
from kazoo.nothing import FOR_NOBODY
from kazoo.notifications import NOTIFICATIONS
from kazoo.others import CHANGES, MMS, PARKING, SMS, callflow_webhook
from kazoo.requests_expected import (
    FORM,
    JSON,
    Expected,
    differences,
    form_bytes,
    json_bytes,
    query,
    seen,
)

pytestmark = [pytest.mark.rabbitmq, pytest.mark.couchdb, pytest.mark.multiprocess]

_CALLFLOW_DATA = {"Call-ID": "cf.1", "To-User": "1001", "Owner-ID": None, "Nested": {"A-B": [1]}}


def callflow(url):
    """A callflow's own webhooks: the messages, and the requests."""
    posting = {
        "_id": "63931219400",
        "uri": f"{url}/callflow-post",
        "http_verb": "post",
        "retries": 3,
        "custom_data": {"campaign": "spring", "type": "withheld"},
    }
    getting = {"_id": "63931219401", "uri": f"{url}/callflow-get", "http_verb": "get"}
    data = "call_id=cf.1&to_user=1001&nested[a_b][]=1"
    return [callflow_webhook(posting, _CALLFLOW_DATA), callflow_webhook(getting, _CALLFLOW_DATA)], [
        Expected(
            "/callflow-post",
            "POST",
            FORM,
            "63931219400",
            CHILD,
            form_bytes(f"{data}&campaign=spring&cluster_id={CLUSTER}"),
        ),
        Expected(
            "/callflow-get",
            "GET",
            None,
            "63931219401",
            CHILD,
            form_bytes(query(f"{data}&cluster_id={CLUSTER}")),
        ),
    ]


@pytest.fixture
def publish(amqp_url):
    publisher = Publisher(amqp_url)
    yield publisher.publish
    publisher.close()


def loaded(system, hooks):
    """Every responder has its hooks; each has some, as there are hooks on `all`."""
    tree = system.tree()
    responders = tree.at("responders").children
    return tree.at("hook_table").stats.get("hooks") == hooks and all(
        responder.stats.get("hooks") for responder in responders
    )


def settled(system, messages):
    """All of the messages that are bound are acknowledged, so all their deliveries are made."""
    stats = system.node("event_bridge").stats
    bound = sum(message.bound for message in messages)
    return stats.get("acknowledged", 0) >= bound and stats.get("in_hand") == 0


def test_every_event_kind_makes_the_requests_that_kazoo_would(
    start, amqp_url, couchdb_url, publish, receiver
):
    documents = [hook.document(receiver.url) for hook in HOOKS + SLEEPING]
    prepare(couchdb_url, {**DOCUMENTS, "webhooks": documents})
    system = start(kazoo__modules="*", amqp__url=amqp_url, couchdb__url=couchdb_url)
    system.wait(lambda: loaded(system, len(HOOKS)), what="all hooks loaded")

    callflow_messages, callflow_requests = callflow(receiver.url)
    messages = [
        *(CREATE, OF_PARENT, LOOPBACK, NAMED_LOOPBACK, ANSWER, BRIDGE, DESTROY),
        *(message for message, _payload in CALLS + PARKING + CHANGES),
        *(SMS, MMS),
        *(one.message for one in NOTIFICATIONS),
        *callflow_messages,
        *FOR_NOBODY,
    ]
    for message in messages:
        publish(message)
    system.wait(lambda: settled(system, messages), 30, "all messages settled")

    requests = receiver.requests
    wanted = [request for hook in HOOKS for request in hook.expected()] + callflow_requests
    wrong = differences(map(seen, requests), wanted)
    assert not wrong, "\n".join(wrong)
    assert len({request.headers["webhook-id"] for request in requests}) == len(requests)


def test_a_cluster_without_settings(start, amqp_url, couchdb_url, publish, receiver):
    """No reserved keys: no variables are sent. No cluster id: one is made up, and stored."""
    hooks = [
        hook("call", "channel_create"),
        hook("number", "channel_create", account=NUMBERED),
        hook("anything", "all", account=CHILD, http_verb="get"),
    ]
    kept = {name: DOCUMENTS[name] for name in ("accounts",)}
    number = {"_id": "+5557654321", "pvt_assigned_to": NUMBERED, "pvt_state": "in_service"}
    stepswitch = {
        "_id": "stepswitch",
        "default": {"inbound_user_field": "To", "assume_inbound_e164": True},
    }
    settings = [DOCUMENTS["system_config"][0], stepswitch]
    prepare(
        couchdb_url,
        {
            **kept,
            "numbers/+5557": [number],
            "system_config": settings,
            "webhooks": [one.document(receiver.url) for one in hooks],
        },
    )
    system = start(kazoo__modules="*", amqp__url=amqp_url, couchdb__url=couchdb_url)
    system.wait(lambda: loaded(system, len(hooks)), what="all hooks loaded")
    by_number = event(
        "CHANNEL_CREATE", "n", Call_ID="n", Request="1@x.example", To="5557654321@x.example"
    )
    publish(CREATE)
    publish(by_number)
    receiver.wait_for(3)
    system.wait(lambda: settled(system, [CREATE, by_number]))

    cluster = couchdb.Server(couchdb_url)["system_config"]["cluster"]["default"]["cluster_id"]
    assert len(cluster) == 32
    assert int(cluster, 16)
    created = {**CREATED, "cluster_id": cluster}
    del created["custom_channel_vars"]
    by_path = {request.path: seen(request) for request in receiver.requests}
    assert by_path["/call"].content == json_bytes(created)
    assert by_path["/call"].content_type == JSON
    assert by_path["/number"].content == json_bytes(
        {
            "account_id": NUMBERED,
            "call_id": "n",
            "emergency_resource_used": False,
            "is_internal_leg": False,
            "local_resource_used": True,
            "reseller_id": MASTER,
            "request": "1@x.example",
            "to": "5557654321@x.example",
            "hook_event": "channel_create",
            "cluster_id": cluster,
        }
    )
    assert len(receiver.requests) == 3
