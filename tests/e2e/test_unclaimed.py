"""Events that no event module of a node claims are delivered by another node, or dead letters."""

import json
import os
import signal

import pika
import pytest

from callboard.actors.events.unclaimed import MOST_OFFERS
from callboard.actors.messages import Published, PublishEvents
from callboard.adapters.broker.edge import EXCHANGE_HEADER, KEY_HEADER, OFFERS_HEADER
from support.cluster import prepared
from support.running import ACCOUNT, RunningSystem, kill_all

pytestmark = pytest.mark.multiprocess

TABLE = f"""
[[modules]]
id = "order_paid"
exchange = "shop"
bindings = ["order.*.paid"]
account_id = "{ACCOUNT}"
"""
INSTALLED = f"""
from callboard.webhooks.modules.bus_module import BusModule
from callboard.webhooks.modules.kazoo.channel_create import MODULE as CHANNEL

MODULE = BusModule(
    id="call_rated", exchange=CHANNEL.exchanges[0], keys=("call.RATED.*",), account_id="{ACCOUNT}"
)
"""
NUMBER = 50
REMOVE = ("modules", "remove", "order_paid")


def publish(system, exchange, key, numbers):
    events = tuple((exchange, key, json.dumps({"n": n}).encode(), "") for n in numbers)
    published = system.client.ask_actor("event_bridge", PublishEvents(events), Published, 30)
    assert published.unroutable == 0


def dead_letters(system):
    return json.loads(system.run("dead-letters", "list", "--limit", "1000", "--json").stdout)


def removal(system, config, *options):
    """What `callboard modules remove` says, with this configuration."""
    removed = system.run(*REMOVE, *options, "--json", CALLBOARD_CONFIG=str(config))
    assert removed.returncode == 0, removed
    return json.loads(removed.stdout)


def numbers(receiver):
    return sorted(json.loads(request.body)["n"] for request in receiver.requests)


class Restarted(RunningSystem):
    """A system whose processes import what is installed when they start."""

    program = ("-m", "callboard.run_system")

    def kill_all(self):
        self.process.kill()
        kill_all(self.family())
        self.close()


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The file of an installed module."""
    info = tmp_path / "installed" / "rating-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rating\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[callboard.modules]\nrated = rating:MODULE\n")
    monkeypatch.setenv("PYTHONPATH", str(info.parent))
    return info.parent / "rating.py"


def test_a_table_is_removed_and_a_module_cannot_be_imported(tmp_path, installed, receiver):
    """100 of 100 waiting events, and 50 of 50 of each module, were acknowledged and gone."""
    installed.write_text(INSTALLED)
    config = tmp_path / "callboard.toml"
    config.write_text(TABLE)
    system = Restarted(tmp_path / "data", config, delivery__workers=1)
    try:
        for event in ("order_paid", "call_rated"):
            system.add_hook(f"{receiver.url}/{event}", event, format="json")
            path = f"responders/{event}"
            system.wait(lambda path=path: system.node(path).stats.get("hooks") == 1)
        os.kill(system.node("responders/order_paid").pid, signal.SIGSTOP)
        publish(system, "shop", "order.1.paid", range(NUMBER))
        waiting = removal(system, config)
        assert (waiting["events"], waiting["exact"], waiting["letters"]) == (NUMBER, True, [])
        assert waiting["own_bindings"] == [["shop", "order.*.paid"]]
        system.kill_all()

        config.write_text("")
        installed.write_text("raise RuntimeError('its licence has expired')")
        system.start()
        publish(system, "shop", "order.1.paid", range(NUMBER, 2 * NUMBER))
        publish(system, "callevt", "call.RATED.1", range(2 * NUMBER, 3 * NUMBER))
        letters = system.wait(
            lambda: len(found := dead_letters(system)) == 3 * NUMBER and found, 30, "dead letters"
        )
        assert {(letter["kind"], letter["reason"]) for letter in letters} == {
            ("event", "no module")
        }
        assert not receiver.requests
        told = " ".join(system.run("doctor").stdout.split())
        assert f"{3 * NUMBER} of them became dead letters" in told
        assert "its licence has expired" in told
        with_table = tmp_path / "with_table.toml"
        with_table.write_text(TABLE)
        waiting = removal(system, with_table)
        assert (waiting["events"], len(waiting["letters"])) == (0, 2 * NUMBER)
        refused = system.run(*REMOVE, "--events", "replay", CALLBOARD_CONFIG=str(with_table))
        assert refused.returncode == 1
        assert "the running node does not have the module order_paid" in refused.stderr
        system.kill_all()

        config.write_text(TABLE)
        installed.write_text(INSTALLED)
        system.start()
        assert len(removal(system, config, "--events", "replay")["replay"]) == 2 * NUMBER
        retried = system.run("dead-letters", "retry", "--all")
        assert retried.returncode == 0, retried
        receiver.wait_for(3 * NUMBER, 30)
        assert numbers(receiver) == list(range(3 * NUMBER))
        assert dead_letters(system) == []
    finally:
        system.close()


@pytest.mark.rabbitmq
@pytest.mark.couchdb
def test_a_table_is_rolled_out_over_two_nodes_and_removed_again(
    start, receiver, amqp_url, couchdb_url, tmp_path
):
    """199 of 400 events were acknowledged by the node without the table, and gone."""
    prepared(couchdb_url, tmp_path).close()
    configs = [tmp_path / "a.toml", tmp_path / "b.toml"]
    configs[0].write_text(TABLE)
    configs[1].write_text("")
    nodes = a, b = [
        start(
            config=config,
            node__name=f"{config.stem}@here",
            actors__key="of both nodes, as this process seals for one key only",
            amqp__url=amqp_url,
            couchdb__url=couchdb_url,
            delivery__workers=1,
        )
        for config in configs
    ]
    a.add_hook(f"{receiver.url}/paid", "order_paid", format="json")
    a.wait(lambda: a.node("responders/order_paid").stats.get("hooks") == 1)

    def deliver(node, first):
        publish(node, "shop", "order.1.paid", range(first, first + 2 * NUMBER))
        receiver.wait_for(first + 2 * NUMBER, 60)

    def change(node, text):
        configs[nodes.index(node)].write_text(text)
        assert node.run("stop").returncode == 0
        node.close()
        node.start()

    def counts(node):
        return {n: node.node("event_bridge").stats[n] for n in ("unclaimed", "no_module")}

    deliver(b, 0)
    b.wait(lambda: counts(b)["unclaimed"] >= NUMBER / 5)
    assert counts(b)["no_module"] == 0
    change(b, TABLE)
    deliver(a, 2 * NUMBER)
    change(a, "")
    deliver(a, 4 * NUMBER)
    assert counts(a)["no_module"] == 0
    change(b, "")
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    channel = connection.channel()
    own = {EXCHANGE_HEADER: "shop", KEY_HEADER: "order.1.paid"}
    for number in range(NUMBER):  # They have returned often, which takes a minute.
        properties = pika.BasicProperties(headers=own | {OFFERS_HEADER: MOST_OFFERS - 1})
        channel.basic_publish("", "callboard.events", json.dumps({"n": number}), properties)
    connection.close()
    a.wait(lambda: len(dead_letters(a)) == NUMBER, 30, "dead letters")
    configs[1].write_text(TABLE)
    assert removal(a, configs[1], "--events", "keep")["keep"] == []
    dropped = removal(a, configs[1], "--events", "drop", "--yes")
    assert (dropped["exact"], len(dropped["drop"]), dropped["refused"]) == (False, NUMBER, {})
    assert dead_letters(a) == []
    assert numbers(receiver) == list(range(6 * NUMBER))
