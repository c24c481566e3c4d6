"""Which hooks an event fires: their names, their accounts, their order."""

import pytest

from support.kazoo import ACCOUNT, RESELLER, STRANGER, TOP, call, change, message

LOW = message("notification", "low_balance", Account_ID=ACCOUNT, Current_Balance=1)
SMS = message("sms", "inbound", Message_ID="1", Body="b", From="1", To="2", Account_ID=ACCOUNT)

EVENTS = {
    "channel_create": call("CHANNEL_CREATE"),
    "channel_answer": call("CHANNEL_ANSWER"),
    "channel_bridge": call("CHANNEL_BRIDGE"),
    "channel_destroy": call("CHANNEL_DESTROY"),
    "parking": call("PARK_PARKED"),
    "object": change(),
    "notifications": LOW,
    "sms": SMS,
    "mms": SMS | {"Event-Category": "mms"},
}


@pytest.mark.parametrize("name", EVENTS)
def test_a_hook_fires_for_the_event_it_names_and_for_no_other(name, cluster):
    id = cluster.hook(name)
    assert {event: cluster.fired(body) for event, body in EVENTS.items()} == {
        event: [id] if event == name else [] for event in EVENTS
    }


@pytest.mark.parametrize(
    ("written", "event"),
    [
        pytest.param("channel_create", "CHANNEL_CREATE", id="channel events become upper case"),
        pytest.param("CHANNEL_answer", "CHANNEL_ANSWER", id="in whatever case they are written"),
        pytest.param("Channel_Bridge", "CHANNEL_BRIDGE", id="bridge"),
        pytest.param("channel_destroy", "CHANNEL_DESTROY", id="destroy"),
        pytest.param("all", "all", id="all stays"),
        pytest.param("ALL", "all", id="all is lower-cased"),
        pytest.param("Object", "object", id="others are lower-cased"),
        pytest.param("NOTIFICATIONS", "notifications", id="notifications"),
    ],
)
def test_how_a_hook_s_name_is_held(written, event, cluster):
    cluster.hook(written)
    assert [hook.event for hook in cluster.hooks()] == [event]


@pytest.mark.parametrize("name", ["full_moon", "skel", "channel_disconnected"])
def test_a_hook_of_an_unknown_name_is_not_loaded(name, cluster):
    id = cluster.hook(name)
    assert cluster.hooks() == []
    assert "is unknown" in cluster.refused[id]


def test_all_means_every_event_of_every_module(cluster):
    id = cluster.hook("all")
    assert {event: cluster.fired(body) for event, body in EVENTS.items()} == {
        event: [id] for event in EVENTS
    }


@pytest.mark.parametrize("event", ["object", "notifications"])
def test_for_all_the_selection_by_custom_data_is_skipped_and_the_data_merged(event, cluster):
    cluster.hook("all", custom_data={"type": "nothing", "action": "nothing", "shop": "one"})
    assert cluster.payload(EVENTS[event])["shop"] == "one"


def test_an_account_that_is_not_found_has_no_hooks(cluster):
    cluster.hook("all", account=STRANGER)
    assert cluster.fired(call(ccvs={"Account-ID": STRANGER})) == []


@pytest.mark.parametrize("tree", [None, "text"])
def test_an_account_without_a_tree_has_no_ancestors(tree, cluster):
    id = cluster.hook()
    cluster.hook(account=TOP, include_subaccounts=True)
    cluster.account(ACCOUNT, pvt_tree=tree)
    assert cluster.fired(call()) == [id]


def test_a_parent_hears_that_its_account_was_deleted(cluster):
    id = cluster.hook("object", account=RESELLER, include_subaccounts=True)
    cluster.account(ACCOUNT, TOP, RESELLER, pvt_deleted=True)
    deleted = change("doc_deleted", id=ACCOUNT, database="accounts", Is_Soft_Deleted=True)
    assert cluster.fired(deleted) == [id]


def test_another_account_s_hooks_do_not_fire(cluster):
    cluster.account(STRANGER)
    cluster.hook(account=STRANGER, include_subaccounts=True)
    assert cluster.fired(call()) == []


@pytest.mark.parametrize(
    ("account", "fields", "fires"),
    [
        pytest.param(ACCOUNT, {}, True, id="own hooks"),
        pytest.param(ACCOUNT, {"include_subaccounts": False}, True, id="own need not include"),
        pytest.param(RESELLER, {"include_subaccounts": True}, True, id="the parent's that include"),
        pytest.param(TOP, {"include_subaccounts": True}, True, id="the grandparent's"),
        pytest.param(RESELLER, {}, False, id="not the parent's others"),
        pytest.param(TOP, {"include_subaccounts": False}, False, id="not the grandparent's"),
        pytest.param(
            TOP, {"hook": "all", "include_subaccounts": True}, True, id="an ancestor's on all"
        ),
        pytest.param(
            TOP,
            {"hook": "channel_answer", "include_subaccounts": True},
            False,
            id="not an ancestor's on another event",
        ),
    ],
)
def test_hooks_of_the_account_and_its_ancestors(account, fields, fires, cluster):
    cluster.hook(account=account, **fields)
    assert bool(cluster.fired(call())) is fires


def test_an_event_of_an_ancestor_does_not_fire_its_descendants(cluster):
    cluster.hook(include_subaccounts=True)
    assert cluster.fired(call(ccvs={"Account-ID": RESELLER})) == []


def test_own_hooks_come_first_then_the_tree_in_order(cluster):
    for account, name in ((RESELLER, "parent"), (TOP, "top"), (ACCOUNT, "own")):
        cluster.hook(_id=name, account=account, include_subaccounts=True)
    assert cluster.fired(call()) == ["own", "top", "parent"]


def test_an_account_within_its_own_tree_fires_once(cluster):
    cluster.account(ACCOUNT, TOP, ACCOUNT, RESELLER)
    cluster.hook(include_subaccounts=True)
    assert len(cluster.fired(call())) == 1


def test_the_account_is_read_once_and_again_when_it_changed(cluster):
    cluster.hook(account=STRANGER, include_subaccounts=True)
    assert cluster.fired(call()) == []
    cluster.account(ACCOUNT, STRANGER)  # `put` tells the directory, as the bus would
    assert len(cluster.fired(call())) == 1


def test_every_hook_of_an_account_fires(cluster):
    ids = {cluster.hook() for _ in range(5)} | {cluster.hook("all")}
    assert set(cluster.fired(call())) == ids
