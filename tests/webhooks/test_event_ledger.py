"""The books: every event leaves them once, and is acknowledged only when all of it is settled."""

import itertools

import pytest
from attrs import frozen
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from callboard.webhooks.acknowledgement.event_ledger import (
    BatchLimits,
    EventLedger,
    batch_of,
    share_name,
)
from support.fuzz import examples

ONE, OTHER = ("deliverer-1", 1), ("deliverer-2", 1)


@frozen
class Arrived:
    tag: int
    body: bytes = b"12345"


def ledger(*tags, modules=("m",), **limits):
    made = EventLedger(BatchLimits(**limits))
    for tag in tags:
        assert made.take(Arrived(tag), modules)
    return made


def send(ledger, module="m"):
    """The tags of the module's next batch; its number is the next from 1."""
    _number, events = ledger.next(module, 0.0) or (0, ())
    return [event.tag for event in events]


def routed(ledger, id=1, **shares):
    """Parts by the path of their deliverer: deliverer_1=(1, 2)."""
    holders = {"deliverer_1": ONE, "deliverer_2": OTHER}
    named = {share_name(id, n): tags for n, tags in enumerate(shares.values())}
    held = {share_name(id, n): holders[path] for n, path in enumerate(shares)}
    return ledger.routed(id, named, held, now=0.0)[1]


def test_an_event_nobody_wants_is_not_kept():
    made = EventLedger()
    assert not made.take(Arrived(1), ())
    assert made.open == 0


def test_an_event_without_deliveries_is_done_when_it_is_routed():
    made = ledger(1, 2)
    assert send(made) == [1, 2]
    assert routed(made, deliverer_1=(2,)) == [1]
    assert made.open == 1


def test_an_event_of_two_modules_waits_for_both():
    made = ledger(1, modules=("m", "n"))
    send(made, "m")
    send(made, "n")
    assert routed(made, 1) == []
    assert routed(made, 2) == [1]


def test_an_event_in_two_parts_waits_for_both():
    made = ledger(1)
    send(made)
    assert routed(made, deliverer_1=(1,), deliverer_2=(1,)) == []
    assert made.settled("1/0", [1]) == []
    assert made.settled("1/1", [1]) == [1]
    assert (made.open, len(made.shares)) == (0, 0)


def test_news_of_a_part_may_overtake_the_word_that_it_exists():
    made = ledger(1, 2)
    send(made)
    assert made.settled("1/0", [1]) == []
    assert routed(made, deliverer_1=(1, 2)) == [1]
    assert made.settled("1/0", [2]) == [2]


def test_news_of_what_is_unknown_or_comes_twice_changes_nothing():
    made = ledger(1)
    made.accepted("7/0")
    assert made.settled("7/0", [1]) == []
    send(made)
    assert routed(made, deliverer_1=(1,)) == []
    assert routed(made, deliverer_1=(1,)) == []
    assert made.settled("1/0", [1]) == [1]
    assert made.settled("1/0", [1]) == []


def test_what_the_dead_had_goes_back_once_and_whole():
    made = ledger(1, 2)
    send(made)
    routed(made, deliverer_1=(1, 2), deliverer_2=(2,))
    made.died(OTHER)
    assert made.lost().tags == [2]
    assert made.lost().tags == []
    assert made.settled("1/0", [1, 2]) == [1]
    assert made.open == 0


def test_a_part_sent_to_one_who_had_died_is_lost():
    made = ledger(1)
    made.died(ONE)
    made = made.emptied()
    assert made.take(Arrived(1), ["m"])
    send(made)
    routed(made, deliverer_1=(1,))
    assert made.lost().tags == [1]


def test_a_part_that_is_missed_goes_back():
    made = ledger(1, 2)
    send(made)
    routed(made, deliverer_1=(1,), deliverer_2=(2,))
    assert made.lost(["1/0", "no such part"]).tags == [1]
    assert made.settled("1/1", [2]) == [2]


def test_what_no_module_sends_in_order_goes_back_alone():
    made = ledger(1, 2)
    send(made)
    routed(made, deliverer_1=(1, 2))
    assert not made.lost(["1/0"]).in_order
    assert not made.withdraw([1, 2]).in_order  # They are gone.


def test_what_is_sent_in_order_and_what_may_be_goes_back_before_later_events():
    made = ledger(1, 2, 3, 4, modules=("m", "n"))
    send(made, "m")
    routed(made, 1, deliverer_1=(1, 2, 3))
    assert made.withdraw([1]).in_order  # The other module may send it in order.
    send(made, "n")
    made.routed(2, {"2/0": (2,)}, {"2/0": OTHER}, 0.0, in_order={"2/0"})
    assert not made.withdraw([3]).in_order
    assert made.lost(["1/0"]).in_order
    assert made.open == 0


def test_what_went_back_is_not_sent_on():
    made = ledger(1, modules=("m", "n"))
    send(made, "m")
    routed(made, 1, deliverer_1=(1,))
    made.died(ONE)
    assert made.lost().tags == [1]
    assert made.waiting() == []
    assert send(made, "n") == []


@pytest.mark.parametrize("limits", [{"most_items": 3}, {"most_bytes": 11}])
def test_a_batch_is_cut_by_number_and_by_bytes(limits):
    made = ledger(*range(4), **limits)
    assert send(made) == [0, 1, 2]
    assert made.waiting() == ["m"]
    assert send(made) == [3]
    assert made.waiting() == []


def test_a_responder_has_two_batches_at_most():
    made = ledger(1, 2, 3, most_items=1)
    assert [send(made) for _ in range(3)] == [[1], [2], []]
    assert routed(made, 1) == [1]
    assert send(made) == [3]


def test_the_successor_of_a_responder_gets_its_batches_first_and_late_reports_count_no_more():
    made = ledger(1, 2, 3, 4, most_items=2)
    send(made)
    made.settled("1/0", [1])
    made.take_back("m")
    assert made.batches == 0
    assert routed(made, 1, deliverer_1=(1, 2)) == []
    assert (send(made), send(made)) == ([1, 2], [3, 4])
    assert routed(made, 2) == [1, 2]
    assert routed(made, 3) == [3, 4]


def test_what_went_back_meanwhile_is_not_sent_to_a_successor():
    made = ledger(1, 2, modules=("m", "n"))
    send(made, "m")
    send(made, "n")
    routed(made, 1, deliverer_1=(1,))
    made.died(ONE)
    assert made.lost().tags == [1]
    made.take_back("n")
    assert send(made, "n") == [2]


def test_a_new_connection_goes_on_with_the_numbers():
    made = ledger(1)
    send(made)
    made = made.emptied()
    made.take(Arrived(1), ["m"])
    assert made.next("m", 0.0)[0] == 2


def test_what_is_old_is_named():
    made = ledger(1, 2, most_items=1)
    send(made)
    send(made)
    routed(made, 2, deliverer_1=(2,))
    assert made.overdue(before=0.0, now=5.0) == []
    assert made.overdue(before=1.0, now=5.0) == [("m", 1, [Arrived(1)])]
    assert (made.overdue(before=1.0, now=6.0), made.resent) == ([], 1)
    assert made.shares.stale(before=1.0) == {"deliverer-1": ["2/0"]}
    assert made.shares.on_the_way == 1
    made.accepted("2/0")
    assert made.shares.on_the_way == 0


def test_a_share_may_be_accepted_before_its_batch_is_known_to_be_routed():
    made = ledger(1, 2)
    send(made)
    made.accepted("1/0")
    made.accepted("9/0")  # of no batch
    routed(made, 1, deliverer_1=(1,), deliverer_2=(2,))
    assert made.shares.on_the_way == 1
    made.accepted("1/1")
    assert made.shares.on_the_way == 0


def test_news_of_a_batch_that_is_unknown_leaves_nothing_behind():
    numbers = itertools.count(1)
    made = EventLedger(numbers=numbers)
    made.accepted("7/0")
    made.settled("7/1", [1])
    assert made == EventLedger(numbers=numbers)


def test_what_is_withdrawn_is_in_no_share_any_more():
    made = ledger(1, 2)
    send(made)
    routed(made, 1, deliverer_1=(1,), deliverer_2=(2,))
    made.withdraw([1])
    assert list(made.shares.all) == ["1/1"]


def test_by_default_a_batch_has_200_events():
    made = ledger(*range(201))
    assert [len(send(made)) for _batch in range(2)] == [200, 1]


def test_since_when_an_answer_is_missing():
    made = ledger(1, 2, most_items=1)
    assert (made.unanswered_since, made.resent, EventLedger().resent) == (None, 0, 0)
    made.next("m", 0.5)
    assert made.unanswered_since == 0.5
    made.take_back("m")
    made.next("m", 3.0)
    made.next("m", 5.0)
    assert made.unanswered_since == 3.0
    made.routed(2, {"2/0": [1]}, {"2/0": ONE}, now=7.0)
    assert made.unanswered_since == 7.0  # Both wait since: the share, and the other batch.
    made.accepted("2/0")
    made.routed(3, {}, {}, now=9.0)
    assert made.unanswered_since is None


class Life(RuleBasedStateMachine):
    """Events through books in any order of arrivals, answers, deaths and repeats."""

    def __init__(self):
        super().__init__()
        self.ledger = EventLedger(BatchLimits(most_items=3, most_batches=3))
        self.tags = 0
        self.out = []
        self.needs = {}  # tag -> what it waits for: module names, then parts
        self.batches = {}
        self.shares = {}
        self.incarnations = {"deliverer-1": 1, "deliverer-2": 1}

    def acknowledge(self, tags):
        for tag in tags:
            assert self.needs.pop(tag) == set(), "acknowledged too early"
            self.out.append(tag)

    def give_back(self, lost):
        unrouted = any(self.needs[tag] & {"m", "n"} for tag in lost.tags)
        assert lost.in_order == unrouted
        for tag in lost.tags:
            del self.needs[tag]
            self.out.append(tag)

    @rule(modules=st.sets(st.sampled_from(["m", "n"]), min_size=1))
    def arrive(self, modules):
        self.tags += 1
        self.needs[self.tags] = set(modules)
        self.ledger.take(Arrived(self.tags), sorted(modules))

    @rule(module=st.sampled_from(["m", "n"]))
    def send(self, module):
        if module in self.ledger.waiting() and (batch := self.ledger.next(module, 0.0)):
            number, events = batch
            self.batches[number] = (module, [event.tag for event in events])

    @rule(module=st.sampled_from(["m", "n"]))
    def restart(self, module):
        """A responder has a successor; what it has sent to deliverers is not reported any more."""
        self.ledger.take_back(module)
        self.batches = {n: batch for n, batch in self.batches.items() if batch[0] != module}

    @precondition(lambda self: self.batches)
    @rule(data=st.data())
    def route(self, data):
        id = data.draw(st.sampled_from(sorted(self.batches)))
        module, tags = self.batches.pop(id)
        shares, holders = {}, {}
        for number, path in enumerate(self.incarnations):
            drawn = data.draw(st.sets(st.sampled_from(tags)))
            if drawn:
                name = share_name(id, number)
                shares[name], holders[name] = tuple(drawn), (path, self.incarnations[path])
        for name, drawn in shares.items():
            self.shares[name] = (holders[name], set(drawn))
            for tag in set(drawn) & self.needs.keys():
                self.needs[tag].add(name)
        for tag in tags:
            if tag in self.needs:
                self.needs[tag].discard(module)
        self.acknowledge(self.ledger.routed(id, shares, holders, 0.0)[1])
        self.give_back(self.ledger.lost())

    @precondition(lambda self: self.shares)
    @rule(data=st.data())
    def settle(self, data):
        name = data.draw(st.sampled_from(sorted(self.shares)))
        _holder, tags = self.shares[name]
        done = data.draw(st.sets(st.sampled_from(sorted(tags)))) if tags else set()
        for tag in done & self.needs.keys():
            self.needs[tag].discard(name)
        tags -= done
        self.acknowledge(self.ledger.settled(name, done))

    @rule(path=st.sampled_from(["deliverer-1", "deliverer-2"]))
    def die(self, path):
        self.ledger.died((path, self.incarnations[path]))
        self.incarnations[path] += 1
        self.give_back(self.ledger.lost())
        self.shares = {n: p for n, p in self.shares.items() if p[0][0] != path}

    @precondition(lambda self: self.shares)
    @rule(data=st.data())
    def miss(self, data):
        name = data.draw(st.sampled_from(sorted(self.shares)))
        del self.shares[name]
        self.give_back(self.ledger.lost([name]))

    @invariant()
    def what_is_in_hand_is_what_is_not_out(self):
        assert self.ledger.open == len(self.needs)
        assert len(self.out) == len(set(self.out))
        assert len(self.out) + len(self.needs) == self.tags

    def teardown(self):
        while self.batches or self.ledger.waiting():
            for _module in ("m", "n"):
                self.send(_module)
            id, (module, tags) = self.batches.popitem()
            for tag in tags:
                if tag in self.needs:
                    self.needs[tag].discard(module)
            self.acknowledge(self.ledger.routed(id, {}, {}, 0.0)[1])
        for name, (_holder, tags) in self.shares.items():
            for tag in tags & self.needs.keys():
                self.needs[tag].discard(name)
            self.acknowledge(self.ledger.settled(name, tags))
        assert self.ledger.open == 0
        assert sorted(self.out) == list(range(1, self.tags + 1))


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=examples(2), stateful_step_count=40, deadline=None)


def test_a_part_names_its_batch():
    assert batch_of(share_name(12, 3)) == 12
