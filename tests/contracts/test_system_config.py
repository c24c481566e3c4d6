"""Settings are written beside what others write, on every store."""

import pytest

from callboard.adapters.repositories.directory import StoreDirectory
from callboard.adapters.repositories.system_config import (
    default_setting,
    set_account_setting,
    set_system_setting,
)
from callboard.adapters.store.protocol import Conflict, DatabaseMissing
from callboard.webhooks.values.kazoo_names import account_database
from support.stores import Meddled

ACCOUNT, RESELLER = "a1" * 16, "e5" * 16
COUNT, EXPIRY = "attempt_failure_count", "attempt_failure_expiry_ms"


@pytest.fixture
def directory(store):
    return StoreDirectory(store, "apps@one", "west")


def config(store, account_id=ACCOUNT):
    return store.get(account_database(account_id), "configs_webhooks")


def configured(store, account_id, **settings):
    database = account_database(account_id)
    store.ensure_database(database)
    store.save(database, {"_id": "configs_webhooks", "pvt_type": "account_config", **settings})


class TestSystem:
    def test_makes_database_and_document(self, store):
        saved = set_system_setting(store, "webhooks", COUNT, 3)
        assert saved == store.get("system_config", "webhooks")
        assert (saved["default"], saved["pvt_type"]) == ({COUNT: 3}, "config")
        assert saved["pvt_created"] == saved["pvt_modified"] > 63_000_000_000

    def test_leaves_everything_else_in_place(self, store):
        set_system_setting(store, "webhooks", COUNT, 3)
        theirs = {
            **store.get("system_config", "webhooks"),
            "west": {COUNT: 9},
            "pvt_created": 1,
            "pvt_modified": 1,
        }
        store.save("system_config", theirs)
        saved = set_system_setting(store, "webhooks", EXPIRY, 1000)
        assert saved["default"] == {COUNT: 3, EXPIRY: 1000}
        assert saved["west"] == {COUNT: 9}
        assert saved["pvt_created"] == 1 < saved["pvt_modified"]
        assert set_system_setting(store, "webhooks", COUNT, 4)["default"][COUNT] == 4

    def test_a_conflict_keeps_both_settings(self, store):
        set_system_setting(store, "webhooks", COUNT, 3)
        meddled = Meddled(
            store, save=lambda *_: set_system_setting(store, "webhooks", "theirs", True)
        )
        saved = set_system_setting(meddled, "webhooks", EXPIRY, 1000)
        assert saved["default"] == {COUNT: 3, "theirs": True, EXPIRY: 1000}
        assert saved == store.get("system_config", "webhooks")

    def test_conflicts_without_end_are_told(self, store):
        class Busy(Meddled):
            def save(self, database, document):
                self.calls.append("save")
                raise Conflict("busy")

        store.ensure_database("system_config")
        busy = Busy(store)
        with pytest.raises(Conflict, match="busy"):
            set_system_setting(busy, "webhooks", COUNT, 3)
        assert busy.calls.count("save") == 10

    def test_a_deleted_document_begins_anew(self, store):
        set_system_setting(store, "webhooks", COUNT, 3)
        store.save("system_config", {**store.get("system_config", "webhooks"), "pvt_deleted": True})
        saved = set_system_setting(store, "webhooks", EXPIRY, 1000)
        assert saved["default"] == {EXPIRY: 1000}
        assert "pvt_deleted" not in saved

    def test_the_first_default_stays(self, store):
        assert default_setting(store, "cluster", "cluster_id", "one")["default"] == {
            "cluster_id": "one"
        }
        again = default_setting(store, "cluster", "cluster_id", "other")
        assert again["default"] == {"cluster_id": "one"}
        assert again["_rev"].startswith("1-")


class TestAccounts:
    def test_its_own_document_is_kept(self, store, directory):
        configured(store, ACCOUNT, **{COUNT: 3, "other": "x", "pvt_created": 5})
        set_system_setting(store, "webhooks", EXPIRY, 1000)
        saved = set_account_setting(store, directory, ACCOUNT, COUNT, 4)
        assert saved == config(store)
        assert (saved[COUNT], saved["other"], saved["pvt_created"]) == (4, "x", 5)
        assert EXPIRY not in saved

    def test_begins_with_its_resellers(self, store, directory):
        store.ensure_database(account_database(ACCOUNT))
        store.ensure_database("services")
        store.save("services", {"_id": ACCOUNT, "pvt_reseller_id": RESELLER})
        configured(store, RESELLER, **{COUNT: 9, "other": "x", "pvt_account_id": RESELLER})
        set_system_setting(store, "webhooks", "third", 1)
        saved = set_account_setting(store, directory, ACCOUNT, EXPIRY, 1000)
        private = {key: saved.pop(key) for key in list(saved) if key.startswith(("_", "pvt_"))}
        assert saved == {COUNT: 9, "other": "x", EXPIRY: 1000}
        assert private["_rev"].startswith("1-")
        assert private["_id"] == "configs_webhooks"
        assert private["pvt_type"] == "account_config"
        assert private["pvt_account_id"] == ACCOUNT
        assert private["pvt_account_db"] == "account%2Fa1%2Fa1%2F" + "a1" * 14
        assert private["pvt_node"] == "apps@one"
        assert private["pvt_created"] == private["pvt_modified"]
        assert config(store, RESELLER)[COUNT] == 9

    @pytest.mark.parametrize("reseller", [None, ACCOUNT, RESELLER], ids=["none", "itself", "bare"])
    def test_else_with_the_systems_defaults(self, store, directory, reseller):
        store.ensure_database(account_database(ACCOUNT))
        store.ensure_database("services")
        store.save("services", {"_id": ACCOUNT, "pvt_reseller_id": reseller})
        set_system_setting(store, "webhooks", COUNT, 7)
        saved = set_account_setting(store, directory, ACCOUNT, EXPIRY, 1000)
        assert (saved[COUNT], saved[EXPIRY]) == (7, 1000)

    def test_a_deleted_document_begins_anew(self, store, directory):
        configured(store, ACCOUNT, **{COUNT: 3, "pvt_deleted": True})
        saved = set_account_setting(store, directory, ACCOUNT, EXPIRY, 1000)
        assert saved == config(store)
        assert (saved[EXPIRY], saved["pvt_type"]) == (1000, "account_config")
        assert not {COUNT, "pvt_deleted"} & saved.keys()

    def test_a_conflict_keeps_both_settings(self, store, directory):
        store.ensure_database(account_database(ACCOUNT))
        meddled = Meddled(
            store, save=lambda *_: set_account_setting(store, directory, ACCOUNT, COUNT, 3)
        )
        saved = set_account_setting(meddled, directory, ACCOUNT, EXPIRY, 1000)
        assert (saved[COUNT], saved[EXPIRY]) == (3, 1000)

    def test_holds_at_once_for_the_directory(self, store, directory):
        store.ensure_database(account_database(ACCOUNT))
        assert directory.failure_limits([ACCOUNT])[ACCOUNT].count == 6
        set_account_setting(store, directory, ACCOUNT, COUNT, 4)
        assert directory.failure_limits([ACCOUNT])[ACCOUNT].count == 4

    def test_an_account_that_is_not_there_is_told(self, store, directory):
        with pytest.raises(DatabaseMissing):
            set_account_setting(store, directory, ACCOUNT, COUNT, 4)
        assert not store.database_exists(account_database(ACCOUNT))

    def test_a_known_account_without_a_database_gets_one(self, store, directory):
        store.ensure_database("accounts")
        store.save("accounts", {"_id": ACCOUNT, "pvt_type": "account"})
        assert set_account_setting(store, directory, ACCOUNT, COUNT, 4) == config(store)
