"""Moves messages between queues of the embedded broker; see `brokers.relocate`."""

import sqlite3
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

from callboard.adapters.broker.embedded import database
from callboard.adapters.broker.embedded.connection import FILE
from callboard.adapters.broker.properties import encode
from callboard.adapters.broker.protocol import BrokerError, OutgoingMessage, Queue


def relocate(
    data_dir: Path,
    names: Sequence[str],
    wanted: Callable[[bytes], bool],
    arranged: Callable[[list[bytes]], list[tuple[Queue, OutgoingMessage]]],
) -> int:
    """As in `brokers.relocate`, in one transaction."""
    if not (data_dir / FILE).exists():
        return 0
    try:
        db = database.open_database(data_dir / FILE)
    except (sqlite3.DatabaseError, OSError) as error:
        raise BrokerError(f"messages could not be moved: {error}") from error
    try:
        with database.transaction(db):
            stored = chain.from_iterable(database.stored(db, name) for name in names)
            taken = [one for one in stored if wanted(one.body)]
            for queue, message in arranged([one.body for one in taken]):
                there = database.declare_queue(db, queue, queue.name, "", lambda _token: False)
                database.put(db, there.queue, message, encode(message))
            for one in taken:
                database.delete(db, one)
    finally:
        db.close()
    return len(taken)
