"""The books of the retry queue."""

from callboard.webhooks.acknowledgement.batch_ledger import BatchLedger

ONE, OTHER = ("deliveries/deliverer-1", 1), ("deliveries/deliverer-2", 1)


def ledger():
    ledger = BatchLedger()
    ledger.sent("1", ONE, {10: "a", 11: "b"}, now=5.0)
    ledger.sent("2", OTHER, {12: "c"}, now=6.0)
    return ledger


def test_what_is_settled_is_given_back_once():
    out = ledger()
    assert out.settled("1", [11, 99]) == [11]
    assert out.settled("1", [11]) == []
    assert [tag in out for tag in (10, 11, 12, 13)] == [True, False, True, False]
    assert len(out) == 2
    assert out.settled("3", [1]) == []


def test_parts_are_on_the_way_until_they_are_seen():
    out = ledger()
    assert out.shares.on_the_way == 2
    out.shares.accepted("1")
    out.settled("2", [])
    assert out.shares.on_the_way == 0


def test_a_part_that_is_settled_is_asked_after_no_more():
    out = ledger()
    assert out.settled("1", [11, 10]) == [10, 11]
    assert out.shares.stale(before=10.0) == {"deliveries/deliverer-2": ["2"]}
    assert out.shares.on_the_way == 1


def test_what_the_dead_had_is_free_again():
    out = ledger()
    out.settled("1", [10])
    assert out.died(ONE) == [11]
    assert out.died(("deliveries/deliverer-2", 2)) == []
    assert out.lost(["2", "1"]) == [12]
    assert len(out) == 0


def test_old_parts_are_asked_after():
    assert ledger().shares.stale(before=5.5) == {"deliveries/deliverer-1": ["1"]}
    assert ledger().shares.stale(before=5.0) == {}


def test_the_holder_of_a_delivery_is_known_until_all_of_its_copies_are_settled():
    out = ledger()
    out.sent("3", ONE, {20: "b"}, now=7.0)
    assert [out.holder_of(id) for id in "abcd"] == [ONE, ONE, OTHER, None]
    out.settled("1", [10, 11])
    assert [out.holder_of(id) for id in "ab"] == [None, ONE]
    out.died(ONE)
    assert out.holder_of("b") is None
    out.lost(["2"])
    assert out.holder_of("c") is None


def test_only_a_known_share_is_accepted():
    out = ledger()
    before = out.shares.on_the_way
    assert not out.shares.accepted("of none")
    assert out.shares.on_the_way == before
    assert out.shares.accepted("2")
    assert out.shares.on_the_way == before - 1


def test_what_returns_to_the_broker_is_forgotten():
    out = ledger()
    out.drop([10, 12, 99])
    assert [tag in out for tag in (10, 11, 12)] == [False, True, False]
    assert [out.holder_of(id) for id in "abc"] == [None, ONE, None]
    assert len(out.shares) == 1


def test_the_holder_of_a_delivery_is_known_until_its_last_copy_is_settled():
    out = BatchLedger()
    out.sent("1", ONE, {10: "a", 11: "a", 12: "a"}, now=5.0)
    holders = []
    for tag in (10, 11, 12):
        out.settled("1", [tag])
        holders.append(out.holder_of("a"))
    assert holders == [ONE, ONE, None]
