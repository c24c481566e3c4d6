"""The queues of ordered and paused hooks, with a broker that does what the test says (ADR 39)."""

import json

import pytest
from attrs import evolve

from callboard.actors.delivery.ordered_queues import OrderedQueues, Publication
from callboard.actors.messages import ListHookQueues
from callboard.adapters.broker.protocol import Declared, IncomingMessage, Removed
from callboard.adapters.local.ordered_file import OrderedFile
from callboard.config.settings import AmqpSettings, DeliverySettings
from callboard.config.time_limits import hold_s
from callboard.supervision import Timer
from callboard.webhooks.acknowledgement.receipts import Receipt
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.hooks.options import Options
from callboard.webhooks.retries.retry_message import RetryMessage
from callboard.webhooks.retries.standing import Cancel, Send, Wait

H, G = ("a", "h"), ("a", "g")
QUEUE = "callboard.events.ordered.h"
SOURCE = ("event_bridge", 1)


def retry(number, hook="h", **fields):
    delivery = Delivery(f"d{number}", "e", hook, "a", "shop", "u", "POST", "u", (), b"{}")
    return evolve(RetryMessage(delivery, 0, 0, deferrals=0), **fields)


def receipt(number):
    return Receipt(SOURCE, "1/0", number)


class Queues:
    """The queues of a node; `calls`: what the broker was asked to do, since it was last read."""

    def __init__(self, world, settings):
        self.world, self.settings = world, settings
        self.blocked, self.deleted, self.asked = False, (), []
        self.judged, self.settled, self.refused, self.went_on = [], [], [], []
        self._calls, self._ids = [], 0
        self.start()

    def start(self):
        self.file = OrderedFile(
            self.world.folder / "ordered.sqlite3", self.refused.append, lambda: 1_700_000_000.0
        )
        self.queues = OrderedQueues(
            self.settings,
            self.file,
            broker=lambda: self,
            is_blocked=lambda: self.blocked,
            deleted=self._which_are_deleted,
            judge=lambda tag, retry: self.judged.append((tag, retry.delivery.id)),
            settle=self.settled.append,
            refuse=lambda publication, reason, size: self.refused.append((reason, size)),
            go_on=lambda: self.went_on.append(self.world.now),
            timer=lambda call: Timer(self.world.after, call),
            log=None,
        )

    def _which_are_deleted(self, hooks):
        self.asked.append(list(hooks))
        return self.deleted

    # The broker

    def publish(self, message):
        assert (message.exchange, message.mandatory) == ("", True)
        assert message.properties.delivery_mode == 2
        assert message.properties.content_type == "application/json"
        assert json.loads(message.body)["delivery"]["id"] == message.properties.message_id
        self._ids += 1
        self._calls.append(("publish", message.routing_key, message.properties.message_id))
        return self._ids

    def declare(self, queue):
        assert queue.durable
        assert queue.arguments["x-single-active-consumer"] is True
        self._calls.append(("declare", queue.name))

    def consume(self, queue, prefetch):
        self._calls.append(("consume", queue, prefetch))

    def remove(self, queue, *, is_obsolete):
        self._calls.append(("remove", queue.name, is_obsolete))

    def requeue(self, tags):
        self._calls.append(("requeue", list(tags)))

    @property
    def calls(self):
        calls, self._calls = self._calls, []
        return calls

    # What happens

    def connect(self, *keys):
        """The connection is up, and these hooks' queues are declared and consumed."""
        self.queues.hooks([(key, False) for key in keys])
        self.queues.up()
        for _account, hook in keys:
            self.queues.declared(Declared(f"callboard.events.ordered.{hook}", 0))
        _ = self.calls

    def put(self, *numbers, tag=None):
        for number in numbers:
            receipts = None if tag else receipt(number)
            self.queues.put(Publication(retry(number), receipts, tag))

    def take(self, *tags, **fields):
        for tag in tags:
            message = IncomingMessage(tag, "", QUEUE, b"")
            assert self.queues.is_ordered(message)
            self.queues.take(message, retry(tag, **fields))

    def run(self, *tags):
        """These are received, judged and handed out."""
        self.take(*tags)
        self.queues.begin_runs()
        for tag in tags:
            self.queues.decide(tag, Send(retry(tag)), 1)
        return self.queues.next_run()


@pytest.fixture
def it(world, settings):
    return Queues(world, settings)


@pytest.fixture
def quorum(world, settings):
    return Queues(world, evolve(settings, amqp=AmqpSettings(queue_type="quorum")))


# Into the queues


def test_a_queue_is_declared_consumed_and_only_then_published_into(it):
    it.queues.hooks([(H, False)])
    it.put(1, 2)
    assert it.calls == []
    assert (it.queues.hook_count, it.queues.unconfirmed) == (1, 2)
    it.queues.up()
    assert it.calls == [("declare", QUEUE)]
    it.put(3)
    assert it.calls == []
    it.queues.declared(Declared(QUEUE, 5))
    assert it.calls == [
        ("consume", QUEUE, 40),
        ("publish", QUEUE, "d1"),
        ("publish", QUEUE, "d2"),
        ("publish", QUEUE, "d3"),
    ]
    assert (it.queues.unconfirmed, it.queues.waiting) == (3, 5)
    assert it.queues.confirmed([99, 2, 1], set()) == []
    assert it.settled == [receipt(2), receipt(1)]
    assert (it.queues.unconfirmed, it.queues.waiting) == (1, 7)


def test_a_queue_of_a_hook_that_appears_later_is_declared_at_once(it):
    it.connect(H)
    it.queues.hooks([(H, False), (G, True)])
    assert it.calls == [("declare", "callboard.events.ordered.g")]
    it.queues.hooks([(H, False), (G, True)])
    assert it.calls == []


def test_the_queue_of_a_hook_with_a_long_id_is_named_by_a_digest(it):
    names = []
    for length in (64, 65):
        it.queues.up()
        it.queues.hooks([(("a", "h" * length), False)])
        names += [call[1] for call in it.calls]
        it.queues.down()
    assert f"callboard.events.ordered.{'h' * 64}" in names
    digest = next(name for name in names if "hh" not in name).rpartition(".")[2]
    assert len(digest) == 32
    assert int(digest, 16)


def test_a_delivery_that_came_by_the_broker_is_acknowledged_once_it_is_in_its_queue(it):
    it.connect(H)
    it.put(1, tag=7)
    assert it.queues.confirmed([1], set()) == [7]
    assert it.settled == []


def test_while_the_broker_is_blocked_nothing_is_published(it):
    it.connect(H)
    it.blocked = True
    it.put(1)
    assert it.calls == []
    it.blocked = False
    it.queues.publish_all()
    assert it.calls == [("publish", QUEUE, "d1")]


def test_failed_ones_are_published_again_in_order_once_the_broker_has_decided_on_all(it):
    it.connect(H)
    it.put(1, 2, 3)
    _ = it.calls
    it.queues.unconfirmed_are([1, 99])
    it.put(4)
    it.world.pass_time(5)
    assert it.calls == []
    it.queues.confirmed([2], set())
    it.queues.unconfirmed_are([3])
    it.world.pass_time(0.9)
    assert it.calls == []
    it.world.pass_time(0.2)
    assert it.calls == [("publish", QUEUE, f"d{number}") for number in (1, 3, 4)]
    assert it.settled == [receipt(2)]


def test_a_delivery_whose_queue_was_deleted_waits_for_a_new_one(it):
    it.connect(H)
    it.put(1)
    returned = {1, 99}
    assert it.queues.confirmed([1], returned) == []
    assert returned == {99}
    assert it.calls == [("publish", QUEUE, "d1"), ("declare", QUEUE)]
    it.world.pass_time(2)
    assert it.calls == []
    it.queues.declared(Declared(QUEUE, 0))
    assert it.calls == [("consume", QUEUE, 40), ("publish", QUEUE, "d1")]


def test_after_a_lost_connection_the_sources_send_and_the_broker_redelivers(it):
    it.connect(H)
    it.put(1, 2)
    it.put(3, tag=7)
    it.take(8)
    _ = it.calls
    it.queues.down()
    assert len(it.queues) == 0
    it.queues.hooks([(H, False), (G, False)])
    assert [call for call in it.calls if call[0] == "declare"] == []
    assert it.queues.confirmed([1, 2, 3], set()) == [], "they are of the lost connection"
    it.queues.up()
    it.queues.declared(Declared(QUEUE, 0))
    # That of the tag is redelivered by the broker.
    published = [call[2] for call in it.calls if call[0] == "publish"]
    assert published == ["d1", "d2"]


def test_a_paused_hook_has_at_most_its_number_of_deliveries(world, settings):
    it = Queues(world, evolve(settings, delivery=DeliverySettings(paused_max=3)))
    it.connect(H)
    it.queues.hooks([(H, True)])
    it.queues.declared(Declared(QUEUE, 1))
    it.put(1, 2, 3)
    assert it.refused == [("hook paused: 3 deliveries wait", None)]
    assert it.queues.paused == 1
    it.queues.confirmed([1], set())
    assert it.queues.paused == it.queues.waiting == 2
    it.blocked = True
    it.queues.hooks([(H, False)])
    it.put(4, 5, 6)
    it.queues.hooks([(H, True)])
    it.put(7)
    assert len(it.refused) == 2
    assert it.queues.paused == 2


def test_the_queues_in_which_deliveries_wait_are_listed(it):
    it.connect(H, G)
    it.take(1, 2)
    it.queues.declared(Declared(QUEUE, 3))
    (queue,) = it.queues.listed(ListHookQueues()).queues
    assert (queue.account_id, queue.hook_id, queue.paused, queue.count) == ("a", "h", False, 5)
    assert [(one.id, one.reason, one.tries) for one in queue.deliveries] == [
        ("d1", "in order", 0),
        ("d2", "in order", 0),
    ]
    it.queues.hooks([(H, True)])
    (queue,) = it.queues.listed(ListHookQueues("h", "a", "e")).queues
    assert (queue.paused, {one.reason for one in queue.deliveries}) == (True, {"hook paused"})
    (queue,) = it.queues.listed(ListHookQueues("h", text="other")).queues
    assert (queue.count, queue.deliveries) == (5, ())
    for wanted in (ListHookQueues("g"), ListHookQueues("h", "b")):
        assert it.queues.listed(wanted).queues == ()


def test_what_is_to_be_tried_again_in_order_says_why_it_waits(it):
    it.connect(H)
    it.run(1, 2)
    it.queues.back(retry(1, attempts_made=1, due_ms=5000, history=((1, "status 503"),)))
    it.queues.declared(Declared(QUEUE, 0))
    (queue,) = it.queues.listed(ListHookQueues()).queues
    assert [(one.reason, one.tries, one.due_s) for one in queue.deliveries] == [
        ("status 503", 1, 5.0),
        ("in order", 0, 0.0),
    ]


# Queues that are not needed any more


def test_the_empty_queue_of_a_hook_that_is_no_longer_ordered_is_deleted(it):
    it.connect(H)
    it.queues.hooks([])
    it.queues.declared(Declared(QUEUE, 2))
    assert it.calls == []
    it.queues.declared(Declared(QUEUE, 0))
    assert it.calls == [("remove", QUEUE, False)]
    it.queues.ask_depths()
    it.queues.declared(Declared(QUEUE, 0))
    assert it.calls == []
    it.queues.removed(Removed(QUEUE, 0))
    assert it.file.ordered_queues == frozenset()
    assert not it.queues.is_ordered(IncomingMessage(1, "", QUEUE, b""))
    it.queues.declared(Declared(QUEUE, 0))  # late
    assert it.calls == []


def test_nothing_is_deleted_before_the_hooks_are_known(it):
    it.file.add_queue(H)
    it.start()
    it.queues.up()
    assert it.calls == [("declare", QUEUE)]
    for _time in range(2):
        it.queues.declared(Declared(QUEUE, 0))
    assert it.calls == [("consume", QUEUE, 40)]


def test_unacknowledged_deliveries_keep_a_queue(it):
    it.connect(H)
    it.take(1)
    it.queues.hooks([])
    it.queues.declared(Declared(QUEUE, 0))
    assert it.calls == []
    assert it.queues.waiting == 1


@pytest.mark.parametrize("left", [0, 3])
def test_a_queue_that_is_needed_again_is_declared_again(it, left):
    it.connect(H)
    it.queues.hooks([])
    it.queues.declared(Declared(QUEUE, 0))
    if not left:
        it.put(1)
    _ = it.calls
    it.queues.removed(Removed(QUEUE, left))
    assert it.calls == [("declare", QUEUE)]
    it.queues.declared(Declared(QUEUE, left))
    assert it.calls[0] == ("consume", QUEUE, 40)
    assert it.file.ordered_queues == {H}


def test_a_quorum_queue_is_deleted_only_after_its_hook(quorum):
    quorum.connect(H)
    quorum.queues.hooks([])
    assert quorum.asked == [["h"]]
    quorum.queues.declared(Declared(QUEUE, 0))
    assert quorum.calls == []
    quorum.deleted = ("h",)
    quorum.world.pass_time(599)
    quorum.queues.hooks([])
    assert len(quorum.asked) == 1
    quorum.world.pass_time(1)
    quorum.queues.hooks([])
    assert len(quorum.asked) == 2
    quorum.queues.declared(Declared(QUEUE, 0))
    assert quorum.calls == [("remove", QUEUE, True)]


# Out of the queues


def test_a_run_is_judged_as_a_whole_and_handed_out_in_order(it):
    it.connect(H)
    it.take(1, 2, 3)
    it.queues.begin_runs()
    assert it.judged == [(1, "d1"), (2, "d2"), (3, "d3")]
    it.queues.begin_runs()
    assert len(it.judged) == 3
    assert it.queues.decide(3, Send(retry(3)), 5)
    assert it.queues.decide(1, Send(retry(1)), 5)
    assert it.queues.next_run() is None
    assert it.queues.decide(2, Cancel(retry(2), "hook deleted"), 6)
    run = it.queues.next_run()
    assert [(tag, item.delivery.id) for tag, item in run.items] == [(1, "d1"), (3, "d3")]
    # Deliverers keep the order, though the hook may be ordered no more.
    assert all(item.delivery.options.ordered for _tag, item in run.items)
    assert run.cancelled == ((2, retry(2), "hook deleted"),)
    assert (run.ids, run.first.delivery.id, run.change) == ({1: "d1", 3: "d3", 2: "d2"}, "d1", 6)
    assert it.queues.next_run() is None
    assert not it.queues.decide(99, Send(retry(99)), 5)


def test_a_run_that_is_cancelled_whole(it):
    it.connect(H)
    it.take(1)
    it.queues.begin_runs()
    it.queues.decide(1, Cancel(retry(1), "hook deleted"), 5)
    run = it.queues.next_run()
    assert (run.items, run.first, run.ids) == ((), retry(1), {1: "d1"})


def test_those_behind_a_delivery_that_waits_are_judged_again_when_it_is_due(it):
    it.connect(H)
    it.take(1, 2, 3)
    it.queues.begin_runs()
    due_ms = int((it.world.unix_s + it.world.now) * 1000) + 30_000
    waits = retry(2, due_ms=due_ms, deferred_since_ms=1, deferrals=1)
    for tag, fate in ((1, Send(retry(1))), (2, Wait(waits, "hook disabled")), (3, Send(retry(3)))):
        it.queues.decide(tag, fate, 1)
    run = it.queues.next_run()
    assert [tag for tag, _item in run.items] == [1]
    assert it.queues.settled([1], ()) == [1]
    it.queues.begin_runs()
    assert it.judged[3:] == []
    it.world.pass_time(29)
    assert it.went_on == []
    it.world.pass_time(1.1)
    assert len(it.went_on) == 1
    it.queues.begin_runs()
    assert it.judged[3:] == [(2, "d2"), (3, "d3")]
    it.queues.decide(2, Wait(waits, "hook disabled"), 1)
    assert it.queues.next_run() is None, "that of the third was for the time before"
    it.queues.decide(3, Send(retry(3)), 1)
    assert it.queues.next_run() is None
    # The state outlives the process: the broker's message has that of its publication.
    it.start()
    it.connect(H)
    assert it.file.restored(retry(2)).deferrals == 1


def test_a_hook_that_is_found_paused_gets_nothing_more(it):
    it.connect(H)
    it.take(1, 2)
    it.queues.begin_runs()
    one = retry(1)
    paused = evolve(one, delivery=evolve(one.delivery, options=Options(paused=True)))
    it.queues.decide(1, Send(paused), 1)
    it.queues.decide(2, Send(retry(2)), 1)
    assert it.queues.next_run() is None
    it.queues.begin_runs()
    it.world.pass_time(60)
    assert (len(it.judged), it.went_on, it.queues.paused) == (2, [], 0)
    it.queues.hooks([(H, False)])
    it.queues.begin_runs()
    assert it.judged[2:] == [(1, "d1"), (2, "d2")]


def test_what_has_ended_is_acknowledged_and_forgotten(it):
    it.connect(H)
    it.queues.declared(Declared(QUEUE, 3))
    it.run(1, 2, 3)
    it.queues.back(retry(2, attempts_made=1, due_ms=0))
    it.queues.back(retry(4, hook="unknown"))
    assert it.queues.tags([1, 2, 3, 99]) == [1, 2, 3]
    assert it.queues.settled([1, 2, 3, 99], [2]) == [1, 3]
    assert (len(it.queues), it.queues.waiting) == (1, 1)
    assert it.file.restored(retry(2)).attempts_made == 1
    it.queues.begin_runs()
    it.queues.decide(2, Send(retry(2)), 1)
    assert it.queues.settled([2], ()) == [2]
    assert it.file.restored(retry(2)).attempts_made == 0
    assert (len(it.queues), it.queues.waiting) == (0, 0)


def test_a_return_without_an_attempt_or_a_deferral_has_no_state_to_keep(it):
    it.connect(H)
    it.run(1)
    it.queues.back(retry(1, deferrals=5))
    assert it.file.restored(retry(1)).deferrals == 0


def test_what_a_dead_deliverer_had_runs_again(it):
    it.connect(H)
    it.run(1, 2)
    assert it.queues.lost([1, 2, 99]) == [99]
    it.queues.begin_runs()
    assert it.judged[2:] == [(1, "d1"), (2, "d2")]


def test_runs_of_hooks_that_have_changed_are_judged_again(it):
    it.connect(H)
    it.take(1)
    it.queues.begin_runs()
    it.queues.decide(1, Send(retry(1)), 1)
    it.queues.outdated({G})
    it.queues.outdated({H})
    assert it.queues.next_run() is None
    it.queues.begin_runs()
    assert it.judged == [(1, "d1"), (1, "d1")]
    it.queues.decide(1, Send(retry(1)), 2)
    it.queues.outdated({G})
    assert it.queues.next_run().change == 2


def test_messages_that_wait_for_too_long_are_requeued(it):
    it.connect(H)
    it.take(1, 2, due_ms=int(2e12))
    it.world.pass_time(hold_s(it.settings))
    it.queues.renew()
    assert it.calls == []
    it.world.pass_time(0.5)
    it.queues.renew()
    assert it.calls == [("requeue", [1, 2])]
    assert len(it.queues) == 0
    it.queues.renew()
    assert it.calls == []
    it.run(3)
    it.world.pass_time(700)
    it.queues.renew()
    assert it.calls == []  # with a deliverer


def test_no_run_begins_with_messages_that_have_waited_behind_another_for_too_long(it):
    it.connect(H)
    run = it.run(*range(1, 21))
    assert len(run.items) == 20
    it.take(21, 22)
    it.world.pass_time(hold_s(it.settings) + 0.5)
    it.queues.settled(run.ids, ())
    it.queues.begin_runs()
    assert it.calls == [("requeue", [21, 22])]
    assert [tag for tag, _id in it.judged] == [*range(1, 21)]
    it.take(23)
    it.queues.begin_runs()
    assert it.judged[20:] == [(23, "d23")]


def test_messages_that_are_overdue_take_all_of_their_queue_with_them(it):
    it.connect(H)
    run = it.run(1)
    it.take(2)
    assert it.queues.overdue([1]) == [1, 2]
    assert len(it.queues) == 0
    assert it.queues.settled(run.ids, ()) == []
    it.take(3, 4)
    it.queues.begin_runs()
    it.queues.decide(3, Send(retry(3)), 1)
    assert it.queues.overdue([3, 99]) == [3, 4]
    it.take(5)
    assert not it.queues.decide(4, Send(retry(4)), 1)
    it.queues.begin_runs()
    it.queues.decide(5, Send(retry(5)), 1)
    assert it.queues.next_run().items[0][0] == 5


def test_messages_of_other_queues_are_of_no_hook(it):
    it.connect(H)
    for exchange, key in (("x", QUEUE), ("", "callboard.events.retries")):
        assert not it.queues.is_ordered(IncomingMessage(1, exchange, key, b""))


def test_a_connection_that_is_lost_while_a_queue_is_removed_leaves_nothing_behind(it):
    """Whether the broker has removed it is unknown: it is looked for again."""
    it.connect(H)
    it.queues.hooks([])
    it.queues.declared(Declared(QUEUE, 0))
    assert it.calls == [("remove", QUEUE, False)]
    it.queues.down()
    it.queues.up()
    assert it.calls == [("declare", QUEUE)]
    it.queues.declared(Declared(QUEUE, 1))
    assert it.calls == [("consume", QUEUE, 40)]
    it.queues.declared(Declared(QUEUE, 0))
    assert it.calls == [("remove", QUEUE, False)]


def test_a_run_of_overdue_messages_is_not_handed_out(it):
    it.connect(H, G)
    it.take(1, 2)
    other = IncomingMessage(3, "", "callboard.events.ordered.g", b"")
    it.queues.take(other, retry(3, hook="g"))
    it.queues.begin_runs()
    for tag, hook in ((1, "h"), (2, "h"), (3, "g")):
        it.queues.decide(tag, Send(retry(tag, hook=hook)), 1)
    assert it.queues.overdue([2, 99]) == [1, 2]
    run = it.queues.next_run()
    assert [tag for tag, _item in run.items] == [3]
    assert it.queues.next_run() is None
    assert it.queues.tags([1, 2, 3]) == [3]


def test_at_most_500_queues_and_deliveries_are_listed_at_once(it):
    hooks = [f"h{number:03}" for number in range(501)]
    for number, hook in enumerate([hooks[0], *hooks]):
        queue = IncomingMessage(number, "", it.queues.add_queue(("a", hook)).queue, b"")
        it.queues.take(queue, retry(number, hook=hook))
        it.queues.declared(Declared(queue.routing_key, 0))
    listed = it.queues.listed(ListHookQueues()).queues
    assert [queue.hook_id for queue in listed] == hooks[:500]
    assert [len(queue.deliveries) for queue in listed] == [2, *[1] * 498, 0]


def test_failed_ones_are_published_again_after_the_last_confirmation(it):
    it.connect(H)
    it.put(1, 2)
    _ = it.calls
    it.queues.unconfirmed_are([1])
    it.world.pass_time(2)
    assert it.calls == []
    assert it.queues.confirmed([2], set()) == []
    it.world.pass_time(1.1)
    assert it.calls == [("publish", QUEUE, "d1")]


def test_a_lost_connection_takes_the_fates_of_its_messages_with_it(it):
    it.connect(H)
    it.take(1, 2)
    it.queues.begin_runs()
    it.queues.decide(1, Cancel(retry(1), "hook deleted"), 1)
    it.queues.down()
    it.connect(H)
    it.take(1, 2)
    it.queues.begin_runs()
    it.queues.decide(2, Send(retry(2)), 1)
    assert it.queues.next_run() is None
    it.queues.decide(1, Send(retry(1)), 1)
    assert [tag for tag, _item in it.queues.next_run().items] == [1, 2]


def test_a_returned_delivery_holds_up_no_confirmation(it):
    it.connect(H, G)
    it.put(1)
    it.queues.put(Publication(retry(2, hook="g"), receipt(2), None))
    assert it.queues.confirmed([1, 2], {1}) == []
    assert it.settled == [receipt(2)]


def test_a_run_of_a_lost_connection_is_not_handed_out(it):
    it.connect(H)
    it.take(1)
    it.queues.begin_runs()
    it.queues.decide(1, Send(retry(1)), 1)
    it.queues.down()
    assert it.queues.next_run() is None


def test_overdue_messages_take_their_fates_with_them(it):
    it.connect(H)
    it.take(1, 2)
    it.queues.begin_runs()
    it.queues.decide(1, Cancel(retry(1), "hook deleted"), 1)
    assert it.queues.overdue([1]) == [1, 2]
    it.take(1, 2)
    it.queues.begin_runs()
    it.queues.decide(2, Send(retry(2)), 1)
    assert it.queues.next_run() is None
