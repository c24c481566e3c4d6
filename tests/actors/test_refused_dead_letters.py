"""Dead letters that the store refuses: kept in a file, and read from there after a restart."""

import structlog
from structlog.testing import capture_logs

from callboard.actors.delivery.refused_dead_letters import RefusedDeadLetters
from callboard.adapters.store.protocol import Saved
from callboard.adapters.store.spool import Spool


def kept_in(folder):
    spool = Spool(folder / "refused.sqlite3", dropping=False)
    try:
        return [(database, document) for _id, database, document in spool.first(10)]
    finally:
        spool.close()


def taken(folder, documents, results):
    with capture_logs() as logs:
        refused = RefusedDeadLetters(folder, structlog.get_logger())
        refused.take(documents, results)
        refused.close()
    return logs


def test_what_the_store_refuses_is_kept_whole_and_logged(tmp_path):
    documents = [{"_id": id, "body": f"body of {id}"} for id in ("saved", "big", "there", "odd")]
    results = [
        Saved("saved", rev="1-a"),
        Saved("big", error="document_too_large"),
        Saved("there", error="conflict"),
        Saved("odd", error="doc_validation"),
    ]
    logs = taken(tmp_path, documents, results)
    assert kept_in(tmp_path) == [
        ("callboard_dead_letters", {"_id": "big", "body": "body of big"}),
        ("callboard_dead_letters", {"_id": "odd", "body": "body of odd"}),
    ]
    assert [(log["event"], log["id"], log["error"], log["log_level"]) for log in logs] == [
        ("dead_letter_refused", "big", "document_too_large", "error"),
        ("dead_letter_refused", "odd", "doc_validation", "error"),
    ]


def test_nothing_is_kept_of_those_that_the_store_has(tmp_path):
    documents = [{"_id": "saved"}, {"_id": "there"}]
    assert (
        taken(tmp_path, documents, [Saved("saved", rev="1-a"), Saved("there", error="conflict")])
        == []
    )
    assert kept_in(tmp_path) == []
