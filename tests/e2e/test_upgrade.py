"""A data directory of an earlier version is taken over: nothing in it is lost, or sent again.

tests/data/data-directory-1.tar.xz was made by the version before the code was cut into rooms, and
killed with all its processes at once. It holds three hooks of one account: `/ok`; `/later`, which
is signed and retries by `standard`; `/bad`, which made one attempt a delivery. Ten events were
delivered to `/ok`, wait for `/later`, and are dead letters of `/bad`; five more were taken from the
queue, but not yet delivered.

tests/data/data-directory-2.tar.xz was made by version a3432cc in the same way. It holds one ordered
hook with ten events: the first was attempted, and is to be attempted again after an hour.
"""

import json
import sqlite3
import tarfile
import time
from contextlib import closing
from pathlib import Path

import pika
import pytest
from standardwebhooks import Webhook

from callboard.webhooks.retries.delay_classes import DELAY_CLASSES
from support.receiver import Receiver
from support.running import RunningSystem, call_event

pytestmark = pytest.mark.multiprocess

DATA = Path(__file__).parents[1] / "data"
ARCHIVE = DATA / "data-directory-1.tar.xz"
OF_ORDERED_HOOK = DATA / "data-directory-2.tar.xz"
ADDRESS, PORT = "127.77.1.9", 39871
SECRET = "whsec_RpsciZQFpLofpi68xk+6oB6eYLHjjPf33sosB2B0d2A="
DELIVERED = {f"call-{number}@switch" for number in range(10)}
TAKEN = {f"call-{number}@switch" for number in range(10, 15)}


@pytest.fixture(scope="module")
def address():
    """Where the hooks of the archives point to; its scope has one worker listen there in turn."""
    return ADDRESS


@pytest.fixture
def endpoint(address):
    with Receiver(address, PORT) as endpoint:
        yield endpoint


@pytest.fixture
def taken_over(tmp_path, endpoint):
    """This version, started on what the earlier one left."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path / "data", filter="data")
    system = RunningSystem(tmp_path / "data")
    yield system
    system.close()


def calls(endpoint, path):
    """The calls of all requests on that path, repeats too."""
    return sorted(
        json.loads(request.body)["call_id"] for request in endpoint.requests if request.path == path
    )


def test_what_an_earlier_version_left_is_delivered_once_and_listed(taken_over, endpoint):
    expected = {"/ok": TAKEN, "/later": DELIVERED | TAKEN, "/bad": TAKEN}
    taken_over.wait(
        lambda: all(set(calls(endpoint, path)) >= wanted for path, wanted in expected.items()),
        timeout_s=30,
        what="what waited",
    )
    taken_over.wait(
        lambda: taken_over.node("deliveries/retry_queue").stats.get("in_hand") == 0,
        what="word that it was delivered",
    )
    assert {path: calls(endpoint, path) for path in expected} == {
        path: sorted(wanted) for path, wanted in expected.items()
    }
    for request in endpoint.requests:
        if request.path == "/later":
            Webhook(SECRET).verify(request.body, dict(request.headers))
    letters = json.loads(taken_over.run("dead-letters", "list", "--json").stdout)
    assert len(letters) == len(DELIVERED)
    hooks = json.loads(taken_over.run("hooks", "list", "--json").stdout)
    assert {hook["uri"] for hook in hooks} == {
        f"http://{ADDRESS}:{PORT}{path}" for path in expected
    }


@pytest.fixture(params=["embedded", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
def of_ordered_hook(request, tmp_path):
    """The data directory, and the settings of its broker; the first is due in three seconds."""
    folder = tmp_path / "data"
    with tarfile.open(OF_ORDERED_HOOK) as archive:
        archive.extractall(folder, filter="data")
    due_s = time.time() + 3
    with closing(sqlite3.connect(folder / "broker.sqlite3")) as db:
        delayed = db.execute("SELECT rowid, delay, body FROM delayed ORDER BY rowid").fetchall()
        bodies = [(row, delay, _due_at(body, int(due_s * 1000))) for row, delay, body in delayed]
        rows = [(due_s, body, row) for row, _delay, body in bodies]
        db.executemany("UPDATE delayed SET due = ?, body = ? WHERE rowid = ?", rows)
        db.commit()
    if request.param == "embedded":
        return folder, {}
    url = request.getfixturevalue("amqp_url")
    (folder / "broker.sqlite3").unlink()
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.confirm_delivery()
    delays = {f"callboard.events.retry.{name}": ms for name, ms in DELAY_CLASSES.items()}
    for _row, delay, body in bodies:
        arguments = {
            "x-message-ttl": delays[delay],
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": "callboard.events.retries",
        }
        channel.queue_declare(delay, durable=True, arguments=arguments)
        channel.basic_publish("", delay, body, pika.BasicProperties(delivery_mode=2))
    connection.close()
    return folder, {"amqp__url": url}


def _due_at(body, due_ms):
    return json.dumps(json.loads(body) | {"due_ms": due_ms}, separators=(",", ":")).encode()


def test_what_waited_for_an_ordered_hook_is_ahead_of_what_comes(of_ordered_hook, address):
    folder, settings = of_ordered_hook
    with Receiver(address, PORT + 1) as endpoint:
        system = RunningSystem(folder, **settings)
        try:
            system.wait_hooks()
            system.wait(lambda: system.node("event_bridge").stats.get("broker") == "up")
            system.publish(map(call_event, range(10, 15)))
            endpoint.wait_for(15, timeout_s=30)
        finally:
            system.close()
    assert [json.loads(request.body)["call_id"] for request in endpoint.requests] == [
        f"call-{number}@switch" for number in range(15)
    ]
