"""The initializer alone under a supervisor, in one process."""

import json
import os
import time

import pytest

from callboard.actors.base.role import Setup
from callboard.actors.operations.initializer import Initializer
from callboard.adapters.broker.protocol import ConnectionUp, IncomingMessage, Received
from callboard.adapters.store import stores
from callboard.adapters.store.protocol import StoreUnavailable
from callboard.config.loader import load
from callboard.supervision import TEMPORARY, ChildSpec, SupervisorSpec
from callboard.webhooks.events.changes import document_change
from callboard.webhooks.values.kazoo_names import account_database
from support.stores import Meddled, refuse
from support.trees import SIMPLE, Tree

ACCOUNT = "a1" * 16


@pytest.fixture
def store(tmp_path):
    store = stores.connect("sqlite://", tmp_path)
    yield store
    store.close()


@pytest.fixture
def grow(tmp_path):
    """grow(actor, **settings) -> Tree with the initializer as its only child."""
    trees = []

    def grow(actor=Initializer, **settings):
        overrides = {"data.dir": str(tmp_path), "log.level": "error"} | settings
        loaded = load(None, {"CALLBOARD_CONFIG": os.devnull}, overrides).settings
        child = ChildSpec("initializer", actor, Setup(loaded), TEMPORARY)
        trees.append(Tree(SIMPLE, SupervisorSpec((child,))))
        return trees[-1]

    yield grow
    for tree in trees:
        tree.close()


class Hurried(Initializer):
    """Waits a thousandth of the time."""

    def after(self, seconds, call):
        super().after(seconds / 1000, call)


def with_store(store):
    """The initializer in a hurry, on this store."""

    class Connected(Hurried):
        def connect_store(self):
            return store

    return Connected


def waits(tree):
    return tree.at("initializer").stats.get("waits_for") == "a master account"


def ended(tree):
    return tree.at("initializer").status == "ended"


def made(store):
    return store.get(account_database(ACCOUNT), "webhooks_channel_create") is not None


def add_account(store):
    store.save("accounts", {"_id": ACCOUNT, "pvt_type": "account"})


def account_created():
    key, body = document_change("doc_created", "accounts", {"_id": ACCOUNT}, "apps@kazoo")
    return IncomingMessage(1, "configuration", key, json.dumps(body).encode())


def test_an_account_that_no_message_tells_of_is_found_in_time(grow, store):
    tree = grow(Hurried)
    tree.wait(lambda _: store.database_exists("accounts"))
    assert not made(store)
    add_account(store)
    tree.wait(ended)
    assert made(store)


def test_an_account_that_came_before_anybody_listened_is_found(grow, store):
    class Connecting(Initializer):
        def connect_broker(self, topology):
            add_account(store)
            super().connect_broker(topology)

    grow(Connecting).wait(ended)
    assert made(store)


@pytest.mark.parametrize("news", ["a message", "a connection"])
def test_news_that_come_during_a_look_lead_to_another(grow, store, news):
    event = Received((account_created(),)) if news == "a message" else ConnectionUp("accounts")
    looks, timers = [], []

    class Searching(Initializer):
        def _find_master_account(self):
            found = yield from super()._find_master_account()
            looks.append(found)
            if len(looks) == 3:
                add_account(store)
            if 1 < len(looks) < 4:  # The first is over before there is a connection.
                self.on_broker(event)
            return found

        def after(self, seconds, call):
            timers.append(seconds)
            super().after(seconds, call)

    grow(Searching).wait(ended)
    assert looks == [None, None, None, ACCOUNT]
    assert timers.count(60.0) == 1


def test_looking_again_changes_nothing_while_there_is_none(grow, store):
    looks = []

    class Counting(Hurried):
        def _worked(self, *, complete):
            looks.append(complete)
            super()._worked(complete=complete)

    tree = grow(Counting)
    tree.wait(lambda _: len(looks) > 3)
    assert not any(looks)
    assert store.get("system_config", "accounts") is None


def test_the_master_account_is_not_written_where_that_is_forbidden(grow, store):
    store.ensure_database("accounts")
    add_account(store)
    tree = grow(**{"couchdb.write_defaults": "false"})
    tree.wait(ended)
    assert made(store)
    assert not store.database_exists("system_config")


def test_attempts_are_prepared_once_and_without_a_master_account(grow, store):
    store.ensure_database("webhooks")
    store.save("webhooks", {"_id": "h", "pvt_type": "webhook", "pvt_account_id": ACCOUNT})
    meddled, began, looks = Meddled(store), time.gmtime(), []

    class Counting(with_store(meddled)):
        def _worked(self, *, complete):
            looks.append(complete)
            super()._worked(complete=complete)

    grow(Counting).wait(lambda _: len(looks) > 2)
    months = {time.strftime("%Y%m", at) for at in (began, time.gmtime())}
    assert any(store.database_exists(f"account/a1/a1/{'a1' * 14}-{month}") for month in months)
    assert meddled.calls.count("ensure_database") == len(["webhooks", "accounts", "of the month"])


@pytest.mark.parametrize("method", ["ensure_database", "ensure_views", "view", "get", "save"])
def test_whatever_fails_it_tries_again(grow, store, method):
    store.ensure_database("accounts")
    add_account(store)
    meddled = Meddled(store, **{method: refuse(StoreUnavailable("away"))})
    found = []

    class Counting(with_store(meddled)):
        def _worked(self, *, complete):
            found.append(complete)
            super()._worked(complete=complete)

    grow(Counting).wait(ended)
    assert found == [True]  # a store that is away is no cluster without accounts
    assert made(store)
    assert meddled.calls.count("ensure_database") > 1


def test_the_store_is_away_when_the_account_comes(grow, store):
    meddled = Meddled(store)
    tree = grow(with_store(meddled))
    tree.wait(waits)
    away = refuse(StoreUnavailable("away"))
    meddled.before |= dict.fromkeys(["get", "ensure_views"], away)
    add_account(store)
    tree.wait(ended)
    assert made(store)
    assert not meddled.before
