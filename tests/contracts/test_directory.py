"""What is looked up in a store, on every store."""

import re
import threading
from types import SimpleNamespace

import pytest
import structlog
from attrs import evolve

from callboard.adapters.repositories.directory import StoreDirectory
from callboard.adapters.repositories.system_config import set_system_setting
from callboard.adapters.store import views
from callboard.adapters.store.protocol import StoreError, StoreUnavailable
from callboard.webhooks.events.directory import Account
from callboard.webhooks.hooks.failure_window import Limits
from callboard.webhooks.values.kazoo_names import account_database
from support.patience import patient
from support.stores import Meddled, refuse

A, B, C, D = "a1" * 16, "b2" * 16, "c3" * 16, "d4" * 16
COUNT, EXPIRY = "attempt_failure_count", "attempt_failure_expiry_ms"


@pytest.fixture
def directory(store):
    return StoreDirectory(store, "apps@one", "west")


def put(store, database, id, **fields):
    store.ensure_database(database)
    if database == "port_requests":
        store.ensure_views(database, views.PORT_REQUESTS)
    store.save(database, {"_id": id, **fields})


def configured(store, account_id, **settings):
    database = account_database(account_id)
    store.ensure_database(database)
    store.save(database, {"_id": "configs_webhooks", **settings})


def system(store, **sections):
    store.ensure_database("system_config")
    store.save("system_config", {"_id": "webhooks", **sections})


def resold(store, account_id, reseller_id):
    store.ensure_database("services")
    store.save("services", {"_id": account_id, "pvt_reseller_id": reseller_id})


def with_accounts(store, **created):
    store.ensure_database("accounts")
    store.ensure_views("accounts", views.ACCOUNTS)
    store.save_many(
        "accounts",
        [
            {"_id": id, "pvt_type": "account", **({} if at is None else {"pvt_created": at})}
            for id, at in created.items()
        ],
    )


class TestForgetting:
    @pytest.mark.parametrize(
        "name", ["account/a1/a1/" + "a1" * 14, "account%2Fa1%2Fa1%2F" + "a1" * 14]
    )
    def test_a_changed_document_is_read_again(self, store, directory, name):
        configured(store, A, **{COUNT: 3})
        assert directory.failure_limits([A])[A].count == 3
        document = store.get(account_database(A), "configs_webhooks")
        store.save(account_database(A), {**document, COUNT: 4})
        assert directory.failure_limits([A])[A].count == 3
        directory.forget(name, "configs_webhooks")
        assert directory.failure_limits([A])[A].count == 4

    def test_so_is_one_that_was_missing(self, store, directory):
        assert directory.account(A) is None
        with_accounts(store, **{A: 1})
        assert directory.account(A) is None
        directory.forget("accounts", A)
        assert directory.account(A).id == A

    def test_what_is_not_known_is_no_error(self, store, directory):
        with_accounts(store, **{A: 1})
        directory.forget("accounts", "nobody")
        directory.forget("nowhere", A)
        assert directory.account(A).id == A

    def test_believes_no_longer_than_told(self, store):
        with_accounts(store, **{A: 1})
        meddled = Meddled(store)
        directory = StoreDirectory(meddled, "n", "z", ttl_s=0)
        assert directory.account(A) == directory.account(A)
        assert meddled.calls == ["get", "get"]

    def test_while_the_store_is_away_settings_that_were_not_there_are_not(self, store):
        away = []

        class Meddling(Meddled):
            def get(self, database, id):
                if away:
                    raise StoreUnavailable("away")
                return store.get(database, id)

        options = {"write_defaults": False, "missing_ttl_s": 0}
        directory = StoreDirectory(Meddling(store), "n", "z", **options)
        at_once = StoreDirectory(Meddling(store), "n", "z", ttl_s=0, **options)
        for each in (directory, at_once):
            assert each.setting("call_command", "keys", None) is None
            assert each.account(A) is None
        away.append(True)
        assert directory.setting("call_command", "keys", None) is None
        for look_up in (
            lambda: at_once.setting("call_command", "keys", None),
            lambda: directory.setting("other", "keys", None),
            lambda: directory.account(A),
        ):
            with pytest.raises(StoreUnavailable):
                look_up()
        directory.forget("system_config", "call_command")
        with pytest.raises(StoreUnavailable):
            directory.setting("call_command", "keys", None)

    def test_while_the_store_is_away_it_is_asked_again_after_a_time(self, store, monkeypatch):
        now, gets = [0.0], []

        class Away(Meddled):
            def get(self, database, id):
                gets.append(id)
                if now[0]:
                    raise StoreUnavailable("away")
                return store.get(database, id)

        clock = SimpleNamespace(monotonic=lambda: now[0])
        monkeypatch.setattr("callboard.adapters.repositories.directory.time", clock)
        directory = StoreDirectory(
            Away(store), "n", "z", write_defaults=False, ttl_s=30.0, missing_ttl_s=2.0
        )
        asked = []
        for now[0] in (0.0, 1.9, 2.0, 3.9, 4.0, 27.9):
            assert directory.setting("call_command", "keys", None) is None
            asked.append(len(gets))
        assert asked == [1, 1, 2, 2, 3, 4]
        now[0] = 30.0
        with pytest.raises(StoreUnavailable):
            directory.setting("call_command", "keys", None)


class TestSettings:
    def test_a_default_is_written_where_there_is_nothing(self, store, directory):
        assert directory.setting("webhooks", COUNT, 6) == 6
        assert directory.setting("webhooks", "object_types", ["user"]) == ["user"]
        document = store.get("system_config", "webhooks")
        assert document["default"] == {COUNT: 6, "object_types": ["user"]}
        assert document["pvt_type"] == "config"

    def test_what_is_set_anywhere_is_not_written_again(self, store, directory):
        system(store, west={COUNT: 2}, **{"apps@one": {EXPIRY: 20}}, default={"third": False})
        before = store.get("system_config", "webhooks")
        assert directory.setting("webhooks", COUNT, 6) == 2
        assert directory.setting("webhooks", EXPIRY, 60) == 20
        assert directory.setting("webhooks", "third", True) is False
        assert store.get("system_config", "webhooks") == before

    def test_reads_and_writes_once(self, store):
        meddled = Meddled(store)
        directory = StoreDirectory(meddled, "apps@one", "west")
        assert [directory.setting("webhooks", COUNT, 6) for _ in range(5)] == [6] * 5
        read = len(meddled.calls)
        assert meddled.calls.count("save") == 2  # the first time there was no database
        assert [directory.setting("webhooks", COUNT, 6) for _ in range(5)] == [6] * 5
        assert len(meddled.calls) == read

    def test_the_categories_of_others_are_left_alone(self, store, directory):
        assert directory.setting("stepswitch", "inbound_user_field", "Request") == "Request"
        assert not store.database_exists("system_config")

    def test_without_a_default_nothing_is_written(self, store, directory):
        assert directory.setting("webhooks", COUNT, None) is None
        assert not store.database_exists("system_config")

    def test_nothing_is_written_where_it_is_locked(self, store):
        locked = StoreDirectory(store, "apps@one", "west", write_defaults=False)
        with_accounts(store, **{A: 1})
        assert locked.setting("webhooks", COUNT, 6) == 6
        assert locked.cluster_id() is None
        assert locked.master_account_id() == A
        assert not store.database_exists("system_config")

    def test_whoever_was_faster_decides(self, store):
        system(store, default={})
        meddled = Meddled(store, save=lambda *_: set_system_setting(store, "webhooks", COUNT, 9))
        directory = StoreDirectory(meddled, "apps@one", "west")
        assert directory.setting("webhooks", COUNT, 6) == 9
        assert store.get("system_config", "webhooks")["default"] == {COUNT: 9}

    def test_a_store_that_cannot_be_written_is_only_logged(self, store):
        system(store)
        denied = StoreError("you may only read")
        meddled = Meddled(store, save=refuse(denied))
        directory = StoreDirectory(meddled, "apps@one", "west")
        with structlog.testing.capture_logs() as logs:
            assert directory.setting("webhooks", COUNT, 6) == 6
            assert directory.setting("webhooks", COUNT, 6) == 6
        assert [(line["event"], line["setting"]) for line in logs] == [
            ("default_not_written", COUNT)
        ]
        assert meddled.calls.count("save") == 1
        directory.forget("system_config", "webhooks")
        directory.setting("webhooks", COUNT, 6)
        assert store.get("system_config", "webhooks")["default"] == {COUNT: 6}


class TestClusterId:
    def test_is_made_up_once(self, store, directory):
        id = directory.cluster_id()
        assert re.fullmatch("[0-9a-f]{32}", id)
        assert store.get("system_config", "cluster")["default"] == {"cluster_id": id}
        assert StoreDirectory(store, "apps@two", "east").cluster_id() == id

    def test_only_the_default_section_counts(self, store, directory):
        store.ensure_database("system_config")
        sections = {"west": {"cluster_id": "zone's"}, "default": {"cluster_id": "ours"}}
        store.save("system_config", {"_id": "cluster", **sections})
        assert directory.cluster_id() == "ours"

    def test_nodes_at_the_same_time_end_with_the_same(self, store):
        together = threading.Barrier(4)
        ids = []

        def one(number):
            meddled = Meddled(store, save=lambda *_: together.wait(patient(10)))
            ids.append(StoreDirectory(meddled, f"apps@{number}", "z").cluster_id())

        store.ensure_database("system_config")
        threads = [threading.Thread(target=one, args=[number]) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ids == [store.get("system_config", "cluster")["default"]["cluster_id"]] * 4

    def test_a_store_that_cannot_be_written_is_an_error(self, store):
        store.ensure_database("system_config")
        meddled = Meddled(store, save=refuse(StoreUnavailable("away")))
        directory = StoreDirectory(meddled, "apps@one", "west")
        with pytest.raises(StoreUnavailable, match="away"):
            directory.cluster_id()
        assert directory.cluster_id() is not None


class TestMasterAccount:
    def test_is_what_is_set(self, store, directory):
        with_accounts(store, **{A: 1})
        set_system_setting(store, "accounts", "master_account_id", B)
        assert directory.master_account_id() == B

    def test_else_the_oldest_account_which_is_saved(self, store, directory):
        with_accounts(store, **{f"0{number:031x}": 63_900_000_003 for number in range(250)})
        with_accounts(store, **{A: None, B: 63_900_000_002, C: 63_900_000_001, "d": 63_900_000_009})
        assert directory.master_account_id() == C
        assert store.get("system_config", "accounts")["default"] == {"master_account_id": C}

    def test_a_deleted_account_is_none(self, store, directory):
        with_accounts(store, **{A: 2})
        store.save(
            "accounts", {"_id": B, "pvt_type": "account", "pvt_created": 1, "pvt_deleted": True}
        )
        assert directory.master_account_id() == A

    def test_an_account_that_is_deleted_after_its_row_was_read_is_none(self, store):
        class Going(Meddled):
            def view(self, *arguments, **options):
                for row in store.view(*arguments, **options):
                    yield evolve(row, document=None) if row.id == B else row

        with_accounts(store, **{A: 2, B: 1})
        assert StoreDirectory(Going(store), "apps@one", "west").master_account_id() == A

    def test_is_not_there_yet(self, store, directory):
        assert directory.master_account_id() is None
        with_accounts(store)
        assert directory.master_account_id() is None
        assert not store.database_exists("system_config")

    def test_a_cluster_without_the_view_is_an_error_not_an_empty_one(self, store, directory):
        store.ensure_database("accounts")
        with pytest.raises(StoreError):
            directory.master_account_id()

    def test_whoever_was_faster_decides(self, store):
        with_accounts(store, **{A: 1})
        store.ensure_database("system_config")
        meddled = Meddled(
            store, save=lambda *_: set_system_setting(store, "accounts", "master_account_id", B)
        )
        assert StoreDirectory(meddled, "apps@one", "west").master_account_id() == B

    def test_a_setting_that_cannot_be_saved_hides_no_account(self, store):
        with_accounts(store, **{A: 1})
        store.ensure_database("system_config")
        meddled = Meddled(store, save=refuse(StoreError("you may only read")))
        with structlog.testing.capture_logs() as logs:
            assert StoreDirectory(meddled, "apps@one", "west").master_account_id() == A
        assert [(line["event"], line["log_level"], line["account"]) for line in logs] == [
            ("master_account_not_saved", "warning", A)
        ]


class TestAccounts:
    def test_an_account_that_is_softly_deleted_is_still_known(self, store, directory):
        put(store, "accounts", A, pvt_type="account", pvt_tree=[B], pvt_deleted=True)
        assert directory.account(A) == Account(A, (B,))
        assert directory.account(C) is None

    def test_the_reseller_is_the_stored_one(self, store, directory):
        resold(store, A, B)
        assert directory.reseller_id(A) == B

    @pytest.mark.parametrize("services", [None, {}, {"pvt_reseller_id": ""}])
    def test_else_the_nearest_reseller_above(self, services, store, directory):
        put(store, "accounts", A, pvt_type="account", pvt_tree=[D, C, B])
        put(store, "services", D, pvt_reseller=True)
        put(store, "services", C, pvt_reseller="true")
        put(store, "services", B, pvt_reseller=False)
        if services is not None:
            put(store, "services", A, **services)
        assert directory.reseller_id(A) == C

    def test_else_the_master_account(self, store, directory):
        put(store, "accounts", A, pvt_type="account", pvt_tree=[])
        assert directory.reseller_id(A) is None
        put(store, "system_config", "accounts", default={"master_account_id": A})
        directory.forget("system_config", "accounts")
        assert directory.reseller_id(A) == directory.reseller_id(B) == A


NUMBER = "+15551234567"


class TestNumbers:
    def number(self, store, directory, **fields):
        put(store, f"numbers/{NUMBER[:5]}", NUMBER, pvt_assigned_to=A, **fields)
        return directory.account_by_number(NUMBER)

    @pytest.mark.parametrize("state", ["port_in", "in_service", "port_out", "reserved"])
    def test_a_number_in_service_is_its_owner_s(self, state, store, directory):
        put(store, "accounts", A, pvt_type="account")
        assert self.number(store, directory, pvt_state=state) == A

    def test_an_old_number_has_its_state_elsewhere(self, store, directory):
        put(store, "accounts", A, pvt_type="account")
        assert self.number(store, directory, pvt_number_state="in_service") == A

    @pytest.mark.parametrize("state", ["available", "aging", "released", "deleted", None])
    def test_another_one_is_nobody_s(self, state, store, directory):
        put(store, "accounts", A, pvt_type="account")
        assert self.number(store, directory, pvt_state=state) is None

    @pytest.mark.parametrize(
        "own", [{"pvt_enabled": False}, {"pvt_enabled": "false"}, {"pvt_deleted": True}]
    )
    def test_nor_is_one_of_a_disabled_account(self, own, store, directory):
        put(store, "accounts", A, pvt_type="account", **own)
        put(store, account_database(A), A, pvt_type="account", **own)
        assert self.number(store, directory, pvt_state="in_service") is None

    def test_the_account_s_own_document_decides(self, store, directory):
        put(store, "accounts", A, pvt_type="account", pvt_enabled=False)
        put(store, account_database(A), A, pvt_type="account")
        assert self.number(store, directory, pvt_state="in_service") == A

    @pytest.mark.parametrize(
        ("request_", "found"),
        [
            ({}, A),
            ({"pvt_port_state": "scheduled"}, A),
            ({"pvt_port_state": "completed"}, None),
            ({"pvt_port_state": "canceled"}, None),
            ({"pvt_deleted": True}, None),
            ({"numbers": {"+15550000000": {}}}, None),
            ({"numbers": [NUMBER]}, None),
        ],
    )
    def test_a_number_to_be_ported_is_the_request_s(self, request_, found, store, directory):
        wish = {"pvt_type": "port_request", "pvt_account_id": A, "numbers": {NUMBER: {}}}
        put(store, "port_requests", "one", **wish | request_)
        assert directory.account_by_number(NUMBER) == found

    def test_two_requests_decide_nothing(self, store, directory):
        for id in ("one", "two"):
            wish = {"pvt_type": "port_request", "pvt_account_id": A, "numbers": {NUMBER: {}}}
            put(store, "port_requests", id, **wish)
        assert directory.account_by_number(NUMBER) is None

    @pytest.mark.parametrize("set_to", [False, "false", "never", 0])
    def test_requests_are_not_asked_if_so_configured(self, set_to, store, directory):
        """As of every setting, only true is true (kz_term:is_true)."""
        put(store, "system_config", "number_manager", default={"fetch_account_from_ports": set_to})
        wish = {"pvt_type": "port_request", "pvt_account_id": A, "numbers": {NUMBER: {}}}
        put(store, "port_requests", "one", **wish)
        assert directory.account_by_number(NUMBER) is None

    def test_a_port_request_is_read_once(self, store):
        meddled = Meddled(store)
        directory = StoreDirectory(meddled, "apps@one", "west")
        assert directory.account_by_number(NUMBER) is None
        assert directory.account_by_number(NUMBER) is None
        assert meddled.calls.count("view") == 1


class TestFailureLimits:
    def test_the_defaults_which_are_written(self, store, directory):
        assert directory.failure_limits([A]) == {A: Limits(6, 60_000)}
        assert store.get("system_config", "webhooks")["default"] == {COUNT: 6, EXPIRY: 60_000}

    def test_the_systems_by_node_zone_and_default(self, store, directory):
        system(store, west={COUNT: 2}, default={COUNT: 8, EXPIRY: 5000})
        assert directory.failure_limits([A, B]) == dict.fromkeys([A, B], Limits(2, 5000))

    def test_the_accounts_own_document_hides_the_resellers(self, store, directory):
        system(store, default={COUNT: 8, EXPIRY: 5000})
        configured(store, A, **{EXPIRY: 1000})
        configured(store, B, **{COUNT: 3, EXPIRY: 2000})
        resold(store, A, B)
        assert directory.failure_limits([A]) == {A: Limits(8, 1000)}

    def test_without_its_own_the_resellers_decides_key_by_key(self, store, directory):
        system(store, default={COUNT: 8, EXPIRY: 5000})
        configured(store, B, **{COUNT: 3})
        resold(store, A, B)
        resold(store, C, C)
        assert directory.failure_limits([A, B, C]) == {
            A: Limits(3, 5000),
            B: Limits(3, 5000),
            C: Limits(8, 5000),
        }

    def test_a_deleted_document_is_none(self, store, directory):
        configured(store, A, **{COUNT: 3, "pvt_deleted": True})
        assert directory.failure_limits([A]) == {A: Limits()}

    def test_what_is_no_integer(self, store, directory):
        system(store, default={COUNT: 8, EXPIRY: 5000})
        configured(store, A, **{COUNT: "many", EXPIRY: "long"})
        configured(store, B, **{COUNT: "4", EXPIRY: 1000.4})
        with structlog.testing.capture_logs() as logs:
            limits = directory.failure_limits([A, B])
        assert limits == {A: Limits(9, 60_000), B: Limits(4, 1000)}
        assert [(line["event"], line["account"]) for line in logs] == [
            ("failure_count_is_no_integer", A)
        ]

    def test_what_is_no_integer_in_the_system(self, store, directory):
        system(store, default={COUNT: "many", EXPIRY: "long"})
        configured(store, A, **{COUNT: 3})
        limits = directory.failure_limits([A, B])
        assert limits == {A: Limits(3, 60_000), B: Limits(7, 60_000)}

    def test_what_is_no_account_stops_nobody(self, store):
        class Strict(Meddled):
            """Refuses names as CouchDB does, and PouchDB does not."""

            def get(self, database, id):
                if not re.fullmatch("[a-z][a-z0-9_$()+/-]*", database):
                    raise StoreError(f"illegal_database_name {database}")
                return self._store.get(database, id)

        directory = StoreDirectory(Strict(store), "apps@one", "west")
        configured(store, A, **{COUNT: 3})
        limits = directory.failure_limits(["?", A, "A1" * 16, "a/b", ""])
        assert limits.pop(A).count == 3
        assert set(limits.values()) == {Limits()}

    def test_documents_are_read_together_and_kept(self, store):
        meddled = Meddled(store)
        directory = StoreDirectory(meddled, "apps@one", "west")
        system(store, default={COUNT: 8, EXPIRY: 5000})
        directory.failure_limits([A, B, C])
        assert sorted(meddled.calls) == ["get"] * 5 + ["get_many"] * 2
        directory.failure_limits([A, B, C])
        assert sorted(meddled.calls) == ["get"] * 5 + ["get_many"] * 2


@pytest.mark.parametrize(
    ("stored", "id"),
    [
        ({"default": {"cluster_id": "c1"}}, "c1"),
        ({"default": {"cluster_id": ""}}, None),
        ({"default": {"cluster_id": 5}}, None),
        ({"default": []}, None),
        ({}, None),
    ],
)
def test_the_id_of_the_cluster_is_that_of_its_document(store, stored, id):
    put(store, "system_config", "cluster", **stored)
    assert StoreDirectory(store, "n", "z", write_defaults=False).cluster_id() == id


def test_an_id_of_the_cluster_is_made_once(store):
    store.ensure_database("system_config")
    assert StoreDirectory(store, "n", "z", write_defaults=False).cluster_id() is None
    made = StoreDirectory(store, "n", "z").cluster_id()
    assert re.fullmatch("[0-9a-f]{32}", made)
    assert StoreDirectory(store, "m", "z").cluster_id() == made
    assert store.get("system_config", "cluster")["default"] == {"cluster_id": made}
