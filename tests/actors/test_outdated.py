"""What a deliverer does with the deliveries of a hook that has changed, without processes."""

import pytest

from callboard.actors.delivery import deliverer as module
from callboard.actors.messages import Applied, Attempts, AttemptsPersisted
from callboard.actors.messages.paths import ATTEMPT_LOG, HOOK_TABLE
from callboard.supervision import Peer
from callboard.webhooks.hooks.options import Options
from callboard.webhooks.retries.outcome import ClientError, Response
from callboard.webhooks.retries.retry_message import RetryMessage
from support.deliverers import ACCOUNT, LocalDeliverer, delivery

KEY = ACCOUNT, "h"
WAITING = 100


@pytest.fixture
def deliverer(tmp_path):
    here = LocalDeliverer(tmp_path)
    yield here
    here.closing.close()


@pytest.mark.parametrize("options", [Options(), Options(ordered=True), Options(rate_per_s=1.0)])
def test_what_waits_for_its_turn_goes_to_the_retry_queue_in_order(deliverer, options):
    made = [delivery(number, options=options) for number in range(20)]
    deliverer.take(*made)
    assert [job.delivery.id for job in deliverer.requests.flying] == ["d0"]
    deliverer.outdated(KEY)
    items = deliverer.deferred()
    assert [item.delivery.id for item in items] == [f"d{number}" for number in range(1, 20)]
    assert {(item.left, item.attempts_made) for item in items} == {((), 0)}
    assert deliverer.settled() == list(range(2, 21))
    deliverer.end(Response(200))
    assert deliverer.requests.flying == []
    assert deliverer.settled() == [1]


def test_of_a_hundred_that_wait_none_is_sent_and_those_of_others_are(deliverer):
    deliverer.take(delivery(0, "other"))
    deliverer.take(*(delivery(number) for number in range(1, WAITING + 1)))
    deliverer.take(delivery(WAITING + 1, "other"))
    deliverer.outdated(KEY)
    assert len(deliverer.deferred()) == WAITING
    for expected in ("d0", f"d{WAITING + 1}"):
        assert [job.delivery.id for job in deliverer.requests.flying] == [expected]
        deliverer.end(Response(200))
    assert deliverer.requests.flying == []
    assert deliverer.stats()["waiting"] == 0


def test_short_pauses_end(deliverer):
    deliverer.take(delivery(1), delivery(2), delivery(3, "other"))
    for _attempt in range(3):
        deliverer.end(ClientError("timeout"))
    assert deliverer.stats()["retrying"] == 3
    deliverer.outdated(KEY)
    assert {item.delivery.id for item in deliverer.deferred()} == {"d1", "d2"}
    assert deliverer.stats()["retrying"] == 1
    assert dict(deliverer._pausing) == {"http://other:80": 1}


def test_one_in_flight_ends_and_its_next_attempt_begins_in_the_retry_queue(deliverer):
    deliverer.take(delivery(1))
    deliverer.outdated(KEY)
    assert deliverer.deferred() == []
    deliverer.end(ClientError("timeout"))
    assert deliverer.stats()["retrying"] == 0
    (item,) = deliverer.deferred()
    assert (item.attempts_made, item.left) == (1, ("2s",))


def test_the_time_at_which_an_event_was_taken_stays(deliverer, monkeypatch):
    monkeypatch.setattr(module.time, "time", lambda: 1000.0)
    monkeypatch.setattr(module.time, "monotonic", lambda: 60.0)
    deliverer.take(delivery(0, "other"), delivery(1))
    deliverer._jobs.of_hooks({KEY})[0].taken_at = 58.0
    deliverer.outdated(KEY)
    (item,) = deliverer.deferred()
    assert item.taken_ms == 998_000
    deliverer.take_due(item)
    deliverer.outdated(KEY)
    (again,) = deliverer.deferred()
    assert again.taken_ms == 998_000


def test_due_ones_that_do_not_take_a_change_into_account_go_back(deliverer):
    """The change has overtaken them on the way."""
    deliverer.outdated(KEY, change=5)
    deliverer.take_due(RetryMessage(delivery(1), 1, 0), RetryMessage(delivery(2), 1, 0), change=4)
    assert deliverer.requests.flying == []
    items = deliverer.deferred()
    assert [(item.delivery.id, item.attempts_made) for item in items] == [("d1", 1), ("d2", 1)]
    deliverer.take_due(items[0], change=5)
    assert [job.delivery.id for job in deliverer.requests.flying] == ["d1"]


def test_the_changes_remembered_are_bounded(deliverer):
    deliverer.outdated(*((ACCOUNT, str(number)) for number in range(20_005)))
    assert len(deliverer._outdated) == 20_000


def test_the_table_is_told_when_nothing_outdated_waits(deliverer):
    deliverer.outdated(KEY)
    assert "table" not in deliverer.sent
    deliverer.outdated(KEY, ticket=7)
    assert deliverer.sent["table"] == [Applied(7)]
    deliverer.outdated(ticket=8)
    assert deliverer.sent["table"][1:] == [Applied(8)]


def test_a_new_table_may_have_missed_changes_and_the_first_has_not(deliverer):
    deliverer.take(*(delivery(number) for number in range(3)))
    assert deliverer.deferred() == []
    before = deliverer.peers
    deliverer.peers = {**before, HOOK_TABLE: Peer(HOOK_TABLE, 2, "new", 0)}
    deliverer.on_peers(before)
    assert [item.delivery.id for item in deliverer.deferred()] == ["d1", "d2"]


def test_while_it_stops_nothing_moves_and_the_table_is_answered(deliverer):
    deliverer.take(*(delivery(number) for number in range(3)))
    deliverer.on_stop()
    deliverer.outdated(KEY, ticket=1)
    assert deliverer.deferred() == []
    assert deliverer.sent["table"] == [Applied(1)]


def test_a_cancelled_one_is_recorded_and_then_settled(deliverer):
    retry = RetryMessage(delivery(1), 2, 0, history=((1, "timeout"),))
    deliverer.take_due(cancelled=((4, retry, "hook deleted"),))
    assert deliverer.requests.flying == []
    assert deliverer.settled() == []
    deliverer._hand_out()
    (attempts,) = (m for m in deliverer.sent[ATTEMPT_LOG] if isinstance(m, Attempts))
    ((_database, document),) = attempts.documents
    assert (document["result"], document["reason"]) == ("cancelled", "hook deleted")
    assert document["hook_id"] == "h"
    assert "resp_status_code" not in document
    deliverer.receiveMsg_AttemptsPersisted(AttemptsPersisted(attempts.batch), None)
    assert deliverer.settled() == [4]
    assert deliverer.stats()["cancelled"] == 1
    deliverer.take_due(cancelled=((1, retry, "hook deleted"),))
    assert deliverer.settled() == [1], "it is known as finished"
    assert deliverer.stats()["cancelled"] == 1


def test_those_behind_a_cancelled_one_do_not_wait_for_it(deliverer):
    ordered = Options(ordered=True)
    deliverer.take(delivery(0, options=ordered), delivery(1, options=ordered))
    deliverer.end(ClientError("timeout"))
    deliverer.outdated(KEY)
    first, second = sorted(deliverer.deferred(), key=lambda item: item.delivery.id)
    deliverer.take_due(cancelled=((1, first, "cancelled on request"),), change=5)
    deliverer.take_due(second, change=5)
    assert [job.delivery.id for job in deliverer.requests.flying] == ["d1"]
