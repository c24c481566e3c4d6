"""The initializer alone, while there is no master account."""

import json

import pytest

from callboard.actors.messages.paths import INITIALIZER
from callboard.actors.operations.initializer import Initializer
from callboard.adapters.broker.protocol import Properties
from callboard.webhooks.events.changes import document_change
from callboard.webhooks.values.kazoo_names import account_database

ACCOUNT = "a1" * 16
QUEUE = "callboard.events.accounts"


@pytest.fixture
def waiting(world, servers, settings):
    waiting = world.start(Initializer, INITIALIZER, settings)
    world.pass_time(2)
    assert waiting.actor.stats() == {"waits_for": "a master account"}
    return waiting


def announce(world, servers, name, document):
    key, body = document_change(name, "accounts", document, "apps@kazoo")
    servers.broker.publish("configuration", key, json.dumps(body).encode(), Properties())
    world.pass_time(1)


def test_announcements_are_acknowledged_and_an_account_is_found(world, servers, waiting):
    account = {"_id": ACCOUNT, "pvt_type": "account"}
    announce(world, servers, "doc_created", account)
    assert world.actor(waiting.address) is not None
    servers.store.save("accounts", account)
    announce(world, servers, "doc_created", account)
    assert world.actor(waiting.address) is None
    assert servers.store.get(account_database(ACCOUNT), "webhooks_channel_create") is not None
    assert servers.broker.messages == 0


@pytest.mark.parametrize("body", [b"no JSON", b"{}"])
def test_what_is_about_no_account_is_acknowledged_and_not_looked_into(
    world, servers, waiting, body
):
    servers.store.save("accounts", {"_id": ACCOUNT, "pvt_type": "account"})
    key = "doc_created.accounts.account.x"
    servers.broker.publish("configuration", key, body, Properties())
    world.pass_time(1)
    assert world.actor(waiting.address) is not None
    assert servers.broker.messages == 0


@pytest.mark.logs("store_not_prepared")
def test_while_the_store_is_away_it_is_tried_again_every_two_seconds(world, servers, settings):
    servers.store.away = True
    starting = world.start(Initializer, INITIALIZER, settings)
    world.pass_time(3.9)
    assert [line["reason"] for line in world.logged] == ["the store is away"] * 2
    servers.store.away = False
    assert not servers.store.databases
    world.pass_time(0.2)
    assert "webhooks" in servers.store.databases
    assert world.actor(starting.address) is not None
