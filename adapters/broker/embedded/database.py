"""Exchanges, queues, bindings and messages of the embedded broker, in one SQLite file.

Every function takes an open database and runs within a transaction, except `open_database`.
"""

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from attrs import frozen

from callboard.adapters.broker.properties import DecodedProperties, carried
from callboard.adapters.broker.protocol import (
    BrokerError,
    DelayQueue,
    Exchange,
    IncomingMessage,
    OutgoingMessage,
    Queue,
    Topology,
    UnreadableMessage,
)
from callboard.adapters.broker.topic import BOUND_BY

VERSION = 4
BUSY_S = 5.0
"""How long a transaction waits for those of other processes, in seconds."""

SCHEMA = """
CREATE TABLE exchange (name TEXT PRIMARY KEY, type TEXT NOT NULL, durable INTEGER NOT NULL);
CREATE TABLE queue (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    durable INTEGER NOT NULL,
    exclusive INTEGER NOT NULL,
    auto_delete INTEGER NOT NULL,
    consumer TEXT,                        -- the token of the connection that consumes from it
    delivered INTEGER NOT NULL DEFAULT 0  -- messages up to this id were given out before
);
CREATE TABLE binding (
    exchange TEXT NOT NULL,
    key TEXT NOT NULL,
    queue INTEGER NOT NULL REFERENCES queue ON DELETE CASCADE,
    PRIMARY KEY (exchange, key, queue)
) WITHOUT ROWID;
CREATE INDEX binding_of_queue ON binding (queue);
CREATE TABLE message (                    -- acknowledged means deleted
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    queue INTEGER NOT NULL REFERENCES queue ON DELETE CASCADE,
    exchange TEXT NOT NULL,
    routing_key TEXT NOT NULL,
    properties BLOB NOT NULL,             -- as in an AMQP frame
    body BLOB NOT NULL
);
CREATE INDEX message_of_queue ON message (queue);
"""
DELAYS = """
CREATE TABLE delay (name TEXT PRIMARY KEY, delay_ms INTEGER NOT NULL, target TEXT NOT NULL);
CREATE TABLE delayed (                    -- messages on their way to the target of a delay
    due REAL NOT NULL,                    -- Unix seconds
    target TEXT NOT NULL,
    exchange TEXT NOT NULL,
    routing_key TEXT NOT NULL,
    properties BLOB NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX delayed_by_due ON delayed (due);
"""
DELAYS_BY_NAME = """
ALTER TABLE delayed ADD COLUMN delay TEXT NOT NULL DEFAULT '';
CREATE INDEX delayed_by_delay ON delayed (delay);
"""
DELAYS_BY_TARGET = """
DROP INDEX delayed_by_due;
CREATE INDEX delayed_by_target ON delayed (target, due);
"""
MIGRATIONS = (SCHEMA, DELAYS, DELAYS_BY_NAME, DELAYS_BY_TARGET)
"""The scripts that lead from each version of the file to the next."""


@frozen
class Consumption:
    """A consumer's queue, as the broker describes it."""

    queue: int
    name: str
    delivered: int
    displaced: str | None
    """The token of the connection that consumed from it until now."""


@frozen
class Stored:
    """A message by the number of its row; delayed ones have a table of their own."""

    number: int
    body: bytes
    is_delayed: bool


def open_database(path: Path, busy_s: float = BUSY_S) -> sqlite3.Connection:
    """Open the file, creating it if it is missing. Not to be used across a fork.

    `busy_s`: how long a transaction waits for those of other processes, in seconds.
    Raises `sqlite3.DatabaseError`, OSError, and `BrokerError` for a file of another version.
    """
    with _alone(path.with_name(f"{path.name}-setup")):
        # Created here to set its mode, which SQLite also uses for the files beside it.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        db = sqlite3.connect(path, isolation_level=None, timeout=busy_s)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute("PRAGMA foreign_keys = ON")
            if _version(db) != VERSION:
                with transaction(db):
                    _create(db, path)
        except BaseException:
            db.close()
            raise
    return db


@contextmanager
def _alone(lock_file: Path) -> Iterator[None]:
    """Admit one process at a time: changing to WAL fails at once while another process does so."""
    lock = os.open(lock_file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """A transaction that may write, from its beginning."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # after some errors SQLite has already rolled back
            db.execute("ROLLBACK")
        raise


def declare(
    db: sqlite3.Connection,
    topology: Topology,
    queue_name: str,
    token: str,
    alive: Callable[[str], bool],
    refused: dict[str, str],
) -> Consumption | None:
    """Declare everything and make `token` the queue's consumer.

    `refused` receives the reasons for which optional exchanges are left out. Raises `BrokerError`,
    with AMQP's reply code, for other declarations that RabbitMQ would refuse too.
    """
    for exchange in topology.exchanges:
        try:
            _declare_exchange(db, exchange)
        except BrokerError as problem:
            if not exchange.optional:
                raise
            refused[exchange.name] = str(problem)
    for delay in topology.delays:
        _declare_delay(db, delay)
    if topology.queue is None:
        return None
    queue = declare_queue(db, topology.queue, queue_name, token, alive)
    for binding in topology.bindings:
        if binding.exchange in refused:
            continue
        if _exchange_type(db, binding.exchange) is None:
            raise BrokerError(
                f"cannot bind queue {queue_name!r}: 404 no exchange {binding.exchange!r}"
            )
        db.execute(
            "INSERT OR IGNORE INTO binding (exchange, key, queue) VALUES (?, ?, ?)",
            (binding.exchange, binding.key, queue.queue),
        )
    db.execute("UPDATE queue SET consumer = ? WHERE id = ?", (token, queue.queue))
    return queue


def take_over(db: sqlite3.Connection, name: str, token: str) -> Consumption:
    """Make `token` the consumer of a declared queue. Raises `BrokerError` if there is none."""
    row = db.execute("SELECT id, delivered, consumer FROM queue WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise BrokerError(f"cannot consume: 404 no queue {name!r}")
    number, delivered, consumer = row
    db.execute("UPDATE queue SET consumer = ? WHERE id = ?", (token, number))
    return Consumption(number, name, delivered, consumer if consumer != token else None)


def consumer_of(db: sqlite3.Connection, queue_name: str) -> str | None:
    """The token of the queue's consumer, dead or alive."""
    row = db.execute("SELECT consumer FROM queue WHERE name = ?", (queue_name,)).fetchone()
    return row[0] if row else None


def consumed_by(db: sqlite3.Connection, token: str) -> set[str]:
    """The names of the queues that a connection consumes."""
    rows = db.execute("SELECT name FROM queue WHERE consumer = ?", (token,))
    return {name for (name,) in rows}


def leave(db: sqlite3.Connection, token: str) -> None:
    """End the connection's consuming; queues that do not outlive it are deleted."""
    db.execute(
        "DELETE FROM queue WHERE consumer = ? AND (exclusive OR auto_delete OR NOT durable)",
        (token,),
    )
    db.execute("UPDATE queue SET consumer = NULL WHERE consumer = ?", (token,))


def delete_queue(db: sqlite3.Connection, queue: int) -> None:
    """Delete a queue."""
    db.execute("DELETE FROM queue WHERE id = ?", (queue,))


def leave_for_the_dead(db: sqlite3.Connection, alive: Callable[[str], bool]) -> None:
    """`leave` for every connection that was killed before it could do so itself."""
    for (token,) in db.execute("SELECT consumer FROM queue WHERE consumer NOTNULL").fetchall():
        if not alive(token):
            leave(db, token)


class Router:
    """Finds the queues of messages. It caches them, so use it within one transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.queues = cache(self._queues)
        self._bindings = cache(self._read_bindings)

    def _queues(self, exchange: str, routing_key: str) -> frozenset[int]:
        """The ids of the queues; raises `BrokerError` if the exchange does not exist."""
        if exchange == "":
            rows = self._db.execute("SELECT id FROM queue WHERE name = ?", (routing_key,))
            return frozenset(queue for (queue,) in rows)
        bound_by, bindings = self._bindings(exchange)
        return frozenset(queue for key, queue in bindings if bound_by(key, routing_key))

    def _read_bindings(
        self, exchange: str
    ) -> tuple[Callable[[str, str], bool], list[tuple[str, int]]]:
        kind = _exchange_type(self._db, exchange)
        if kind is None:
            raise BrokerError(f"404 no exchange {exchange!r}")
        rows = self._db.execute("SELECT key, queue FROM binding WHERE exchange = ?", (exchange,))
        return BOUND_BY[kind], rows.fetchall()


def put(db: sqlite3.Connection, queue: int, message: OutgoingMessage, properties: bytes) -> None:
    """Append a message to a queue; `properties` are the message's, encoded."""
    db.execute(
        "INSERT INTO message (queue, exchange, routing_key, properties, body)"
        " VALUES (?, ?, ?, ?, ?)",
        (queue, message.exchange, message.routing_key, properties, message.body),
    )


def put_off(
    db: sqlite3.Connection, message: OutgoingMessage, properties: bytes, now_unix_s: float
) -> str | None:
    """Store a message that is for a delay queue; returns the name of that queue's target."""
    row = None
    if message.exchange == "":
        row = db.execute(
            "SELECT delay_ms, target FROM delay WHERE name = ?", (message.routing_key,)
        ).fetchone()
    if row is None:
        return None
    delay_ms, target = row
    db.execute(
        "INSERT INTO delayed (due, target, exchange, routing_key, properties, body, delay)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            now_unix_s + delay_ms / 1000,
            target,
            "",
            target,
            properties,
            message.body,
            message.routing_key,
        ),
    )
    return str(target)


def delayed(db: sqlite3.Connection, delay: str) -> int:
    """The number of messages in a delay queue."""
    (count,) = db.execute("SELECT count(*) FROM delayed WHERE delay = ?", (delay,)).fetchone()
    return int(count)


def messages(db: sqlite3.Connection, queue: int) -> int:
    """The number of messages in a queue, including those that its consumer holds."""
    (count,) = db.execute("SELECT count(*) FROM message WHERE queue = ?", (queue,)).fetchone()
    return int(count)


def stored(db: sqlite3.Connection, queue_name: str) -> Iterator[Stored]:
    """The messages of a queue, and then those that are delayed for it, each in order."""
    rows = db.execute(
        "SELECT message.id, body FROM message JOIN queue ON queue.id = message.queue"
        " WHERE name = ? ORDER BY message.id",
        (queue_name,),
    )
    for number, body in rows:
        yield Stored(number, body, is_delayed=False)
    rows = db.execute(
        "SELECT rowid, body FROM delayed WHERE target = ? ORDER BY rowid", (queue_name,)
    )
    for number, body in rows:
        yield Stored(number, body, is_delayed=True)


def delete(db: sqlite3.Connection, message: Stored) -> None:
    """Delete a message, which no consumer may hold."""
    if message.is_delayed:
        db.execute("DELETE FROM delayed WHERE rowid = ?", (message.number,))
    else:
        db.execute("DELETE FROM message WHERE id = ?", (message.number,))


def next_due(db: sqlite3.Connection, queue_name: str) -> float | None:
    """When the next delayed message moves to this queue, in Unix seconds."""
    (due,) = db.execute("SELECT min(due) FROM delayed WHERE target = ?", (queue_name,)).fetchone()
    return due  # type: ignore[no-any-return]


def move_due(db: sqlite3.Connection, queue: Consumption, now_unix_s: float, limit: int) -> None:
    """Move due messages to their queue, in the order in which they became due."""
    rows = db.execute(
        "SELECT rowid FROM delayed WHERE target = ? AND due <= ? ORDER BY due, rowid LIMIT ?",
        (queue.name, now_unix_s, limit),
    ).fetchall()
    for (row,) in rows:
        db.execute(
            "INSERT INTO message (queue, exchange, routing_key, properties, body)"
            " SELECT ?, exchange, routing_key, properties, body FROM delayed WHERE rowid = ?",
            (queue.queue, row),
        )
        db.execute("DELETE FROM delayed WHERE rowid = ?", (row,))


def remove(db: sqlite3.Connection, messages: list[int]) -> None:
    """Remove acknowledged messages."""
    db.executemany("DELETE FROM message WHERE id = ?", [(message,) for message in messages])


def oldest_after(db: sqlite3.Connection, queue: int, message: int, limit: int) -> list[int]:
    """The ids of at most `limit` messages of the queue that follow this one."""
    rows = db.execute(
        "SELECT id FROM message WHERE queue = ? AND id > ? ORDER BY id LIMIT ?",
        (queue, message, limit),
    )
    return [found for (found,) in rows]


def read(
    db: sqlite3.Connection, message: int, tag: int, redelivered: bool
) -> IncomingMessage | UnreadableMessage:
    """A message in the form for its consumer."""
    exchange, routing_key, properties, body = db.execute(
        "SELECT exchange, routing_key, properties, body FROM message WHERE id = ?", (message,)
    ).fetchone()
    decoded = DecodedProperties().decode(properties)
    return carried(tag, exchange, routing_key, body, decoded, redelivered=redelivered)


def mark_delivered(db: sqlite3.Connection, queue: int, message: int) -> None:
    """Record that messages up to this one were delivered."""
    db.execute("UPDATE queue SET delivered = ? WHERE id = ?", (message, queue))


def consumers(db: sqlite3.Connection, queues: set[int]) -> set[str]:
    """The tokens of these queues' consumers."""
    rows = (
        db.execute("SELECT consumer FROM queue WHERE id = ?", (queue,)).fetchone()
        for queue in queues
    )
    return {token for (token,) in rows if token is not None}


def _version(db: sqlite3.Connection) -> int:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    return int(version)


def _create(db: sqlite3.Connection, path: Path) -> None:
    version = _version(db)
    if not 0 <= version <= VERSION:
        raise BrokerError(f"{path} has version {version} of the format, not {VERSION} or before")
    for script in MIGRATIONS[version:]:
        for statement in script.split(";\n"):
            db.execute(statement)
    db.execute(f"PRAGMA user_version = {VERSION}")


def _exchange_type(db: sqlite3.Connection, name: str) -> str | None:
    row = db.execute("SELECT type FROM exchange WHERE name = ?", (name,)).fetchone()
    return row[0] if row else None


def _declare_exchange(db: sqlite3.Connection, exchange: Exchange) -> None:
    if exchange.type not in BOUND_BY:
        raise BrokerError(f"cannot declare exchange {exchange.name!r}: 503 type {exchange.type!r}")
    wanted = (exchange.type, exchange.durable)
    found = db.execute(
        "SELECT type, durable FROM exchange WHERE name = ?", (exchange.name,)
    ).fetchone()
    if found is None:
        db.execute(
            "INSERT INTO exchange (name, type, durable) VALUES (?, ?, ?)", (exchange.name, *wanted)
        )
    elif found != wanted and not exchange.passive:
        raise BrokerError(
            f"cannot declare exchange {exchange.name!r}: 406 it exists with another type or"
            f" durability ({found[0]}, durable={bool(found[1])})"
        )


def _declare_delay(db: sqlite3.Connection, delay: DelayQueue) -> None:
    wanted = (delay.delay_ms, delay.to)
    found = db.execute(
        "SELECT delay_ms, target FROM delay WHERE name = ?", (delay.name,)
    ).fetchone()
    if found is None:
        db.execute(
            "INSERT INTO delay (name, delay_ms, target) VALUES (?, ?, ?)", (delay.name, *wanted)
        )
    elif found != wanted:
        raise BrokerError(
            f"cannot declare queue {delay.name!r}: 406 it exists with another delay or target"
            f" ({found[0]} ms, {found[1]!r})"
        )


def declare_queue(
    db: sqlite3.Connection, queue: Queue, name: str, token: str, alive: Callable[[str], bool]
) -> Consumption:
    """Declare a queue; raises `BrokerError` for a declaration that RabbitMQ would refuse too."""
    wanted = (queue.durable, queue.exclusive, queue.auto_delete)
    found = db.execute(
        "SELECT durable, exclusive, auto_delete, id, consumer, delivered FROM queue WHERE name = ?",
        (name,),
    ).fetchone()
    if found is None:
        (number,) = db.execute(
            "INSERT INTO queue (name, durable, exclusive, auto_delete) VALUES (?, ?, ?, ?)"
            " RETURNING id",
            (name, *wanted),
        ).fetchone()
        return Consumption(number, name, delivered=0, displaced=None)
    *properties, number, consumer, delivered = found
    if tuple(properties) != wanted:
        raise BrokerError(
            f"cannot declare queue {name!r}: 406 it exists with other properties"
            " (durable={}, exclusive={}, auto_delete={})".format(*map(bool, properties))
        )
    displaced = consumer if consumer != token else None
    if queue.exclusive and displaced is not None and alive(displaced):
        raise BrokerError(f"cannot declare queue {name!r}: 405 it is exclusive to its consumer")
    return Consumption(number, name, delivered, displaced)
