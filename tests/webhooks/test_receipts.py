"""What a deliverer owes to its sources."""

from callboard.webhooks.acknowledgement.receipts import Receipt, Receipts, Report

BRIDGE, QUEUE = ("event_bridge", 3), ("deliveries/retry_queue", 1)


def test_a_tag_is_settled_with_the_last_of_its_deliveries():
    receipts = Receipts()
    assert receipts.take(BRIDGE, "1/0", {7: 2, 8: 1})
    assert receipts.report("event_bridge") == Report(BRIDGE, ("1/0",), ())
    receipt = Receipt(BRIDGE, "1/0", 7)
    receipts.settle(receipt)
    assert receipts.paths() == []
    receipts.settle(receipt)
    assert receipts.report("event_bridge") == Report(BRIDGE, (), (("1/0", (7,)),))
    assert receipts.paths() == []


def test_sources_are_told_apart():
    receipts = Receipts()
    receipts.take(BRIDGE, "1", {7: 1})
    receipts.take(QUEUE, "1", {7: 1})
    receipts.settle(Receipt(QUEUE, "1", 7))
    assert receipts.report("event_bridge").settled == ()
    assert receipts.report("deliveries/retry_queue").settled == (("1", (7,)),)


def test_a_part_that_comes_twice_counts_once():
    receipts = Receipts()
    assert receipts.take(BRIDGE, "1/0", {7: 1})
    assert not receipts.take(BRIDGE, "1/0", {7: 1})


def test_nothing_is_owed_to_an_earlier_incarnation():
    receipts = Receipts()
    receipts.take(BRIDGE, "1/0", {7: 1})
    assert receipts.serve(("event_bridge", 4))
    receipts.settle(Receipt(BRIDGE, "1/0", 7))
    assert receipts.paths() == []
    assert not receipts.take(BRIDGE, "2/0", {9: 1})
    # Not even if the new incarnation has a share and a tag of the same name.
    assert receipts.take(("event_bridge", 4), "1/0", {7: 1})
    receipts.report("event_bridge")
    receipts.settle(Receipt(BRIDGE, "1/0", 7))
    assert receipts.settled == 0


def test_receipts_of_unknown_sources_shares_and_tags_are_no_settlements():
    receipts = Receipts()
    receipts.settle(Receipt(BRIDGE, "1/0", 7))
    receipts.take(BRIDGE, "1/0", {7: 1})
    receipts.report("event_bridge")
    receipts.settle(Receipt(BRIDGE, "1/1", 7))
    receipts.settle(Receipt(BRIDGE, "1/0", 8))
    assert (receipts.settled, receipts.paths()) == (0, [])
    receipts.settle(Receipt(BRIDGE, "1/0", 7))
    receipts.settle(Receipt(BRIDGE, "1/0", 7))
    assert receipts.report("event_bridge").settled == (("1/0", (7,)),)


def test_parts_in_hand_or_about_to_be_reported_are_known():
    receipts = Receipts()
    receipts.take(BRIDGE, "1/0", {7: 1})
    receipts.take(BRIDGE, "1/1", {8: 1})
    receipts.settle(Receipt(BRIDGE, "1/1", 8))
    assert receipts.unknown(BRIDGE, ["1/0", "1/1", "1/2"]) == ("1/2",)
    receipts.report("event_bridge")
    assert receipts.unknown(BRIDGE, ["1/0", "1/1"]) == ("1/1",)
    assert receipts.unknown(("event_bridge", 2), ["1/0"]) == ("1/0",)
