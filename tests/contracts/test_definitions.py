"""Definitions of event modules, as the master account's database has them, on every store."""

import pytest

from callboard.adapters.repositories.definitions import Definition, definitions
from callboard.adapters.repositories.system_config import set_system_setting
from callboard.webhooks.modules.discovery import discover
from callboard.webhooks.values.kazoo_names import account_database

MASTER = "a1" * 16
MODULES = discover().modules


def test_without_a_master_account_they_are_those_of_the_modules(store):
    store.ensure_database("system_config")
    found = definitions(store, MODULES, "apps@one", "west")
    assert found.keys() == {module.id for module in MODULES}
    assert found["sms"].name == "SMS"
    assert list(store.documents("system_config")) == []


@pytest.mark.parametrize("master", [5, ""])
def test_a_master_account_that_is_none_has_none(store, master):
    set_system_setting(store, "accounts", "master_account_id", master)
    found = definitions(store, MODULES, "apps@one", "west")
    assert found.keys() == {module.id for module in MODULES}


def test_those_of_the_master_account_come_first(store):
    set_system_setting(store, "accounts", "master_account_id", MASTER)
    assert definitions(store, (), "apps@one", "west") == {}  # It has no database yet.
    database = account_database(MASTER)
    store.ensure_database(database)
    for id, fields in {
        "webhooks_sms": {"name": "N", "description": "D", "modifiers": {"a": {}}},
        "webhooks_zz": {"name": 5, "description": 5, "modifiers": 5},
        "webhooks_deleted": {"pvt_deleted": True},
        "webhooks_other": {"pvt_type": "other"},
        "webhook": {},
    }.items():
        store.save(database, {"_id": id, "pvt_type": "webhook_meta", **fields})
    found = definitions(store, MODULES, "apps@one", "west")
    assert found["sms"] == Definition("sms", "N", "D", {"a": {}})
    assert found["zz"] == Definition("zz", "zz", "", {})
    assert found.keys() == {module.id for module in MODULES} | {"zz"}
