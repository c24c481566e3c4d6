"""The rules of readiness, each to its edge."""

import pytest
from attrs import evolve

from callboard.webhooks.metrics import catalog
from callboard.webhooks.metrics.health import KINDS, NAMED, Child, Problem, State, Watch, machines

NOW = 1_700_000_000.0
CHILDREN = {
    "event_bridge": Child("running"),
    "responders": Child("running", reports=False),
    "responders/channel_create": Child("running"),
    "deliveries/deliverer-1": Child("running"),
    "initializer": Child("ended"),
}
REPORTED = frozenset({"event_bridge", "responders/channel_create", "deliveries/deliverer-1"})
GAUGES = {
    (catalog.BROKER_UP.name, ("event_bridge",)): 1,
    (catalog.BROKER_UP.name, ("zone_listener-1",)): 1,
    (catalog.HOOKS_LOADED.name, ("hook_table",)): 1,
    (catalog.HOOKS_LOADED.name, ("responders/channel_create",)): 1,
}
WITHOUT_HOOKS = {key: value for key, value in GAUGES.items() if "hooks_loaded" not in key[0]}


def state(children=CHILDREN, age_s=1.0, reported=REPORTED, store="", counters=None, **gauges):
    """A ready node, with these gauges: the metric's name here, and values by label."""
    more = {
        (getattr(catalog, name).name, labels if isinstance(labels, tuple) else (labels,)): value
        for name, values in gauges.items()
        for labels, value in values.items()
    }
    return State(children, age_s, reported, GAUGES | more, counters or {}, store)


def found(*state_and_now, watch=None):
    the_state, now = state_and_now if len(state_and_now) == 2 else (*state_and_now, NOW)
    return (watch or Watch()).update(the_state, now)


def words(*state_and_now, watch=None):
    return tuple(problem.what for problem in found(*state_and_now, watch=watch))


def test_all_well():
    assert found(state()) == ()


def test_nothing_is_ready_by_default():
    assert {problem.kind for problem in found(State())} == {"tree", "broker", "store"}
    assert {p.kind for p in found(State(CHILDREN))} == {"report", "hooks", "broker", "store"}


@pytest.mark.parametrize(
    ("wrong", "kind", "what"),
    [
        (
            {"children": CHILDREN | {"event_bridge": Child("down")}},
            "tree",
            "event_bridge is down",
        ),
        (
            {"children": CHILDREN | {"event_bridge": Child("starting")}},
            "tree",
            "event_bridge is starting",
        ),
        ({"children": {}}, "tree", "the top supervisor has not answered yet"),
        ({"age_s": 30.0}, "tree", "the top supervisor has not answered for 30 s"),
        (
            {"BROKER_UP": {"event_bridge": 0}},
            "broker",
            "the broker is down for event_bridge",
        ),
        (
            {
                "BROKER_BLOCKED": {
                    ("event_bridge", "low on disk"): NOW - 60,
                    ("event_bridge", "low on memory"): 0,
                    ("deliveries/retry_queue", "low on disk"): NOW - 90,
                }
            },
            "blocked",
            "the broker takes no messages from deliveries/retry_queue, event_bridge: low on disk",
        ),
        ({"store": None}, "store", "the store has not answered yet"),
        ({"store": "no route"}, "store", "the store is down: no route"),
        (
            {"reported": REPORTED - {"event_bridge"}},
            "report",
            "no report yet of event_bridge",
        ),
        (
            {"HOOKS_LOADED": {"hook_table": 0}},
            "hooks",
            "hooks are not loaded in hook_table",
        ),
        (
            {"HOOKS_LOADED": {f"responders/{n}": 0 for n in range(5)}},
            "hooks",
            "hooks are not loaded in responders/0, responders/1, responders/2 and 2 more",
        ),
        (
            {"BATCH_RESENDS": {"event_bridge": 4}},
            "resent",
            "event_bridge has sent a batch 4 times again",
        ),
    ],
)
def test_each_thing_that_is_wrong_is_named(wrong, kind, what):
    assert [(problem.kind, problem.what) for problem in found(state(**wrong))] == [(kind, what)]


@pytest.mark.parametrize(
    "edge",
    [
        {"age_s": 10.0},
        {"BATCH_RESENDS": {"event_bridge": 3}},
        {"BROKER_UP": {"zone_listener-1": 0}},
        {"children": CHILDREN | {"responders/new": Child("ended")}},
    ],
)
def test_up_to_the_edge_the_node_is_ready(edge):
    assert words(state(**edge)) == ()


def test_a_block_exists_since_its_first_report():
    blocked = {("event_bridge", "low on disk"): NOW - 60, ("api", "low on disk"): NOW - 90}
    [problem] = found(state(BROKER_BLOCKED=blocked))
    assert problem.since_unix_s == NOW - 90


def test_without_a_connection_of_ours_the_broker_is_not_there():
    gauges = {key: up for key, up in GAUGES.items() if key[1] != ("event_bridge",)}
    wrong = State(CHILDREN, 1.0, REPORTED, gauges, {}, "")
    assert words(wrong) == ("no actor is connected to the broker yet",)


def test_a_server_that_is_not_there_is_one_problem_however_it_is_known():
    watch, down = Watch(), state(store="refused", BROKER_UP={"event_bridge": 0})
    gauges = {key: up for key, up in down.gauges.items() if key[1] != ("event_bridge",)}
    unknown = evolve(down, store_problem=None, gauges=gauges)
    for seen, now in ((unknown, NOW), (down, NOW + 5), (unknown, NOW + 9)):
        assert {(p.kind, p.since_unix_s) for p in found(seen, now, watch=watch)} == {
            ("broker", NOW),
            ("store", NOW),
        }


@pytest.mark.parametrize(("number", "more"), [(NAMED, ""), (NAMED + 1, " and 1 more")])
def test_so_many_are_named_and_the_others_counted(number, more):
    paths = [f"responders/r{n}" for n in range(number)]
    (what,) = words(state(CHILDREN | dict.fromkeys(paths, Child("running"))))
    assert what == f"no report yet of {', '.join(paths[:NAMED])}{more}"


def test_a_problem_keeps_its_time_until_it_is_over():
    watch = Watch()
    assert found(state(store="no route"), NOW, watch=watch)[0].since_unix_s == NOW
    later = found(state(store="refused"), NOW + 60, watch=watch)
    assert later == (Problem("store", "the store is down: refused", NOW),)
    assert found(state(), NOW + 61, watch=watch) == ()
    assert found(state(store="no route"), NOW + 62, watch=watch)[0].since_unix_s == NOW + 62


def test_a_tree_that_has_never_answered_is_one_problem_over_time():
    watch = Watch()
    found(State(), NOW, watch=watch)
    (tree, *_others) = found(State(tree_age_s=30.0), NOW + 20, watch=watch)
    assert tree == Problem("tree", "the top supervisor has not answered for 30 s", NOW)


def test_a_tree_that_answers_no_more_is_a_problem_since_its_last_answer():
    (tree, *_others) = found(State(tree_age_s=31.0), NOW, watch=Watch())
    assert tree == Problem("tree", "the top supervisor has not answered for 31 s", NOW - 31)


def test_hooks_that_are_not_there_are_one_problem_however_it_is_known():
    watch = Watch()
    (none,) = found(evolve(state(), gauges=WITHOUT_HOOKS), NOW, watch=watch)
    assert none == Problem("hooks", "no actor has hooks yet", NOW)
    (some,) = found(state(HOOKS_LOADED={"hook_table": 0}), NOW + 5, watch=watch)
    assert some == Problem("hooks", "hooks are not loaded in hook_table", NOW)


def test_an_actor_whose_progress_stays_the_same_stands_still():
    watch = Watch()
    for second in range(60):  # Its clock may differ from this one.
        moving = state(LAST_PROGRESS={"a": second + 7.0, "idle": 0})
        assert found(moving, NOW + second, watch=watch) == ()
    still, since = state(LAST_PROGRESS={"a": 66.0, "idle": 0}), NOW + 59
    assert found(still, since + 14.9, watch=watch) == ()
    problem = Problem("stalled", "a makes no progress with what it holds", since)
    assert found(still, since + 15, watch=watch) == (problem,)
    assert found(still, since + 99, watch=watch) == (problem,)
    assert found(state(LAST_PROGRESS={"a": 67.0}), since + 100, watch=watch) == ()


def test_one_that_held_nothing_meanwhile_has_not_stood_still():
    watch = Watch()
    for second, at in ((0, 5.0), (10, 0), (20, 5.0), (30, 5.0)):
        assert found(state(LAST_PROGRESS={"a": at}), NOW + second, watch=watch) == ()


def restarts(**counts):
    return state(CHILDREN | {path: Child("running", n, False) for path, n in counts.items()})


def test_an_actor_that_restarts_again_and_again():
    watch = Watch()
    for second, count in ((0, 7), (1, 8), (10, 9)):
        assert found(restarts(a=count), NOW + second, watch=watch) == ()
    (problem,) = found(restarts(a=10), NOW + 21, watch=watch)
    assert problem == Problem("restarts", "a was restarted 3 times within 60 s", NOW + 1)
    within = NOW + 1 + 60
    assert len(found(restarts(a=10), within, watch=watch)) == 1
    assert found(restarts(a=10), within + 0.1, watch=watch) == ()


def test_restarts_of_different_actors_do_not_add_up():
    watch = Watch()
    assert found(restarts(a=0, b=0, c=0), watch=watch) == ()
    assert found(restarts(a=1, b=1, c=1), watch=watch) == ()
    assert len(found(restarts(a=99, b=1, c=1), watch=watch)) == 1


def test_a_refused_message_counts_until_none_was_refused_for_long():
    def refused(count):
        key = catalog.MESSAGES_REFUSED.name, ("hook_listener", "LoadHooks")
        return state(counters={key: count})

    watch = Watch()
    assert found(refused(0), NOW - 9, watch=watch) == ()
    found(refused(1), NOW, watch=watch)
    found(refused(2), NOW + 60, watch=watch)
    last = NOW + 60 + 300
    (problem,) = found(refused(2), last, watch=watch)
    assert problem == Problem("refused", "the transport refused LoadHooks of hook_listener", NOW)
    assert found(refused(2), last + 0.1, watch=watch) == ()


def test_all_that_is_wrong_is_named_together_in_the_order_of_the_kinds():
    wrong = state(store="gone", BATCH_RESENDS={"a": 99}, HOOKS_LOADED={"hook_table": 0})
    kinds = [problem.kind for problem in found(wrong)]
    assert kinds == ["hooks", "resent", "store"] == sorted(kinds, key=KINDS.index)


def test_a_batch_that_waits_for_a_blocked_broker_is_no_problem_of_its_own():
    blocked = {"BROKER_BLOCKED": {("retry_queue", "low on disk"): NOW}}
    [problem] = found(state(BATCH_RESENDS={"deliveries/deliverer-1": 4}, **blocked))
    assert problem.kind == "blocked"


# Machines that have joined

THERE = "deliveries/elsewhere/there"
JOINED = CHILDREN | {
    "deliveries/elsewhere": Child("running", reports=False),
    THERE: Child("running", reports=False),
    f"{THERE}/deliverer-1": Child("running", reports=False),
}


def degraded(*seen, watch=None):
    watch = watch or Watch()
    assert watch.update(*seen) == ()
    return [(one.kind, one.what) for one in watch.degraded]


def test_a_machine_that_delivers_degrades_nothing():
    assert degraded(state(JOINED), NOW) == []
    assert machines(JOINED) == (1, 0)
    assert machines(CHILDREN) == (0, 0)


@pytest.mark.parametrize("status", ["ended", "starting", "down", "stopping"])
def test_a_lost_machine_degrades_the_node_which_is_ready(status):
    lost = CHILDREN | {THERE: Child(status, reports=False)}
    assert degraded(state(lost), NOW) == [("machine", "the machine there is lost")]
    assert machines(lost) == (0, 1)


def test_a_lost_machine_is_lost_since_the_first_time_whatever_is_tried_with_it():
    watch = Watch()
    for seconds, status in enumerate(("ended", "starting", "ended", "starting")):
        lost = CHILDREN | {THERE: Child(status, reports=False)}
        degraded(state(lost), NOW + seconds, watch=watch)
    assert [one.since_unix_s for one in watch.degraded] == [NOW]
    degraded(state(JOINED), NOW + 9, watch=watch)
    assert watch.degraded == ()


def test_what_fails_on_a_machine_alone_degrades_the_node():
    actor = f"{THERE}/deliverer-1"
    assert degraded(state(JOINED | {actor: Child("down", reports=False)}), NOW) == [
        ("machine", f"{actor} is down")
    ]
    watch = Watch()
    stalled = state(JOINED, LAST_PROGRESS={actor: NOW})
    assert degraded(stalled, NOW, watch=watch) == []
    assert degraded(stalled, NOW + 15, watch=watch) == [
        ("machine", f"{actor} makes no progress with what it holds")
    ]
    resent = state(JOINED, BATCH_RESENDS={actor: 4})
    assert degraded(resent, NOW) == [("machine", f"{actor} has sent a batch 4 times again")]


def test_a_module_without_events_degrades_the_node_which_is_ready():
    why = "exchange shop: 404 NOT_FOUND"
    left_out = state(LEFT_OUT={("order_paid", why): NOW - 5, ("other", "it was so before"): 0})
    watch = Watch()
    assert degraded(left_out, NOW, watch=watch) == [
        ("exchange", f"the module order_paid gets no events: {why}")
    ]
    assert watch.degraded[0].since_unix_s == NOW - 5


def test_the_supervisor_of_machines_is_the_nodes_own():
    down = JOINED | {"deliveries/elsewhere": Child("down", reports=False)}
    assert words(state(down)) == ("deliveries/elsewhere is down",)
