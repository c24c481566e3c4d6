"""A delivery that ends its deliverer's process is found and given up, and the others are made."""

import itertools
from types import SimpleNamespace

import pytest

from callboard.actors.base.intake import DEADLY
from callboard.actors.delivery import recording
from callboard.actors.delivery.deliverer import Deliverer
from callboard.actors.delivery.delivery_guard import DeliveryGuard
from callboard.actors.messages import (
    Attempts,
    AttemptsPersisted,
    Defer,
    Deferred,
    DeliveryBatch,
    DueBatch,
    EventDeliveries,
    Progress,
)
from callboard.actors.messages.paths import ATTEMPT_LOG, EVENT_BRIDGE, RETRY_QUEUE
from callboard.adapters.local.suspects import Suspects
from callboard.supervision import Stop
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.history.dead_letters import DATABASE
from callboard.webhooks.hooks.options import Options
from callboard.webhooks.retries.outcome import Response
from support.sending import Work

PATH = "deliveries/deliverer-1"
COUNT, DEADLY_ID = 20, "d7"
REQUEST_S, SOON_S = 0.2, 12


def delivery(number):
    url = f"https://x{number}.example/"
    options = Options(policy="standard")
    return Delivery(
        f"d{number}", "e", f"h{number}", "a" * 32, "shop", url, "POST", url, (), b"{}", 2, options
    )


class Lives:
    """A deliverer that is started again when it has ended, and then gets all that is unsettled.

    `at_bridge`: the numbers of the events at the broker; `at_retries`: retries there, by share and
    tag.
    """

    def __init__(self, world, servers, settings):
        self.world, self.endpoints, self.settings = world, servers.endpoints, settings
        self.bridge, self.log, self.retries = map(
            world.peer, (EVENT_BRIDGE, ATTEMPT_LOG, RETRY_QUEUE)
        )
        self.deaths, self.shares, self.actor = 0, itertools.count(), None
        self.at_bridge, self.at_retries = set(range(COUNT)), {}
        self.letters, self.taken = [], []
        self.deadly = lambda _delivery: None
        self.outcome = Response(200)
        self.endpoints.answer = self.answer
        self.endpoints.taken = lambda made: self.taken.append(made.id)

    def answer(self, made, _attempts):
        if made.id == DEADLY_ID:
            self.deadly(made)
        return REQUEST_S, self.outcome, True

    def kill(self, _delivery=None):
        self.world.kill(self.actor.address)

    def live(self, seconds=30):
        """Until the process ends, or for so long; whether it has survived."""
        peers = self.bridge, self.log, self.retries
        self.actor = self.world.start(Deliverer, PATH, self.settings, *peers)
        events = tuple(EventDeliveries(n, (delivery(n),)) for n in sorted(self.at_bridge))
        source = EVENT_BRIDGE, self.bridge.incarnation
        self.bridge.say(self.actor, DeliveryBatch(str(next(self.shares)), source, events))
        retries, self.at_retries = self.at_retries, {}
        for item in retries.values():
            self.retry(item)
        until = self.world.now + seconds
        while self.world.now < until and self.world.actor(self.actor.address) is not None:
            self.world.pass_time(0.1)
            self.answer_messages()
        self.deaths += (died := self.world.actor(self.actor.address) is None)
        return not died

    def retry(self, item):
        share, tag = str(next(self.shares)), int(item.delivery.id[1:])
        self.at_retries[share, tag] = item
        source = RETRY_QUEUE, self.retries.incarnation
        self.retries.say(self.actor, DueBatch(share, source, ((tag, item),)))

    def answer_messages(self):
        for batch in self.log.take(Attempts):
            self.letters += [doc for name, doc in batch.documents if name == DATABASE]
            self.log.say(self.actor, AttemptsPersisted(batch.batch))
        for batch in self.retries.take(Defer):
            self.retries.say(self.actor, Deferred(batch.batch))
            for item in batch.items:
                due_s = item.due_ms / 1000 - self.world.unix_s - self.world.now
                self.world.after(due_s, self.retry, item)
        for report in self.bridge.take(Progress):
            self.at_bridge -= {tag for _share, tags in report.settled for tag in tags}
        for report in self.retries.take(Progress):
            for share, tags in report.settled:
                for tag in tags:
                    self.at_retries.pop((share, tag), None)

    @property
    def left(self):
        return len(self.at_bridge) + len(self.at_retries)


@pytest.fixture
def lives(world, servers, settings):
    return Lives(world, servers, settings)


@pytest.mark.logs("messages_wait")
def test_one_that_kills_the_process_is_given_up_and_the_others_are_delivered(lives):
    lives.deadly = lives.kill
    while not lives.live():
        assert lives.deaths < 10
    assert lives.left == 0
    assert [(letter["delivery_id"], letter["reason"]) for letter in lives.letters] == [
        (DEADLY_ID, DEADLY)
    ]
    assert set(lives.taken) - {DEADLY_ID} == {f"d{n}" for n in range(COUNT) if n != 7}
    assert lives.deaths == 5


@pytest.mark.parametrize("at", ["sent", "concluded", "begun"])
@pytest.mark.logs("actor_crashed", "messages_wait")
def test_one_over_which_an_exception_ends_the_process_is_given_up(lives, monkeypatch, at):
    def raises(made):
        raise RuntimeError("a hole")

    if at == "sent":
        lives.deadly = raises
    else:
        method = {"concluded": "_conclude", "begun": "_begin_job"}[at]
        whole = getattr(Deliverer, method)

        def holed(self, one, *rest):
            if one is not None and getattr(one, "work", one).delivery.id == DEADLY_ID:
                raises(one)
            return whole(self, one, *rest)

        monkeypatch.setattr(Deliverer, method, holed)
    while not lives.live():
        assert lives.deaths < 10
    assert lives.left == 0
    assert [letter["reason"] for letter in lives.letters] == [DEADLY]
    assert lives.deaths == len(lives.world.crashes) == 2
    lives.world.crashes.clear()


@pytest.mark.logs("actor_crashed", "messages_wait")
def test_one_that_cannot_even_be_recorded_loses_its_payload(lives, monkeypatch):
    lives.deadly = lives.kill
    whole = recording.dead_letter

    def holed(made, *rest):
        if made.body == b"{}":
            raise RuntimeError("a hole")
        return whole(made, *rest)

    monkeypatch.setattr(recording, "dead_letter", holed)
    while not lives.live():
        assert lives.deaths < 12
    assert lives.left == 0
    assert [letter["reason"] for letter in lives.letters] == [DEADLY]
    lives.world.crashes.clear()


@pytest.mark.logs("messages_wait")
def test_deaths_from_outside_blame_no_delivery(lives):
    """Each life is killed while all that were left are under way."""
    for _life in range(12):
        lives.world.after(0.1, lambda: lives.kill())
        assert not lives.live()
    assert lives.live(60)
    assert lives.letters == []
    assert lives.left == 0


@pytest.mark.logs("messages_wait")
def test_suspects_of_one_death_are_sent_together(lives):
    """Those that were in flight; one after the other, slow requests would take too long."""
    for _life in range(2):
        lives.world.after(0.1, lambda: lives.kill())
        assert not lives.live()
    lives.world.pass_time(60)  # The deaths are long ago: nothing waits for them.
    assert lives.live(SOON_S)
    assert lives.left == 0


@pytest.mark.logs("messages_wait")
def test_two_deaths_within_ten_seconds_make_the_next_process_wait(lives):
    lives.deadly = lives.kill
    assert not lives.live()
    assert not lives.live()
    lives.deadly = lambda _delivery: None
    lives.endpoints.begun.clear()
    assert lives.live(5)
    assert lives.endpoints.begun == []
    assert lives.live(30)
    assert (lives.left, lives.letters) == (0, [])


@pytest.mark.logs("messages_wait")
def test_one_that_was_given_up_is_suspected_no_longer(lives):
    lives.deadly = lives.kill
    while not lives.live():
        assert lives.deaths < 10
    assert lives.actor.actor._guard.is_calm


def test_a_normal_end_makes_no_successor_wary(lives):
    lives.outcome = Response(500)
    assert lives.live(5)
    lives.world.deliver(lives.actor.address, Stop(), lives.world._nobody())
    for _second in range(5):
        lives.world.pass_time(1)
        lives.answer_messages()
    assert lives.world.actor(lives.actor.address) is None
    lives.at_bridge = {100}
    lives.endpoints.answer = lambda *_request: (20.0, Response(200), True)
    lives.world.after(1.0, lives.kill)
    assert not lives.live(5)
    lives.endpoints.answer = lives.answer
    assert lives.live(5)
    assert lives.actor.actor._guard.is_calm


def test_the_more_deaths_they_are_suspected_of_the_fewer_go_together(tmp_path):
    guard = DeliveryGuard(Suspects(tmp_path / "suspects", None), 0)
    once, twice, thrice = ([Work(delivery(20 * k + n)) for n in range(17)] for k in range(3))
    for deaths, works in enumerate((once, twice, thrice), 1):
        for work in works * deaths:
            guard.raised(work.delivery)
    under_way = []

    def starts(work):
        waits = guard.waits(work, lambda one: one in under_way)
        if not waits:
            under_way.append(work)
        return not waits

    assert [starts(work) for work in once] == [True] * 16 + [False]
    assert not starts(twice[0])
    assert not starts(thrice[0])
    assert starts(Work(delivery(100)))  # It is not suspected.
    under_way.clear()
    assert [starts(work) for work in twice[:5]] == [True] * 4 + [False]
    assert not starts(once[0])
    under_way.clear()
    assert starts(once[0])
    assert [starts(work) for work in twice[:4]] == [True] * 3 + [False]
    assert not starts(once[1])  # The least that one of them allows.
    under_way.clear()
    assert starts(thrice[0])
    assert not starts(thrice[1])
    assert not starts(once[0])
    under_way.clear()
    assert [starts(work) for work in once[:2]] == [True, True]


def after_a_death(folder, held):
    """A guard of the next process after one that was killed, with its suspects."""
    DeliveryGuard(Suspects(folder / "suspects", None), held)
    suspects = Suspects(folder / "suspects", None)
    return suspects, DeliveryGuard(suspects, held)


def test_as_many_as_may_be_redelivered_are_noted_after_a_death(tmp_path):
    suspects, guard = after_a_death(tmp_path, held=2)
    for number in range(4):
        guard.sends(delivery(number))
    assert len(suspects) == 2
    for number in range(4):
        guard.survived(delivery(number))
    assert guard.is_calm


def test_those_that_were_sent_meanwhile_are_innocent_of_an_exception(tmp_path):
    suspects, guard = after_a_death(tmp_path, held=3)
    for number in range(3):
        guard.sends(delivery(number))
    guard.raised(delivery(1))
    assert [guard.waits(Work(delivery(n)), lambda _one: True) for n in range(3)] == [False] * 3
    assert len(suspects) == 1, "the one over which it was raised"


def test_a_delivery_that_was_given_up_once_may_be_suspected_again(tmp_path):
    guard = DeliveryGuard(Suspects(tmp_path / "suspects", None), 0)
    work = Work(delivery(1))
    for _time in range(2):
        assert not guard.refuses(work)
        guard.raised(work.delivery)
    assert guard.refuses(work)
    guard.settled(lambda _work: True)
    assert not guard.is_calm, "its dead letter is not stored"
    guard.settled(lambda _work: False)
    assert guard.is_calm
    guard.raised(work.delivery)
    guard.settled(lambda _work: False)
    assert not guard.is_calm


def test_a_watched_sending_is_otherwise_as_it_was(tmp_path):
    _suspects, guard = after_a_death(tmp_path, held=1)
    calls = []
    watched = guard.watching(
        SimpleNamespace(
            free=3,
            fileno=lambda: 7,
            connect_within=lambda seconds: calls.append(seconds),
            close=lambda: calls.append("close"),
        )
    )
    watched.connect_within(2.5)
    watched.close()
    assert (watched.free, watched.fileno(), calls) == (3, 7, [2.5, "close"])


def test_before_any_death_deliveries_are_not_watched(tmp_path):
    suspects = Suspects(tmp_path / "suspects", None)
    guard, sending = DeliveryGuard(suspects, 100), SimpleNamespace()
    assert guard.watching(sending) is sending
    guard.sends(delivery(1))
    assert len(suspects) == 0
