"""What has to be in the store is made there, whatever there is already, on every store."""

import pytest
import structlog
from attrs import evolve

from callboard.adapters.repositories.directory import StoreDirectory
from callboard.adapters.repositories.metadata import store_metadata
from callboard.adapters.repositories.setup import (
    prepare_accounts,
    prepare_attempts,
    prepare_hooks,
    prepare_master_account,
)
from callboard.adapters.repositories.system_config import set_system_setting
from callboard.adapters.store import views
from callboard.adapters.store.protocol import DatabaseMissing, StoreError, StoreUnavailable
from callboard.webhooks.hooks.schema import SCHEMA
from callboard.webhooks.modules.kazoo import channel_answer, channel_create
from callboard.webhooks.values.kazoo_names import account_database, modb
from support.hooks import documents_with
from support.stores import Meddled, refuse

A, B = "a1" * 16, "b2" * 16
MASTER = account_database(A)
MODULES = (channel_answer.MODULE, channel_create.MODULE)
NOVEMBER = 1_795_000_000


RETIRED = ("webhooks_callflow", "webhooks_inbound_fax", "webhooks_outbound_fax")
"""The documents that Kazoo's webhooks_init deletes."""


@pytest.fixture
def directory(store):
    return StoreDirectory(store, "apps@one", "west")


def do(steps):
    return sum(1 for _ in steps)


hook = documents_with()


def metadata(store, module="channel_create"):
    return store.get(MASTER, f"webhooks_{module}")


class TestHooks:
    def test_database_and_views(self, store):
        do(prepare_hooks(store, "apps@one"))
        for listing in ("webhooks_listing", "hook_listing", "crossbar_listing"):
            assert list(store.view("webhooks", f"webhooks/{listing}")) == []
        assert list(store.view("webhooks", "webhooks/accounts_listing", group=True)) == []
        assert not store.database_exists("system_schemas")

    def test_the_schema_where_schemas_are(self, store):
        store.ensure_database("system_schemas")
        do(prepare_hooks(store, "apps@one"))
        made = store.get("system_schemas", "webhooks")
        assert {key: made[key] for key in SCHEMA} == SCHEMA
        do(prepare_hooks(store, "apps@two"))
        assert store.get("system_schemas", "webhooks") == made

        made["properties"]["hook"]["enum"] = ["all"]
        made["properties"]["uri"].pop("format")
        store.save("system_schemas", made)
        do(prepare_hooks(store, "apps@one"))
        properties = store.get("system_schemas", "webhooks")["properties"]
        assert properties["hook"]["enum"] == ["all"]
        assert properties["uri"]["format"] == "uri"

    def test_a_schema_that_is_refused_stops_nothing(self, store):
        store.ensure_database("system_schemas")
        meddled = Meddled(store, save=refuse(StoreError("you may only read")))
        # CouchDB keeps views in a document that is saved, too.
        store.ensure_database("webhooks")
        store.ensure_views("webhooks", views.WEBHOOKS)
        with structlog.testing.capture_logs() as logs:
            do(prepare_hooks(meddled, "apps@one"))
        assert [line["event"] for line in logs] == ["schema_not_revised"]

    def test_a_store_that_is_away_is_told(self, store):
        meddled = Meddled(store, database_exists=refuse(StoreUnavailable("away")))
        with pytest.raises(StoreUnavailable):
            do(prepare_hooks(meddled, "apps@one"))


def test_accounts_get_the_views_that_kazoo_would_give_them(store, directory):
    do(prepare_accounts(store))
    store.save("accounts", {"_id": A, "pvt_type": "account", "pvt_tree": [B]})
    assert directory.master_account_id() == A
    found = store.view("accounts", "accounts/listing_by_descendants", start=[B], end=[B, {}])
    assert [row.value["id"] for row in found] == [A]


class TestMasterAccount:
    def prepare(self, store, directory, modules=MODULES):
        return do(prepare_master_account(store, modules, "apps@one", directory, A))

    def test_metadata_and_its_view(self, store, directory):
        assert self.prepare(store, directory) == len(RETIRED) + len(MODULES)
        listed = store.view(MASTER, "webhooks/webhook_meta_listing")
        assert [(row.id, row.key) for row in listed] == [
            (f"webhooks_{module.id}", module.name) for module in MODULES
        ]
        made = metadata(store)
        assert (made["pvt_type"], made["pvt_account_id"]) == ("webhook_meta", A)
        assert made["pvt_node"] == "apps@one"

    def test_nothing_is_saved_twice(self, store, directory):
        self.prepare(store, directory)
        before = list(store.documents(MASTER))
        self.prepare(store, directory)
        assert list(store.documents(MASTER)) == before

    def test_a_changed_document_is_mended(self, store, directory):
        self.prepare(store, directory)
        store.save(MASTER, metadata(store) | {"name": "Old", "note": "theirs"})
        self.prepare(store, directory)
        assert (metadata(store)["name"], metadata(store)["note"]) == ("Channel Create", "theirs")

    def test_retired_metadata_goes(self, store, directory):
        store.ensure_database(MASTER)
        store.save_many(MASTER, [{"_id": id, "pvt_type": "webhook_meta"} for id in RETIRED])
        store.save(MASTER, {"_id": "webhooks_theirs", "pvt_type": "webhook_meta"})
        self.prepare(store, directory)
        left = {document["_id"] for document in store.documents(MASTER)}
        assert left == {"webhooks_theirs", *(f"webhooks_{module.id}" for module in MODULES)}

    def test_retired_metadata_goes_though_somebody_edits_it(self, store, directory):
        store.ensure_database(MASTER)
        rev = store.save(MASTER, {"_id": RETIRED[0], "pvt_type": "webhook_meta"})
        edit = {"_id": RETIRED[0], "_rev": rev, "name": "edited"}
        self.prepare(Meddled(store, delete=lambda *_: store.save(MASTER, edit)), directory)
        assert store.get(MASTER, RETIRED[0]) is None

    def test_another_node_may_be_faster(self, store, directory):
        theirs = {"_id": "webhooks_channel_create", "name": "Theirs"}
        store.ensure_database(MASTER)
        store.ensure_views(MASTER, views.ACCOUNT)
        self.prepare(
            Meddled(store, save=lambda *_: store.save(MASTER, theirs)),
            directory,
            [channel_create.MODULE, channel_answer.MODULE],
        )
        assert metadata(store)["name"] == "Theirs"
        assert metadata(store, "channel_answer")["name"] == "Channel Answer"

    def test_a_module_that_fails_stops_no_other(self, store, directory):
        broken = evolve(channel_answer.MODULE, description={"not", "JSON"})
        with structlog.testing.capture_logs() as logs:
            self.prepare(store, directory, [broken, channel_create.MODULE])
        assert [(line["event"], line["module"]) for line in logs] == [
            ("metadata_not_stored", "channel_answer")
        ]
        assert metadata(store)
        assert not metadata(store, "channel_answer")

    def test_a_store_that_is_away_is_told(self, store, directory):
        store.ensure_database(MASTER)
        store.ensure_views(MASTER, views.ACCOUNT)
        meddled = Meddled(store, save=refuse(StoreUnavailable("away")))
        with pytest.raises(StoreUnavailable):
            self.prepare(meddled, directory)


class TestStoreMetadata:
    def test_goes_to_the_master_account(self, store, directory):
        set_system_setting(store, "accounts", "master_account_id", A)
        store_metadata(store, MODULES, "apps@one", directory)
        assert metadata(store)["pvt_account_id"] == A

    def test_has_no_place_without_one(self, store, directory):
        store_metadata(store, MODULES, "apps@one", directory)
        assert not store.database_exists(MASTER)


class TestAttempts:
    def test_every_account_with_a_hook_has_its_month(self, store):
        do(prepare_hooks(store, "apps@one"))
        store.save_many("webhooks", [hook("1", A), hook("2", A), hook("3", B)])
        assert do(prepare_attempts(store, NOVEMBER)) == 2
        for account_id in (A, B):
            database = f"{account_database(account_id)}-202611"
            assert list(store.view(database, "webhooks/attempts_by_time_listing")) == []
            assert list(store.view(database, "webhooks/attempts_by_hook_listing")) == []
        assert do(prepare_attempts(store, NOVEMBER)) == 2

    def test_it_goes_by_pages(self, store):
        accounts = [f"{number:032x}" for number in range(5)]
        do(prepare_hooks(store, "apps@one"))
        store.save_many("webhooks", [hook(id, id) for id in accounts])
        steps = prepare_attempts(store, NOVEMBER, page=2)
        for _ in range(2):
            next(steps)
        made = [store.database_exists(f"{account_database(id)}-202611") for id in accounts]
        assert made == [True, False, False, False, False]
        do(steps)
        assert all(store.database_exists(f"{account_database(id)}-202611") for id in accounts)

    def test_what_is_no_account_is_passed_over(self, store):
        do(prepare_hooks(store, "apps@one"))
        store.save_many(
            "webhooks",
            [hook("1", pvt_account_id=None), hook("2", "?"), hook("3", ["x"]), hook("4", B)],
        )
        with structlog.testing.capture_logs() as logs:
            do(prepare_attempts(store, NOVEMBER))
        assert store.database_exists(f"{account_database(B)}-202611")
        assert {line["event"] for line in logs} == {"hooks_of_no_account"}
        assert len(logs) == 3

    def test_a_database_that_is_refused_stops_no_other(self, store):
        do(prepare_hooks(store, "apps@one"))
        store.save_many("webhooks", [hook("1", A), hook("2", B)])
        meddled = Meddled(store, ensure_database=refuse(StoreError("no room")))
        with structlog.testing.capture_logs() as logs:
            do(prepare_attempts(meddled, NOVEMBER))
        assert store.database_exists(f"{account_database(B)}-202611")
        assert [line["database"] for line in logs] == [f"{account_database(A)}-202611"]

    def test_without_hooks_databases_there_is_an_error(self, store):
        with pytest.raises(DatabaseMissing):
            do(prepare_attempts(store, NOVEMBER))


def test_an_account_whose_attempts_cannot_be_prepared_stops_no_other(store):
    store.ensure_database("webhooks")
    store.ensure_views("webhooks", views.WEBHOOKS)
    store.save_many("webhooks", [hook("a", pvt_account_id=A), hook("b", pvt_account_id=B)])
    meddled = Meddled(store, ensure_views=refuse(StoreError("no")))
    with structlog.testing.capture_logs() as logs:
        do(prepare_attempts(meddled, NOVEMBER))
    assert [(line["event"], line["log_level"], line["database"]) for line in logs] == [
        ("attempts_not_prepared", "error", modb(A, NOVEMBER))
    ]
    assert list(store.view(modb(B, NOVEMBER), "webhooks/attempts_by_time_listing")) == []
