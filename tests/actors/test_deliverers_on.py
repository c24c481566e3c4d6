"""What a machine that has joined is told."""

import multiprocessing
import os
import pickle
from pathlib import Path

import pytest

from callboard.actors.base import own_settings
from callboard.actors.base.own_settings import completed
from callboard.actors.base.role import Setup
from callboard.actors.system.tree import deliverers_on, tree
from callboard.actors.system.worker_capabilities import WorkerCapabilities
from callboard.config import time_limits as limits
from callboard.config.loader import load
from callboard.supervision.supervisor import BURIAL_S

KEYS = ["A" * 43 + "=", "B" * 43 + "="]
SECRETS = {
    "amqp.url": "amqp://bus-user:bus-password@bus.internal/vhost",
    "amqp.zones": "amqp://zone-user:zone-password@zone.internal",
    "couchdb.url": "https://store-user:store-password@store.internal",
    "actors.key": "the-key-between-actors-which-is-long",
    "secrets.key": KEYS[0],
    "api.admin_token": "the-token-that-may-do-everything",
    "api.metrics_token": "the-token-of-prometheus",
    "tracing.headers": "Authorization=collector-token",
    "delivery.proxy": "http://proxy-user:proxy-password@proxy.internal:3128",
}
SERVERS = ("bus", "zone", "store", "proxy")
WORKER = WorkerCapabilities("there", 2, Path("/var/lib/there"), "10.0.0.2:19100")


def settings(overrides):
    return load(Path(os.devnull), {}, {"data.dir": "/var/lib/here"} | overrides).settings


@pytest.fixture
def own():
    yield own_settings.keep
    own_settings.keep(None)


def told(here):
    spec = deliverers_on(Setup(here), WORKER.capabilities)
    return spec, spec.children[0].args.settings


def test_no_secret_of_the_node_leaves_it():
    spec, _ = told(settings(SECRETS))
    sent = pickle.dumps(spec)
    whose = [f"{who}-{what}" for who in SERVERS for what in ("user", "password")]
    words = [*SECRETS.values(), *whose, "bus.internal", "zone.internal", "store.internal"]
    assert b"deliverer-2" in sent
    assert [word for word in words if word.encode() in sent] == []


def test_what_deliverers_go_by_is_told():
    _, there = told(settings(SECRETS | {"delivery.retry_policy": "standard"}))
    assert there.delivery.retry_policy == "standard"
    assert there.delivery.proxy == "http://proxy.internal:3128"
    assert there.amqp.url.startswith("amqp:")


def test_the_machine_puts_in_its_own_secrets(own):
    _, there = told(settings(SECRETS))
    assert completed(there) == there
    assert own_settings.have_begun() is False
    own(
        settings(
            {
                "data.dir": "/var/lib/there",
                "secrets.key": KEYS[1],
                "tracing.headers": "Authorization=own",
                "delivery.proxy": "http://user:own@proxy.there:3128",
                "delivery.workers": "7",
            }
        )
    )
    whole = completed(there)
    assert whole.secrets.key == KEYS[1]
    assert str(whole.secrets_key_file) == "/var/lib/there/secrets.key"
    assert whole.tracing.headers == "Authorization=own"
    assert whole.delivery.proxy == "http://user:own@proxy.there:3128"
    assert whole.delivery.workers == there.delivery.workers


def test_the_machine_learns_that_actors_have_begun(own):
    own(settings({}))
    assert not own_settings.have_begun()
    actor = multiprocessing.get_context("fork").Process(target=completed, args=(settings({}),))
    actor.start()
    actor.join()
    assert own_settings.have_begun()


def test_a_file_of_keys_is_looked_for_where_the_machine_has_it(own):
    _, there = told(settings({"secrets.key_file": "/etc/here/keys"}))
    own(settings({"data.dir": "/var/lib/there"}))
    assert str(completed(there).secrets_key_file) == "/var/lib/there/secrets.key"


def test_outposts_have_the_time_to_stop_that_they_may_take():
    spec = tree(settings({"actors.convention": "true"}))
    deliveries = next(child for child in spec.children if child.id == "deliveries")
    elsewhere = next(child for child in deliveries.args.children if child.id == "elsewhere")
    stop_s = elsewhere.args.stop_s
    assert stop_s > limits.DELIVERER_STOP_S
    assert stop_s + BURIAL_S < elsewhere.shutdown_s < deliveries.shutdown_s < limits.STOP_S


def test_a_machine_knows_whether_its_node_has_started_actors(own):
    for _node in range(2):
        own(settings({}))
        assert own_settings.have_begun() is False
        completed(settings({}))
        assert own_settings.have_begun() is True
