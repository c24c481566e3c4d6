"""Actors that work on the store slice by slice, and the resources that they release."""

import pytest
import structlog
from attrs import evolve

from callboard.actors.base.slices import Page
from callboard.actors.hooks.change_exchange import change_topology
from callboard.actors.operations.store_worker import StoreWorker
from callboard.adapters.repositories.maintenance import Step
from callboard.adapters.store.protocol import StoreUnavailable
from callboard.config.settings import DataSettings, Settings
from support.descriptors import open_descriptors


class Worker(StoreWorker):
    """A worker without a system: `due` are the calls that it has asked for."""

    def __init__(self, folder):
        super().__init__()
        self.settings = evolve(Settings(), data=DataSettings(dir=folder))
        self.path = "worker"
        self.log = structlog.get_logger()
        self.due = []
        self.begin(None)
        self.work_with(change_topology(self.settings))
        self.due.clear()  # the connection's own timer

    def after(self, _seconds, call):
        self.due.append(call)

    def run(self):
        while self.due:
            self.due.pop(0)()


@pytest.fixture
def worker(tmp_path):
    worker = Worker(tmp_path)
    yield worker
    worker.closing.close()


def test_it_leaves_no_connection_open(tmp_path):
    before = open_descriptors()
    worker = Worker(tmp_path)
    worker.store.ensure_database("webhooks")
    assert open_descriptors() > before
    worker.receiveMsg_ActorExitRequest(None, None)
    assert open_descriptors() == before


def steps(*found, problem=None):
    for one in found:
        yield Step((one,), after=(one,))
    if problem is not None:
        raise problem


def test_a_job_ends_with_all_that_it_found(worker):
    results = []
    worker.work(Page(steps("a", "b"), lambda *result: results.append(result)))
    worker.run()
    assert results == [(("a", "b"), None, "")]
    assert worker.stats()["works"] == 0


def test_a_job_that_the_store_ends_says_so_and_where_to_go_on(worker):
    results = []
    done = results.append
    worker.work(Page(steps("a", problem=StoreUnavailable("away")), lambda *r: done(r)))
    worker.run()
    assert results == [(("a",), ("a",), "away")]
    assert worker.stats()["works"] == 0


def test_jobs_take_turns(worker):
    results = []
    for names in ("ab", "cd"):
        worker.work(Page(steps(*names), lambda *result: results.append(result)))
    for _turn in range(2):
        worker.due.pop(0)()
    assert results == []
    worker.run()
    assert results == [(("a", "b"), None, ""), (("c", "d"), None, "")]
