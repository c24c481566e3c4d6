"""What goes into the ordered queues, in the order of the events."""

from hypothesis import given
from hypothesis import strategies as st

from callboard.webhooks.acknowledgement.event_ledger import BatchLimits, EventLedger
from callboard.webhooks.acknowledgement.releases import Releases


class Event:
    def __init__(self, tag):
        self.tag, self.body = tag, b""


def ready(releases):
    return list(releases.ready())


def test_nothing_goes_on_before_it_is_released():
    releases = Releases()
    releases.hold("1/0", {5: "five", 7: "seven"})
    assert ready(releases) == []
    assert releases.release(1, 6, (("1/0", (5,)),)) == []
    assert ready(releases) == ["five"]
    assert ready(releases) == []
    # It may be listed until the bridge knows that it is settled.
    releases.release(2, 8, (("1/0", (5, 7)),))
    assert ready(releases) == ["seven"]
    assert len(releases) == 0


def test_later_ones_wait_for_a_share_that_has_not_arrived():
    releases = Releases()
    releases.hold("2/0", {2: "two"})
    releases.release(1, 3, (("1/0", (1,)), ("2/0", (2,))))
    assert ready(releases) == []
    releases.hold("1/0", {1: "one"})
    assert ready(releases) == ["one", "two"]


def test_an_older_list_has_no_effect():
    releases = Releases()
    releases.hold("1/0", {1: "one", 2: "two"})
    releases.release(2, 3, (("1/0", (1, 2)),))
    releases.release(1, 2, (("1/0", (1,)),))
    releases.release(2, 9, ())
    assert ready(releases) == ["one", "two"]


def test_what_the_bridge_does_not_want_any_more_is_void():
    """It was given back to the broker, or came from a responder that died."""
    releases = Releases()
    releases.hold("1/0", {1: "lost", 4: "later"})
    releases.hold("2/0", {1: "one"})
    assert releases.release(1, 3, (("2/0", (1,)),)) == ["lost"]
    assert ready(releases) == ["one"]
    assert len(releases) == 1


def ledger_with(*modules_by_tag):
    ledger = EventLedger()
    for tag, modules in enumerate(modules_by_tag, start=1):
        ledger.take(Event(tag), modules)
    return ledger


def routed(ledger, id, module, shares):
    assert ledger.next(module, 0.0)[0] == id
    holders = dict.fromkeys(shares, ("retry_queue", 1))
    ledger.routed(id, shares, holders, 0.0, in_order=shares.keys())


def test_events_are_released_once_all_earlier_ones_are_routed():
    ledger = ledger_with({"a"}, {"b"}, {"a"})
    routed(ledger, 1, "a", {"1/0": (1, 3)})
    assert ledger.released() == (2, (("1/0", (1,)),))
    routed(ledger, 2, "b", {"2/0": (2,)})
    assert ledger.released() == (4, (("1/0", (1, 3)), ("2/0", (2,))))
    ledger.settled("1/0", [1])
    assert ledger.released() == (4, (("1/0", (3,)), ("2/0", (2,))))


def test_an_event_is_not_released_before_all_its_modules_have_routed_it():
    ledger = ledger_with({"a", "b"})
    routed(ledger, 1, "a", {"1/0": (1,)})
    assert ledger.released() == (1, ())
    routed(ledger, 2, "b", {"2/0": (1,)})
    assert ledger.released() == (2, (("1/0", (1,)), ("2/0", (1,))))


def test_order_counts_over_a_new_connection_too():
    ledger = ledger_with({"a"})
    assert not ledger.in_order
    routed(ledger, 1, "a", {"1/0": (1,)})
    assert ledger.in_order
    assert ledger.emptied().in_order


@given(st.data())
def test_all_go_on_in_order_in_whatever_order_messages_arrive(data):
    """Two modules route batches of any size; messages to the retry queue may overtake others."""
    count = data.draw(st.integers(1, 20))
    most = data.draw(st.integers(1, 5))
    ledger, releases = EventLedger(BatchLimits(most_items=most)), Releases()
    for tag in range(1, count + 1):
        ledger.take(Event(tag), data.draw(st.sampled_from([{"a"}, {"b"}, {"a", "b"}])))
    on_the_way, done, number = [], [], 0
    while ledger.open or on_the_way:
        modules = [m for m in ("a", "b") if m in set(ledger.waiting())]
        if modules and (not on_the_way or data.draw(st.booleans())):
            module = data.draw(st.sampled_from(modules))
            number += 1
            batch, events = ledger.next(module, 0.0)
            share = f"{batch}/0"
            tags = tuple(event.tag for event in events)
            on_the_way.append(("hold", share, {tag: (share, tag) for tag in tags}))
            holders = {share: ("retry_queue", 1)}
            ledger.routed(batch, {share: tags}, holders, 0.0, in_order={share})
            on_the_way.append(("release", number, *ledger.released()))
        else:
            at = data.draw(st.integers(0, len(on_the_way) - 1))
            kind, *values = on_the_way.pop(at)
            if kind == "hold":
                releases.hold(*values)
            else:
                assert releases.release(*values) == []
            for share, tag in releases.ready():
                done.append(tag)
                ledger.settled(share, [tag])
    assert done == sorted(done)
    assert set(done) == set(range(1, count + 1))


def test_what_is_listed_no_more_is_not_remembered():
    releases = Releases()
    releases.hold("1/0", {5: "five"})
    releases.release(1, 6, (("1/0", (5,)),))
    assert ready(releases) == ["five"]
    releases.release(2, 6, ())
    releases.hold("1/0", {5: "again"})
    releases.release(3, 6, (("1/0", (5,)),))
    assert ready(releases) == ["again"]
