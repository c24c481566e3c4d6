from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from callboard.webhooks.lanes import Lanes


def filled(limit, *items):
    lanes = Lanes(limit)
    for item in items:
        lanes.add(item[0], item)
    return lanes


def test_lanes_take_turns():
    lanes = filled(9, "a1", "a2", "a3", "b1", "c1")
    assert [lanes.next() for _turn in range(6)] == ["a1", "b1", "c1", "a2", "a3", None]
    assert len(lanes) == 0


def test_a_full_lane_holds_up_nobody_else():
    lanes = filled(1, "a1", "a2", "b1")
    assert [lanes.next(), lanes.next(), lanes.next()] == ["a1", "b1", None]
    lanes.done("b")
    assert lanes.next() is None
    lanes.done("a")
    assert lanes.next() == "a2"


def test_waiting_items_are_counted():
    lanes = filled(1, "a1", "a2")
    lanes.next()
    assert len(lanes) == 1


@given(st.lists(st.sampled_from(["add", "next", "done"])), st.integers(1, 3))
def test_each_item_comes_once_in_order_and_never_too_many(steps, limit):
    lanes, under_way, came, added = Lanes(limit), 0, [], 0
    for step in steps:
        if step == "add":
            lanes.add("a", added)
            added += 1
        elif step == "next":
            item = lanes.next()
            assert (item is None) == (under_way == limit or len(came) == added)
            if item is not None:
                came.append(item)
                under_way += 1
        elif under_way:
            lanes.done("a")
            under_way -= 1
    assert came == list(range(len(came)))
    assert len(lanes) == added - len(came)


steps = st.tuples(st.sampled_from(["add", "next", "next", "done"]), st.sampled_from("abc"))


@given(st.lists(steps, max_size=60), st.integers(1, 3))
def test_lanes_are_fair_keep_their_limit_and_lose_nothing(steps, limit):
    lanes, under_way = Lanes(limit), Counter()
    waiting = {lane: [] for lane in "abc"}
    # Who had a turn since a lane could have had one.
    overtakers = {lane: [] for lane in "abc"}

    def take_turn():
        ready = {lane for lane in "abc" if waiting[lane] and under_way[lane] < limit}
        item = lanes.next()
        assert (item is None) == (not ready)
        if item is None:
            return False
        lane, _number = item
        assert lane in ready
        assert item == waiting[lane].pop(0)
        under_way[lane] += 1
        for other in "abc":
            overtakers[other] = [*overtakers[other], lane] if other in ready - {lane} else []
            assert len(set(overtakers[other])) == len(overtakers[other])
        return True

    for number, (step, lane) in enumerate(steps):
        if step == "add":
            lanes.add(lane, (lane, number))
            waiting[lane].append((lane, number))
        elif step == "next":
            take_turn()
        else:
            lanes.done(lane)
            under_way[lane] = max(0, under_way[lane] - 1)
        assert len(lanes) == sum(map(len, waiting.values()))
    while any(waiting.values()):
        if not take_turn():
            for lane in "abc":
                lanes.done(lane)
                under_way[lane] = max(0, under_way[lane] - 1)
    assert len(lanes) == 0


def test_done_without_an_item_under_way_makes_no_room():
    lanes = Lanes(1)
    lanes.done("a")
    lanes.add("a", 1)
    lanes.add("a", 2)
    assert [lanes.next(), lanes.next()] == [1, None]


def test_an_item_done_makes_room_for_one_more_only():
    lanes = filled(2, "a1", "a2", "a3", "a4")
    assert [lanes.next(), lanes.next(), lanes.next()] == ["a1", "a2", None]
    lanes.done("a")
    assert [lanes.next(), lanes.next()] == ["a3", None]
