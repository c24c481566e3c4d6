"""How fast attempts get into CouchDB, and what room they take."""

import json
import time

from events import body
from loading import couchdb_server
from report import Figure, Section
from surroundings import Bench

from callboard.actors.delivery.attempt_log import BULK
from callboard.adapters.store import stores
from callboard.adapters.store.views import MODB
from callboard.webhooks.deliveries.delivery import Delivery, new_event_id
from callboard.webhooks.history.attempts import attempt_database, attempt_document
from callboard.webhooks.retries.outcome import Response

BULKS = 10
BODY_LIMIT = 65536
ACCOUNT = f"{1:032x}"
TIMEOUT_S = 60.0

TEXT = f"""\
Attempts of deliveries of 2 kB whose endpoint answered 500, saved {BULK} at once as Callboard does,
by one connection, into a pouchdb-server in memory: it speaks CouchDB's protocol, and is not
CouchDB. So this is the rate that Callboard can write at there; a CouchDB on disk has its own."""


def attempt(number: int, now_unix_s: float) -> tuple[str, dict[str, object]]:
    """Database and document."""
    delivery = Delivery(
        id=f"{number:032x}",
        event_id=new_event_id(),
        hook_id=f"{2:032x}",
        account_id=ACCOUNT,
        hook_event="channel_create",
        uri="https://receiver.example.com/hooks/1",
        method="POST",
        url="https://receiver.example.com/hooks/1",
        headers=(
            ("Content-Type", "application/json"),
            ("X-Hook-ID", f"{2:032x}"),
            ("X-Account-ID", ACCOUNT),
            ("webhook-id", f"{number:032x}"),
        ),
        body=body(number, 0),
    )
    answer = Response(
        500,
        {"Content-Type": "text/plain", "Server": "nginx", "Content-Length": "21"},
        b"internal server error",
    )
    document = attempt_document(delivery, answer, 2, now_unix_s, BODY_LIMIT)
    return attempt_database(delivery, now_unix_s), {"_id": f"{number:032x}", **document}


def run(bench: Bench) -> Section:
    rates, now = [], time.time()
    bulks = bench.size(BULKS)
    folder = bench.folder / "couchdb"
    folder.mkdir()
    with couchdb_server(folder) as url:
        store = stores.connect(url, folder, TIMEOUT_S)
        database = attempt_database_of(now)
        store.ensure_database(database)
        store.ensure_views(database, MODB)
        for turn in range(bench.runs):
            took_s = 0.0
            for first in range(0, bulks * BULK, BULK):
                start = turn * bulks * BULK + first
                documents = [attempt(n, now)[1] for n in range(start, start + BULK)]
                began = time.monotonic()
                answers = store.save_many(database, documents)
                took_s += time.monotonic() - began
                assert all(answer.error is None for answer in answers)
            rates.append(bulks * BULK / took_s)
        store.close()
    size = len(json.dumps(attempt(0, now)[1]))
    figures = (
        Figure("attempts written", "documents/s", rates),
        Figure("an attempt, as JSON", "bytes", [size]),
    )
    return Section("Attempts", figures, TEXT)


def attempt_database_of(now_unix_s: float) -> str:
    return attempt(0, now_unix_s)[0]
