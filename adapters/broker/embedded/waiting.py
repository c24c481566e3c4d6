"""The messages that wait in a queue of the embedded broker, counted from outside."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from callboard.adapters.broker.embedded.connection import FILE


def waiting_messages(data_dir: Path, queue: str) -> Mapping[tuple[str, str], int]:
    """How many messages a queue has, by exchange and routing key; those in progress included.

    Empty if there is no such broker or queue. Raises sqlite3.Error.
    """
    file = data_dir / FILE
    if not file.exists():
        return {}
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as db:
        rows = db.execute(
            "SELECT exchange, routing_key, count(*) FROM message "
            "WHERE queue = (SELECT id FROM queue WHERE name = ?) GROUP BY exchange, routing_key",
            (queue,),
        )
        return {(exchange, key): count for exchange, key, count in rows}
