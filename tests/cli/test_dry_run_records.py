"""`callboard kazoo dry-run`, and commands before a store that does not answer."""

import json
import os
import socket
import time
from datetime import UTC, datetime

import pytest
from attrs import evolve
from click.testing import CliRunner

from callboard.adapters.store import stores
from callboard.adapters.store.dry_run import DRY_RUN
from callboard.adapters.store.protocol import StoreError
from callboard.adapters.store.views import MODB
from callboard.cli import main
from callboard.cli.terminal.output import Failure
from callboard.cli.terminal.store import opened_store
from callboard.config.settings import CouchdbSettings, DataSettings, Settings
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.history.attempts import attempt_database, attempt_document
from callboard.webhooks.retries.outcome import ClientError, Response

DAY_S = 86_400
ACCOUNT = "a1" * 16
DELIVERY = Delivery(
    "d1", "e1", "h1", ACCOUNT, "order", "https://e.example/in", "POST", "https://e.example/in",
    (("Content-Type", "application/json"),), b"{}",
)  # fmt: skip


@pytest.fixture
def dry_run(tmp_path):
    """dry_run(*arguments): of two deliveries, one of them of almost 31 days ago, one older."""
    store, now = stores.connect("sqlite://", tmp_path / DRY_RUN), time.time()
    failed, done = ClientError("timeout"), Response(200)
    for id, outcome, age_s in (
        ("new", done, 60),
        ("month", failed, 31 * DAY_S - 60),
        ("old", done, 31 * DAY_S + 60),
    ):
        one = evolve(DELIVERY, id=id, hook_id=f"h-{id}")
        database = attempt_database(one, now - age_s)
        store.ensure_database(database)
        store.ensure_views(database, MODB)
        attempt = attempt_document(one, outcome, 1, now - age_s, 1000, took_s=0.1)
        store.save(database, attempt | {"_id": id})
    store.close()

    def run(*arguments):
        variables = {"CALLBOARD_CONFIG": os.devnull, "CALLBOARD_DATA_DIR": str(tmp_path)}
        command = ["kazoo", "dry-run", "--account", ACCOUNT, *arguments]
        ran = CliRunner().invoke(main, command, env=variables, terminal_width=200)
        assert ran.exit_code == 0, ran.output
        return ran.stdout

    return run


def test_the_records_of_31_days_are_listed_the_newest_first(dry_run):
    shown = json.loads(dry_run("--json"))
    assert [one["hook_id"] for one in shown] == ["h-new", "h-month"]
    assert [one["hook_id"] for one in json.loads(dry_run("--json", "--limit", "1"))] == ["h-new"]
    only = json.loads(dry_run("--json", "--hook", "h-month"))
    assert [one["hook_id"] for one in only] == ["h-month"]


def test_a_table_of_them_shows_what_would_have_been_sent(dry_run):
    head, *rows = dry_run().splitlines()
    assert head.split() == ["created", "event", "hook", "method", "uri", "result"]
    assert [row.split()[-5:] for row in rows] == [
        ["order", "h-new", "post", "https://e.example/in", "success"],
        ["order", "h-month", "post", "https://e.example/in", "timeout"],
    ]
    gregorian_s = [one["pvt_created"] for one in json.loads(dry_run("--json"))]
    times = [datetime.fromtimestamp(at_s - 62_167_219_200, UTC) for at_s in gregorian_s]
    assert [row[:20] for row in rows] == [at.strftime("%Y-%m-%d %H:%M:%SZ") for at in times]


def test_a_store_that_does_not_answer_is_waited_for_as_long_as_the_settings_say():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        settings = Settings(couchdb=CouchdbSettings(url=url, timeout_ms=50))
        with pytest.raises(Failure, match="timed out"), opened_store(settings) as store:
            store.get("webhooks", "h")


def test_a_problem_of_the_store_ends_the_command_with_its_text(tmp_path):
    settings = Settings(data=DataSettings(dir=tmp_path))
    with pytest.raises(Failure, match=r"^away$"), opened_store(settings):
        raise StoreError("away")
