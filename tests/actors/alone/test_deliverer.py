"""A deliverer alone: one request for each delivery, and reports of all that is settled."""

import itertools

import pytest
from attrs import evolve

from callboard import admin
from callboard.actors.delivery.deliverer import Deliverer, limits
from callboard.actors.hooks.loading import CHECK
from callboard.actors.messages import (
    Applied,
    AttemptPolicy,
    Attempts,
    AttemptsPersisted,
    Defer,
    Deferred,
    DeliveryBatch,
    DueBatch,
    EventDeliveries,
    HooksOutdated,
    HooksRefreshed,
    NotHeld,
    Progress,
    Reconcile,
    RefreshHooks,
)
from callboard.actors.messages.operational import EndpointsDown
from callboard.actors.messages.paths import ATTEMPT_LOG, EVENT_BRIDGE, HOOK_LISTENER, RETRY_QUEUE
from callboard.config.settings import AmqpSettings, DeliverySettings, Settings
from callboard.config.time_limits import hold_s
from callboard.supervision import Stop
from callboard.webhooks.acknowledgement.receipts import Receipt
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.hooks.options import Options
from callboard.webhooks.metrics import catalog
from callboard.webhooks.retries.outcome import ClientError, Response
from callboard.webhooks.retries.retry_message import RetryMessage

PATH = "deliveries/deliverer-1"
STANDARD = Options(policy="standard")
LOST_S = 150.0


def delivery(id="d1", hook="h", options=STANDARD):
    url = "https://x.example/"
    return Delivery(id, "e", hook, "a" * 32, "shop", url, "POST", url, (), b"{}", 2, options)


class Deliveries:
    """A deliverer whose bridge, retry queue and attempt log do what the test says."""

    def __init__(self, world, servers, settings):
        self.world, self.endpoints, self.settings = world, servers.endpoints, settings
        self.outcome = Response(200)
        self.endpoints.answer = lambda *_request: (0.01, self.outcome, True)
        self.bridge, self.log, self.retries, self.listener = map(
            world.peer, (EVENT_BRIDGE, ATTEMPT_LOG, RETRY_QUEUE, HOOK_LISTENER)
        )
        self.start()

    def start(self):
        self.actor = self.world.start(Deliverer, PATH, self.settings, *self.peers)

    @property
    def peers(self):
        return self.bridge, self.log, self.retries, self.listener

    def give(self, share, **by_tag):
        events = tuple(
            EventDeliveries(
                int(tag.removeprefix("t")), (made,) if isinstance(made, Delivery) else made
            )
            for tag, made in by_tag.items()
        )
        source = EVENT_BRIDGE, self.bridge.incarnation
        self.bridge.say(self.actor, DeliveryBatch(share, source, events))
        self.world.pass_time(1)

    def settled(self, peer=None):
        """The (share, tag) pairs reported as settled since the last call."""
        self.world.pass_time(1)
        reports = (peer or self.bridge).take(Progress)
        return [
            (share, tag) for report in reports for share, tags in report.settled for tag in tags
        ]

    @property
    def sent(self):
        return [each.id for each in self.endpoints.begun]


@pytest.fixture
def deliveries(world, servers, settings):
    return Deliveries(world, servers, settings)


def test_a_delivery_is_sent_and_reported(deliveries):
    deliveries.give("1/0", t5=delivery())
    assert deliveries.sent == ["d1"]
    assert deliveries.settled() == [("1/0", 5)]


def test_no_message_waits_for_more_than_sixteen_requests_to_begin(deliveries):
    urls = [f"https://x{n}.example/" for n in range(40)]
    many = tuple(
        evolve(delivery(f"d{n}"), hook_id=f"h{n}", uri=url, url=url) for n, url in enumerate(urls)
    )
    source = EVENT_BRIDGE, deliveries.bridge.incarnation
    batch = DeliveryBatch("1/0", source, (EventDeliveries(1, many),))
    deliveries.bridge.say(deliveries.actor, batch)
    assert len(deliveries.sent) == 16
    deliveries.world.pass_time(0.05)
    assert len(deliveries.sent) == 40, "the others follow at once"
    assert deliveries.settled() == [("1/0", 1)]
    assert sorted(deliveries.sent) == sorted(each.id for each in many)


def test_a_delivery_too_large_for_the_retry_queue_is_given_up(deliveries):
    deliveries.outcome = Response(503)
    deliveries.give("1/0", t5=evolve(delivery(), body=b"x" * 2**24))
    deliveries.world.pass_time(5)
    assert deliveries.retries.take(Defer) == []
    documents = [d for batch in deliveries.log.take(Attempts) for _database, d in batch.documents]
    assert "refused: payload" in [document.get("reason") for document in documents]


def test_a_share_that_arrives_twice_is_sent_and_settled_once(deliveries):
    deliveries.endpoints.answer = lambda *_request: (5.0, Response(200), True)
    deliveries.give("1/0", t5=delivery())
    deliveries.give("1/0", t5=delivery())
    deliveries.world.pass_time(10)
    assert deliveries.sent == ["d1"]
    assert deliveries.settled() == [("1/0", 5)]


def test_a_share_that_arrives_twice_does_not_settle_half_of_an_event(deliveries):
    seconds = {"d1": 1.0, "d2": 30.0}
    deliveries.endpoints.answer = lambda one, _attempts: (seconds[one.id], Response(200), True)
    both = delivery(), delivery("d2", "h2")
    deliveries.give("1/0", t5=both)
    deliveries.give("1/0", t5=both)
    deliveries.world.pass_time(5)
    assert deliveries.settled() == []
    deliveries.world.pass_time(30)
    assert deliveries.settled() == [("1/0", 5)]


def test_a_redelivered_event_repeats_no_request(deliveries):
    deliveries.give("1/0", t5=delivery())
    deliveries.give("2/0", t6=delivery())
    assert deliveries.sent == ["d1"]
    assert deliveries.settled() == [("1/0", 5), ("2/0", 6)]
    deliveries.actor.actor.measure()
    counters = deliveries.actor.actor.tally.figures().counters
    assert counters["callboard_deliveries_repeated_total", ()] == 1


def test_the_successor_of_a_killed_deliverer_repeats_no_finished_request(deliveries):
    deliveries.give("1/0", t5=delivery())
    deliveries.world.kill(deliveries.actor.address)
    deliveries.start()
    deliveries.give("2/0", t6=delivery())
    assert deliveries.sent == ["d1"]
    assert ("2/0", 6) in deliveries.settled()


def test_a_failed_delivery_is_settled_when_the_retry_queue_has_it(deliveries):
    deliveries.outcome = Response(500)
    deliveries.give("1/0", t5=delivery())
    assert deliveries.settled() == []
    [defer] = deliveries.retries.take(Defer)
    for _time in range(2):
        deliveries.retries.say(deliveries.actor, Deferred(defer.batch))
    assert deliveries.settled() == [("1/0", 5)]


def test_the_attempt_log_says_how_long_connecting_may_take(deliveries):
    policy = AttemptPolicy(successes=False, connect_timeout_ms=2500)
    deliveries.log.say(deliveries.actor, policy)
    assert deliveries.endpoints.connect_within_s == 2.5


def test_a_deferral_that_is_not_confirmed_is_sent_again(deliveries):
    deliveries.outcome = Response(500)
    deliveries.give("1/0", t5=delivery())
    [defer] = deliveries.retries.take(Defer)
    deliveries.world.pass_time(LOST_S)
    assert defer in deliveries.retries.take(Defer)
    assert deliveries.settled() == []


def test_a_new_retry_queue_gets_what_the_old_one_had_not_confirmed(deliveries):
    deliveries.outcome = Response(500)
    deliveries.give("1/0", t5=delivery())
    [old] = deliveries.retries.take(Defer)
    deliveries.retries.restart()
    deliveries.world.tell_peers(deliveries.actor, *deliveries.peers)
    deliveries.world.pass_time(1)
    [new] = deliveries.retries.take(Defer)
    assert new.items == old.items
    assert deliveries.settled() == []


def test_while_the_retry_queue_is_down_a_deferral_waits(deliveries):
    deliveries.world.tell_peers(deliveries.actor, deliveries.bridge, deliveries.log)
    deliveries.outcome = Response(500)
    deliveries.give("1/0", t5=delivery())
    deliveries.world.pass_time(600)
    assert deliveries.settled() == []
    deliveries.world.tell_peers(deliveries.actor, *deliveries.peers)
    deliveries.world.pass_time(2)
    assert [len(defer.items) for defer in deliveries.retries.take(Defer)] == [1]


def test_an_exhausted_delivery_is_settled_when_its_dead_letter_is_on_disk(deliveries):
    deliveries.outcome = Response(500)
    deliveries.give("1/0", t5=delivery(options=Options(policy="kazoo")))
    assert deliveries.settled() == []
    [attempts] = deliveries.log.take(Attempts)
    for _time in range(2):
        deliveries.log.say(deliveries.actor, AttemptsPersisted(attempts.batch))
    assert deliveries.settled() == [("1/0", 5)]


@pytest.mark.parametrize("dies", [True, False])
def test_records_that_are_not_confirmed_are_sent_again(deliveries, dies):
    deliveries.outcome = Response(500)
    deliveries.give("1/0", t5=delivery(options=Options(policy="kazoo")))
    [attempts] = deliveries.log.take(Attempts)
    if dies:
        deliveries.log.restart()
        deliveries.world.tell_peers(deliveries.actor, *deliveries.peers)
    deliveries.world.pass_time(LOST_S)
    again = deliveries.log.take(Attempts)
    assert again
    assert all(each.documents == attempts.documents for each in again)
    assert deliveries.settled() == []


def test_a_due_delivery_that_arrives_twice_is_sent_once(deliveries):
    deliveries.outcome = Response(500)
    deliveries.give("1/0", t5=delivery())
    [defer] = deliveries.retries.take(Defer)
    deliveries.outcome = Response(200)
    due = DueBatch("9", (RETRY_QUEUE, 1), ((3, defer.items[0]),))
    for _time in range(2):
        deliveries.retries.say(deliveries.actor, due)
        deliveries.world.pass_time(1)
    assert deliveries.sent == ["d1", "d1"]
    assert set(deliveries.settled(deliveries.retries)) == {("9", 3)}
    assert deliveries.settled() == [("1/0", 5)]


def test_what_is_cancelled_or_refused_when_it_is_due_is_recorded_and_settled(deliveries):
    made, cancelled, refused = (RetryMessage(delivery(f"d{n}"), 1, 0) for n in range(3))
    message = DueBatch(
        "9",
        (RETRY_QUEUE, deliveries.retries.incarnation),
        ((1, made),),
        cancelled=((2, cancelled, "hook deleted"),),
        refused=((3, refused, "too large", 9),),
    )
    deliveries.retries.say(deliveries.actor, message)
    deliveries.world.pass_time(1)
    assert deliveries.sent == ["d0"]
    assert deliveries.settled(deliveries.retries) == [("9", 1)]
    for record in deliveries.log.take(Attempts):
        deliveries.log.say(deliveries.actor, AttemptsPersisted(record.batch))
    deliveries.world.pass_time(1)
    assert deliveries.settled(deliveries.retries) == [("9", 2), ("9", 3)]
    deliveries.actor.actor.measure()
    counters = deliveries.actor.actor.tally.figures().counters
    results = ("delivered", "cancelled", "given_up")
    assert [counters["callboard_deliveries_total", (result,)] for result in results] == [1, 1, 1]


def test_nothing_is_reported_to_the_bridge_before(deliveries):
    deliveries.endpoints.answer = lambda *_request: (5.0, Response(200), True)
    deliveries.give("1/0", t5=delivery())
    deliveries.bridge.restart()
    deliveries.world.tell_peers(deliveries.actor, *deliveries.peers)
    deliveries.world.pass_time(10)
    assert deliveries.settled() == []


def test_only_shares_that_never_arrived_are_not_held(deliveries):
    deliveries.endpoints.answer = lambda *_request: (50.0, Response(200), True)
    deliveries.give("1/0", t5=delivery())
    source = EVENT_BRIDGE, 1
    deliveries.bridge.say(deliveries.actor, Reconcile(source, ("1/0", "2/0")))
    deliveries.world.pass_time(1)
    assert deliveries.bridge.take(NotHeld) == [NotHeld(source, ("2/0",))]


def due(deliveries, share, *retries):
    """Hand out a run of an ordered queue."""
    items = tuple(enumerate(retries, start=1))
    message = DueBatch(share, (RETRY_QUEUE, deliveries.retries.incarnation), items)
    deliveries.retries.say(deliveries.actor, message)
    deliveries.world.pass_time(1)


def test_those_behind_a_failed_delivery_of_an_ordered_hook_return_with_it(deliveries):
    ordered = evolve(STANDARD, ordered=True)
    run = [RetryMessage(delivery(f"d{n}", options=ordered), 0, 0, deferrals=0) for n in range(3)]
    deliveries.outcome = ClientError("timeout")
    due(deliveries, "1", *run)
    assert deliveries.sent == ["d0"]
    [defer] = deliveries.retries.take(Defer)
    assert [(item.delivery.id, item.attempts_made) for item in defer.items] == [
        ("d0", 1),
        ("d1", 0),
        ("d2", 0),
    ]
    deliveries.retries.say(deliveries.actor, Deferred(defer.batch))
    deliveries.world.pass_time(1)
    assert deliveries.settled(deliveries.retries) == [("1", 1), ("1", 2), ("1", 3)]
    deliveries.outcome = Response(200)
    due(deliveries, "2", *defer.items)
    assert deliveries.sent == ["d0", "d0", "d1", "d2"]


def test_what_comes_behind_an_ordered_delivery_that_is_just_returning_returns_too(deliveries):
    """A new retry queue has the first from the broker, before it hears that it is to wait."""
    ordered = evolve(STANDARD, ordered=True)
    run = [RetryMessage(delivery(f"d{n}", options=ordered), 0, 0, deferrals=0) for n in range(2)]
    deliveries.outcome = ClientError("timeout")
    due(deliveries, "1", run[0])
    deliveries.outcome = Response(200)
    now_ms = int((deliveries.world.unix_s + deliveries.world.now) * 1000)
    due(deliveries, "2", *run)
    assert deliveries.sent == ["d0"]
    returned = [item for defer in deliveries.retries.take(Defer) for item in defer.items]
    assert [item.delivery.id for item in returned] == ["d0", "d1"]
    assert returned[1].due_ms == now_ms, "at once"


def test_an_ordered_delivery_that_comes_again_before_its_deferral_is_confirmed_has_not_ended(
    deliveries,
):
    """The broker has redelivered it to the retry queue, which waits for a confirm of others."""
    retry = RetryMessage(delivery(options=evolve(STANDARD, ordered=True)), 0, 0, deferrals=0)
    deliveries.outcome = ClientError("timeout")
    due(deliveries, "1", retry)
    due(deliveries, "2", retry)
    [defer] = {defer.batch: defer for defer in deliveries.retries.take(Defer)}.values()
    deliveries.retries.take(Progress)
    deliveries.retries.say(deliveries.actor, Deferred(defer.batch))
    deliveries.world.pass_time(1)
    [report] = deliveries.retries.take(Progress)
    assert report.settled == (("1", (1,)), ("2", (1,)))
    assert set(report.returned) == {1}


def test_a_stop_lets_requests_end_and_gives_the_others_back(deliveries):
    deliveries.endpoints.answer = lambda *_request: (5.0, Response(200), True)
    many = {f"t{number}": delivery(f"d{number}") for number in range(100)}
    deliveries.give("1/0", **many)
    begun = len(deliveries.sent)
    assert 0 < begun < 100
    deliveries.bridge.say(deliveries.actor, Stop())
    deliveries.world.pass_time(30)
    assert deliveries.world.ended == [PATH]
    assert len(deliveries.sent) == begun
    assert len(deliveries.settled()) == begun


def test_ten_thousand_at_once_are_all_settled(deliveries):
    for share in range(50):
        numbers = range(share * 200, share * 200 + 200)
        many = {f"t{number}": delivery(f"d{number}", f"h{number % 7}") for number in numbers}
        deliveries.give(f"{share}/0", **many)
    for _minute in range(30):
        deliveries.world.pass_time(60)
        for defer in deliveries.retries.take(Defer):
            deliveries.retries.say(deliveries.actor, Deferred(defer.batch))
    assert len(deliveries.settled()) == 10_000
    assert len(set(deliveries.sent)) == len(deliveries.sent)


def test_after_a_sleep_no_request_begins_before_the_hooks_are_fresh(deliveries):
    """N7: a node that was frozen made 201 requests to a hook that was deleted meanwhile."""
    one_at_a_time = evolve(STANDARD, ordered=True)
    deliveries.endpoints.answer = lambda *_request: (1.5, Response(200), True)
    for number in range(5):
        deliveries.give(f"{number}/0", t1=delivery(f"d{number}", options=one_at_a_time))
    begun = len(deliveries.sent)
    assert begun < 5
    deliveries.world.suspend(30)
    deliveries.give("9/0", t1=delivery("other", "other"))
    deliveries.world.pass_time(12)
    assert len(deliveries.sent) == begun
    asks = {message.ask for message in deliveries.listener.take(RefreshHooks)}
    assert len(asks) == 1
    table = deliveries.world.peer("hook_table")
    table.say(deliveries.actor, HooksOutdated(1, (("a" * 32, "h"),), ticket=3))
    deliveries.listener.say(deliveries.actor, HooksRefreshed(asks.pop()))
    deliveries.world.pass_time(5)
    assert deliveries.sent[begun:] == ["other"]
    deferred = [
        item.delivery.id for batch in deliveries.retries.take(Defer) for item in batch.items
    ]
    assert sorted(deferred) == [f"d{number}" for number in range(begun, 5)]


@pytest.mark.parametrize("ticket", [3, CHECK, -1])
def test_the_table_gets_the_response_to_each_ticket(deliveries, ticket):
    """To 0, of the checks whether a change was lost, too: all hooks were loaded each minute."""
    table = deliveries.world.peer("hook_table")
    table.say(deliveries.actor, HooksOutdated(1, (("a" * 32, "h"),)))
    table.say(deliveries.actor, HooksOutdated(2, (), ticket))
    deliveries.world.pass_time(1)
    assert table.take(Applied) == [Applied(ticket)]


# Messages that are held for too long


def test_what_waits_for_long_is_deferred_before_the_broker_ends_the_consumer(deliveries):
    hold = hold_s(deliveries.settings)
    took_s = hold / 3
    deliveries.endpoints.answer = lambda *_request: (took_s, Response(200), True)
    slow = Options(policy="standard", ordered=True)
    waiting = tuple(delivery(f"d{number}", options=slow) for number in range(1, 10))
    deliveries.give("1/0", t5=waiting)
    deliveries.world.pass_time(hold - 1)
    assert deliveries.retries.take(Defer) == []
    deliveries.world.pass_time(hold / 20 + 2)
    items = [item.delivery.id for batch in deliveries.retries.take(Defer) for item in batch.items]
    assert items == [each.id for each in waiting if each.id not in deliveries.sent]
    assert len(items) >= 5
    # Those that come now have their own time.
    deliveries.give("2/0", t6=delivery("d10", "h2", slow))
    assert deliveries.sent[-1] == "d10"


def test_the_late_deliveries_of_an_old_event_are_deferred_at_once(deliveries):
    now, hold = deliveries.world.now, hold_s(deliveries.settings)
    events = tuple(
        EventDeliveries(tag, (delivery(f"d{tag}", f"h{tag}"),), taken_at=now - age)
        for tag, age in ((1, hold), (2, hold + 1))
    )
    source = EVENT_BRIDGE, deliveries.bridge.incarnation
    deliveries.bridge.say(deliveries.actor, DeliveryBatch("1/0", source, events))
    deliveries.world.pass_time(1)
    assert deliveries.sent == ["d1"]
    [defer] = deliveries.retries.take(Defer)
    assert [item.delivery.id for item in defer.items] == ["d2"]


def test_a_circuit_is_closed_at_once_on_demand(deliveries):
    deliveries.outcome = ClientError("timeout")
    failing = [delivery(f"d{number}", f"h{number}") for number in range(10)]
    deliveries.give("1/0", t5=tuple(failing))
    (seen,) = deliveries.world.actor(deliveries.actor.address).busiest_endpoints()
    assert (seen.circuit, seen.error) == ("open", "timeout")
    deliveries.actor.actor.measure()
    figures = deliveries.actor.actor.tally.figures()
    circuits = {labels: n for (name, labels), n in figures.gauges.items() if "circuits" in name}
    assert circuits == {("open",): 1, ("half_open",): 0}
    assert figures.counters[catalog.CIRCUITS_OPENED.name, ()] == 1
    client = deliveries.world.peer("client")
    client.say(deliveries.actor, admin.CloseCircuit(seen.endpoint, ref="7"))
    deliveries.world.pass_time(0.1)
    assert client.take(admin.CircuitClosed) == [admin.CircuitClosed(True, ref="7")]
    deliveries.outcome = Response(200)
    deliveries.give("2/0", t6=delivery("d20"))
    assert deliveries.sent[-1] == "d20"
    client.say(deliveries.actor, admin.CloseCircuit(seen.endpoint))
    deliveries.world.pass_time(0.1)
    assert client.take(admin.CircuitClosed) == [admin.CircuitClosed(False)]


def test_endpoints_that_are_down_are_reported_at_once_then_every_half_minute(deliveries):
    deliveries.outcome = ClientError("timeout")
    failing = [delivery(f"d{number}", f"h{number}") for number in range(10)]
    deliveries.give("1/0", t5=tuple(failing))
    deliveries.world.pass_time(1)

    def reports():
        return [
            [(one.endpoint, one.accounts) for one in report.down]
            for report in deliveries.listener.take(EndpointsDown)
        ]

    down = [("https://x.example:443", ("a" * 32,))]
    assert reports() == [down]
    deliveries.world.pass_time(28)
    assert reports() == []
    deliveries.world.pass_time(2)
    assert reports() == [down]
    deliveries.listener.restart()
    deliveries.world.tell_peers(deliveries.actor, *deliveries.peers)
    deliveries.world.pass_time(2)
    assert reports() == [down], "a new listener knows nothing"
    client = deliveries.world.peer("client")
    client.say(deliveries.actor, admin.CloseCircuit("https://x.example:443"))
    deliveries.world.pass_time(60)
    assert reports() == [[]], "that there are none more is reported once"


def test_the_metrics_show_what_becomes_of_the_deliveries_that_are_here(deliveries):
    """Of 40 to a slow endpoint half of its 32 slots are in flight; one pauses, and one leaves."""

    def to(host, hook, options=STANDARD):
        url = f"https://{host}.example/"
        return evolve(delivery(hook, hook, options), url=url, uri=url)

    outcomes = {
        "slow": (1000.0, Response(200), True),
        "l": (0.01, Response(500), True),
        "k": (0.01, ClientError("timeout"), False),
    }
    deliveries.endpoints.answer = lambda one, _attempts: outcomes[one.hook_id]
    many = {f"t{n}": delivery(f"s{n}", "slow") for n in range(40)}
    deliveries.give("1/0", **many, t50=to("one", "l"))
    deliveries.give("2/0", t51=to("two", "k", Options(policy="kazoo")))
    deliveries.actor.actor.measure()
    gauges = deliveries.actor.actor.tally.figures().gauges
    assert {
        name: gauges[f"callboard_{name}", ()]
        for name in (
            *("requests_in_flight", "deliveries_waiting", "deliveries_retrying"),
            "deliveries_leaving",
        )
    } == {
        "requests_in_flight": 16,
        "deliveries_waiting": 24,
        "deliveries_retrying": 1,
        "deliveries_leaving": 1,
    }
    progress = "callboard_last_progress_timestamp_seconds"
    assert gauges[progress, (PATH,)] == 0, "each of them has a reason to wait"
    assert deliveries.sent.count("k") == 1
    deliveries.world.pass_time(60)
    assert deliveries.sent.count("k") == 2


def test_a_new_attempt_log_gets_what_the_one_before_did_not_confirm(deliveries):
    deliveries.outcome = Response(500)
    deliveries.give("1/0", t5=delivery())
    deliveries.world.pass_time(2)
    [before] = deliveries.log.take(Attempts)
    deliveries.log.restart()
    deliveries.world.tell_peers(deliveries.actor, *deliveries.peers)
    deliveries.world.pass_time(5)
    assert [batch.documents for batch in deliveries.log.take(Attempts)] == [before.documents]


@pytest.mark.parametrize(
    ("prefetch", "workers", "waiting"), [(500, 1, 62), (500, 4, 15), (64, 4, 2), (8, 8, 1)]
)
def test_an_endpoint_has_an_eighth_of_a_deliverers_share(prefetch, workers, waiting):
    settings = Settings(
        amqp=AmqpSettings(prefetch=prefetch), delivery=DeliverySettings(workers=workers)
    )
    assert limits(settings).waiting == waiting


def test_an_account_whose_deliveries_only_wait_for_an_endpoint_that_is_down_is_reported(deliveries):
    deliveries.outcome = ClientError("timeout")
    failing = tuple(delivery(f"d{number}", f"h{number}") for number in range(10))
    deliveries.give("1/0", t5=failing)
    deliveries.world.pass_time(1)
    begun = len(deliveries.sent)
    more = (evolve(delivery(f"e{number}"), account_id="b" * 32) for number in range(100))
    deliveries.give("2/0", t6=tuple(more))
    deliveries.world.pass_time(1)
    assert len(deliveries.sent) == begun
    reports = deliveries.listener.take(EndpointsDown)
    accounts = [one.accounts for report in reports for one in report.down]
    assert accounts == [("a" * 32,), ("a" * 32, "b" * 32)]


@pytest.mark.parametrize(("count", "at_once"), [(1, False), (33, False), (34, True)])
def test_records_and_deferrals_gather_for_a_tenth_of_a_second_or_to_a_hundred(
    deliveries, count, at_once
):
    """Each of these is a failure, a record and a deferral."""
    deliveries.outcome = Response(503)
    events = tuple(
        EventDeliveries(n, (evolve(delivery(f"d{n}", f"h{n}"), url=f"https://x{n}.example/"),))
        for n in range(count)
    )
    source = EVENT_BRIDGE, deliveries.bridge.incarnation
    deliveries.bridge.say(deliveries.actor, DeliveryBatch("1/0", source, events))

    def deferred(seconds):
        deliveries.world.pass_time(seconds)
        return sum(len(defer.items) for defer in deliveries.retries.take(Defer))

    assert deferred(0.15) == count * at_once
    assert deferred(0.1) == count * (not at_once)


def test_a_delivery_for_which_nothing_is_to_happen_any_more_shows_as_one_without_progress(
    deliveries,
):
    """There is none, unless a part of this has lost it: readiness is judged by that."""
    actor = deliveries.actor.actor

    def progress():
        actor.measure()
        return actor.tally.figures().gauges["callboard_last_progress_timestamp_seconds", (PATH,)]

    deliveries.world.pass_time(50)
    assert progress() == 0
    accounted_at = deliveries.world.unix_s + deliveries.world.now
    actor._jobs.take(delivery("lost"), Receipt((EVENT_BRIDGE, 1), "1/0", 1))
    for _time in range(2):
        deliveries.world.pass_time(20)
        assert progress() == pytest.approx(accounted_at, abs=0.001)


def test_each_pause_between_attempts_ends_by_itself(deliveries):
    deliveries.outcome = ClientError("timeout")
    kazoo, begun = Options(policy="kazoo"), {"d1": [], "d2": []}
    deliveries.endpoints.taken = lambda made: begun[made.id].append(deliveries.world.now)
    deliveries.give("1/0", t1=delivery("d1", "h1", kazoo))
    deliveries.give("2/0", t2=delivery("d2", "h2", kazoo))
    deliveries.world.pass_time(60)
    pauses = [second - first for first, second, *_more in begun.values()]
    assert pauses == [pytest.approx(2.01, abs=0.01)] * 2


def test_what_arrives_while_the_hooks_may_be_old_is_reported_as_received(deliveries):
    """Else the bridge asks for it, and the broker has to redeliver it."""
    deliveries.world.suspend(30)
    deliveries.give("1/0", t1=delivery())
    assert deliveries.sent == []
    assert [report.accepted for report in deliveries.bridge.take(Progress)] == [("1/0",)]


def test_what_waits_for_a_hook_that_has_changed_is_handed_back_at_once(deliveries):
    deliveries.endpoints.answer = lambda *_request: (1000.0, Response(200), True)
    ordered = evolve(STANDARD, ordered=True)
    for number in range(2):
        deliveries.give(f"{number}/0", t1=delivery(f"d{number}", options=ordered))
    deliveries.world.pass_time(0.3)
    table = deliveries.world.peer("hook_table")
    table.say(deliveries.actor, HooksOutdated(1, (("a" * 32, "h"),)))
    deliveries.world.pass_time(0.25)
    [defer] = deliveries.retries.take(Defer)
    assert [item.delivery.id for item in defer.items] == ["d1"]


def test_a_pause_that_is_over_makes_room_for_another(world, servers, settings):
    limited = evolve(settings, delivery=DeliverySettings(waiting_per_endpoint=1))
    deliveries = Deliveries(world, servers, limited)
    deliveries.outcome = ClientError("timeout")
    deliveries.give("1/0", t1=evolve(delivery(options=Options(policy="kazoo")), max_attempts=4))
    world.pass_time(20)
    assert deliveries.sent == ["d1"] * 4
    assert deliveries.retries.take(Defer) == []


def test_deliveries_beyond_the_room_of_a_circuit_that_opens_are_deferred_at_once(deliveries):
    deliveries.endpoints.answer = lambda *_request: (0.5, ClientError("timeout"), False)
    many = {f"t{number}": delivery(f"d{number}", f"h{number}") for number in range(300)}
    deliveries.give("1/0", **many)
    deliveries.world.pass_time(1)
    deferred = [item for defer in deliveries.retries.take(Defer) for item in defer.items]
    assert len([item for item in deferred if not item.attempts_made]) > 200


def test_a_limited_hook_has_its_turn_when_its_time_comes(deliveries):
    begun = []
    deliveries.endpoints.taken = lambda _made: begun.append(deliveries.world.now)
    limited = evolve(STANDARD, rate_per_s=4.0)
    deliveries.give("1/0", t1=tuple(delivery(f"d{n}", options=limited) for n in range(3)))
    deliveries.world.pass_time(2)
    gaps = [second - first for first, second in itertools.pairwise(begun)]
    assert gaps == [pytest.approx(0.25, abs=0.02)] * 2


def test_a_delivery_of_megabytes_fits_into_the_retry_queue(deliveries):
    deliveries.outcome = Response(503)
    deliveries.give("1/0", t5=evolve(delivery(), body=b"x" * 3_000_000))
    [defer] = deliveries.retries.take(Defer)
    assert [len(item.delivery.body) for item in defer.items] == [3_000_000]


def test_successes_are_recorded_from_when_the_attempt_log_says_so(deliveries):
    deliveries.give("1/0", t1=delivery("d1"))
    assert deliveries.log.take(Attempts) == []
    policy = AttemptPolicy(successes=True, connect_timeout_ms=2500)
    deliveries.log.say(deliveries.actor, policy)
    deliveries.give("2/0", t2=delivery("d2"))
    assert len(deliveries.log.take(Attempts)) == 1


@pytest.mark.parametrize(("count", "at_once"), [(99, False), (100, True)])
def test_a_hundred_settled_events_are_reported_at_once(deliveries, count, at_once):
    """Fewer wait for a moment while other deliveries are in progress."""
    deliveries.give("1/0", t1=delivery("done"))
    deliveries.endpoints.answer = lambda *_request: (1000.0, Response(200), True)
    deliveries.give("2/0", t1=delivery("slow", "other"))
    deliveries.bridge.take(Progress)
    events = tuple(EventDeliveries(tag, (delivery("done"),)) for tag in range(count))
    source = EVENT_BRIDGE, deliveries.bridge.incarnation
    deliveries.bridge.say(deliveries.actor, DeliveryBatch("3/0", source, events))
    deliveries.world.pass_time(0.01)
    assert len(deliveries.bridge.take(Progress)) == at_once
    deliveries.world.pass_time(0.03)
    assert len(deliveries.bridge.take(Progress)) == (not at_once)
