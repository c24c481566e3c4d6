"""What is particular to `memory://`: one file, many processes, any of which may be killed."""

import os
import resource
import select
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from callboard.adapters.broker.backoff import Backoff
from callboard.adapters.broker.embedded import database as embedded_database
from callboard.adapters.broker.embedded.connection import EmbeddedConnection
from callboard.adapters.broker.embedded.presence import Presence, is_alive, remove_the_dead, ring
from callboard.adapters.broker.embedded.relocation import relocate
from callboard.adapters.broker.protocol import (
    FANOUT,
    Blocked,
    BrokerError,
    ConnectionDown,
    ConnectionUp,
    Declared,
    DelayQueue,
    Depths,
    Exchange,
    OutgoingMessage,
    Queue,
    Topology,
    Unconfirmed,
)
from services.driver import Driver
from support.descriptors import open_descriptors, opening

EVENTS = Topology(queue=Queue("events"))
PRIVATE = Topology(queue=Queue("private", durable=False, exclusive=True))

PROGRAM = """
import os, sys, time
from pathlib import Path
from services.driver import Driver
from callboard.adapters.broker.protocol import Queue, Topology
from callboard.adapters.broker.embedded.connection import EmbeddedConnection
from callboard.adapters.broker.embedded.presence import Presence
folder = Path(sys.argv[1])
def open(topology):
    return Driver(EmbeddedConnection(folder, topology))
"""


@pytest.fixture
def drive(tmp_path):
    drivers = []

    def drive(topology=EVENTS, **options) -> Driver:
        drivers.append(Driver(EmbeddedConnection(tmp_path, topology, **options)))
        return drivers[-1]

    yield drive
    for driver in drivers:
        driver.connection.close()


@pytest.fixture
def run(tmp_path):
    """Run a program in a process of its own, which does not outlive the test."""
    processes = []

    def run(program: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-u", "-c", PROGRAM + program, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": str(Path(__file__).parents[1])},
        )
        processes.append(process)
        return process

    yield run
    for process in processes:
        process.kill()
        process.communicate()


def kill(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()


def count(folder: Path, table: str) -> int:
    db = sqlite3.connect(folder / "broker.sqlite3")
    (rows,) = db.execute(f"SELECT count(*) FROM {table}").fetchone()
    db.close()
    return rows


@contextmanager
def files_no_longer_than(size: int):
    """As on a full disk, writing beyond fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_was_confirmed_to_a_killed_publisher_is_there(drive, run):
    drive().up().connection.close()
    publisher = run(
        "driver = open(Topology()).up()\n"
        "for batch in range(10_000):\n"
        "    driver.publish('events', *(b'%d' % (batch * 10 + i) for i in range(10)))\n"
        "    print(batch)\n"
    )
    while publisher.stdout.readline().strip() != "25":
        pass
    publisher.kill()
    last = [25, *map(int, publisher.stdout.read().split())][-1]
    heir = drive(Topology(queue=Queue("events"), prefetch=0)).up()
    heir.receive((last + 1) * 10)
    heir.while_quiet()
    assert heir.bodies == [b"%d" % i for i in range(len(heir.bodies))]
    # At most the batch that was not confirmed yet came in addition.
    assert len(heir.bodies) in ((last + 1) * 10, (last + 2) * 10)


def test_processes_that_start_together_do_not_get_into_each_others_way(tmp_path, run):
    program = (
        "driver = open(Topology(queue=Queue(f'q{os.getpid()}')))\n"
        "print('ready'); sys.stdin.readline()\n"
        "driver.up(); driver.publish(driver.queue, *[b'x'] * 50); driver.receive(50)\n"
        "print([type(event).__name__ for event in driver.events if 'Un' in repr(event) "
        "or 'Down' in repr(event)])\n"
        "driver.connection.close()\n"
    )
    processes = [run(program) for _ in range(4)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.stdout.readline() for process in processes] == ["[]\n"] * 4


def test_a_new_consumer_takes_over(drive):
    old = drive().up()
    old.publish("events", b"1", b"2")
    tags = [message.tag for message in old.receive(2)]
    new = drive().up()
    assert [(m.body, m.redelivered) for m in new.receive(2)] == [(b"1", True), (b"2", True)]
    old.connection.ack(tags)
    assert "taken over" in old.down().reason
    new.connection.close()
    heir = drive().up()
    assert [m.body for m in heir.receive(2)] == [b"1", b"2"]


def test_the_one_before_waits_until_the_queue_is_free(drive, run):
    old = drive(backoff=Backoff(0.01, 0.05)).up()
    new = run(
        "driver = open(Topology(queue=Queue('events'))).up(); print('up')\ndriver.until(bool, 60)\n"
    )
    assert new.stdout.readline() == "up\n"
    old.until(lambda: len(old.of(ConnectionDown)) > 3)
    assert "another consumer" in old.of(ConnectionDown)[-1].reason
    assert len(old.of(ConnectionUp)) == 1
    kill(new)
    old.up(times=2)
    old.publish("events", b"mine again")
    old.receive(1)


def test_files_are_for_their_owner_alone(tmp_path):
    folder = tmp_path / "new"
    driver = Driver(EmbeddedConnection(folder, EVENTS)).up()
    driver.publish("events", b"1")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}
    assert stat.S_IMODE(folder.stat().st_mode) == modes.pop("connections") == 0o700
    assert {"broker.sqlite3", "broker.sqlite3-wal"} < modes.keys()
    assert set(modes.values()) == {0o600}
    driver.connection.close()


def test_closing_leaves_no_files_of_the_connection(drive, tmp_path):
    driver = drive().up()
    assert len(list((tmp_path / "connections").iterdir())) == 2
    driver.connection.close()
    assert not list((tmp_path / "connections").iterdir())


def test_a_killed_connection_is_cleared_away_by_the_next(drive, run, tmp_path):
    killed = run(
        "driver = open(Topology(queue=Queue('private', durable=False, exclusive=True))).up()\n"
        "driver.publish('private', b'1'); print('up'); driver.until(bool, 60)\n"
    )
    assert killed.stdout.readline() == "up\n"
    assert "405" in drive(PRIVATE).down().reason
    kill(killed)
    publisher = drive(Topology()).up()
    assert count(tmp_path, "queue") == count(tmp_path, "message") == 0
    assert len({path.stem for path in (tmp_path / "connections").glob("*.life")}) == 2
    publisher.publish("private", b"2", mandatory=True)
    drive(PRIVATE).up()


def test_a_connection_is_found_by_its_files(tmp_path):
    presence = Presence(tmp_path)
    names = {f"{presence.token}.life", f"{presence.token}.bell"}
    assert {path.name for path in tmp_path.iterdir()} == names
    remove_the_dead(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == names
    presence.close()
    assert list(tmp_path.iterdir()) == []


def test_a_child_of_a_killed_process_does_not_keep_its_connection_alive(tmp_path, run):
    parent = run(
        "presence = Presence(folder)\n"
        "if os.fork() == 0:\n"
        "    sys.stdin.readline(); os._exit(0)\n"
        "print(presence.token); time.sleep(60)\n"
    )
    token = parent.stdout.readline().strip()
    assert is_alive(tmp_path, token)
    kill(parent)
    assert not is_alive(tmp_path, token)
    remove_the_dead(tmp_path)
    assert not list(tmp_path.iterdir())


def test_ringing_for_one_who_is_gone_does_nothing(tmp_path):
    presence = Presence(tmp_path)
    os.mkfifo(tmp_path / "nobody.bell")
    for token in ("unknown", "nobody"):
        ring(tmp_path, token)
    for _ in range(66_000):
        presence.ring()
    presence.silence()
    ring(tmp_path, presence.token)
    assert os.read(presence.fileno(), 10) == b"\0"
    presence.close()


def test_a_full_disk_is_reported_and_survived(drive, tmp_path):
    driver = drive().up()
    driver.publish("events", b"before")
    size = max(path.stat().st_size for path in tmp_path.glob("broker.sqlite3*"))
    with files_no_longer_than(size + 66_000):
        (lost,) = driver.publish("events", bytes(1_000_000))
        assert lost in driver.unconfirmed
        assert str(tmp_path / "broker.sqlite3") in driver.down().reason
    driver.up(times=2)
    driver.publish("events", b"after")
    driver.until(lambda: b"after" in driver.bodies)
    assert driver.bodies[-2:] == [b"before", b"after"]


def test_without_room_it_looks_again_within_a_second(drive):
    driver = drive(Topology(), free_bytes=lambda _folder: 0).up()
    driver.connection.probe()
    driver.step(0)
    assert driver.of(Blocked)
    assert 0 < driver.connection.deadline() - time.monotonic() <= 1


def test_who_loses_its_queue_within_a_poll_publishes_nothing_more(drive):
    def free_bytes(_folder):  # called between the look at the queue and the transaction
        if others:
            others.pop()().up()
        return 2**30

    others = []
    first = drive(free_bytes=free_bytes).up()
    others.append(drive)
    (publish_id,) = first.publish("events", b"1")
    assert first.unconfirmed == {publish_id}
    assert "taken over" in first.down().reason


def test_a_locked_file_is_reported_and_survived(drive, tmp_path):
    driver = drive(Topology(), busy_s=0.05).up()
    other = sqlite3.connect(tmp_path / "broker.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    (publish_id,) = driver.publish("events", b"1")
    assert driver.of(Unconfirmed)[0].publish_ids == (publish_id,)
    assert "locked" in driver.down().reason
    other.execute("ROLLBACK")
    other.close()
    driver.up(times=2)


def test_it_connects_again_when_its_pause_is_over_and_not_before(drive):
    drive(Topology(exchanges=(Exchange("x"),))).up()
    unlike = Topology(exchanges=(Exchange("x", FANOUT),))
    driver = drive(unlike, backoff=Backoff(first_s=600, longest_s=600))
    assert 300 <= driver.down().retry_in_s <= 600
    assert list(driver.connection.poll()) == []


def test_closing_with_a_locked_file_does_not_raise(drive, tmp_path):
    driver = drive(busy_s=0.05).up()
    driver.publish("events", b"1")
    (message,) = driver.receive(1)
    other = sqlite3.connect(tmp_path / "broker.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    driver.connection.ack([message.tag])
    driver.connection.close()
    other.execute("ROLLBACK")
    other.close()
    assert [m.body for m in drive().up().receive(1)] == [b"1"]


def test_a_file_that_is_no_database_is_named(drive, tmp_path):
    (tmp_path / "broker.sqlite3").write_bytes(b"not a database" * 100)
    assert "broker.sqlite3: file is not a database" in drive().down().reason


def test_a_file_of_an_earlier_version_is_brought_up_to_date(drive, tmp_path):
    db = sqlite3.connect(tmp_path / "broker.sqlite3")
    db.executescript(embedded_database.SCHEMA)
    db.execute("INSERT INTO queue (name, durable, exclusive, auto_delete) VALUES ('q', 1, 0, 0)")
    db.execute("PRAGMA user_version = 1")
    db.commit()
    db.close()
    driver = drive(Topology(queue=Queue("q"), delays=(DelayQueue("q.later", 10, to="q"),))).up()
    driver.publish("q.later", b"kept")
    assert driver.receive(1)[0].body == b"kept"


@pytest.mark.parametrize("queue", ["events", "retries"])
def test_what_waits_costs_no_look_at_a_queue(tmp_path, queue):
    """As many steps with ten thousand delayed messages as with ten, for whichever queue."""
    db = embedded_database.open_database(tmp_path / "broker.sqlite3")

    def put_off(count):
        rows = [(number, "retries", "", "retries", b"", b"") for number in range(count)]
        db.executemany(
            "INSERT INTO delayed (due, target, exchange, routing_key, properties, body)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            rows,
        )

    def steps():
        taken = 0

        def step():
            nonlocal taken
            taken += 1

        db.set_progress_handler(step, 1)
        embedded_database.next_due(db, queue)
        db.set_progress_handler(None, 1)
        return taken

    put_off(10)
    few = steps()
    put_off(10_000)
    assert steps() == few
    db.close()


def test_a_file_of_a_later_version_is_left_alone(drive, tmp_path):
    db = sqlite3.connect(tmp_path / "broker.sqlite3")
    db.execute("PRAGMA user_version = 99")
    db.close()
    driver = drive()
    published = driver.publish("k", b"x")
    assert "version 99" in driver.down().reason
    driver.until(lambda: driver.unconfirmed == set(published))


def test_a_folder_that_cannot_be_used(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BrokerError, match=r"cannot use .*file"):
        EmbeddedConnection(tmp_path / "file", EVENTS).open()


def test_a_connection_that_is_not_open_says_so(tmp_path):
    connection = EmbeddedConnection(tmp_path, EVENTS)
    with pytest.raises(BrokerError, match="not open"):
        connection.poll()


def test_a_publisher_at_rest_needs_no_attention_and_a_consumer_little(drive):
    assert drive(Topology()).up().connection.deadline() is None
    assert drive().up().connection.deadline() is not None


def test_what_is_asked_for_is_done_by_a_poll_at_once(tmp_path):
    def waits():
        return bool(select.select([connection], (), (), 0)[0])

    connection = EmbeddedConnection(tmp_path, EVENTS)
    connection.open()
    with closing(connection):
        for ask in (
            lambda: None,  # to connect
            lambda: connection.publish(OutgoingMessage("", "events", b"{}")),
            lambda: connection.ack([]),
            lambda: connection.requeue([]),
            connection.probe,
            connection.ask_depths,
            lambda: connection.declare(Queue("other")),
            lambda: connection.consume("other", 1),
            lambda: connection.remove(Queue("other")),
            lambda: connection.reconnect("as asked"),
        ):
            ask()
            assert waits()
            for _poll in range(9):
                if waits():
                    connection.poll()
            assert not waits()


def test_a_poll_gives_a_thousand_messages_and_asks_for_another_only_if_there_may_be_more(drive):
    driver = drive(Topology(queue=Queue("events"), prefetch=0)).up()
    publisher = drive(Topology()).up()
    driver.step(0)
    for number in range(1001):
        publisher.connection.publish(OutgoingMessage("", "events", b"%d" % number))
    publisher.step(0)
    for count in (1000, 1001):
        assert select.select([driver.connection], (), (), 0)[0]
        driver.events += driver.connection.poll()
        assert len(driver.messages) == count
    assert not select.select([driver.connection], (), (), 0)[0]


def test_a_message_that_is_refused_or_delayed_holds_up_no_other(drive):
    delays = (DelayQueue("wait", 60_000, "events"),)
    driver = drive(Topology(queue=Queue("events"), delays=delays)).up()
    sent = [
        driver.connection.publish(OutgoingMessage(exchange, key, b"%d" % number))
        for number, (exchange, key) in enumerate(
            [("none", "x"), ("", "wait"), ("none", "y"), ("", "events")]
        )
    ]
    driver.receive(1)
    assert driver.bodies == [b"3"]
    assert driver.unconfirmed == {sent[0], sent[2]}
    assert driver.confirmed == {sent[1], sent[3]}


def test_what_a_connection_did_not_hand_out_before_its_end_is_new_to_the_next(drive):
    driver = drive().up()
    publisher = drive(Topology()).up()
    publisher.publish("events", b"1")
    driver.connection.close()
    (message,) = drive().up().receive(1)
    assert not message.redelivered


def test_looking_for_the_living_leaves_no_descriptor_open(tmp_path):
    (tmp_path / "killed.life").touch()
    with opening() as opened:
        assert not is_alive(tmp_path, "killed")
        assert not is_alive(tmp_path, "unknown")
    assert not opened


def test_ringing_for_another_leaves_no_descriptor_open(tmp_path):
    with closing(Presence(tmp_path)) as presence, opening() as opened:
        ring(tmp_path, presence.token)
        assert select.select([presence], (), (), 0)[0]
    assert not opened


def test_the_pause_depends_on_how_long_the_connection_lasted(drive):
    lasted = []

    class Noted(Backoff):
        def pause_s(self, lasted_s):
            lasted.append(lasted_s)
            return super().pause_s(lasted_s)

    driver = drive(backoff=Noted(0.001, 0.001)).up()
    driver.connection.reconnect("as asked")
    assert lasted[0] > 0


def test_who_takes_a_queue_over_learns_whose_it_was(tmp_path):
    db = embedded_database.open_database(tmp_path / "broker.sqlite3")
    with closing(db), embedded_database.transaction(db):
        made = embedded_database.declare_queue(db, Queue("q"), "q", "a", lambda _token: True)
        assert (made.name, made.displaced) == ("q", None)
        found = [embedded_database.take_over(db, "q", token).displaced for token in "abba"]
        assert found == [None, "a", None, "b"]
        assert embedded_database.consumer_of(db, "q") == "a"
        with pytest.raises(BrokerError, match="404 no queue 'other'"):
            embedded_database.take_over(db, "other", "a")


def test_a_presence_whose_files_another_has_removed_ends(tmp_path):
    presence = Presence(tmp_path)
    for path in tmp_path.iterdir():
        path.unlink()
    presence.close()
    assert not is_alive(tmp_path, presence.token)


def test_a_message_that_is_given_back_is_given_out_once_more(drive):
    driver = drive().up()
    driver.publish("events", b"1")
    (message,) = driver.receive(1)
    driver.connection.requeue([message.tag])
    driver.receive(2)
    for _poll in range(3):
        driver.step(0)
    assert driver.bodies == [b"1", b"1"]


def test_a_lost_ring_costs_no_message(drive):
    driver = drive().up()
    publisher = drive(Topology()).up()
    publisher.publish("events", b"1")
    os.read(driver.connection.fileno(), 1000)  # nobody rings any more
    assert [message.body for message in driver.receive(1)] == [b"1"]


def test_a_closed_connection_leaves_no_descriptor_open(tmp_path):
    with opening() as opened:
        driver = Driver(EmbeddedConnection(tmp_path, EVENTS)).up()
    assert opened
    driver.connection.close()
    assert opened.isdisjoint(open_descriptors())


def test_acknowledgements_of_a_file_that_is_gone_are_void(drive, tmp_path):
    """Messages of a new file have the same numbers again."""
    driver = drive().up()
    driver.publish("events", b"old")
    (message,) = driver.receive(1)
    driver.connection.ack([message.tag])
    (tmp_path / "aside").mkdir()
    for path in tmp_path.glob("broker.sqlite3*"):
        path.rename(tmp_path / "aside" / path.name)
    other = drive().up()
    other.publish("events", b"new")
    other.connection.close()
    driver.down()
    driver.up(times=2)
    assert [message.body for message in driver.receive(2)] == [b"old", b"new"]


def test_depths_are_reported_once_for_each_question(drive):
    driver = drive(Topology(queue=Queue("events"), delays=(DelayQueue("wait", 60_000, "events"),)))
    driver.up().publish("wait", b"1", b"2")
    driver.publish("events", b"3")
    for asked in (1, 2):
        driver.connection.ask_depths()
        for _poll in range(3):
            driver.step(0.01)
        assert driver.of(Depths) == [Depths({"wait": 2, "events": 0})] * asked


def test_messages_that_are_wanted_are_moved_and_counted(drive, tmp_path):
    target = Queue("target")

    def arranged(bodies):
        return [(target, OutgoingMessage("", "target", body)) for body in sorted(bodies)]

    def moved():
        wanted = lambda body: body.startswith(b"a")  # noqa: E731
        return relocate(tmp_path, ("from", "wait", "none"), wanted, arranged)

    assert moved() == 0
    delays = (DelayQueue("wait", 60_000, "from"),)
    driver = drive(Topology(queue=Queue("from"), delays=delays, prefetch=1)).up()
    driver.publish("from", b"a2", b"b")
    driver.publish("wait", b"a1")
    driver.connection.close()
    assert (moved(), moved()) == (2, 0)
    assert drive(Topology(queue=target)).up().receive(2)[0].body == b"a1"


def test_it_looks_again_when_a_delayed_message_is_due(drive):
    driver = drive(Topology(queue=Queue("events"), delays=(DelayQueue("wait", 700, "events"),)))
    driver.up()
    before = time.monotonic()
    driver.publish("wait", b"1")
    for _look in range(2):  # also of one that finds nothing to do
        assert before + 0.6 < driver.connection.deadline() < time.monotonic() + 0.75
        driver.connection.poll()
    assert driver.bodies == []


def test_a_look_that_finds_nothing_to_do_needs_no_lock(drive, tmp_path):
    """Also while a message waits that is due within the next second."""
    delays = (DelayQueue("wait", 900, "events"),)
    driver = drive(Topology(queue=Queue("events"), delays=delays), busy_s=0.0).up()
    driver.publish("wait", b"1")
    with closing(sqlite3.connect(tmp_path / "broker.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert list(driver.connection.poll()) == []


def test_a_further_queue_that_another_takes_is_lost_with_the_connection(drive):
    first = drive(backoff=Backoff(600, 600)).up()
    first.connection.declare(Queue("more"))
    first.connection.consume("more", 1)
    first.until(lambda: first.of(Declared))
    other = drive(Topology(queue=Queue("other"))).up()
    other.connection.consume("more", 1)
    other.publish("more", b"1")
    assert "queue 'more' was taken over by another consumer" in first.down().reason
    assert [m.body for m in other.receive(1)] == [b"1"]


def test_an_attempt_that_fails_leaves_no_descriptor_open(drive, tmp_path):
    drive(Topology(exchanges=(Exchange("x"),))).up().connection.close()
    unlike = Topology(exchanges=(Exchange("x", FANOUT),))
    driver = drive(unlike, backoff=Backoff(0.001, 0.001))
    driver.down()
    with opening() as opened:
        driver.until(lambda: len(driver.of(ConnectionDown)) > 3)
    assert not opened
