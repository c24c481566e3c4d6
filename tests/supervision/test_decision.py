"""The restart decision against OTP's rules, example by example and by property."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.supervision.actor import SupervisedActor
from callboard.supervision.decision import RestartHistory, hanging, on_exit, stop_order
from callboard.supervision.spec import (
    ONE_FOR_ALL,
    ONE_FOR_ONE,
    PERMANENT,
    REST_FOR_ONE,
    TEMPORARY,
    TRANSIENT,
    ChildSpec,
    SupervisorSpec,
)


def test_the_defaults_of_otp_and_ours():
    """supervisor(3): one_for_one and permanent; the intensity and the times are ours."""
    assert SupervisorSpec() == SupervisorSpec(
        children=(),
        strategy="one_for_one",
        max_restarts=5,
        within_s=10.0,
        heartbeat_s=2.0,
        hang_s=10.0,
        gather_s=0.25,
    )
    child = ChildSpec("a", SupervisedActor)
    assert (child.restart, child.shutdown_s, child.peers, child.label) == ("permanent", 5.0, (), "")
    assert (child.start_s, child.waits_s, child.args) == (10.0, 0.0, None)


def test_restarts_and_strategies_have_the_names_of_otp():
    assert (PERMANENT, TRANSIENT, TEMPORARY) == ("permanent", "transient", "temporary")
    strategies = (ONE_FOR_ONE, ONE_FOR_ALL, REST_FOR_ONE)
    assert strategies == ("one_for_one", "one_for_all", "rest_for_one")


def supervisor(strategy=ONE_FOR_ONE, restarts=None, max_restarts=5, within_s=10.0):
    restarts = restarts or {"a": PERMANENT, "b": PERMANENT, "c": PERMANENT}
    children = [ChildSpec(id, SupervisedActor, restart=r) for id, r in restarts.items()]
    return SupervisorSpec(tuple(children), strategy, max_restarts=max_restarts, within_s=within_s)


def decide(spec, id, alive=("a", "b", "c"), normal=False, history=None, now=0.0):
    child = next(c for c in spec.children if c.id == id)
    others = [other for other in alive if other != id]
    return on_exit(spec, others, child, normal, history or RestartHistory(), now)


def test_one_for_one_restarts_the_child_alone():
    decision, history = decide(supervisor(), "b")
    assert (decision.stop, decision.start) == ((), ("b",))
    assert history.times == (0.0,)


def test_one_for_all_stops_the_others_in_reverse_and_starts_all_in_order():
    decision, _ = decide(supervisor(ONE_FOR_ALL), "b")
    assert (decision.stop, decision.start) == (("c", "a"), ("a", "b", "c"))


def test_rest_for_one_leaves_earlier_children_alone():
    decision, _ = decide(supervisor(REST_FOR_ONE), "b")
    assert (decision.stop, decision.start) == (("c",), ("b", "c"))


def test_a_transient_child_is_restarted_only_after_an_abnormal_end():
    spec = supervisor(restarts={"a": TRANSIENT})
    assert decide(spec, "a", normal=True)[0].start == ()
    assert decide(spec, "a", normal=False)[0].start == ("a",)


def test_a_permanent_child_is_restarted_after_a_normal_end_too():
    assert decide(supervisor(), "a", normal=True)[0].start == ("a",)


def test_a_temporary_child_is_not_restarted_and_disturbs_nobody():
    spec = supervisor(ONE_FOR_ALL, {"a": PERMANENT, "b": TEMPORARY})
    decision, history = decide(spec, "b", alive=("a", "b"))
    assert (decision.stop, decision.start, history.times) == ((), (), ())


def test_a_temporary_sibling_is_stopped_with_the_group_and_not_started_again():
    spec = supervisor(ONE_FOR_ALL, {"a": PERMANENT, "b": TEMPORARY})
    decision, _ = decide(spec, "a", alive=("a", "b"))
    assert (decision.stop, decision.start) == (("b",), ("a",))


def test_one_restart_more_than_allowed_gives_up():
    spec, history = supervisor(max_restarts=2), RestartHistory()
    for now in (0.0, 1.0):
        decision, history = decide(spec, "a", history=history, now=now)
        assert not decision.give_up
    decision, _ = decide(spec, "a", history=history, now=2.0)
    assert decision.give_up
    assert (decision.stop, decision.start) == ((), ())


def test_restarts_outside_the_window_do_not_count():
    spec, history = supervisor(max_restarts=1, within_s=10), RestartHistory()
    _, history = decide(spec, "a", history=history, now=0.0)
    assert decide(spec, "a", history=history, now=10.0)[0].give_up
    decision, history = decide(spec, "a", history=history, now=10.5)
    assert not decision.give_up
    assert history.times == (10.5,)


@given(
    strategy=st.sampled_from([ONE_FOR_ONE, ONE_FOR_ALL, REST_FOR_ONE]),
    restarts=st.lists(st.sampled_from([PERMANENT, TRANSIENT, TEMPORARY]), min_size=1, max_size=6),
    data=st.data(),
)
def test_decisions_keep_the_order_and_touch_only_the_group(strategy, restarts, data):
    spec = supervisor(strategy, {f"c{i}": r for i, r in enumerate(restarts)})
    ids = [child.id for child in spec.children]
    dead = data.draw(st.sampled_from(ids))
    alive = data.draw(st.sets(st.sampled_from(ids))) | {dead}
    decision, _ = decide(spec, dead, alive=alive, normal=data.draw(st.booleans()))

    order = {id: place for place, id in enumerate(ids)}
    assert sorted(decision.stop, key=order.__getitem__, reverse=True) == list(decision.stop)
    assert sorted(decision.start, key=order.__getitem__) == list(decision.start)
    assert dead not in decision.stop
    assert set(decision.stop) <= alive
    assert not {c.id for c in spec.children if c.restart == TEMPORARY} & set(decision.start)
    if strategy == ONE_FOR_ONE:
        assert not decision.stop
    if strategy == REST_FOR_ONE:
        assert all(order[id] > order[dead] for id in decision.stop)
    # Whatever is stopped and may be restarted, is restarted.
    restartable = {c.id for c in spec.children if c.restart != TEMPORARY}
    assert set(decision.stop) & restartable <= set(decision.start)


@given(
    gaps=st.lists(st.floats(min_value=0, max_value=20), min_size=1, max_size=40),
    max_restarts=st.integers(min_value=0, max_value=6),
)
def test_it_gives_up_exactly_when_the_window_holds_too_many(gaps, max_restarts):
    spec, history, now = supervisor(max_restarts=max_restarts), RestartHistory(), 0.0
    times = []
    for gap in gaps:
        now += gap
        times.append(now)
        decision, history = decide(spec, "a", history=history, now=now)
        in_window = [t for t in times if now - t <= spec.within_s]
        assert decision.give_up == (len(in_window) > max_restarts)
        assert len(history.times) <= len(in_window)


def test_stop_order_is_the_reverse_of_the_start_order():
    assert stop_order(supervisor(), ("a", "c")) == ("c", "a")


def test_hanging_children_are_those_silent_for_longer_than_allowed():
    assert hanging({"a": 0.0, "b": 0.5, "c": 5.0}, now=10.5, hang_s=10) == ("a",)


@pytest.mark.parametrize("id", ["a", "b-1", "ä"])
def test_an_id_is_part_of_a_path(id):
    assert ChildSpec(id, SupervisedActor).id == id


@pytest.mark.parametrize(
    "members",
    [
        *({"id": id} for id in ("", "a/b", "a b", "a*", "a?", "a[")),
        {"restart": "always"},
        {"shutdown_s": -0.1},
        {"start_s": 0.0},
        {"waits_s": -0.1},
    ],
)
def test_a_child_that_cannot_be_is_refused(members):
    with pytest.raises(ValueError, match=next(iter(members))):
        ChildSpec(**{"id": "a", "actor": SupervisedActor} | members)


@pytest.mark.parametrize(
    "members",
    [
        {"strategy": "simple_one_for_one"},
        {"max_restarts": -1},
        *({name: 0.0} for name in ("within_s", "heartbeat_s", "hang_s", "gather_s")),
    ],
)
def test_a_supervisor_that_cannot_be_is_refused(members):
    with pytest.raises(ValueError, match=next(iter(members))):
        SupervisorSpec(**members)


def test_the_least_that_is_permitted():
    child = ChildSpec("a", SupervisedActor, shutdown_s=0.0, start_s=0.001, waits_s=0.0)
    assert SupervisorSpec((child,), max_restarts=0, within_s=0.001).children == (child,)


def test_two_children_of_one_id_are_refused():
    child = ChildSpec("a", SupervisedActor)
    with pytest.raises(ValueError, match="two children have the id 'a'"):
        SupervisorSpec((child, ChildSpec("b", SupervisedActor), child))


@pytest.mark.parametrize(
    ("starts_s", "start_s"), [((), 10.0), ((4.0, 5.0), 10.0), ((4.0, 7.0), 11.0)]
)
def test_a_supervisor_may_start_for_as_long_as_its_children_together(starts_s, start_s):
    inside = [ChildSpec(f"c{n}", SupervisedActor, start_s=s) for n, s in enumerate(starts_s)]
    child = ChildSpec("n", SupervisedActor, SupervisorSpec(tuple(inside)))
    assert child.start_s == start_s
