"""Which attempts a deliverer records, and under which ids, without a system."""

import pytest
import structlog.testing
from attrs import evolve

from callboard.actors.delivery.recording import Recorder
from callboard.actors.messages import AttemptPolicy, Attempts, WhichAttempts
from callboard.actors.messages.notifications import DeliveryFailed
from callboard.actors.messages.paths import ATTEMPT_LOG
from callboard.config.settings import AttemptsSettings, DeliverySettings, Settings
from callboard.supervision import Peer
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.dispatch.jobs import Job
from callboard.webhooks.hooks.options import Options
from callboard.webhooks.metrics.tally import Tally
from callboard.webhooks.retries.outcome import ClientError, GiveUp, Response
from callboard.webhooks.retries.policy import KazooPolicy, StandardPolicy

DELIVERY = Delivery("d" * 32, "e", "h", "acme", "all", "http://x/", "POST", "http://x/", (), b"")
NOW = 1_700_000_000.0


def job(log_successful=None, **values):
    delivery = evolve(DELIVERY, options=Options(log_successful=log_successful))
    return Job(delivery, "x:80", StandardPolicy(), **({"attempts_made": 1} | values))


class Recorded:
    """A recorder, and the documents that it has sent."""

    def __init__(self, *, dry_run=False, **attempts):
        self.sent, self.notices = [], []
        self.recorder = Recorder(
            Settings(
                attempts=AttemptsSettings(**attempts), delivery=DeliverySettings(dry_run=dry_run)
            ),
            finished=lambda _job: None,
            notify=self.notices.append,
            peer={ATTEMPT_LOG: "log"}.get,
            send=lambda _to, message: self.sent.append(message),
            tally=Tally(),
            log=structlog.get_logger(),
        )

    def attempts(self):
        self.recorder.report_attempts()
        found = [m.documents for m in self.sent if isinstance(m, Attempts)]
        return [
            doc
            for documents in found
            for _db, doc in documents
            if "hook_id" in doc and "result" in doc
        ]


@pytest.mark.parametrize(
    ("account", "node", "cluster", "kept"),
    [
        (None, "", False, 0),
        (None, "", True, 1),
        (None, "false", True, 0),
        (None, "true", False, 1),
        (True, "false", False, 1),
        (False, "true", True, 0),
    ],
)
def test_successes_are_recorded_by_the_account_then_the_node_then_the_cluster(
    account, node, cluster, kept
):
    recorded = Recorded(log_successful=node)
    recorded.recorder.follow(AttemptPolicy(cluster, 1000))
    recorded.recorder.delivered(job(account), Response(200), NOW)
    assert len(recorded.attempts()) == kept


def test_each_try_has_its_id_and_so_has_an_end_without_a_try():
    recorded = Recorded()
    for made in (1, 2):
        recorded.recorder.retried(job(attempts_made=made), ClientError("timeout"), NOW)
    deferred = job(attempts_made=2, deferred_since_s=NOW)
    recorded.recorder.exhausted(deferred, ClientError("endpoint"), GiveUp("endpoint"), NOW)
    assert len({document["_id"] for document in recorded.attempts()}) == 3


def test_a_try_that_is_recorded_again_has_the_same_id():
    ids = set()
    for _deliverer in range(2):
        recorded = Recorded()
        recorded.recorder.retried(job(), ClientError("timeout"), NOW)
        ids |= {document["_id"] for document in recorded.attempts()}
    assert len(ids) == 1


def test_the_record_says_how_long_the_request_took():
    recorded = Recorded()
    recorded.recorder.retried(job(took_s=1.2345), ClientError("timeout"), NOW)
    recorded.recorder.retried(job(took_s=None), ClientError("refused: x"), NOW)
    ended = job(took_s=1.0, attempts_made=2, deferred_since_s=NOW)
    recorded.recorder.exhausted(ended, ClientError("endpoint"), GiveUp("endpoint"), NOW)
    took = [document.get("pvt_duration_ms") for document in recorded.attempts()]
    assert took == [1234, None, None]


def test_the_log_names_the_hook_and_the_reason_of_each_failure():
    recorded, its = Recorded(), job(attempts_made=2)
    with structlog.testing.capture_logs() as logs:
        recorded.recorder.failed(its, Response(503), NOW)
        recorded.recorder.failed(its, ClientError("timeout"), NOW)
        recorded.recorder.failed(its, ClientError("failed_connect", "refused"), NOW)
        recorded.recorder.exhausted(its, Response(404), GiveUp("status 404"), NOW)
        recorded.recorder.cancelled(its, "hook deleted", NOW)
    about = {"account": "acme", "hook": "h", "event_id": "e", "delivery": "d" * 32}
    assert all(about.items() <= line.items() for line in logs)
    facts = [{k: v for k, v in line.items() if k not in {*about, "log_level"}} for line in logs]
    left = its.attempts_left
    assert facts == [
        {"event": "try_failed", "outcome": 503, "tries_left": left},
        {"event": "try_failed", "outcome": "timeout", "tries_left": left},
        {
            "event": "try_failed",
            "outcome": "failed_connect",
            "detail": "refused",
            "tries_left": left,
        },
        {"event": "given_up", "reason": "status 404"},
        {"event": "delivery_cancelled", "reason": "hook deleted"},
    ]


LARGE = b"." * 400_000


@pytest.mark.parametrize(
    ("body", "body_limit", "response"),
    [
        (LARGE, 400_000, b""),  # the attempts' request
        (b"", 400_000, LARGE),  # their response
        (LARGE, 0, b""),  # the dead letters, as text
        (b"\xff" + LARGE[:300_000], 0, b""),  # and in base64
    ],
)
def test_a_message_ends_with_the_record_whose_bodies_reach_a_million_bytes(
    body, body_limit, response
):
    recorded = Recorded(body_limit=body_limit)
    for number in range(4):
        its = job()
        its.delivery = evolve(its.delivery, id=f"d{number}", body=body)
        if body_limit:
            recorded.recorder.retried(its, Response(500, body=response), NOW)
        else:
            recorded.recorder.exhausted(its, Response(500), GiveUp("status 500"), NOW)
    recorded.recorder.report_attempts()
    records = 1 if body_limit else 2
    sent = [message for message in recorded.sent if isinstance(message, Attempts)]
    assert [len(message.documents) / records for message in sent] == [3, 1]


def test_records_failures_and_hooks_to_disable_wait_to_be_reported():
    recorded, its = Recorded(), job(log_successful=True)
    recorder, counts = recorded.recorder, []
    for call in (
        lambda: recorder.delivered(its, Response(200), NOW),
        lambda: recorder.failed(its, Response(503), NOW),
        lambda: recorder.exhausted(its, Response(410), GiveUp("gone", disable=True), NOW),
    ):
        call()
        counts.append(recorder.unreported)
    assert counts == [1, 2, 4]


def test_a_new_attempt_log_is_asked_which_attempts_to_record():
    recorded = Recorded()
    peers = {ATTEMPT_LOG: Peer(ATTEMPT_LOG, 2, "log", 1)}
    recorded.recorder.on_peers({}, peers)
    recorded.recorder.on_peers(peers, peers)
    recorded.recorder.on_peers(peers, {})
    assert recorded.sent == [WhichAttempts()]


def test_a_record_counts_down_the_attempts_that_are_left():
    recorded = Recorded()
    delivery = evolve(DELIVERY, max_attempts=2)
    for made in (1, 2):
        one = Job(delivery, "x:80", KazooPolicy(), attempts_made=made)
        recorded.recorder.retried(one, Response(503), NOW)
    found = [(document["try"], document["retries_left"]) for document in recorded.attempts()]
    assert found == [(2, 1), (1, "retries exceeded")]


def test_a_failure_is_added_to_the_history_of_its_delivery():
    its = job(history=((1000, "timeout"),))
    Recorded().recorder.failed(its, Response(503), NOW)
    assert its.history == ((1000, "timeout"), (1_700_000_000_000, "status 503"))


def test_what_a_recorder_counts():
    recorded = Recorded(dry_run=True)
    recorder = recorded.recorder
    recorder.delivered(job(), Response(200), NOW)
    recorder.failed(job(), Response(503), NOW)
    recorder.cancelled(job(), "hook deleted", NOW)
    recorder.unsent(job(), NOW)
    for _time in range(2):
        recorder.exhausted(job(), Response(404), GiveUp("status 404"), NOW)
    assert {name: count for name, count in recorder.counts.items() if count} == {
        "delivered": 1,
        "failed_tries": 1,
        "cancelled": 1,
        "dry_run": 1,
        "given_up": 2,
    }


def test_an_exhausted_delivery_is_a_notification():
    recorded = Recorded()
    recorded.recorder.exhausted(job(), Response(404), GiveUp("status 404"), NOW)
    assert recorded.notices == [
        DeliveryFailed("acme", "h", "d" * 32, "e", "http://x/", "status 404")
    ]
