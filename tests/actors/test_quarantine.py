"""Messages are acknowledged once their records are on disk."""

from contextlib import contextmanager

import structlog
from structlog.testing import capture_logs

from callboard.actors.base.quarantine import FILE, Quarantine
from callboard.adapters.store.protocol import StoreUnavailable
from callboard.adapters.store.spool import Spool
from support.descriptors import open_descriptors


class Timer:
    def __init__(self, call):
        self.call, self.is_set = call, False

    def within(self, _seconds):
        self.is_set = True


def quarantine(folder):
    acknowledged, timers = [], []

    def timer(call):
        timers.append(Timer(call))
        return timers[-1]

    made = Quarantine(folder, acknowledged.extend, timer, structlog.get_logger())
    return made, acknowledged, timers[0]


def records(folder):
    found = Spool(folder / FILE, dropping=False).first(100)
    assert {name for _id, name, _record in found} <= {"poison"}
    return [record for _id, _name, record in found]


def test_records_are_written_together_and_their_messages_may_be_acknowledged(tmp_path):
    kept, acknowledged, _timer = quarantine(tmp_path)
    kept.add(1, {"n": 1})
    kept.add(1, {"n": 2})
    kept.write()
    assert records(tmp_path) == [{"n": 1}, {"n": 2}]
    assert kept.settled([1, 2]) == [1, 2]
    assert (acknowledged, kept.count) == ([], 2)


def test_its_end_leaves_no_file_open(tmp_path):
    before = open_descriptors()
    kept, _acknowledged, _timer = quarantine(tmp_path)
    kept.add(1, {"n": 1})
    kept.write()
    assert not open_descriptors() <= before
    kept.close()
    assert open_descriptors() <= before


@contextmanager
def full_disk(monkeypatch):
    """The disk is full meanwhile."""

    def full(*_args):
        raise StoreUnavailable("full")

    with monkeypatch.context() as meddled:
        meddled.setattr(Spool, "append", full)
        yield


def test_while_the_disk_is_full_messages_stay_unacknowledged(tmp_path, monkeypatch):
    kept, acknowledged, timer = quarantine(tmp_path)
    with full_disk(monkeypatch), capture_logs() as logs:
        kept.add(1, {"n": 1})
        kept.write()
        assert timer.is_set
        assert kept.settled([1, 2]) == [2]
    assert logs == [
        {"event": "event_not_set_aside", "reason": "full", "events": 1, "log_level": "error"}
    ]
    timer.call()
    assert acknowledged == [1]
    assert records(tmp_path) == [{"n": 1}]


def test_after_a_lost_connection_the_broker_sends_them_again(tmp_path):
    kept, acknowledged, timer = quarantine(tmp_path)
    kept.add(1, {"n": 1})
    assert kept.settled([1]) == []
    kept.forget()
    timer.call()
    assert (acknowledged, records(tmp_path)) == ([], [])
    kept.add(2, {"n": 2})
    kept.write()
    assert (acknowledged, records(tmp_path)) == ([], [{"n": 2}])


def test_what_returns_to_the_broker_is_neither_written_nor_acknowledged(tmp_path, monkeypatch):
    kept, acknowledged, timer = quarantine(tmp_path)
    with full_disk(monkeypatch):
        kept.add(1, {"n": 1})
        kept.add(2, {"n": 2})
        kept.write()
        assert kept.settled([1, 2]) == []
    kept.drop([1, 3])
    timer.call()
    assert (acknowledged, records(tmp_path)) == ([2], [{"n": 2}])
