"""What a hook adds to the payload, and what is sent along."""

import json
import re

import pytest

from support.kazoo import ACCOUNT, CLUSTER, TOP, call, change


def sent(cluster, body=None):
    (delivery,) = cluster.fire(call() if body is None else body)
    return json.loads(delivery.body)


@pytest.mark.parametrize(
    ("custom_data", "key", "wanted"),
    [
        pytest.param({"shop": "one"}, "shop", "one", id="it is added"),
        pytest.param({"call_id": "mine"}, "call_id", "mine", id="it overwrites"),
        pytest.param({"deep": {"a": 1}}, "deep", {"a": 1}, id="values of any kind"),
        pytest.param({"call_id": None}, "call_id", ..., id="a null removes the key"),
        pytest.param({"unknown": None}, "unknown", ..., id="a null of no key"),
        pytest.param({"type": "x"}, "type", ..., id="type is withheld from calls, too"),
        pytest.param({"action": "x"}, "action", ..., id="action is withheld"),
        pytest.param({"cluster_id": "mine"}, "cluster_id", CLUSTER, id="not over cluster_id"),
        pytest.param({"cluster_id": None}, "cluster_id", CLUSTER, id="nor is that removed"),
        pytest.param({}, "cluster_id", CLUSTER, id="cluster_id is in every payload"),
    ],
)
def test_custom_data_is_laid_over_the_payload(custom_data, key, wanted, cluster):
    cluster.hook(custom_data=custom_data)
    assert sent(cluster).get(key, ...) == wanted


def test_at_the_top_level_only(cluster):
    cluster.hook(custom_data={"custom_application_vars": {"mine": 1}})
    body = call(Custom_Application_Vars={"theirs": 1})
    assert sent(cluster, body)["custom_application_vars"] == {"mine": 1}


def test_type_and_action_of_the_event_stay(cluster):
    cluster.hook("object", custom_data={"type": "user", "action": "all"})
    payload = sent(cluster, change())
    assert (payload["type"], payload["action"]) == ("user", "doc_edited")


def test_cluster_id_comes_last(cluster):
    cluster.hook(custom_data={"z": "z"})
    assert list(sent(cluster))[-2:] == ["z", "cluster_id"]


def test_cluster_id_is_the_default_section_s(cluster):
    cluster.configure("cluster", "apps@one.example", cluster_id="node's own")
    cluster.hook()
    assert sent(cluster)["cluster_id"] == CLUSTER


def test_a_missing_cluster_id_is_made_up_and_stored(cluster):
    cluster.store.delete(
        "system_config", "cluster", cluster.put("system_config", {"_id": "cluster"})["_rev"]
    )
    cluster.directory.forget("system_config", "cluster")
    cluster.hook()
    made = sent(cluster)["cluster_id"]
    assert re.fullmatch("[0-9a-f]{32}", made)
    assert cluster.store.get("system_config", "cluster")["default"] == {"cluster_id": made}
    assert sent(cluster)["cluster_id"] == made


def test_every_hook_and_event_has_an_event_id_of_ten_hex_digits(cluster):
    cluster.hook()
    cluster.hook(account=TOP, include_subaccounts=True)
    firings = cluster.fire(call()) + cluster.fire(call())
    ids = {delivery.event_id for delivery in firings}
    assert len(ids) == 4
    assert all(re.fullmatch("[0-9a-f]{10}", id) for id in ids)


def test_the_event_id_is_not_sent(cluster):
    cluster.hook()
    (delivery,) = cluster.fire(call())
    headers = (value for _name, value in delivery.headers)
    told = [delivery.request_url, delivery.body.decode(), *headers]
    assert not any(delivery.event_id in text for text in told)


def test_one_hook_s_custom_data_is_not_another_s(cluster):
    cluster.hook(_id="a", custom_data={"shop": "one"})
    cluster.hook(_id="b")
    bodies = {one.hook_id: json.loads(one.body) for one in cluster.fire(call())}
    assert bodies["a"].pop("shop") == "one"
    assert bodies["a"] == bodies["b"]
    assert bodies["b"]["account_id"] == ACCOUNT
