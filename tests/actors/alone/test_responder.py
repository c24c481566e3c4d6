"""A responder alone: each event is routed once, and only when all hooks are known."""

import json
from types import SimpleNamespace

import pytest
from thespian.actors import WakeupMessage

from callboard.actors.events.responder import Responder
from callboard.actors.events.unfired import UnfiredEvents
from callboard.actors.messages import (
    DeliveryBatch,
    EventBatch,
    HookPage,
    HooksChanged,
    HooksRefreshed,
    NextPage,
    RawEvent,
    RefreshHooks,
    Routed,
    Subscribe,
)
from callboard.actors.messages.paths import (
    EVENT_BRIDGE,
    HOOK_LISTENER,
    HOOK_TABLE,
    RETRY_QUEUE,
    responder_path,
)
from callboard.config.settings import ModuleSettings
from callboard.supervision import Timer
from callboard.webhooks.hooks.options import Options
from support.hooks import hooks_with

RESULTS = ("fired", "no_hook", "poison", "no_account", "filtered")
hook = hooks_with(account_id="a", event="shop")


class Events:
    """A responder whose table, bridge and deliverer do what the test says."""

    def __init__(self, world, servers, settings):
        self.world, self.store = world, servers.store
        self.table, self.bridge = world.peer(HOOK_TABLE), world.peer(EVENT_BRIDGE)
        self.deliverer = world.peer("deliveries/deliverer-1")
        self.listener = world.peer(HOOK_LISTENER)
        self.actor = world.start(
            Responder, responder_path("shop"), settings, *self.peers, module="shop"
        )

    @property
    def peers(self):
        return self.table, self.bridge, self.deliverer, self.listener

    def subscription(self):
        """The stream of the latest subscription since the last call; None if there was none."""
        self.world.pass_time(0.1)
        streams = [message.stream for message in self.table.take(Subscribe)]
        return streams[-1] if streams else None

    def load(self, *hooks):
        stream = self.subscription()
        self.table.say(self.actor, HookPage(stream, 0, hooks, last=True))
        self.world.pass_time(0.1)
        return stream

    def give(self, batch, *bodies, since=0):
        events = tuple(
            RawEvent(tag, "shop", "order.made", body, None, None, f"m{tag}")
            for tag, body in enumerate(bodies, 1)
        )
        self.bridge.say(self.actor, EventBatch(batch, 1, events, since))

    def routed(self):
        """By batch: the tags in shares, and those that are poison."""
        self.world.pass_time(0.1)
        return {
            message.batch: (
                sorted(tag for tags in message.shares.values() for tag in tags),
                [tag for tag, _reason in message.poison],
            )
            for message in self.bridge.take(Routed)
        }

    def made(self):
        """The ids of the hooks of all deliveries since the last call."""
        self.world.pass_time(0.1)
        batches = self.deliverer.take(DeliveryBatch)
        return [d.hook_id for batch in batches for event in batch.events for d in event.deliveries]


@pytest.fixture
def events(world, servers, settings):
    return Events(world, servers, settings)


def event(number=1):
    return json.dumps({"n": number}).encode()


def test_events_wait_until_all_hooks_are_known(events):
    events.give(1, event())
    assert events.routed() == {}
    stream = events.subscription()
    events.table.say(events.actor, HookPage(stream, 0, (hook("h1"),), last=False))
    events.world.pass_time(1)
    assert len(events.table.take(NextPage)) == 1
    assert events.routed() == {}
    events.table.say(events.actor, HookPage(stream, 1, (hook("h2"),), last=True))
    assert events.routed() == {1: ([1], [])}
    assert sorted(events.made()) == ["h1", "h2"]


def test_pages_are_taken_in_their_order_and_once(events):
    stream = events.subscription()
    pages = [HookPage(stream, n, (hook(f"h{n}"),), last=n == 2) for n in range(3)]
    for page in (pages[2], pages[0], pages[0], pages[1], pages[2]):
        events.table.say(events.actor, page)
    events.give(1, event())
    assert sorted(events.made()) == ["h0", "h1", "h2"]


def test_a_subscription_without_an_answer_is_repeated(events):
    first = events.subscription()
    events.world.pass_time(9.7)
    assert events.subscription() is None
    events.world.pass_time(0.2)
    second = events.subscription()
    assert second > first
    events.table.say(events.actor, HookPage(first, 0, (hook("old"),), last=True))
    events.table.say(events.actor, HookPage(second, 0, (hook("new"),), last=True))
    events.give(1, event())
    assert events.made() == ["new"]


def test_a_lost_change_is_noticed_by_the_next_one(events):
    stream = events.load(hook("h1"))
    events.table.say(events.actor, HooksChanged(stream, 2, (hook("h3"),), ()))  # 1 is lost.
    events.world.pass_time(9.9)
    assert events.subscription() is None
    events.world.pass_time(0.1)
    events.load(hook("h1"), hook("h2"), hook("h3"))
    events.give(1, event())
    assert sorted(events.made()) == ["h1", "h2", "h3"]


def test_a_change_that_is_only_late_needs_no_new_subscription(events):
    stream = events.load(hook("h1"))
    events.table.say(events.actor, HooksChanged(stream, 2, (), (("a", "h2"),)))
    events.world.pass_time(1)
    events.table.say(events.actor, HooksChanged(stream, 1, (hook("h2"),), ()))
    events.world.pass_time(60)
    assert events.subscription() is None
    events.give(1, event())
    assert events.made() == ["h1"]


def test_a_new_table_is_subscribed_to_and_the_old_hooks_serve_meanwhile(events):
    events.load(hook("h1"))
    events.table.restart()
    events.world.tell_peers(events.actor, *events.peers)
    events.give(1, event())
    assert events.made() == ["h1"]
    events.load(hook("h2"))
    events.give(2, event())
    assert events.made() == ["h2"]


def test_without_a_deliverer_events_wait(events):
    events.load(hook("h1"))
    events.world.tell_peers(events.actor, events.table, events.bridge)
    for _time in range(2):
        events.give(1, event())
    assert events.routed() == {}
    events.world.tell_peers(events.actor, *events.peers)
    assert events.routed() == {1: ([1], [])}
    assert events.made() == ["h1"]


def test_while_the_store_is_away_events_wait(events):
    events.load(hook("h1"))
    events.store.away = True
    logs = []
    events.actor.actor.log = SimpleNamespace(
        warning=lambda *line, **facts: logs.append((line, facts))
    )
    events.give(1, event())
    events.world.pass_time(60)
    assert events.routed() == {}
    assert logs[0] == (("store_unavailable",), {"reason": "the store is away", "held": 1})
    events.store.away = False
    events.world.pass_time(5)
    assert events.routed() == {1: ([1], [])}


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"[" * 1000])
def test_an_event_that_cannot_be_read_holds_up_no_other(events, body):
    events.load(hook("h1"))
    events.give(1, body, event())
    assert events.routed() == {1: ([2], [1])}


def test_an_event_that_fires_nothing_is_in_no_share(events):
    events.load()
    events.give(1, event())
    assert events.routed() == {1: ([], [])}
    assert events.made() == []


def test_a_batch_that_arrives_again_is_other_shares(events):
    """Else a deliverer's report on its share of one routing would settle another's of the other."""
    hooks = [hook(f"h{number}", "a", "shop") for number in range(100)]
    events.load(*hooks)
    events.give(1, event())
    events.world.pass_time(0.1)
    events.deliverer = events.world.peer("deliveries/deliverer-0")
    events.world.tell_peers(events.actor, *events.peers)
    events.give(1, event())
    events.world.pass_time(0.1)
    first, second = events.bridge.take(Routed)
    assert not first.shares.keys() & second.shares.keys()


@pytest.mark.parametrize("why", ["a sleep", "a lost connection"])
def test_events_wait_until_the_hooks_are_fresh(events, why):
    """N7: a node that was frozen matched 196 events with the hooks of before."""
    stream = events.load(hook("old"))
    events.give(1, b"{}")
    assert events.made() == ["old"]
    if why == "a sleep":
        events.world.suspend(30)
    events.give(9, *[b"{}"] * 3, since=8 if why == "a lost connection" else 0)
    assert events.made() == []
    events.world.pass_time(12)
    asks = {message.ask for message in events.listener.take(RefreshHooks)}
    assert len(asks) == 1
    changed = HooksChanged(stream, 1, (hook("new"),), (("a", "old"),))
    events.table.say(events.actor, changed)
    assert events.made() == []
    events.listener.say(events.actor, HooksRefreshed(asks.pop()))
    assert events.made() == ["new"] * 3


def test_events_are_counted_by_their_result(events):
    """The deliveries of more than 64 hooks go in slices; the event counts as others do."""
    ids = [f"h{number}" for number in range(65)]
    stream = events.load(*map(hook, ids))
    events.give(1, event(1), b"[]")
    events.table.say(events.actor, HooksChanged(stream, 1, (), tuple(("a", id) for id in ids[1:])))
    events.give(2, event(2), event(3))
    events.table.say(events.actor, HooksChanged(stream, 2, (), (("a", ids[0]),)))
    events.give(3, event(4))
    assert events.routed() == {1: ([1], [2]), 2: ([1, 2], []), 3: ([], [])}
    events.actor.actor.measure()
    counted = events.actor.actor.tally.figures().counters
    assert {result: counted["callboard_events_total", ("shop", result)] for result in RESULTS} == (
        {"fired": 3, "no_hook": 1, "poison": 1, "no_account": 0, "filtered": 0}
    )
    assert counted["callboard_deliveries_made_total", ("shop",)] == 65 + 2


@pytest.fixture
def orders(world, servers):
    """A responder of a table with a path of the account and a condition."""
    table = ModuleSettings(
        id="shop", exchange="shop", bindings=("#",), account="customer", only={"state": "paid"}
    )
    return Events(world, servers, world.settings(modules=(table,)))


def test_events_that_match_nothing_are_counted_apart_and_logged_once_a_minute(orders):
    orders.load(hook("h1"))

    def give(batch, *bodies):
        orders.give(batch, *(json.dumps(body).encode() for body in bodies))
        orders.world.pass_time(1)

    logs = []
    log = SimpleNamespace(info=lambda event, **fields: logs.append({"event": event, **fields}))
    orders.actor.actor._unfired._log = log
    give(1, {"state": "sent"}, {"state": "paid"}, {"state": "paid", "customer": "b"})
    give(2, {}, {"state": "paid", "customer": "a"})
    give(3, {})
    orders.world.pass_time(70)
    give(4, {"state": "paid", "customer": "a"})
    orders.world.pass_time(70)
    assert {log["event"] for log in logs} == {"events_not_fired"}
    names = ("no_hook", "no_account", "filtered", "module", "routing_key")
    assert [tuple(log[name] for name in names) for log in logs] == [
        (1, 1, 1, "shop", "order.made"),
        (0, 0, 2, "shop", "order.made"),
    ]
    stats = orders.actor.actor.stats()
    assert {name: stats[name] for name in names[:3]} == {
        "no_hook": 1,
        "no_account": 1,
        "filtered": 3,
    }


def test_a_new_responder_has_counted_nothing(events):
    stats = events.actor.actor.stats()
    assert {stats[name] for name in ("events", "deliveries", "poison", "no_hook")} == {0}


def test_events_that_wait_made_their_last_progress_when_they_came(events):
    """An actor that holds something without progress is shown as stuck (docs/metrics.md)."""

    def progress():
        events.actor.actor.measure()
        gauges = events.actor.actor.tally.figures().gauges
        return gauges["callboard_last_progress_timestamp_seconds", (events.actor.path,)]

    assert progress() == 0
    events.world.pass_time(50)
    came_at = events.world.unix_s + events.world.now
    for _time in range(2):
        events.give(1, event())
        events.world.pass_time(30)
        assert progress() == pytest.approx(came_at, abs=0.001)
    events.load(hook("h1"))
    assert events.made() == ["h1"]
    assert progress() == 0


def test_to_match_is_progress_and_to_wait_for_the_retry_queue_is_none(events):
    events.give(1, event())
    events.world.pass_time(30)
    stream = events.subscription()
    matched_at = events.world.unix_s + events.world.now
    ordered = hook("h1", options=Options(ordered=True))
    events.table.say(events.actor, HookPage(stream, 0, (ordered,), last=True))
    events.world.pass_time(30)
    assert events.routed() == {}
    events.actor.actor.measure()
    gauges = events.actor.actor.tally.figures().gauges
    progress_at = gauges["callboard_last_progress_timestamp_seconds", (events.actor.path,)]
    assert progress_at == pytest.approx(matched_at, abs=0.001)


def test_a_later_subscription_is_known_by_its_number_although_the_clock_was_set_back(events):
    first = events.subscription()
    for _time in range(2):
        events.world.set_clock(-3600)
        events.table.restart()
        events.world.tell_peers(events.actor, *events.peers)
        second = events.subscription()
        assert second > first
        first = second


def test_what_fires_no_hook_is_logged_for_tables_of_the_configuration_only(world):
    """Most events of other modules concern no hook."""
    lines, module = [], SimpleNamespace(id="channel_create")
    log = SimpleNamespace(info=lambda *line, **_facts: lines.append(line))
    unfired = UnfiredEvents(module, lambda call: Timer(world.after, call), log)
    for _time in range(2):
        unfired.add({"no_hook": 2}, "key")
        world.pass_time(100)
    assert lines == []
    assert unfired.stats() == {"no_hook": 4, "no_account": 0, "filtered": 0}


def test_deliveries_in_order_are_counted_and_go_to_the_retry_queue(events):
    retries = events.world.peer(RETRY_QUEUE)
    events.world.tell_peers(events.actor, *events.peers, retries)
    events.load(hook("h1", options=Options(ordered=True)), hook("h2"))
    events.give(1, event())
    assert events.made() == ["h2"]
    batches = retries.take(DeliveryBatch)
    assert [d.hook_id for b in batches for e in b.events for d in e.deliveries] == ["h1"]
    events.actor.actor.measure()
    counted = events.actor.actor.tally.figures().counters
    assert counted["callboard_deliveries_made_total", ("shop",)] == 2


def test_it_shows_what_it_holds(events):
    retries = events.world.peer(RETRY_QUEUE)
    events.world.tell_peers(events.actor, *events.peers, retries)
    stream = events.load(*[hook(f"h{number}") for number in range(65)])
    events.give(1, event(1), event(2), b"[]")
    events.world.pass_time(0.5)
    events.table.say(events.actor, HooksChanged(stream, 1, (), (("a", "h0"),)))
    events.world.tell_peers(events.actor, *events.peers[:2])
    events.give(2, event(3))
    assert events.actor.actor.stats() == {
        "events": 3,
        "deliveries": 130,
        "poison": 1,
        "no_hook": 0,
        "no_account": 0,
        "filtered": 0,
        "hooks": 64,
        "held": 1,
        "fan_outs": 2,
        "unsettled": 130,
    }


def test_slices_are_made_in_one_turn_while_there_is_time(events):
    events.load(*[hook(f"h{number}") for number in range(1000)])
    events.world.pass_time(1)
    handled = []
    events.world.journal = lambda living, message: handled.append((living.actor, type(message)))
    events.give(1, event())
    events.world.pass_time(0.5)
    assert len(events.made()) == 1000
    turns = [kind for actor, kind in handled if actor is events.actor.actor]
    assert turns.count(WakeupMessage) < 4


def test_what_waits_for_the_retry_queue_is_dropped_with_its_connection(events):
    """The bridge gives it again, in another batch."""
    events.load(hook("h1", options=Options(ordered=True)))
    events.give(1, event())
    assert events.routed() == {}
    events.give(9, event(1), event(2), since=8)
    retries = events.world.peer(RETRY_QUEUE)
    events.world.tell_peers(events.actor, *events.peers, retries)
    events.world.pass_time(0.1)
    [ask] = {message.ask for message in events.listener.take(RefreshHooks)}
    events.listener.say(events.actor, HooksRefreshed(ask))
    assert events.routed() == {9: ([1, 2], [])}
    events.give(10, event(), since=8)
    assert events.routed() == {10: ([1], [])}


def test_between_tenths_of_a_second_of_matching_other_messages_are_handled(
    world, servers, settings
):
    class Slow(Responder):
        def _fan_out(self, *arguments):
            world.now += 0.03
            return super()._fan_out(*arguments)

    world._classes[Responder] = Slow
    events = Events(world, servers, settings)
    events.load(hook("h1"))
    handled = []
    world.journal = lambda living, message: handled.append((living.actor, type(message)))
    events.give(1, *map(event, range(10)))
    world.pass_time(1)
    assert events.routed() == {1: ([*range(1, 11)], [])}
    turns = [kind for actor, kind in handled if actor is events.actor.actor]
    assert turns.count(EventBatch) == 1
    assert 2 <= turns.count(WakeupMessage) <= 4
