"""A day of a trial beside Kazoo: every shared document is as it was.

The whole tree runs without processes, on a clock that the test moves, over the turn of a month. So
whatever any actor does once a minute or an hour, it does here.

`CALLBOARD_TEST_HOURS=25` passes a whole day.
"""

import json
import os
from calendar import timegm

import pytest
from attrs import evolve
from e2e.test_dry_run import OWN, as_kazoo_leaves_it

from callboard.actors.base.role import Ports
from callboard.actors.messages.paths import METRICS
from callboard.actors.system.tree import tree
from callboard.adapters.broker.protocol import Properties
from callboard.adapters.store.dry_run import DRY_RUN
from callboard.config.settings import (
    ActorsSettings,
    AmqpSettings,
    ApiSettings,
    DeliverySettings,
    DisablerSettings,
)
from callboard.supervision import Start, Supervisor
from callboard.webhooks.events.changes import document_change
from callboard.webhooks.retries.outcome import ClientError, Response, Unsent
from callboard.webhooks.values.kazoo_names import modb
from support.running import ACCOUNT, call_event, outgoing
from support.world import Broker, Endpoints, Store, World
from support.world.endpoints import OK

LATE_ON_THE_LAST = timegm((2026, 11, 30, 22, 30, 0))
DAY_S = float(os.environ.get("CALLBOARD_TEST_HOURS", "3")) * 3600
EVERY_S = 300.0
"""The time between two events."""


class Trial:
    """A cluster of Kazoo's documents, and Callboard beside it."""

    def __init__(self, world, **settings):
        self.world = world
        self.world.set_clock(LATE_ON_THE_LAST - world.unix_s - world.now)
        self.broker, self.store, self.records = Broker(world), Store(), Store()
        dry = settings["delivery"].dry_run
        answer = self._dry if dry else self._answer
        world.make_sending = Endpoints(world, answer).make_sending
        world.ports = Ports(self.broker.connect, self._connect)
        as_kazoo_leaves_it(self.store, "https://hooks.example.com")
        for id in ("gone", "down"):
            private = {"_id": id, "pvt_type": "webhook", "pvt_account_id": ACCOUNT}
            fields = {"name": id, "hook": "all", "uri": f"https://{id}.example.com/"}
            self.store.save("webhooks", private | fields | {"http_verb": "post"})
        self.settings = world.settings(
            actors=ActorsSettings(heartbeat_ms=600_000, hang_timeout_ms=3_600_000),
            api=ApiSettings(enabled=False),
            **settings,
        )
        self.top = world.create(Supervisor)
        whole = tree(self.settings)
        # The figures of each second are of no document, and would take most of the time.
        spec = evolve(whole, children=tuple(c for c in whole.children if c.id != METRICS))
        world.deliver(self.top, Start(args=spec, heartbeat_s=600.0), self.top)

    def _connect(self, _url, folder, timeout_s=0):
        return self.records if folder.name == DRY_RUN else self.store

    def _dry(self, _delivery, _made):
        return 0.001, Unsent(), False

    def _answer(self, delivery, _made):
        match delivery.hook_id:
            case "gone":
                return 0.01, Response(410), False
            case "down":
                return 2.0, ClientError("failed_connect: econnrefused"), False
            case _:
                return 0.01, OK, True

    def documents(self):
        """The shared documents, as they are written."""
        return {name: dict(self.store.databases.get(name, {})) for name in OWN}

    def pass_a_day(self):
        """Events come all the time, and another node changes a hook each hour."""
        for number in range(int(DAY_S / EVERY_S)):
            self.world.after(5 + number * EVERY_S, self.publish, number)
        self.world.pass_time(DAY_S)

    def publish(self, number):
        body = call_event(number) | {"Msg-ID": f"{number}"}
        exchange, key, text, type = outgoing(body)
        self.broker.publish(exchange, key, text, Properties(content_type=type))
        hook = self.store.get("webhooks", "good")
        if number % 12 == 0:
            key, change = document_change("doc_edited", "webhooks", hook, "kazoo@other")
            text = json.dumps(change).encode()
            self.broker.publish("configuration", key, text, Properties(content_type=type))


SETTINGS = {
    "dry run": {"amqp": AmqpSettings(), "delivery": DeliverySettings(dry_run=True)},
    "beside": {"amqp": AmqpSettings(join_kazoo=True), "delivery": DeliverySettings()},
}


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_day_of_a_trial_changes_no_document(kind):
    with World() as world:
        trial = Trial(world, **SETTINGS[kind])
        before = trial.documents()
        trial.pass_a_day()
        assert world.crashes == []
        assert trial.documents() == before
        now = world.unix_s + world.now
        months = [modb(ACCOUNT, now - DAY_S), modb(ACCOUNT, now)]
        assert months[0] != months[1]
        store = trial.records if kind == "dry run" else trial.store
        print(
            sorted(trial.store.databases),
            sorted(trial.records.databases),
            {m: len(store.all(m)) for m in months},
            months,
        )
        for month in months:
            kept = {one["hook_id"] for one in store.all(month)}
            assert kept >= ({"good", "gone", "down"} if kind == "dry run" else {"gone", "down"})
        others = set(trial.store.databases) - {*OWN}
        assert others <= {*months, "callboard_dead_letters"}
        assert (others == set()) is (kind == "dry run")


def test_a_node_that_may_change_documents_does_so():
    """What the trials are compared with would be told apart."""
    with World() as world:
        settings = SETTINGS["beside"] | {"disabler": DisablerSettings(read_only=False)}
        trial = Trial(world, **settings)
        before = trial.documents()
        for number in range(1, 4):
            world.after(60 + number, trial.publish, number)
        world.pass_time(600)
        after = trial.documents()
        assert after["webhooks"].keys() == before["webhooks"].keys()
        changed = {
            id for id in before["webhooks"] if after["webhooks"][id] != before["webhooks"][id]
        }
        assert changed == {"gone", "down"}
