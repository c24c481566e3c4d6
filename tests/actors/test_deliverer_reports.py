"""When a deliverer reports what is settled, without a system."""

from types import SimpleNamespace

import pytest

from callboard.actors.delivery.deliverer import Deliverer
from callboard.actors.messages import Progress
from callboard.actors.messages.paths import EVENT_BRIDGE
from callboard.supervision import Timer
from callboard.webhooks.acknowledgement.receipts import Receipt, Receipts

SOURCE = EVENT_BRIDGE, 1


@pytest.fixture
def deliverer():
    """With an event of a bridge that is up, not settled, and nothing in progress."""
    deliverer = object.__new__(Deliverer)
    deliverer.due, deliverer.sent, deliverer.ended = [], [], []
    deliverer.up = {EVENT_BRIDGE: "bridge"}
    deliverer.peer = deliverer.up.get
    deliverer.send = lambda _to, message: deliverer.sent.append(message)
    deliverer.finish = lambda: deliverer.ended.append(True)
    after = lambda seconds, _call: deliverer.due.append(seconds)  # noqa: E731
    deliverer._flush_due = Timer(after, lambda: None)
    deliverer._sweep_due = Timer(lambda _seconds, _call: None, lambda: None)
    deliverer._receipts = Receipts()
    deliverer._receipts.serve(SOURCE)
    deliverer._receipts.take(SOURCE, "1-0", {7: 1})
    deliverer._jobs, deliverer._stopping = [], False
    deliverer._dispatcher = SimpleNamespace(in_flight=0)
    deliverer._deferrals = SimpleNamespace(waiting=0)
    deliverer._recorder = SimpleNamespace(unreported=0, unrecorded=0, report_attempts=lambda: None)
    deliverer._report_deferrals = lambda: None
    deliverer._guard = SimpleNamespace(end=lambda: None)
    return deliverer


def settle(deliverer):
    deliverer._receipts.settle(Receipt(SOURCE, "1-0", 7))


def test_a_settled_event_is_reported_at_once_when_nothing_else_is_in_progress(deliverer):
    settle(deliverer)
    deliverer._flush_soon()
    assert deliverer.sent == [Progress(SOURCE, ("1-0",), (("1-0", (7,)),))]
    assert deliverer.due == []


def test_others_in_progress_let_it_wait_a_little(deliverer):
    deliverer._jobs = ["another"]
    deliverer._flush_soon()
    settle(deliverer)
    deliverer._flush_soon()
    assert deliverer.sent == []
    assert deliverer.due == [0.1, 0.025]


def test_while_it_stops_it_waits_for_its_records_although_the_bridge_has_ended(deliverer):
    settle(deliverer)
    deliverer.up.clear()
    deliverer._stopping, deliverer._recorder.unrecorded = True, 1
    deliverer._flush_soon()
    assert deliverer.due == [0.025]
    assert deliverer.ended == []
    deliverer._recorder.unrecorded = 0
    deliverer._flush()
    assert deliverer.ended == [True]
