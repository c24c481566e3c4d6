"""What a node remembers of its ordered queues over restarts."""

import sqlite3
from contextlib import closing

from attrs import evolve

from callboard.adapters.local.ordered_file import KEPT_S, OrderedFile
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.retries.retry_message import RetryMessage

DELIVERY = Delivery("d", "e", "h", "a", "shop", "u", "POST", "u", (), b"{}")
FRESH = RetryMessage(DELIVERY, 0, 0, deferrals=0, taken_ms=5)
LATER = RetryMessage(DELIVERY, 2, 9_000, (), 7, 3, ((1, "status 500"), (2, "timeout")), 5)


def opened(path, now_s=1000.0, errors=None):
    return OrderedFile(path, (errors if errors is not None else []).append, lambda: now_s)


def test_queues_and_states_outlive_the_process(tmp_path):
    file = opened(tmp_path / "data" / "ordered")
    file.add_queue(("a", "h"))
    file.add_queue(("a", "h"))
    file.add_queue(("a", "i"))
    file.drop_queue(("a", "i"))
    file.keep([LATER])
    file.close()
    again = opened(tmp_path / "data" / "ordered")
    assert again.ordered_queues == {("a", "h")}
    assert again.restored(FRESH) == LATER
    assert (tmp_path / "data" / "ordered").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    again.forget(["d", "unknown"])
    again.close()
    assert opened(tmp_path / "data" / "ordered").restored(FRESH) == FRESH


def test_a_state_that_is_no_later_is_left(tmp_path):
    file = opened(tmp_path / "ordered")
    file.keep([LATER])
    for made, deferrals, is_left in ((2, 3, True), (3, 0, True), (2, 2, False), (1, 9, False)):
        retry = evolve(FRESH, attempts_made=made, deferrals=deferrals)
        assert (file.restored(retry) is retry) is is_left
    file.close()


def test_the_file_has_a_log_before_it(tmp_path):
    """So that a write waits for no disk (WAL, as the module says of its other files)."""
    opened(tmp_path / "ordered").close()
    with closing(sqlite3.connect(tmp_path / "ordered")) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_it_is_new_until_a_process_has_used_it(tmp_path):
    found = []
    for _process in range(3):
        file = opened(tmp_path / "ordered")
        found.append(file.is_new)
        if len(found) == 2:
            file.used()
        file.close()
    assert found == [True, True, False]


def test_an_older_state_is_not_restored(tmp_path):
    file = opened(tmp_path / "ordered")
    file.keep([LATER])
    newer = evolve(LATER, attempts_made=3)
    assert file.restored(newer) == newer


def test_states_are_kept_for_a_month(tmp_path):
    opened(tmp_path / "ordered", 1000.0).keep([LATER])
    assert opened(tmp_path / "ordered", 1000.0 + KEPT_S).restored(FRESH) == LATER
    assert opened(tmp_path / "ordered", 1001.0 + KEPT_S).restored(FRESH) == FRESH


def test_without_a_usable_file_it_remembers_for_this_process_only(tmp_path):
    (tmp_path / "ordered").write_bytes(b"no database" * 100)
    errors = []
    file = opened(tmp_path / "ordered", errors=errors)
    assert len(errors) == 1
    file.add_queue(("a", "h"))
    file.keep([LATER])
    assert (file.ordered_queues, file.restored(FRESH)) == ({("a", "h")}, LATER)
    # The damaged file was moved aside: the next process has a good one.
    again = opened(tmp_path / "ordered", errors=errors)
    again.add_queue(("a", "h"))
    assert len(errors) == 1
    assert len(list(tmp_path.glob("ordered*.corrupt-*"))) == 1
