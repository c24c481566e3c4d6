import re

import pytest

from callboard.webhooks.hooks.hook import parse_hook
from callboard.webhooks.hooks.migration import is_twin_of, migration
from callboard.webhooks.values.documents import document_hash

HOOK = {
    "_id": "0f" * 16,
    "_rev": "3-abc",
    "name": "Faxes",
    "uri": "http://u/",
    "hook": "inbound_fax",
    "http_verb": "get",
    "pvt_type": "webhook",
    "pvt_account_id": "a1" * 16,
    "pvt_created": 100,
    "pvt_modified": 150,
    "pvt_document_hash": "old",
}


def migrate(now=200, **changes):
    return migration(HOOK | changes, now)


def test_a_callflow_hook_selects_its_notification():
    found = migrate(hook="callflow")
    assert found.twin is None
    assert found.hook == HOOK | {
        "hook": "notifications",
        "type": "callflow",
        "custom_data": {"type": "callflow"},
        "pvt_modified": 200,
        "pvt_document_hash": document_hash(found.hook),
    }


@pytest.mark.parametrize("name", ["inbound_fax", "outbound_fax", "Inbound_Fax"])
def test_a_fax_hook_gets_a_twin_for_errors(name):
    found = migrate(hook=name)
    hook, twin = found.hook, found.twin
    assert (hook["_id"], hook["_rev"], hook["other_id"]) == (HOOK["_id"], "3-abc", twin["_id"])
    assert re.fullmatch("[0-9a-f]{32}", twin["_id"])
    assert "_rev" not in twin
    assert twin["other_id"] == HOOK["_id"]
    assert (hook["type"], twin["type"]) == (name.lower(), f"{name.lower()}_error")
    assert (twin["pvt_created"], twin["pvt_modified"]) == (200, 200)
    assert hook["pvt_created"] == 100
    alike = ("name", "uri", "http_verb", "pvt_type", "pvt_account_id", "hook")
    assert {key: hook[key] for key in alike} == {key: twin[key] for key in alike}
    assert hook["hook"] == "notifications"
    assert is_twin_of(twin, HOOK["_id"])
    assert not is_twin_of(twin, "another")
    assert not is_twin_of(hook | {"hook": "all"}, twin["_id"])


def test_both_fire_for_their_own_notification_only():
    found = migrate()
    for document, type in ((found.hook, "inbound_fax"), (found.twin, "inbound_fax_error")):
        hook = parse_hook(document, {"notifications"})
        assert hook.event == "notifications"
        assert hook.custom_data == {"type": type}


@pytest.mark.parametrize(
    ("custom_data", "hooks", "twins"),
    [
        ({"a": "b"}, {"a": "b", "type": "inbound_fax"}, {"a": "b", "type": "inbound_fax_error"}),
        ({"type": "mine"}, {"type": "mine"}, {"type": "inbound_fax_error"}),
        ({"type": None}, {"type": "inbound_fax"}, {"type": "inbound_fax_error"}),
        ("junk", {"type": "inbound_fax"}, {"type": "inbound_fax_error"}),
    ],
)
def test_custom_data_is_kept(custom_data, hooks, twins):
    found = migrate(custom_data=custom_data)
    assert (found.hook["custom_data"], found.twin["custom_data"]) == (hooks, twins)


def test_every_node_makes_the_same_twin():
    assert migrate(now=200).twin["_id"] == migrate(now=300, name="edited").twin["_id"]
    ids = {migrate(**change).twin["_id"] for change in ({}, {"_id": "x"}, {"hook": "outbound_fax"})}
    assert len(ids) == 3


@pytest.mark.parametrize(
    "hook", ["notifications", "all", "channel_create", "fax", None, ["callflow"]]
)
def test_other_hooks_stay(hook):
    assert migrate(hook=hook) is None


def test_a_migrated_hook_stays():
    found = migrate()
    assert migration(found.hook, 300) is None
    assert migration(found.twin, 300) is None
