"""Requests to publish, on an embedded broker whose disk is full when the test says so."""

import pytest

from callboard.adapters.broker.embedded.connection import LEAST_FREE_BYTES, EmbeddedConnection
from callboard.adapters.broker.gate import PublishGate
from callboard.adapters.broker.protocol import Blocked, Queue, Topology, Unblocked
from services.driver import Driver


class Gated:
    """A gate, the connection that it is for, and what became of the requests."""

    def __init__(self, folder):
        self.free = LEAST_FREE_BYTES
        queue = Topology(queue=Queue("q"))
        self.driver = Driver(EmbeddedConnection(folder, queue, free_bytes=lambda _: self.free))
        self.gate = PublishGate(self.driver.connection)
        self.seen, self.became = 0, []

    def enter(self, name):
        self.gate.enter(
            lambda: self.became.append(f"{name} published"),
            lambda reason: self.became.append(f"{name} refused: {reason}"),
        )

    def until(self, condition):
        def handled():
            for event in self.driver.events[self.seen :]:
                self.gate.on_broker(event)
            self.seen = len(self.driver.events)
            return condition()

        self.driver.until(handled)


@pytest.fixture
def gated(tmp_path):
    gated = Gated(tmp_path)
    yield gated
    gated.driver.connection.close()


def test_requests_pass_in_their_order_after_probes(gated):
    gated.driver.up()
    gated.until(lambda: True)
    for name in "abc":
        gated.enter(name)
    assert gated.became == []
    gated.until(lambda: len(gated.became) == 3)
    assert gated.became == ["a published", "b published", "c published"]


def test_while_it_is_blocked_requests_are_refused_at_once(gated):
    gated.driver.up()
    gated.until(lambda: True)
    gated.free -= 1
    for name in "ab":
        gated.enter(name)
    gated.until(lambda: gated.gate.blocked)
    gated.enter("c")
    assert gated.became == [f"{name} refused: low on disk" for name in "abc"]
    gated.free += 1
    gated.until(lambda: gated.driver.of(Unblocked))
    gated.enter("d")
    gated.until(lambda: len(gated.became) == 4)
    assert gated.became[3] == "d published"


def test_while_the_connection_is_down_it_is_the_connection_that_refuses(gated):
    gated.enter("a")
    assert gated.became == ["a published"]


def test_a_look_finds_a_block_and_does_nothing_else(gated):
    gated.driver.up()
    gated.until(lambda: True)
    gated.gate.look()
    gated.free -= 1
    gated.until(lambda: gated.driver.of(Blocked))
    gated.gate.look()
    gated.free += 1
    gated.until(lambda: not gated.gate.blocked)
    gated.gate.look()
    gated.driver.while_quiet()
    assert gated.became == []
