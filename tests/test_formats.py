"""Formats that are stored or sent, and the names that operators use, as each version wrote them.

The files of tests/data/formats are read by every later version, so they are never changed and never
removed. A new form of something gets a file with the next number; a new name gets a line.
"""

import json
import re
import sqlite3
import subprocess
from pathlib import Path

import pytest
from attrs import evolve

from callboard.actors.hooks.change_publisher import ChangePublisher
from callboard.adapters.broker.protocol import ConnectionUp
from callboard.adapters.broker.publications import Publication, set_aside
from callboard.adapters.keys.secret_box import SecretBox
from callboard.adapters.local.delivered_ids import DeliveredIds
from callboard.adapters.repositories.posted_events import PostedEvents
from callboard.adapters.store.embedded import EmbeddedStore
from callboard.adapters.store.spool import Spool
from callboard.adapters.store.waiting_index import Waiting, WaitingIndex, Window
from callboard.config.options import options
from callboard.supervision import Timer
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.dispatch.jobs import Answered, Deferred, Finished
from callboard.webhooks.events.trace_context import TraceContext
from callboard.webhooks.history.attempts import attempt_document
from callboard.webhooks.history.dead_letters import body_of, dead_letter, poison_dead_letter
from callboard.webhooks.hooks.options import Options
from callboard.webhooks.hooks.secrets import StoredSecret, adding, stored_secrets
from callboard.webhooks.metrics.catalog import METRICS
from callboard.webhooks.modules.posted_event import PostedEvent
from callboard.webhooks.retries.outcome import ClientError, Response
from callboard.webhooks.retries.policy import StandardPolicy
from callboard.webhooks.retries.retry_message import RetryMessage, as_json, from_json
from callboard.webhooks.values.endpoint_options import EndpointOptions

FORMATS = Path(__file__).parent / "data" / "formats"
ACCOUNT = "1b" * 16
NOW = 1_709_251_199.5
"""2024-02-29 23:59:59.5 UTC, in Gregorian seconds 63876470399."""


def golden(name):
    return json.loads((FORMATS / name).read_text())


DELIVERY = Delivery(
    id="d1",
    event_id="0123456789",
    hook_id="h1",
    account_id=ACCOUNT,
    hook_event="CHANNEL_CREATE",
    uri="https://ada:secret@example.org/in",
    method="POST",
    url="https://ada:secret@example.org/in",
    headers=(("Content-Type", "application/json"), ("X-Hook-ID", "h1")),
    body=b'{"a":1}',
    max_attempts=3,
    options=Options("standard", True, 0.5, (("X-Own", "1"),), ("0f.sealed",), "client.pem"),
    trace=TraceContext("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "a=1"),
)
RETRY = RetryMessage(
    delivery=DELIVERY,
    attempts_made=2,
    due_ms=1_709_251_204_500,
    left=("4s", "1s"),
    deferred_since_ms=1_709_251_000_000,
    deferrals=3,
    history=((1_709_251_100_000, "status 503"), (1_709_251_150_000, "timeout")),
)
PERMITTED = EndpointOptions(False, "own.pem", True, 3, ((8443, 8444),), ("10.0.0.0/8",))
WITH_ENDPOINT = evolve(
    RETRY, delivery=evolve(DELIVERY, options=evolve(DELIVERY.options, endpoint=PERMITTED))
)
REFERRED = evolve(RETRY, delivery=evolve(DELIVERY, reference="7"))
"""Of a module that names the field of a reference."""
PLAIN = RetryMessage(
    evolve(DELIVERY, body=b"\xff\x00", options=Options(), trace=None, max_attempts=2), 0, 5000
)


# Messages of the retry queue


@pytest.mark.parametrize(("name", "retry"), [("retry-1", RETRY), ("retry-binary-1", PLAIN)])
def test_deliveries_of_the_retry_queue_before_hooks_were_looked_at(name, retry):
    unknown = evolve(retry.delivery, unstored=None)
    written = (FORMATS / f"{name}.json").read_bytes()
    assert from_json(written) == evolve(retry, delivery=unknown)


@pytest.mark.parametrize(
    ("name", "retry"),
    [
        ("retry-2", RETRY),
        ("retry-3", WITH_ENDPOINT),
        ("retry-4", REFERRED),
        ("retry-binary-2", PLAIN),
    ],
)
def test_deliveries_of_the_retry_queue(name, retry):
    written = (FORMATS / f"{name}.json").read_bytes()
    assert from_json(written) == retry
    assert json.loads(as_json(retry)) == json.loads(written)


def test_a_delivery_of_the_first_version_without_what_was_added_since():
    written = golden("retry-1.json")
    for name in ("options", "history"):
        del written[name]
    for name in ("traceparent", "tracestate"):
        del written["delivery"][name]
    plain = evolve(DELIVERY, options=Options(), trace=None, unstored=None)
    assert from_json(json.dumps(written).encode()) == evolve(RETRY, delivery=plain, history=())


# Documents of the store


def test_attempts():
    refused = evolve(DELIVERY, method="GET", url="https://ada:secret@example.org/in?a=1", body=b"")
    answered = Response(503, {"Server": "NGINX"}, b"busy")

    def written(**options):
        return [
            attempt_document(DELIVERY, Response(200, {}, b"ok"), 3, NOW, 1000, **options),
            attempt_document(DELIVERY, answered, 2, NOW, 2, StandardPolicy(), **options),
            attempt_document(refused, ClientError("timeout"), 1, NOW, 1000, **options),
        ]

    assert written() == golden("attempts-3.json")
    # With the user of the URL, as of versions before.
    assert written(credentials=True) == golden("attempts-1.json")
    timed = written(credentials=True, took_s=0.0426)[0]
    assert (
        timed == golden("attempts-2.json") == written(credentials=True)[0] | {"pvt_duration_ms": 43}
    )


def test_references_are_stored_only_where_a_module_names_them():
    referred = attempt_document(REFERRED.delivery, Response(200, {}, b"ok"), 3, NOW, 1000)
    plain, *_others = golden("attempts-3.json")
    assert [referred] == golden("attempts-4.json") == [plain | {"reference": "7"}]
    letter = dead_letter(REFERRED.delivery, "status 503", 3, RETRY.history, NOW, "node@host")
    assert letter == golden("dead-letter-2.json")
    assert letter == golden("dead-letter-1.json") | {"reference": "7"}


def test_dead_letters_of_deliveries():
    letter = golden("dead-letter-1.json")
    assert body_of(letter) == b'{"a":1}'
    assert dead_letter(DELIVERY, "status 503", 3, RETRY.history, NOW, "node@host") == letter
    binary = golden("dead-letter-binary-1.json")
    assert body_of(binary) == b"\xff\x00"
    assert dead_letter(PLAIN.delivery, "timeout", 2, (), NOW, "node@host") == binary


def test_quarantined_events_and_their_dead_letters():
    """A record lies in a spool of the data directory until it becomes a dead letter."""
    record = golden("quarantined-1.json")
    message = Publication(
        b"{\xff", "callevt", "call.X.y", "application/json", "gzip", "m1", {"call-id": "y"}
    )
    written = set_aside(message, module="m", reason="it is no JSON", now_unix_s=NOW)
    assert written == record
    assert poison_dead_letter(record, 7, "node@host") == golden("dead-letter-event-1.json")
    older = {k: v for k, v in record.items() if k not in ("message_id", "headers")}
    assert poison_dead_letter(older, 7, "node@host")["headers"] == {}


def test_posted_events(tmp_path):
    (document,) = golden("posted-events-1.json")
    store = EmbeddedStore(tmp_path / "store.sqlite3")
    events = PostedEvents(store)
    event = PostedEvent("e1", "order.paid", ACCOUNT, 63_876_470_399, {"a": 1})
    events.note(event, "key", "fingerprint", NOW)
    (written,) = store.documents("callboard_posted_events")
    assert {k: v for k, v in written.items() if k != "_rev"} == document
    store.delete("callboard_posted_events", written["_id"], written["_rev"])
    store.save("callboard_posted_events", {**document, "event_id": "e0", "published": True})
    noted = events.note(event, "key", "fingerprint", NOW + 3600)
    assert (noted.event_id, noted.published, noted.at) == ("e0", True, 63_876_470_399)
    store.close()


def test_secrets_of_a_hook(tmp_path):
    (entry,) = golden("hook-secrets-1.json")["pvt_secrets"]
    secret = StoredSecret("0a1b2c3d4e5f", "ed25519", 63_876_470_399, entry["encrypted"], "whpk_x")
    assert stored_secrets({"pvt_secrets": [entry]}) == (secret,)
    assert adding({}, secret) == {"pvt_secrets": [entry]}
    # Encrypted with 32 bytes of 7, for the hook h1, by a version of 2026.
    box = SecretBox("BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=", tmp_path / "none")
    assert box.opened(entry["encrypted"], "h1") == "whsec_c2VzYW1lc2VzYW1lc2VzYW1lc2VzYW1l"
    assert box.hints() == (entry["encrypted"].partition(".")[0],)


# Files of the data directory


def test_the_file_of_delivered_ids(tmp_path):
    file = tmp_path / "finished.ids"
    for id, entry in golden("delivered-ids-1.json").items():
        ids = DeliveredIds(file, raising, clock=lambda: NOW)
        ids.add(id)
        ids.close()
        written = file.read_bytes()
        assert len(written) == 2_097_152
        assert written[entry["at"] :][:16].hex() == entry["bytes"]
        file.write_bytes(bytes(entry["at"]) + bytes.fromhex(entry["bytes"]))
        ids = DeliveredIds(file, raising, clock=lambda: NOW + 3599)
        assert ids.known(id) == Finished()
        ids.close()


def test_the_file_of_delivered_ids_with_what_is_unfinished(tmp_path):
    file = tmp_path / "finished.ids"
    known = {"d1": Answered(2, 503), "é": Deferred(3)}
    for id, entry in golden("delivered-ids-2.json").items():
        ids = DeliveredIds(file, raising, clock=lambda: NOW)
        match known[id]:
            case Answered(attempts, status):
                ids.answered(id, attempts, status)
            case Deferred(deferrals):
                ids.deferred(id, deferrals)
        ids.close()
        written = file.read_bytes()
        assert written[entry["at"] :][:16].hex() == entry["bytes"]
        file.write_bytes(bytes(entry["at"]) + bytes.fromhex(entry["bytes"]))
        ids = DeliveredIds(file, raising, clock=lambda: NOW + 3500)
        assert ids.known(id) == known[id]
        ids.close()
        # The version before reads the last four bytes as the time when it was finished.
        assert int(entry["bytes"][-8:], 16) - NOW > 3600


def raising(error):
    raise error


def test_the_index_of_waiting_deliveries(tmp_path):
    with sqlite3.connect(tmp_path / "waiting.sqlite3") as connection:
        connection.executescript((FORMATS / "waiting-1.sql").read_text())
    connection.close()
    index = WaitingIndex(tmp_path / "waiting.sqlite3", 10_000_000)
    (one,) = index.page(Window("h1"), None, 10)
    times = 1_709_251_260_000, 1_709_251_199_000
    assert one == Waiting("d1", "a1", "h1", 1, *times, "status 503", b"{}")
    delivery = Delivery("d2", "e", "h1", "a1", "all", "http://x/", "POST", "http://x/", (), b"{}")
    older = RetryMessage(delivery, 1, 0)
    assert index.arrived([evolve(older, deferrals=2), older], int(NOW * 1000)) == [False, True]
    index.close()


def test_the_spool_of_attempts(tmp_path):
    with sqlite3.connect(tmp_path / "spool.sqlite3") as connection:
        connection.executescript((FORMATS / "spool-1.sql").read_text())
    connection.close()
    spool = Spool(tmp_path / "spool.sqlite3")
    assert spool.first(10) == [(3, "db", {"_id": "a"}), (4, "db", {"_id": "b", "é": 1})]
    spool.append([("other", {"_id": "c"})])
    assert [id for id, *_rest in spool.first(10)] == [3, 4, 5]
    spool.close()


# Names


def test_names_of_settings():
    named = (FORMATS / "settings.txt").read_text().split()
    assert sorted(option.key for option in options()) == named
    assert {option.variable for option in options()} == {
        f"CALLBOARD_{name.replace('.', '_').upper()}" for name in named
    }
    assert {option.flag for option in options()} == {
        f"--{name.replace('.', '-').replace('_', '-')}" for name in named
    }


def test_names_kinds_and_labels_of_metrics():
    named = (FORMATS / "metrics.txt").read_text().splitlines()
    assert sorted(" ".join([m.name, m.kind, *m.labels]) for m in METRICS) == named


# The files only grow


def git(*command):
    run = subprocess.run(
        ["git", "-C", FORMATS, *command, "--", "."], capture_output=True, text=True, check=False
    )
    if run.returncode:
        pytest.skip("no history here, as in a source archive")
    return run.stdout


def test_no_format_and_no_name_was_taken_back():
    changed = git("log", "--format=", "--name-status", "--diff-filter=DMR") + git(
        "diff", "HEAD", "--name-status", "--diff-filter=DMR"
    )
    assert {line.split()[-1] for line in changed.splitlines()} <= {
        "tests/data/formats/settings.txt",
        "tests/data/formats/metrics.txt",
    }
    lines = git("log", "--format=", "--patch") + git("diff", "HEAD")
    removed = re.findall(r"^-(?!--)(.*)", lines, re.MULTILINE)
    growing = [(FORMATS / name).read_text() for name in ("settings.txt", "metrics.txt")]
    assert set(removed) <= set("".join(growing).splitlines())  # What remains has moved.


def test_changes_that_the_broker_has_not_confirmed(tmp_path):
    """The records of a spool in `changes/`, as a later version finds them."""
    database, record = golden("change-1.json")
    spool = Spool(tmp_path / "api.sqlite3")
    spool.append([(database, record)])
    sent = []

    class Broker:
        def publish(self, message):
            sent.append(message)
            return 1

    publisher = ChangePublisher(Broker(), "node@host", spool, lambda call: Timer(print, call))
    publisher.on_broker(ConnectionUp(None))
    (message,) = sent
    assert (message.exchange, message.routing_key) == (database, record["key"])
    assert json.loads(message.body) == record["body"]
