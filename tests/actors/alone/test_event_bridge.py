"""The event bridge alone: what it acknowledges, repeats and gives back, whatever its peers do."""

import logging
from types import SimpleNamespace

import pytest

from callboard.actors.base.role import Ports
from callboard.actors.events.bridge import EventBridge
from callboard.actors.messages import EventBatch, NotHeld, Progress, Reconcile, Release, Routed
from callboard.actors.messages.paths import EVENT_BRIDGE, RETRY_QUEUE, responder_path
from callboard.adapters.broker.protocol import Properties
from callboard.adapters.store.spool import Spool
from callboard.config.settings import ApiSettings, ModuleSettings
from callboard.config.time_limits import overdue_s
from support.world import Broker, Store, World

QUEUE = "callboard.events"
LOST_S = 120.0
"""After this time a message that is not answered counts as lost."""


class Bridge:
    """A bridge with a responder and a deliverer that do what the test says."""

    def __init__(self, world, servers, settings):
        self.world, self.broker, self.settings = world, servers.broker, settings
        self.responder = world.peer(responder_path("shop"))
        self.deliverer = world.peer("deliveries/deliverer-1")
        self.incarnation = 0
        self.start()

    def start(self):
        self.incarnation += 1
        peers = self.responder, self.deliverer
        self.actor = self.world.start(
            EventBridge, EVENT_BRIDGE, self.settings, *peers, incarnation=self.incarnation
        )
        self.world.pass_time(1)

    def publish(self, *bodies):
        for body in bodies:
            self.broker.publish("shop", "order.made", body, Properties())
        self.world.pass_time(1)

    def batches(self):
        """The batches that the responder has received, as (number, bodies by tag)."""
        self.world.pass_time(0.1)
        taken = self.responder.take(EventBatch)
        return [(each.batch, {event.tag: event.body for event in each.events}) for each in taken]

    def route(self, batch, tags, share=None, poison=()):
        share = share or f"{batch}/0"
        holder = self.deliverer.path, self.deliverer.incarnation
        shares = {share: tuple(tags)} if tags else {}
        holders = {share: holder} if tags else {}
        self.responder.say(self.actor, Routed(batch, shares, holders, tuple(poison)))
        self.world.pass_time(0.1)

    def report(self, share, tags, incarnation=None):
        source = EVENT_BRIDGE, incarnation or self.incarnation
        self.deliverer.say(self.actor, Progress(source, (share,), ((share, tuple(tags)),)))
        self.world.pass_time(0.1)

    @property
    def left(self):
        """The bodies of messages that are not acknowledged."""
        return [message.body for message in self.broker.held(QUEUE)]


@pytest.fixture
def bridge(world, servers, settings):
    return Bridge(world, servers, settings)


def test_before_it_is_connected_it_says_so(world, servers, settings):
    actor = world.start(EventBridge, EVENT_BRIDGE, settings).actor
    assert actor.stats()["broker"] == "down"
    world.pass_time(1)
    assert actor.stats()["broker"] == "up"


def test_an_event_is_acknowledged_once_it_is_settled(bridge):
    bridge.publish(b"1")
    [(batch, events)] = bridge.batches()
    bridge.route(batch, events)
    assert bridge.left == [b"1"]
    bridge.report(f"{batch}/0", events)
    assert bridge.left == []


def test_an_event_that_fires_nothing_is_acknowledged_when_it_is_routed(bridge):
    bridge.publish(b"1")
    [(batch, _events)] = bridge.batches()
    bridge.route(batch, ())
    assert bridge.left == []


def test_reports_that_arrive_twice_acknowledge_once(bridge):
    bridge.publish(b"1", b"2")
    found = dict(event for _batch, events in bridge.batches() for event in events.items())
    assert sorted(found.values()) == [b"1", b"2"]
    for _time in range(2):
        for number, tag in enumerate(found, 1):
            bridge.route(number, [tag])
            bridge.report(f"{number}/0", [tag])
    assert bridge.left == []


def test_a_deliverer_may_report_before_the_responder(bridge):
    bridge.publish(b"1")
    [(batch, events)] = bridge.batches()
    bridge.report(f"{batch}/0", events)
    assert bridge.left == [b"1"]
    bridge.route(batch, events)
    assert bridge.left == []


def test_a_batch_whose_routing_is_not_reported_is_sent_again(bridge):
    bridge.publish(b"1")
    [first] = bridge.batches()
    bridge.world.pass_time(LOST_S)
    assert first in bridge.batches()


def test_a_share_without_a_report_is_asked_after_and_given_back_if_it_never_arrived(bridge):
    bridge.publish(b"1")
    [(batch, events)] = bridge.batches()
    bridge.route(batch, events)
    bridge.world.pass_time(LOST_S)
    share = f"{batch}/0"
    assert Reconcile((EVENT_BRIDGE, 1), (share,)) in bridge.deliverer.take(Reconcile)
    bridge.deliverer.say(bridge.actor, NotHeld((EVENT_BRIDGE, 1), (share,)))
    bridge.deliverer.say(bridge.actor, NotHeld((EVENT_BRIDGE, 1), (share,)))
    bridge.world.pass_time(1)
    [(again, events)] = bridge.batches()
    assert list(events.values()) == [b"1"]
    bridge.report(share, [1])  # The late report is of a share that is forgotten.
    assert bridge.left == [b"1"]
    bridge.route(again, ())
    assert bridge.left == []


def test_the_successor_of_a_responder_gets_what_was_not_routed(bridge):
    bridge.publish(b"1")
    [(old, _events)] = bridge.batches()
    bridge.responder.restart()
    bridge.world.tell_peers(bridge.actor, bridge.responder, bridge.deliverer)
    [(batch, events)] = bridge.batches()
    assert list(events.values()) == [b"1"]
    bridge.route(old, ())  # The first responder's report, late.
    assert bridge.left == [b"1"]
    bridge.route(batch, ())
    assert bridge.left == []


@pytest.mark.parametrize("routed_first", [True, False])
def test_the_events_of_a_dead_deliverer_are_given_back(bridge, routed_first):
    bridge.publish(b"1")
    [(batch, events)] = bridge.batches()
    holder = bridge.deliverer.path, bridge.deliverer.incarnation
    routed = Routed(batch, {f"{batch}/0": tuple(events)}, {f"{batch}/0": holder}, ())
    if routed_first:
        bridge.responder.say(bridge.actor, routed)
    bridge.deliverer.restart()
    bridge.world.tell_peers(bridge.actor, bridge.responder, bridge.deliverer)
    if not routed_first:
        bridge.responder.say(bridge.actor, routed)
    bridge.world.pass_time(1)
    [(_batch, events)] = bridge.batches()
    assert list(events.values()) == [b"1"]


def test_while_a_responder_is_down_events_wait(bridge):
    bridge.world.tell_peers(bridge.actor, bridge.deliverer)
    bridge.publish(b"1")
    assert bridge.batches() == []
    bridge.world.tell_peers(bridge.actor, bridge.responder, bridge.deliverer)
    [(_batch, events)] = bridge.batches()
    assert list(events.values()) == [b"1"]


def test_the_successor_of_a_killed_bridge_takes_all_that_was_unsettled(bridge):
    bridge.publish(b"1", b"2")
    for batch, events in bridge.batches()[:1]:
        bridge.route(batch, events)
        bridge.report(f"{batch}/0", list(events)[:1])
    assert len(bridge.left) == 1
    bridge.world.kill(bridge.actor.address)
    bridge.start()
    [(batch, events)] = bridge.batches()
    assert list(events.values()) == bridge.left
    bridge.report(f"{batch}/0", events, incarnation=1)  # To the one before.
    bridge.route(batch, events)
    assert len(bridge.left) == 1
    bridge.report(f"{batch}/0", events)
    assert bridge.left == []


@pytest.mark.logs("broker_down")
def test_a_lost_connection_voids_what_came_by_it(bridge):
    bridge.publish(b"1")
    [(batch, events)] = bridge.batches()
    bridge.broker.connections[0].lose("reset by peer")
    bridge.world.pass_time(5)
    [(again, events_again)] = bridge.batches()
    assert events_again.keys() != events.keys()
    bridge.route(batch, events)
    bridge.report(f"{batch}/0", events)
    assert bridge.left == [b"1"]
    bridge.route(again, ())
    assert bridge.left == []


@pytest.mark.logs("event_set_aside")
def test_an_event_that_cannot_be_read_is_quarantined_once(bridge):
    bridge.publish(b"1")
    [(batch, [tag])] = bridge.batches()
    bridge.route(batch, (), poison=[(tag, "the body is no object")])
    bridge.route(batch, (), poison=[(tag, "the body is no object")])
    assert bridge.left == []
    kept = Spool(bridge.settings.data.dir / "poison.sqlite3", dropping=False)
    [(_id, _database, document)] = kept.first(10)
    kept.close()
    assert document["reason"] == "the body is no object"


def test_ten_thousand_at_once_go_in_bounded_batches(bridge):
    for number in range(10_000):
        bridge.broker.publish("shop", "order.made", b"%d" % number, Properties())
    routed = []
    while (held := bridge.batches()) or bridge.world.run(lambda: False, 1):
        assert len(held) <= 2
        for batch, events in held:
            assert len(events) <= 200
            routed += events.values()
            bridge.route(batch, ())
    assert sorted(map(int, routed)) == list(range(10_000))
    assert bridge.left == []


def test_large_events_go_in_several_batches(bridge):
    bridge.publish(*[b"%d" % number * 400_000 for number in range(6)])
    sizes = []
    while held := bridge.batches():
        for batch, events in held:
            sizes.append(sum(map(len, events.values())))
            bridge.route(batch, ())
    assert max(sizes) < 1_500_000
    assert bridge.left == []


@pytest.mark.logs("messages_overdue")
def test_an_event_that_is_not_settled_returns_to_the_broker_in_time(bridge):
    bridge.publish(b"1")
    [(batch, events)] = bridge.batches()
    bridge.route(batch, events)
    bridge.world.pass_time(overdue_s(bridge.settings) / 2)
    bridge.publish(b"2")
    [(second, others)] = bridge.batches()
    bridge.route(second, others)
    bridge.world.pass_time(overdue_s(bridge.settings) / 2 + 1)
    [(again, redelivered)] = [each for each in bridge.batches() if b"1" in each[1].values()]
    assert redelivered.keys().isdisjoint(events)
    bridge.report(f"{batch}/0", events)  # Too late.
    bridge.report(f"{second}/0", others)
    assert bridge.left == [b"1"]
    bridge.route(again, redelivered)
    bridge.report(f"{again}/0", redelivered)
    assert bridge.left == []


def test_deliveries_in_order_are_released_as_soon_as_all_earlier_ones_are_made(bridge):
    retries = bridge.world.peer(RETRY_QUEUE)
    bridge.world.tell_peers(bridge.actor, bridge.responder, bridge.deliverer, retries)
    bridge.publish(b"1")
    [(first, [one])] = bridge.batches()
    bridge.publish(b"2")
    [(second, [two])] = bridge.batches()

    def route(batch, tag):
        share = f"{batch}/0"
        holder = {share: (RETRY_QUEUE, retries.incarnation)}
        bridge.responder.say(bridge.actor, Routed(batch, {share: (tag,)}, holder, ()))
        bridge.world.pass_time(0.1)
        return [message.released for message in retries.take(Release)]

    assert [shares for shares in route(second, two) if shares] == []
    expected = [(f"{first}/0", (one,)), (f"{second}/0", (two,))]
    assert [sorted(released) for released in route(first, one)] == [expected]
    bridge.publish(b"3")  # It is not routed, and holds up what comes behind it.
    bridge.batches()
    counts = []
    for body in (b"4", b"5"):
        bridge.publish(body)
        [(batch, _events)] = bridge.batches()
        bridge.route(batch, ())
        counts.append(len(retries.take(Release)))
    assert counts[1] == 0, "nothing more is released"
    bridge.world.pass_time(LOST_S)
    again = retries.take(Release)
    assert {tuple(sorted(message.released)) for message in again} == {tuple(expected)}


def test_the_log_says_which_event_was_quarantined_and_why():
    with World(log_level=logging.WARNING) as world:
        servers = SimpleNamespace(broker=Broker(world), store=Store())
        world.ports = Ports(servers.broker.connect, servers.store.connect)
        shop = ModuleSettings(id="shop", exchange="shop", bindings=("order.#",), account_id="a")
        settings = world.settings(api=ApiSettings(events=False), modules=(shop,))
        bridge = Bridge(world, servers, settings)
        world.logged.clear()
        bridge.publish(b"1")
        [(batch, [tag])] = bridge.batches()
        bridge.route(batch, (), poison=[(tag, "the body is no object")])
        [line] = world.logged
        assert line == {
            "event": "event_set_aside",
            "actor": "event_bridge",
            "module": "shop",
            "routing_key": "order.made",
            "reason": "the body is no object",
        }


@pytest.mark.logs("broker_down")
def test_batches_say_from_which_one_on_the_broker_has_not_redelivered(bridge):
    """A responder drops the batches of a lost connection."""
    bridge.publish(b"1")
    bridge.world.pass_time(0.1)
    [before] = bridge.responder.take(EventBatch)
    bridge.broker.connections[0].lose("reset by peer")
    bridge.world.pass_time(5)
    [after] = bridge.responder.take(EventBatch)
    assert before.since <= before.batch < after.since <= after.batch


def test_a_routed_batch_makes_room_for_the_next_at_once(bridge):
    bridge.publish(*[b"x"] * 900)
    batches = bridge.batches()
    assert len(batches) == 2
    for batch, _events in batches:
        bridge.responder.say(bridge.actor, Routed(batch, {}, {}, ()))
    assert len(bridge.batches()) == 2
