"""What the system stands on gives way: docs/operations.md, "Overload and outage"."""

import contextlib
import json
import resource
import subprocess
import threading

import pika
import psutil
import pytest

from support.cluster import prepared
from support.hooks import save_hook
from support.running import ACCOUNT, call_event, outgoing
from support.slow_proxy import SlowProxy

pytestmark = [pytest.mark.multiprocess, pytest.mark.faults]


def arrived(receiver):
    return {json.loads(request.body)["call_id"] for request in receiver.requests}


def calls(*numbers):
    return [call_event(number) for number in numbers]


def restarts(system):
    return {node.path: node.restarts for node in system.tree().below() if node.restarts}


def hook_known(system):
    system.wait(lambda: system.node("responders/channel_create").stats.get("hooks") == 1)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 8 MB at the folder that `start` uses; skipped where mounting is refused."""
    folder = tmp_path / "data0"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system takes root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.rabbitmq
@pytest.mark.couchdb
def test_a_full_disk_holds_up_what_failed_and_nothing_else(
    start, receiver, amqp_url, couchdb_url, small_disk
):
    prepared(couchdb_url, small_disk)
    system = start(amqp__url=amqp_url, couchdb__url=couchdb_url)
    system.add_hook(f"{receiver.url}/status/500", format="json")
    hook_known(system)
    publish(amqp_url, calls(1))
    system.wait(lambda: system.node("deliveries/attempt_log").stats.get("written") == 1)

    filler = small_disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    invalid = {"Event-Category": "call_event", "Event-Name": "PARK_PARKED"}
    system.send(("callevt", "call.PARK_PARKED.x", invalid))
    system.wait(lambda: system.node("event_bridge").stats["poison"] == 1)
    publish(amqp_url, calls(*range(2, 30)))
    receiver.wait_for(29)
    system.wait(lambda: system.node("event_bridge").stats["in_hand"] == 28)
    filler.unlink()
    system.wait(lambda: system.node("event_bridge").stats["in_hand"] == 0, 30, "room")
    system.wait(lambda: system.node("deliveries/attempt_log").stats.get("written") == 29)
    system.wait_settled(30)
    assert restarts(system) == {}


@pytest.mark.couchdb
def test_a_slow_store_slows_nothing_that_is_known(
    start, receiver, couchdb_server, couchdb_url, tmp_path
):
    prepared(couchdb_url, tmp_path)
    with SlowProxy(couchdb_server.port) as proxy:
        system = start(couchdb__url=proxy.url)
        system.add_hook(f"{receiver.url}/ok", format="json")
        hook_known(system)
        system.publish(calls(0))
        receiver.wait_for(1)
        proxy.delay_s = 1.0
        system.publish(calls(*range(1, 200)))
        receiver.wait_for(200, 15)
        assert restarts(system) == {}


@pytest.mark.couchdb
def test_while_the_store_is_away_events_wait_or_go_on_and_failures_are_kept(
    start, receiver, couchdb_server, couchdb_url, tmp_path
):
    prepared(couchdb_url, tmp_path)
    system = start(couchdb__url=couchdb_url, couchdb__timeout_ms=1000)
    system.add_hook(f"{receiver.url}/status/500", format="json")
    hook_known(system)
    system.publish(calls(0))
    system.wait(lambda: system.node("deliveries/attempt_log").stats.get("written") == 1)
    couchdb_server.stop()
    try:
        system.publish(calls(*range(1, 20)))
        receiver.wait_for(20)
        system.wait(lambda: system.node("deliveries/attempt_log").stats.get("waiting") == 19)
        system.wait(lambda: system.node("event_bridge").stats["in_hand"] == 0)
    finally:
        couchdb_server.start()
    system.wait(lambda: system.node("deliveries/attempt_log").stats.get("waiting") == 0, 30)
    assert restarts(system) == {}


def publish(url, bodies):
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    for body in bodies:
        exchange, key, text, content_type = outgoing(body)
        properties = pika.BasicProperties(content_type=content_type, delivery_mode=2)
        channel.basic_publish(exchange, key, text, properties)
    connection.close()


@pytest.mark.rabbitmq
def test_a_broker_that_blocks_publishers_still_gives_events(start, receiver, rabbitmq, amqp_url):
    system = start(amqp__url=amqp_url)
    system.add_hook(f"{receiver.url}/ok", format="json")
    hook_known(system)
    publish(amqp_url, calls(*range(50)))
    receiver.wait_for(50)
    rabbitmq.block_publishers()
    try:
        late = threading.Thread(target=publish, args=(amqp_url, calls(*range(50, 60))))
        late.start()
    finally:
        rabbitmq.unblock_publishers()
    late.join(20)
    receiver.wait_for(60)
    assert restarts(system) == {}


def test_without_descriptors_deliveries_fail_and_come_right_again(start, receiver):
    system = start()
    system.add_hook(f"{receiver.url}/ok", format="json", retries=5)
    hook_known(system)
    workers = [n for n in system.tree().below() if n.path.startswith("deliveries/deliverer-")]
    before = {}
    for worker in workers:
        used = psutil.Process(worker.pid).num_fds()
        before[worker.pid] = resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (used + 8, 4096))
    system.publish(calls(*range(300)))
    system.wait(lambda: len(arrived(receiver)) == 300, 40, "all events")


def test_hooks_saved_before_the_clock_jumps_still_fire(start, receiver, tmp_path):
    """A start with documents from a future: nothing compares the clock with what is stored."""
    store = prepared("sqlite://", tmp_path / "data0")
    far = 99_999_999_999
    save_hook(store, f"{receiver.url}/ok", ACCOUNT, pvt_created=far, pvt_modified=far)
    store.close()
    system = start()
    hook_known(system)
    system.publish(calls(1))
    receiver.wait_for(1)
