"""What is in the store once the application has started, and what runs then."""

import re

import pytest
import structlog

from callboard.actors.system.tree import tree
from callboard.adapters.repositories.migration import migrated
from callboard.adapters.repositories.setup import (
    prepare_attempts,
    prepare_hooks,
    prepare_master_account,
)
from callboard.adapters.store.protocol import Conflict
from callboard.config.loader import load
from callboard.supervision import ONE_FOR_ONE
from callboard.webhooks.events.changes import tells_of_an_account
from callboard.webhooks.events.event import Event
from callboard.webhooks.modules.discovery import discover
from support.kazoo import (
    ACCOUNT,
    NODE,
    NOW,
    RESELLER,
    TOP,
    change,
    database,
    encoded_database,
    message,
)
from support.stores import Meddled, refuse

MASTER = database(TOP)
NOVEMBER_2026 = 1_795_000_000
MODULES = {
    "channel_answer": "Channel Answer",
    "channel_bridge": "Channel Bridge",
    "channel_create": "Channel Create",
    "channel_destroy": "Channel Destroy",
    "mms": "MMS",
    "notifications": "Notifications Webhook",
    "object": "Object",
    "parking": "Call Parking",
    "sms": "SMS",
}
TYPES = [
    *("account", "callflow", "device", "faxbox", "media", "user", "vmbox"),
    *("fax", "mailbox_message", "call_recording"),
]


def do(steps):
    for _ in steps:
        pass


def prepare(cluster, modules=None, store=None):
    modules = cluster.modules if modules is None else modules
    do(prepare_master_account(store or cluster.store, modules, NODE, cluster.directory, TOP))


def metadata(cluster, id):
    return cluster.store.get(MASTER, f"webhooks_{id}")


# The supervisor


def test_the_children_start_in_kazoo_s_order():
    spec = tree(load(None, {}, {"data.dir": "/nowhere"}).settings)
    names = [
        child.label for child in spec.children if child.label.startswith(("webhooks", "kazoo"))
    ]
    kazoo = [
        *("webhooks_cache", "kazoo_etsmgr_srv", "webhooks_disabler"),
        *("webhooks_listener", "webhooks_shared_listener", "webhooks_init"),
    ]
    assert [name for name in names if name in kazoo] == kazoo


def test_each_restarts_for_itself_five_times_in_ten_seconds():
    spec = tree(load(None, {}, {"data.dir": "/nowhere"}).settings)
    assert spec.strategy is ONE_FOR_ONE
    assert (spec.max_restarts, spec.within_s) == (5, 10.0)


def test_a_supervisor_may_take_as_long_to_start_as_its_children():
    spec = tree(load(None, {}, {"data.dir": "/nowhere", "delivery.workers": "30"}).settings)
    nested = {
        child.id: child for child in spec.children if child.id in ("responders", "deliveries")
    }
    assert nested["responders"].start_s >= 10.0 * len(MODULES)
    assert nested["deliveries"].start_s >= 10.0 * 32


# Modules


def test_the_modules_are_these_and_skel_is_none():
    assert {module.id: module.name for module in discover().modules} == MODULES


# The store


def test_the_database_of_hooks_is_made_with_its_views(cluster):
    for view in ("webhooks_listing", "hook_listing", "crossbar_listing"):
        do(prepare_hooks(cluster.store, NODE))
        assert list(cluster.store.view("webhooks", f"webhooks/{view}")) == []


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ("uri", {"type": "string", "format": "uri", "kazoo-validation": True}),
        ("name", {"type": "string"}),
        ("hook", {"type": "string"}),
        ("http_verb", {"type": "string", "enum": ["get", "post", "put"], "default": "post"}),
        ("format", {"type": "string", "enum": ["form-data", "json"], "default": "form-data"}),
        ("retries", {"type": "integer", "minimum": 0, "maximum": 4, "default": 2}),
        ("enabled", {"type": "boolean", "default": True}),
        ("include_subaccounts", {"type": "boolean"}),
        ("include_internal_legs", {"type": "boolean", "default": True}),
        ("custom_data", {"type": "object", "additionalProperties": {"type": "string"}}),
    ],
)
def test_the_schema_of_hooks_is_revised(field, wanted, cluster):
    cluster.put("system_schemas", {"_id": "webhooks", "properties": {field: {"type": "null"}}})
    do(prepare_hooks(cluster.store, NODE))
    schema = cluster.store.get("system_schemas", "webhooks")
    told = schema["properties"][field]
    for said in ("description", "support_level"):
        told.pop(said, None)
    assert told == wanted
    assert set(schema["required"]) == {"hook", "name", "uri"}


@pytest.mark.parametrize("retired", ["callflow", "inbound_fax", "outbound_fax"])
def test_metadata_of_old_modules_is_deleted(retired, cluster):
    cluster.put(MASTER, {"_id": f"webhooks_{retired}", "pvt_type": "webhook_meta", "name": "x"})
    prepare(cluster)
    assert metadata(cluster, retired) is None


def test_the_view_of_metadata_is_in_the_master_account_s_database(cluster):
    prepare(cluster)
    rows = cluster.store.view(MASTER, "webhooks/webhook_meta_listing")
    assert [row.key for row in rows] == sorted(MODULES.values())


def test_the_month_s_databases_of_accounts_with_hooks_are_made(cluster):
    cluster.hook()
    cluster.hook(account=TOP, enabled=False)
    do(prepare_attempts(cluster.store, NOVEMBER_2026))
    for account, made in ((ACCOUNT, True), (TOP, True), (RESELLER, False)):
        assert cluster.store.database_exists(f"{database(account)}-202611") is made
    view = "webhooks/attempts_by_time_listing"
    assert list(cluster.store.view(f"{database(ACCOUNT)}-202611", view)) == []


# Metadata documents


@pytest.mark.parametrize("id", MODULES)
def test_every_module_has_its_metadata_document(id, cluster):
    prepare(cluster)
    document = metadata(cluster, id)
    assert document["name"] == MODULES[id]
    assert document["description"]
    assert document["pvt_type"] == "webhook_meta"
    assert (document["pvt_account_id"], document["pvt_account_db"]) == (TOP, encoded_database(TOP))
    assert document["pvt_created"] == document["pvt_modified"] > 63_900_000_000
    assert document["pvt_node"] == NODE
    assert document["pvt_document_hash"]
    assert ("modifiers" in document) is (id in ("object", "notifications"))


def test_the_example_has_none(cluster):
    prepare(cluster)
    assert metadata(cluster, "skel") is None


def test_object_offers_types_and_actions(cluster):
    prepare(cluster)
    modifiers = metadata(cluster, "object")["modifiers"]
    assert {key: (m["type"], m["items"]) for key, m in modifiers.items()} == {
        "type": ("array", ["all", *TYPES]),
        "action": ("array", ["all", "doc_created", "doc_edited", "doc_deleted"]),
    }
    assert all(modifier["description"] for modifier in modifiers.values())


def test_the_types_are_configured_and_the_default_is_stored(cluster):
    prepare(cluster)
    assert cluster.store.get("system_config", "webhooks")["default"]["object_types"] == TYPES
    cluster.configure("webhooks", object_types=["device"])
    prepare(cluster)
    assert metadata(cluster, "object")["modifiers"]["type"]["items"] == ["all", "device"]


def test_notifications_offers_all_kinds_by_name_sorted(cluster):
    prepare(cluster)
    offered = metadata(cluster, "notifications")["modifiers"]["type"]
    assert offered["type"] == "object"
    assert list(offered["items"]) == sorted(offered["items"])
    # 38 of Kazoo's, all, and voicemail_deleted, which Kazoo forgets.
    assert len(offered["items"]) == 40
    assert {"all", "voicemail_deleted"} <= offered["items"].keys()
    for item in offered["items"].values():
        assert item.keys() == {"friendly_name", "description"}
    assert offered["items"]["all"]["friendly_name"] == "All"


def test_metadata_that_says_the_same_is_left_alone(cluster):
    prepare(cluster)
    before = metadata(cluster, "sms")
    prepare(cluster)
    assert metadata(cluster, "sms") == before


def test_other_metadata_is_merged_deeply_ours_winning(cluster):
    prepare(cluster)
    before = metadata(cluster, "object")
    modifiers = before["modifiers"] | {"extra": {"a": 1}}
    modifiers["type"] = {"type": "string", "items": ["all"], "note": "n"}
    theirs = before | {"name": "Theirs", "note": "kept", "empty": None, "modifiers": modifiers}
    cluster.put(MASTER, theirs)
    prepare(cluster)
    after = metadata(cluster, "object")
    assert (after["name"], after["note"]) == ("Object", "kept"), "ours wins, what we lack stays"
    assert "empty" not in after, "nulls are dropped"
    assert after["modifiers"]["extra"] == {"a": 1}
    assert after["modifiers"]["type"]["note"] == "n"
    assert after["modifiers"]["type"]["items"] == ["all", *TYPES]
    assert after["pvt_created"] == before["pvt_created"]


def test_a_conflict_is_fine(cluster):
    meddled = Meddled(cluster.store, save=refuse(Conflict("another node was faster")))
    sms = [module for module in cluster.modules if module.id in ("parking", "sms")]
    prepare(cluster, sms, meddled)
    assert metadata(cluster, "parking") is None
    assert metadata(cluster, "sms") is not None


def test_a_module_that_fails_is_logged_and_the_rest_go_on(cluster):
    class Broken:
        id = "broken"
        name = description = "x"

        def modifiers(self, _directory):
            raise RuntimeError("not today")

    with structlog.testing.capture_logs() as logs:
        prepare(cluster, [Broken(), *cluster.modules])
    assert {line.get("module") for line in logs if line["log_level"] == "error"} == {"broken"}
    assert metadata(cluster, "sms") is not None


# The master account


def test_the_master_account_is_the_setting(cluster):
    cluster.configure("accounts", master_account_id=RESELLER)
    assert cluster.directory.master_account_id() == RESELLER


def test_unset_it_is_the_oldest_account_and_becomes_the_setting(cluster):
    for id, created in ((ACCOUNT, 3), (TOP, 1), (RESELLER, 2)):
        cluster.account(id, pvt_created=created)
    assert cluster.directory.master_account_id() == TOP
    saved = cluster.store.get("system_config", "accounts")
    assert saved["default"]["master_account_id"] == TOP


def test_without_accounts_there_is_none(cluster):
    for id in (ACCOUNT, TOP, RESELLER):
        cluster.account(id, pvt_deleted=True)
    assert cluster.directory.master_account_id() is None


@pytest.mark.parametrize(
    ("name", "database", "may_be"),
    [
        pytest.param("db_created", encoded_database(TOP), True, id="an account's database"),
        pytest.param("db_created", "system_data", False, id="another database"),
        pytest.param("db_deleted", encoded_database(TOP), False, id="one that is gone"),
    ],
)
def test_without_one_a_new_account_s_database_is_waited_for(name, database, may_be):
    assert tells_of_an_account(Event(change(name, database, database))) is may_be


# Migration


def migrate(cluster, **fields):
    id = cluster.hook(**fields)
    found = migrated(cluster.store, [cluster.store.get("webhooks", id)], NOW)
    for document in found:
        assert cluster.store.get("webhooks", document["_id"]) == document, "it is saved"
    return found


def test_a_callflow_hook_becomes_one_on_notifications(cluster):
    (hook,) = migrate(cluster, hook="callflow")
    assert (hook["hook"], hook["type"]) == ("notifications", "callflow")
    assert "other_id" not in hook


@pytest.mark.parametrize("name", ["inbound_fax", "outbound_fax"])
def test_a_fax_hook_becomes_two_that_point_at_each_other(name, cluster):
    hook, twin = migrate(cluster, hook=name, custom_data={"shop": "one"}, group="g")
    assert (hook["hook"], hook["type"]) == ("notifications", name)
    assert (twin["hook"], twin["type"]) == ("notifications", f"{name}_error")
    assert (hook["other_id"], twin["other_id"]) == (twin["_id"], hook["_id"])
    assert re.fullmatch("[0-9a-f]{32}", twin["_id"])
    for kept in ("uri", "name", "format", "group", "pvt_account_id", "pvt_type"):
        assert hook[kept] == twin[kept]
    assert hook["custom_data"]["shop"] == twin["custom_data"]["shop"] == "one"


def test_both_fire_from_then_on(cluster):
    hook, twin = migrate(cluster, hook="inbound_fax")
    faxed = dict.fromkeys(("From_User", "From_Realm", "To_User", "To_Realm"), "x")
    arrived = message("notification", "inbound_fax", Account_ID=ACCOUNT, Fax_ID="f", **faxed)
    failed = message("notification", "inbound_fax_error", Account_ID=ACCOUNT, **faxed)
    assert hook["_id"] in cluster.fired(arrived)
    assert twin["_id"] in cluster.fired(failed)


@pytest.mark.parametrize("name", ["all", "channel_create", "notifications"])
def test_other_hooks_are_not_migrated(name, cluster):
    (hook,) = migrate(cluster, hook=name)
    assert (hook["hook"], "type" in hook) == (name, False)


def test_old_hooks_migrate_in_whatever_case_they_are_written(cluster):
    (hook,) = migrate(cluster, hook="Callflow")
    assert hook["hook"] == "notifications"
