"""Corrupt files of the data directory are moved aside, and what comes after them is kept."""

import json
import re
import sqlite3

import pytest
import structlog

from callboard.adapters.broker.embedded.connection import FILE, EmbeddedConnection
from callboard.adapters.broker.protocol import ConnectionDown, ConnectionUp, Queue, Topology
from callboard.adapters.local.corrupt_file import LOCK, file_number, move_aside, moved_aside
from callboard.adapters.store.embedded import EmbeddedStore
from callboard.adapters.store.protocol import StoreUnavailable
from callboard.adapters.store.spool import Spool
from services.driver import Driver


def garbage(path):
    path.write_bytes(b"\xff" * 10_000)


def header(path):
    """The file begins as a database, and its pages are damaged."""
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"\xee" * (len(content) - 100))


def cut(path):
    path.write_bytes(path.read_bytes()[:4000])


def another(path):
    """A database, but not ours."""
    path.unlink()
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE t (a)")
    database.execute("PRAGMA user_version = 1")
    database.close()


def document(path):
    """A record that is no JSON."""
    database = sqlite3.connect(path)
    database.execute("UPDATE records SET document = 'x' || document")
    database.commit()
    database.close()


def numbers(spool):
    return [record["n"] for _id, _name, record in spool.first(100)]


def filled(path, rows=200):
    spool = Spool(path)
    spool.append([("db", {"n": n, "text": "x" * 200}) for n in range(rows)])
    spool.close()


@pytest.mark.parametrize("damage", [garbage, header, cut, another, document])
def test_a_spool_goes_on_with_a_new_file(tmp_path, damage):
    path = tmp_path / "attempts.sqlite3"
    filled(path)
    damage(path)
    damaged = path.read_bytes()
    spool = Spool(path)
    with structlog.testing.capture_logs() as logs:
        with pytest.raises(StoreUnavailable, match=r"was corrupt .* moved to"):
            spool.first(1000, most_bytes=10**9)
        spool.append([("db", {"n": 1000})])
    assert numbers(spool) == [1000]
    (aside,) = moved_aside(tmp_path)
    if damage is another:  # Opening it has changed its journal mode.
        damaged = aside.read_bytes()
    assert aside.read_bytes() == damaged
    (logged,) = [log for log in logs if log["event"] == "file_moved_aside"]
    assert (logged["file"], logged["bytes"]) == (str(path), len(damaged))
    assert (tmp_path / LOCK).stat().st_mode & 0o777 == 0o600
    spool.close()


def test_only_the_file_that_was_found_corrupt_is_moved(tmp_path):
    path = tmp_path / "spool.sqlite3"
    path.write_text("new")
    for number in (None, file_number(path) + 1):
        assert not move_aside(path, number, "as asked").exists()
    path.with_name("spool.sqlite3-wal").write_text("its log")
    aside = move_aside(path, file_number(path), "as asked")
    assert (aside.read_text(), path.exists()) == ("new", False)
    assert re.fullmatch(r"spool\.sqlite3\.corrupt-[0-9]{8}T[0-9]{6}", aside.name)
    assert aside.with_name(f"{aside.name}-wal").read_text() == "its log"
    move_aside(path, None, "there is none")
    assert moved_aside(tmp_path) == [aside]


def test_processes_that_share_a_spool_move_it_aside_once(tmp_path):
    path = tmp_path / "poison.sqlite3"
    filled(path)
    one, other = Spool(path, dropping=False), Spool(path, dropping=False)
    assert len(one) == len(other) == 200
    header(path)
    path.with_name(path.name + "-wal").unlink(missing_ok=True)
    fresh = Spool(path)
    with pytest.raises(StoreUnavailable):
        fresh.first(100)
    fresh.append([("db", {"n": 1})])
    one.append([("db", {"n": 2})])
    other.append([("db", {"n": 3})])
    assert numbers(one) == numbers(other) == numbers(fresh) == [1, 2, 3]
    assert len(moved_aside(tmp_path)) == 1
    for spool in (one, other, fresh):
        spool.close()


def test_the_store_stays_since_events_must_wait_for_its_hooks(tmp_path):
    path = tmp_path / "store.sqlite3"
    store = EmbeddedStore(path)
    store.ensure_database("webhooks")
    store.save("webhooks", {"_id": "h"})
    store.close()
    garbage(path)
    with pytest.raises(StoreUnavailable, match="not a database"):
        store.get("webhooks", "h")
    assert path.read_bytes() == b"\xff" * 10_000
    assert moved_aside(tmp_path) == []


@pytest.mark.parametrize("damage", [garbage, cut])
def test_the_embedded_broker_goes_on_with_a_new_file(tmp_path, damage):
    events = Topology(queue=Queue("events"))
    driver = Driver(EmbeddedConnection(tmp_path, events)).up()
    driver.publish("events", *[b"x" * 1000] * 50)
    driver.connection.close()
    damage(tmp_path / FILE)
    driver = Driver(EmbeddedConnection(tmp_path, events)).up()
    driver.publish("events", b"after")
    assert b"after" in driver.bodies or driver.receive(1)
    assert [type(event) for event in driver.events[:2]] == [ConnectionDown, ConnectionUp]
    driver.connection.close()
    assert len(moved_aside(tmp_path)) == 1


def test_connections_to_a_file_that_was_moved_aside_come_up_with_the_new_one(tmp_path):
    events = Topology(queue=Queue("events"))
    consumer = Driver(EmbeddedConnection(tmp_path, events)).up()
    file = tmp_path / FILE
    for ending in ("", "-wal", "-shm"):
        beside = file.with_name(file.name + ending)
        beside.rename(tmp_path / f"{file.name}.corrupt-1{ending}")
    publisher = Driver(EmbeddedConnection(tmp_path, Topology())).up()
    consumer.connection.ask_depths()
    consumer.up(2)
    publisher.publish("events", b"x")
    assert consumer.receive(1)[0].body == b"x"
    for driver in (consumer, publisher):
        driver.connection.close()


def test_records_of_a_moved_file_can_be_told(tmp_path):
    """They are as they were: a damaged record costs the file its place, and no other record."""
    path = tmp_path / "attempts.sqlite3"
    filled(path, rows=3)
    document(path)
    with pytest.raises(StoreUnavailable):
        Spool(path).first(1)
    rows = sqlite3.connect(moved_aside(tmp_path)[0]).execute("SELECT document FROM records")
    assert [json.loads(text[1:])["n"] for (text,) in rows] == [0, 1, 2]
