"""The callflow action's webhook: a hook that comes along with its event."""

import pytest

from callboard.webhooks.events.event import PoisonEvent
from support.kazoo import ACCOUNT, CLUSTER, STRANGER, message, pairs

HOOK = {
    "_id": "63930000123",
    "uri": "https://endpoint.example/flow",
    "hook": "notifications",
    "http_verb": "post",
    "retries": 3,
    "pvt_account_id": ACCOUNT,
}
DATA = {
    "Call-ID": "leg-1",
    "Caller-ID-Number": "1001",
    "Owner-ID": None,
    "Request": {"User-A": "x"},
}


def webhook(data=DATA, **hook):
    hook = {key: value for key, value in (HOOK | hook).items() if value is not None}
    return message("notification", "webhook", Hook=hook, Data=data, Timestamp=63_930_000_123)


def fire(cluster, body=None):
    (delivery,) = cluster.fire(webhook() if body is None else body)
    return delivery


def test_its_hook_fires_as_if_it_were_stored(cluster):
    delivery = fire(cluster)
    assert (delivery.hook_id, delivery.account_id) == ("63930000123", ACCOUNT)
    assert (delivery.uri, delivery.method, delivery.max_attempts) == (HOOK["uri"], "POST", 3)
    assert {"X-Hook-ID": "63930000123", "X-Account-ID": ACCOUNT}.items() <= (
        dict(delivery.headers).items()
    )


def test_it_sends_the_call_with_its_keys_normalised_and_nothing_of_the_message(cluster):
    assert pairs(fire(cluster)) == [
        ("call_id", "leg-1"),
        ("caller_id_number", "1001"),
        ("request[user_a]", "x"),
        ("cluster_id", CLUSTER),
    ]


def test_by_get_as_well(cluster):
    delivery = fire(cluster, webhook(http_verb="get"))
    assert delivery.method == "GET"
    assert delivery.request_url.startswith("https://endpoint.example/flow?call_id=leg-1&")


def test_custom_data_is_merged_but_for_type_and_action(cluster):
    custom_data = {"shop": "one", "call_id": "mine", "type": "x", "action": "y"}
    sent = dict(pairs(fire(cluster, webhook(custom_data=custom_data))))
    assert (sent["shop"], sent["call_id"]) == ("one", "mine")
    assert not {"type", "action"} & sent.keys()


@pytest.mark.parametrize("hook", ["notifications", "all"])
@pytest.mark.parametrize("custom_data", [None, {"type": "webhook"}, {"type": "all"}])
def test_no_other_hook_fires(hook, custom_data, cluster):
    cluster.hook(hook, custom_data=custom_data)
    assert cluster.fired(webhook()) == ["63930000123"]


def test_its_account_s_ancestors_and_its_existence_do_not_matter(cluster):
    assert cluster.fired(webhook(pvt_account_id=STRANGER)) == ["63930000123"]


@pytest.mark.parametrize(
    "hook",
    [
        pytest.param({"hook": "full_moon"}, id="the name must be a known one"),
        pytest.param({"uri": None}, id="without uri"),
        pytest.param({"pvt_account_id": None}, id="without account"),
    ],
)
def test_a_hook_that_makes_no_sense_fires_nothing(hook, cluster):
    with pytest.raises(PoisonEvent, match="Hook"):
        cluster.fire(webhook(**hook))


@pytest.mark.parametrize("header", ["Hook", "Data"])
def test_both_parts_are_required(header, cluster):
    body = webhook()
    del body[header]
    with pytest.raises(PoisonEvent, match=f"{header} is missing"):
        cluster.fire(body)
