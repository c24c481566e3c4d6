"""`callboard events show`, which needs no running system."""

import json
import os
import re
import time
from datetime import datetime

import pytest
from click.testing import CliRunner

from callboard import admin
from callboard.actors.messages import HookQueue, HookQueues, ListHookQueues
from callboard.adapters.repositories.dead_letters import DeadLetterStore
from callboard.adapters.store import stores
from callboard.adapters.store.views import MODB
from callboard.adapters.store.waiting_index import WaitingIndex
from callboard.cli import main
from callboard.cli.events import showing
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.history.attempts import attempt_database, attempt_document
from callboard.webhooks.history.dead_letters import dead_letter
from callboard.webhooks.retries.outcome import ClientError, Response
from callboard.webhooks.retries.retry_message import RetryMessage, as_json
from support.running import ACCOUNT


def delivery(event_id, body, reference=""):
    return Delivery(
        id=f"d-{event_id}",
        event_id=event_id,
        hook_id="h1",
        account_id=ACCOUNT,
        hook_event="order",
        uri="https://e.example/in",
        method="POST",
        url="https://e.example/in",
        headers=(("Content-Type", "application/json"),),
        body=body,
        max_attempts=3,
        reference=reference,
    )


@pytest.fixture
def show(tmp_path):
    """show(*arguments), of two orders: of the second, the first attempt failed."""
    store, now = stores.connect("sqlite://", tmp_path), time.time()
    first, second = delivery("e7", b'{"order": 7}'), delivery("e8", b'{"order": 8}', "no 8")
    done, failed = Response(200), ClientError("timeout")
    database = attempt_database(first, now)
    store.ensure_database(database)
    store.ensure_views(database, MODB)
    attempts = [
        attempt_document(first, done, 3, now - 30, 1000, took_s=0.012),
        attempt_document(second, failed, 1, now - 20, 1000, took_s=5),
    ]
    for n, attempt in enumerate(attempts):
        store.save(database, attempt | {"_id": f"a{n}"})
    letters = DeadLetterStore(store)
    letters.add([dead_letter(second, "timeout", 1, (), now - 10, "n")])
    letters.add([dead_letter(delivery("e9", b"{}"), "timeout", 1, (), now - 10, "n")])
    store.close()
    index = WaitingIndex(tmp_path / "waiting.sqlite3", 10_000_000)
    waiting = RetryMessage(delivery("e6", b'{"order": 6}', "no 6"), 2, int((now + 600) * 1000))
    index.put([(waiting, as_json(waiting), "status 503")], int(now * 1000))
    index.close()

    def show(*arguments):
        variables = {"CALLBOARD_CONFIG": os.devnull, "CALLBOARD_DATA_DIR": str(tmp_path)}
        return CliRunner().invoke(main, ["events", "show", *arguments], env=variables)

    return show


def found(show, *arguments):
    answer = show(*arguments, "--account", ACCOUNT, "--json")
    assert answer.exit_code == 0, answer.output
    return [(one["event_id"], one["result"]) for one in json.loads(answer.stdout)]


def test_an_event_is_found_by_its_id_or_by_text_in_it(show):
    of_second = [("e8", "dead letter"), ("e8", "failure")]
    assert found(show, "e8") == found(show, '"order": 8') == of_second
    assert found(show, "no 8") == of_second
    assert found(show, "e7") == [("e7", "success")]
    waiting = ("e6", "waiting")
    assert found(show, '"order"') == [waiting, *of_second, ("e7", "success")]
    assert found(show, '"order"', "--limit", "2") == [waiting, *of_second[:1]]
    assert found(show, '"order"', "--since", "15s") == [waiting, *of_second[:1]]
    assert found(show, "order 7") == []


def test_what_waits_is_found_too(show):
    assert found(show, "no 6") == found(show, "e6") == [("e6", "waiting")]
    assert ("e6", "waiting") not in found(show, '"order": 7')
    lines = show("no 6", "--account", ACCOUNT).stdout.splitlines()
    assert len(lines) == 2
    assert re.search(r"waiting +status 503, waits until \S+ \S+, try 3 of 3", lines[1])
    (one,) = json.loads(show("no 6", "--account", ACCOUNT, "--json").stdout)
    assert list(one) == [
        *("at", "event_id", "reference", "hook_id", "result", "reason", "http", "took_ms"),
        *("due", "tries", "most_tries"),
    ]
    assert (one["reference"], one["tries"], one["most_tries"]) == ("no 6", 2, 3)
    assert (one["at"], one["http"], one["took_ms"]) == (None, None, None)
    assert f"waits until {one['due']}, " in one["reason"]
    assert found(show, "no 6", "--limit", "1") == [("e6", "waiting")]


def test_programs_get_what_ended_with_the_same_members(show):
    (one,) = json.loads(show("e7", "--account", ACCOUNT, "--json").stdout)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", one.pop("at"))
    assert one == {
        "event_id": "e7",
        "reference": None,
        "hook_id": "h1",
        "result": "success",
        "reason": None,
        "http": "200",
        "took_ms": 12,
    }
    letter, attempt = json.loads(show("e8", "--account", ACCOUNT, "--json").stdout)
    assert (letter["reason"], letter["http"], letter["took_ms"]) == ("timeout", None, None)
    assert (attempt["reason"], attempt["reference"]) == ("timeout", "no 8")


def test_the_time_of_what_ended_is_shown(show):
    (one,) = json.loads(show("e7", "--account", ACCOUNT, "--json").stdout)
    at = datetime.fromisoformat(one["at"])
    assert 25 < time.time() - at.timestamp() < 3600


@pytest.fixture
def queued(show, monkeypatch):
    """A system that answers with the queue of an ordered hook, of two deliveries."""
    monkeypatch.setattr(showing, "owner_of", lambda _settings: "a process")
    asked = []

    class Client:
        def ask_actor(self, path, request, kind):
            asked.append((path, request, kind))
            due = admin.WaitingDelivery("d", "e5", "all", ACCOUNT, "h5", "u", 0, 1000.0, "paused")
            return HookQueues(
                (HookQueue(ACCOUNT, "h5", True, 2, (due,)), HookQueue(ACCOUNT, "h6", False, 1))
            )

    monkeypatch.setattr(showing, "attach", lambda _settings: Client())
    return asked


def test_the_queues_of_a_running_system_come_first(show, queued):
    assert found(show, "e8")[:2] == [("e5", "waiting"), ("e8", "dead letter")]
    wanted = ListHookQueues(None, ACCOUNT, "e8")
    assert queued == [("deliveries/retry_queue", wanted, HookQueues)]
    first, second, *_table = show("e8", "--account", ACCOUNT).stdout.splitlines()
    looked = "the text was looked for in the first ones"
    assert first == f"hook h5 (paused): 2 deliveries in order; {looked}"
    assert second == f"hook h6: 1 delivery in order; {looked}"


def test_what_is_due_and_was_not_tried_has_its_reason_alone(show, queued):
    one, *_others = json.loads(show("e8", "--account", ACCOUNT, "--json").stdout)
    assert (one["reason"], one["due"], one["tries"]) == ("paused", "1970-01-01 00:16:40Z", 0)


def test_references_have_a_column_where_there_are_any(show):
    head, *rows = show("no 8", "--account", ACCOUNT).stdout.splitlines()
    assert head.split()[:4] == ["at", "event_id", "reference", "hook_id"]
    assert ["no", "8"] in [row.split()[3:5] for row in rows]


def test_without_an_index_none_waits(show, tmp_path):
    (tmp_path / "waiting.sqlite3").unlink()
    assert found(show, "no 6") == []
    assert not (tmp_path / "waiting.sqlite3").exists()


def test_people_see_when_where_and_how_long(show):
    lines = show("e7", "--account", ACCOUNT).stdout.splitlines()
    assert lines[0].split() == ["at", "event_id", "hook_id", "result", "reason", "http", "took_ms"]
    assert lines[1].split()[2:] == ["e7", "h1", "success", "200", "12"]
    assert len(lines) == 2


def test_what_is_left_out_and_what_is_missing_is_said(show):
    assert "raise --limit" not in show("e8", "--account", ACCOUNT, "--limit=2").stdout
    assert "2 are recorded: raise --limit" in show("e8", "--account", ACCOUNT, "--limit=1").stdout
    assert show("e1", "--account", ACCOUNT).stdout == "nothing is recorded of it\n"
    assert show("e1", "--account", "f" * 32).stdout == "nothing is recorded of it\n"
    assert show("e1", "--account", "a/b").exit_code == 2
