"""One table of time limits: what contains another one is longer."""

import json
import os
import re
from pathlib import Path

import pytest
from attrs import evolve
from click.testing import CliRunner

from callboard.actors.system.tree import tree
from callboard.adapters.telemetry import otlp
from callboard.cli.system.configuration import timeouts
from callboard.config import time_limits as limits
from callboard.config.loader import ConfigError, load
from callboard.config.settings import (
    ActorsSettings,
    AmqpSettings,
    CouchdbSettings,
    DeliverySettings,
    Settings,
)
from callboard.supervision import SupervisorSpec
from callboard.supervision.supervisor import BURIAL_S

DEPLOY = Path(__file__).parents[2] / "deploy"


def leaves(spec):
    return [
        leaf
        for child in spec.children
        for leaf in (leaves(child.args) if isinstance(child.args, SupervisorSpec) else [child])
    ]


def test_a_limit_is_longer_than_those_it_contains():
    assert limits.TREE_SILENT_S > 2 * limits.START_S
    assert limits.API_CLIENTS_STOP_S < limits.API_STOP_S < limits.CHILD_STOP_S
    assert limits.APPLY_S < limits.API_APPLY_S
    assert Settings().delivery.request_timeout_ms / 1000 < limits.DELIVERER_STOP_S
    assert limits.DELIVERER_STOP_S + 2 * limits.CHILD_STOP_S < limits.DELIVERIES_STOP_S
    assert limits.DELIVERER_STOP_S < limits.REMOTE_SUPERVISOR_STOP_S
    assert limits.REMOTE_SUPERVISOR_STOP_S + BURIAL_S < limits.REMOTE_SUPERVISORS_STOP_S
    assert limits.REMOTE_SUPERVISORS_STOP_S < limits.DELIVERIES_STOP_S
    assert 2 * limits.CLOSE_S + otlp.CLOSE_S < limits.CHILD_STOP_S
    assert len(leaves(tree(Settings()))) * limits.START_S < limits.EMBEDDED_START_S
    assert limits.STOP_S < limits.EMBEDDED_STOP_S
    assert limits.RECONCILE_S < limits.REPEATED_S
    assert limits.DRAIN_S + limits.DELIVERIES_STOP_S + limits.API_STOP_S < limits.STOP_S


def test_the_service_managers_wait_for_an_orderly_stop():
    unit = (DEPLOY / "callboard.service").read_text()
    compose = (DEPLOY / "compose.yaml").read_text()
    for pattern, text in (
        (r"TimeoutStopSec=(\d+)\n", unit),
        (r"stop_grace_period: (\d+)s\n", compose),
    ):
        assert float(re.search(pattern, text)[1]) > limits.STOP_S


def table(**sections):
    rows = limits.time_limits(evolve(Settings(), **sections))
    return {row.name: row.seconds for row in rows}


def test_the_limits_of_a_node_with_default_settings():
    rows = limits.time_limits(Settings())
    assert [(row.name, row.seconds, row.origin) for row in rows] == [
        ("start of an actor", 10, "waits for no server"),
        ("silence of the top while the tree starts", 30, "more than 2 x start"),
        ("heartbeat of an actor", 4, "actors.heartbeat_ms"),
        ("hang", 12, "actors.hang_timeout_ms; more than heartbeat"),
        ("hang of an actor that reads the store", 32, "hang + 2 x store response"),
        ("store response", 10, "couchdb.timeout_ms; at most 30 s"),
        ("store health check", 5, "store response, at most 5 s"),
        ("take-over of an earlier version's deliveries", 5, "2 x store response, at most 5 s"),
        ("comparison with the store", 120, "couchdb.compare_s"),
        ("restarts are counted", 10, "fixed"),
        ("set-up of a connection to the broker", 60, "fixed"),
        ("search for unanswered work", 30, "half of repetition of unanswered work"),
        ("repetition of unanswered work", 60, "at least 2 x store response"),
        ("changed hook in effect", 3, "fixed"),
        ("changed hook in effect, for the API", 4, "changed hook in effect + 1 s"),
        ("silent loss of the broker", 16, "2 x amqp.heartbeat_s"),
        ("look for a block of the broker", 5, "fixed"),
        ("message returns to the broker", 720, "below half of amqp.consumer_timeout_s"),
        (
            "wait of a delivery in a deliverer",
            355,
            "(message returns to the broker - request to an endpoint) / 2",
        ),
        (
            "connection to an endpoint",
            10,
            "connect_timeout_ms of system_config/webhooks, by default",
        ),
        ("request to an endpoint", 10, "delivery.request_timeout_ms"),
        ("test delivery, for the API", 60, "request to an endpoint + 50 s"),
        ("settling of events at a stop", 10, "fixed"),
        ("stop of an actor", 5, "fixed"),
        ("close of a connection at a stop", 1, "fixed; below stop of an actor"),
        ("stop of the API", 4, "2 x 2 s; below stop of an actor"),
        ("stop of a deliverer", 12, "default of delivery.request_timeout_ms + 2 s"),
        ("stop of the deliverers of another machine", 15, "stop of a deliverer + 3 s"),
        (
            "stop of all other machines' deliverers",
            18,
            "the same + 3 s; below stop of all deliverers",
        ),
        ("stop of all responders", 15, "3 x stop of an actor"),
        ("stop of all deliverers", 25, "2 x stop of a deliverer + 1 s"),
        ("stop of the system", 45, "settling + stop of all deliverers + 2 x stop of an actor"),
        ("start of the system in a host", 300, "fixed"),
        ("stop of the system in a host", 60, "stop of the system + 15 s"),
    ]


def test_by_default_a_frozen_store_costs_no_connection_to_the_broker():
    assert limits.store_call_s(Settings()) < limits.broker_loss_s(Settings()) <= 20


def test_a_test_delivery_has_the_time_of_its_request():
    for request_timeout_ms in (10_000, 600_000):
        slow = table(delivery=DeliverySettings(request_timeout_ms=request_timeout_ms))
        assert slow["test delivery, for the API"] > slow["request to an endpoint"]


def test_what_follows_from_settings():
    slow = table(
        couchdb=CouchdbSettings(timeout_ms=20_000),
        actors=ActorsSettings(heartbeat_ms=1000, hang_timeout_ms=5000),
    )
    assert slow["store response"] == 20
    assert slow["store health check"] == 5
    assert (slow["hang"], slow["hang of an actor that reads the store"]) == (5, 45)
    assert table(couchdb=CouchdbSettings(timeout_ms=500))["store health check"] == 0.5
    quick = limits.time_limits(Settings(delivery=DeliverySettings(connect_timeout_ms=1500)))
    assert [row for row in quick if row.name == "connection to an endpoint"] == [
        limits.TimeLimit("connection to an endpoint", 1.5, "delivery.connect_timeout_ms")
    ]


def test_a_store_that_may_take_longer_than_its_readers_is_refused():
    def loaded(timeout_ms):
        overrides = {"couchdb.timeout_ms": timeout_ms}
        return load(None, {"CALLBOARD_CONFIG": os.devnull}, overrides)

    assert loaded(30_000).settings.couchdb.timeout_ms == 30_000
    with pytest.raises(ConfigError, match=r"couchdb.timeout_ms \(30001\) must be at most 30000"):
        loaded(30_001)


def test_a_request_may_not_take_so_long_that_the_broker_ends_the_consumer():
    def loaded(url, timeout_ms):
        overrides = {"amqp.url": url, "delivery.request_timeout_ms": timeout_ms}
        return load(None, {"CALLBOARD_CONFIG": os.devnull}, overrides)

    loaded("amqp://x/", 360_000)
    loaded("memory://", 360_001)
    with pytest.raises(ConfigError, match=r"consumer_timeout_s \(1800\) must be at least 1801"):
        loaded("amqp://x/", 360_001)


def test_what_waits_twice_and_is_in_a_request_is_not_overdue_before_half_of_the_broker_s_limit():
    for timeout_s, request_ms in ((1800, 10_000), (60, 12_000), (5, 1000)):
        settings = Settings(
            amqp=AmqpSettings(consumer_timeout_s=timeout_s),
            delivery=DeliverySettings(request_timeout_ms=request_ms),
        )
        held_s = 2 * limits.hold_s(settings) + request_ms / 1000
        assert limits.hold_s(settings) >= 0.1 * timeout_s
        assert held_s <= limits.overdue_s(settings)
        assert limits.overdue_s(settings) * 1.05 < timeout_s / 2
    hours = evolve(Settings(), delivery=DeliverySettings(request_timeout_ms=7_200_000))
    assert limits.hold_s(hours) == 180  # With the embedded broker, which has no such limit.


def test_the_table_is_printed():
    shown = CliRunner().invoke(timeouts, ["--couchdb-timeout-ms", "2000", "--json"])
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.output)["store response"] == {
        "seconds": 2,
        "origin": "couchdb.timeout_ms; at most 30 s",
    }
    plain = CliRunner().invoke(timeouts, []).output
    assert re.search(r"hang of an actor that reads the store +32 +hang \+ 2 x store", plain)
