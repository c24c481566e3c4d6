"""What a deliverer owes to its sources."""

from callboard.webhooks.acknowledgement.receipts import Owed, Report, Waiter

BRIDGE, QUEUE = ("event_bridge", 3), ("deliveries/retry_queue", 1)


def test_a_tag_is_settled_with_the_last_of_its_deliveries():
    owed = Owed()
    assert owed.take(BRIDGE, "1/0", {7: 2, 8: 1})
    assert owed.report("event_bridge") == Report(BRIDGE, ("1/0",), ())
    waiter = Waiter(BRIDGE, "1/0", 7)
    owed.settle(waiter)
    assert owed.paths() == []
    owed.settle(waiter)
    assert owed.report("event_bridge") == Report(BRIDGE, (), (("1/0", (7,)),))
    assert owed.paths() == []


def test_sources_are_told_apart():
    owed = Owed()
    owed.take(BRIDGE, "1", {7: 1})
    owed.take(QUEUE, "1", {7: 1})
    owed.settle(Waiter(QUEUE, "1", 7))
    assert owed.report("event_bridge").settled == ()
    assert owed.report("deliveries/retry_queue").settled == (("1", (7,)),)


def test_a_part_that_comes_twice_counts_once():
    owed = Owed()
    assert owed.take(BRIDGE, "1/0", {7: 1})
    assert not owed.take(BRIDGE, "1/0", {7: 1})


def test_nothing_is_owed_to_an_earlier_incarnation():
    owed = Owed()
    owed.take(BRIDGE, "1/0", {7: 1})
    assert owed.serve(("event_bridge", 4))
    owed.settle(Waiter(BRIDGE, "1/0", 7))
    assert owed.paths() == []
    assert not owed.take(BRIDGE, "2/0", {9: 1})


def test_parts_in_hand_or_about_to_be_reported_are_known():
    owed = Owed()
    owed.take(BRIDGE, "1/0", {7: 1})
    owed.take(BRIDGE, "1/1", {8: 1})
    owed.settle(Waiter(BRIDGE, "1/1", 8))
    assert owed.unknown(BRIDGE, ["1/0", "1/1", "1/2"]) == ("1/2",)
    owed.report("event_bridge")
    assert owed.unknown(BRIDGE, ["1/0", "1/1"]) == ("1/1",)
    assert owed.unknown(("event_bridge", 2), ["1/0"]) == ("1/0",)
