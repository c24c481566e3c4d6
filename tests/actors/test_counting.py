"""Figures are told soon after something happened, and nobody wakes when nothing did."""

import time
from types import SimpleNamespace

from attrs import frozen
from thespian.actors import PoisonMessage

from callboard.actors.base.counting import REPORT_S, Counting
from callboard.supervision import ChildSpec, Locate, Located, SupervisedActor, SupervisorSpec
from callboard.webhooks.metrics.catalog import HOOKS, MESSAGES_REFUSED
from support.trees import SIMPLE, Tree


@frozen
class HowMany:
    """How many hooks does it hear of, in how many messages?"""


@frozen
class Heard:
    value: float | None
    messages: int


@frozen
class Change:
    value: int


@frozen
class Wakes:
    count: int


class Listener(SupervisedActor):
    """Takes the place of the metrics."""

    def on_start(self, args):
        self.heard = []

    def receiveMsg_Figures(self, message, _sender):
        self.heard.append(message.figures.gauges.get((HOOKS.name, ())))

    def receiveMsg_HowMany(self, _message, sender):
        self.send(sender, Heard(self.heard[-1] if self.heard else None, len(self.heard)))


class Counter(Counting):
    """Counts what it is told to, and how often timers wake it."""

    def on_start(self, args):
        self.wakes = 0
        self.start_reporting()

    def receiveMsg_WakeupMessage(self, message, sender):
        self.wakes += 1
        super().receiveMsg_WakeupMessage(message, sender)

    def receiveMsg_Change(self, message, sender):
        self.tally.set(HOOKS, message.value)
        self.send(sender, Wakes(self.wakes))


SPEC = SupervisorSpec(
    (
        ChildSpec("metrics", Listener),
        ChildSpec("counter", Counter, peers=("metrics",)),
    ),
    heartbeat_s=3600,
)


def addresses(tree):
    tree.wait(lambda top: all(node.status == "running" for node in top.children))
    return [
        tree.ask(tree.top, Locate(path), Located).peer.address for path in ("metrics", "counter")
    ]


def test_what_changed_is_told_though_nothing_happens_after_it():
    tree = Tree(SIMPLE, SPEC)
    try:
        metrics, counter = addresses(tree)
        for value in (3, 4):
            tree.ask(counter, Change(value), Wakes)
            tree.wait(lambda _tree, value=value: heard(tree, metrics).value == value)
    finally:
        tree.close()


def test_a_message_that_the_transport_refuses_is_counted():
    counter = Counter()
    counter.path = "counter"
    counter.log = SimpleNamespace(error=lambda event, **facts: lines.append((event, facts)))
    lines = []
    for _time in range(2):
        counter.receiveMessage(PoisonMessage(Change(3), "frame too large"), "itself")
    counter.receiveMessage(PoisonMessage(Change(3), "y" + "x" * 500), "itself")
    assert lines.pop()[1]["reason"] == "x" * 500
    key = MESSAGES_REFUSED.name, ("counter", "Change")
    assert counter.tally.figures().counters == {key: 3}
    assert lines == [("message_refused", {"message": "Change", "reason": "frame too large"})] * 2


def test_without_work_it_does_not_wake():
    tree = Tree(SIMPLE, SPEC)
    try:
        metrics, counter = addresses(tree)
        tree.ask(counter, Change(5), Wakes)
        tree.wait(lambda _tree: heard(tree, metrics).value == 5)
        before = heard(tree, metrics).messages
        until = time.monotonic() + 3 * REPORT_S
        tree.wait(lambda _tree: time.monotonic() > until)
        assert heard(tree, metrics).messages == before
        # At most once at its start, and once for the change.
        assert tree.ask(counter, Change(5), Wakes).count <= 2
    finally:
        tree.close()


def heard(tree, metrics):
    return tree.ask(metrics, HowMany(), Heard)


def test_an_actor_without_endpoints_shows_none():
    assert Counter().busiest_endpoints() == ()
