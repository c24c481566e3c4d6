"""What the system stands on gives way: docs/operations.md, "Overload and outage"."""

import contextlib
import json
import resource
import subprocess
from collections import Counter

import pika
import psutil
import pytest

from callboard import admin
from callboard.actors.messages import EditHook, HookSaved
from callboard.actors.system.actor_system import SystemUnreachable
from callboard.adapters.http.descriptors import RESERVED
from callboard.adapters.local.corrupt_file import moved_aside
from callboard.adapters.receiver.server import Answer
from support.cluster import prepared
from support.hooks import prepared_store, save_hook
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


def fill(path):
    """Take all that is left of a disk."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


@pytest.mark.rabbitmq
@pytest.mark.couchdb
def test_a_full_disk_holds_up_what_failed_and_nothing_else(
    start, receiver, amqp_url, couchdb_url, small_disk
):
    prepared(couchdb_url, small_disk)
    system = start(kazoo__modules="*", amqp__url=amqp_url, couchdb__url=couchdb_url)
    system.add_hook(f"{receiver.url}/status/500", format="json")
    hook_known(system)
    publish(amqp_url, calls(1))
    system.wait(lambda: system.node("deliveries/attempt_log").stats.get("written") == 1)

    filler = small_disk / "filler"
    fill(filler)
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


def test_a_full_disk_under_the_embedded_broker_and_store_loses_nothing(start, receiver, small_disk):
    """What the broker took before comes once there is room, and what it cannot take is refused."""
    failing_once = Counter()

    def fail_once(request):
        call = json.loads(request.body)["call_id"]
        failing_once[call] += 1
        return Answer(200) if failing_once[call] > 1 else Answer(500, delay_s=1.0)

    receiver.answer("/bad", fail_once)
    system = start(delivery__retry_policy="standard", delivery__retry_steps_s="1,1")
    system.add_hook(f"{receiver.url}/bad", format="json")
    hook_known(system)
    system.publish(calls(*range(10)))
    receiver.wait_for(10)

    filler = small_disk / "filler"
    fill(filler)
    taken = 10
    with pytest.raises(SystemUnreachable, match="low on disk"):
        while True:
            system.publish(calls(taken))
            taken += 1
    queue = system.wait(
        lambda: (q := system.node("deliveries/retry_queue").stats)["put_off"] == 10 and q
    )
    assert queue["kept"] < 10
    system.wait(lambda: leaving(system) > 0)
    filler.unlink()
    system.wait(lambda: system.node("event_bridge").stats["broker"] == "up", 30)
    system.wait(lambda: len(failing_once) == taken and set(failing_once.values()) == {2}, 40)
    system.wait(lambda: in_hand(system) == leaving(system) == 0)
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
    # The event about it comes by the broker, and its module reads the store.
    system.wait(lambda: system.node("responders/callboard").stats.get("events") == 1)
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


def workers(system):
    return [n for n in system.tree().below() if n.path.startswith("deliveries/deliverer-")]


def leaving(system):
    """What deliverers want to put off, and is not safe yet."""
    return sum(worker.stats["leaving"] for worker in workers(system))


def in_hand(system):
    return system.node("event_bridge").stats["in_hand"]


def soft_limit(pid, descriptors):
    """Let a process have so many; how many it might have before."""
    before, most = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (descriptors, most))
    return before


def test_without_descriptors_deliveries_fail_and_come_right_again(start, receiver):
    system = start(disabler__enabled="false")
    system.add_hook(f"{receiver.url}/slow/200", format="json", retries=5)
    hook_known(system)
    before = {}
    for worker in workers(system):
        few = psutil.Process(worker.pid).num_fds() + RESERVED + 4
        before[worker.pid] = soft_limit(worker.pid, few)
    system.publish(calls(*range(100)))
    system.wait(lambda: sum(w.stats.get("failed_tries", 0) for w in workers(system)) > 0)
    assert 'outcome="failed_connect: emfile"' in system.log.read_text()
    for pid, limit in before.items():
        soft_limit(pid, limit)
    system.wait(lambda: len(arrived(receiver)) == 100, 40, "all events")
    system.wait_settled(101)

    def failed(delivered):
        """The failures of each, once their figures are those of so many deliveries."""

        def found():
            all_ = workers(system)
            return sum(worker.stats["delivered"] for worker in all_) == delivered and all_

        return {one.pid: one.stats["failed_tries"] for one in system.wait(found)}

    once = failed(100)
    assert sorted(once) == sorted(before)
    system.publish(calls(*range(100, 150)))
    system.wait(lambda: len(arrived(receiver)) == 150, 20, "events with descriptors")
    assert failed(150) == once
    assert restarts(system) == {}


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


def test_corrupt_files_at_the_start_hold_up_nothing(start, receiver, tmp_path):
    folder = tmp_path / "data0"
    folder.mkdir()
    names = ["attempts", "broker", "dead_letters", "poison", "refused"]
    for name in names:
        (folder / f"{name}.sqlite3").write_bytes(b"\xff" * 10_000)
    (folder / "finished.ids").write_bytes(b"\xff" * 1000)
    system = start(kazoo__modules="*")
    system.add_hook(f"{receiver.url}/ok", format="json")
    system.add_hook(f"{receiver.url}/status/500", format="json")
    system.wait_hooks(2)
    system.publish(calls(*range(20)))
    receiver.wait_for(40)
    invalid = {"Event-Category": "call_event", "Event-Name": "PARK_PARKED"}
    system.send(("callevt", "call.PARK_PARKED.x", invalid))
    system.wait_settled(21)
    found = admin.ListDeadLetters()
    system.wait(
        lambda: (
            len(system.client.ask_actor("redelivery", found, admin.DeadLettersListed).letters) == 21
        )
    )
    aside = {path.name.partition(".")[0] for path in moved_aside(folder)}
    assert aside >= {"attempts", "broker", "dead_letters", "poison"}
    assert restarts(system) == {}


def test_a_hook_with_a_long_id_is_edited_and_disabled_and_its_change_is_published(
    start, receiver, tmp_path
):
    store = prepared_store("sqlite://", tmp_path / "data0")
    long = "h" * 300
    save_hook(store, f"{receiver.url}/ok", ACCOUNT, _id=long)
    system = start()
    hook_known(system)
    listener = "hook_listener"
    edit = EditHook(long, {"name": "other"})
    assert system.client.ask_actor(listener, edit, HookSaved).document["name"] == "other"
    disable = EditHook(long, {"enabled": False})
    system.client.ask_actor(listener, disable, HookSaved)
    system.wait_hooks(0)
    assert restarts(system) == {}
