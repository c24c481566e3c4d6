"""The supervisor at work, in one process and in many."""

import os
import signal

import psutil
import pytest
from thespian.system import multiprocCommon

from callboard.supervision import (
    ONE_FOR_ALL,
    REST_FOR_ONE,
    TEMPORARY,
    TRANSIENT,
    Answer,
    ChildSpec,
    GaveUp,
    Locate,
    Located,
    Question,
    Ready,
    Stop,
    Supervisor,
    SupervisorSpec,
)
from callboard.supervision.messages import Finished
from support.trees import MULTI, SIMPLE
from support.workers import Branch, NotStarting, Relay, Watcher, Worker

both_bases = pytest.mark.parametrize(
    "base", [SIMPLE, pytest.param(MULTI, marks=pytest.mark.multiprocess)]
)
multiprocess = pytest.mark.multiprocess


def workers(*ids, **options):
    return [ChildSpec(id, Worker, **options) for id in ids]


def spec(*children, **options):
    options = {"heartbeat_s": 0.1, "hang_s": 1.0} | options
    return SupervisorSpec(children, **options)


def statuses(tree):
    return {child.id: child.status for child in tree.children}


def restarted(path, times=1):
    def condition(tree):
        node = tree
        for part in path.split("/"):
            node = next((child for child in node.children if child.id == part), None)
            if node is None:
                return False
        return node.restarts >= times and node.status == "running"

    return condition


@both_bases
def test_it_is_ready_when_all_children_are(grow, base, tmp_path):
    journal = tmp_path / "journal"
    tree = grow(base, spec(*workers("a", "b", "c", args={"journal": str(journal)})))
    ready = tree.hear(Ready)
    assert ready.path == ""
    assert journal.read_text().split() == ["start", "a", "start", "b", "start", "c"]
    assert set(statuses(tree.tree()).values()) == {"running"}


@both_bases
def test_children_stop_in_reverse_order(grow, base, tmp_path):
    journal = tmp_path / "journal"
    nested = ChildSpec("n", Supervisor, spec(*workers("x", "y", args={"journal": str(journal)})))
    a, b = workers("a", "b", args={"journal": str(journal)})
    tree = grow(base, spec(a, nested, b))
    tree.hear(Ready)
    journal.write_text("")
    tree.system.tell(tree.top, Stop())
    tree.hear(Finished)
    assert journal.read_text().splitlines() == ["stop b", "stop n/y", "stop n/x", "stop a"]


@both_bases
def test_an_actor_that_raises_ends_and_is_started_again_clean(grow, base):
    tree = grow(base, spec(*workers("a", "b")))
    tree.hear(Ready)
    a, b = find(tree, "a"), find(tree, "b")
    tree.system.tell(a, "raise")
    tree.wait(restarted("a"))
    assert tree.node("b").restarts == 0
    path, incarnation, _pid = tree.ask(find(tree, "a"), "who", tuple)
    assert path == "a"
    assert incarnation > 0
    assert tree.ask(b, "who", tuple)[0] == "b"


def test_a_logger_that_was_killed_is_replaced(grow):
    tree = grow(MULTI, spec(*workers("a")))
    tree.hear(Ready)
    top = psutil.Process(tree.tree().pid)
    admin = top.parent()
    (logger,) = set(admin.children()) - {top}
    logger.kill()
    tree.wait(lambda _tree: set(admin.children()) - {top, logger})
    tree.kill("a")
    tree.wait(restarted("a"))


def test_a_logger_that_ends_before_it_has_connected_is_replaced(grow, monkeypatch, tmp_path):
    start, ended = multiprocCommon.startupASLogger, tmp_path / "ended"

    def end_at_first(*arguments):
        if not ended.exists():
            ended.touch()
            os._exit(1)
        start(*arguments)

    monkeypatch.setattr(multiprocCommon, "startupASLogger", end_at_first)
    tree = grow(MULTI, spec(*workers("a")))
    tree.hear(Ready)
    assert ended.exists()


def gone(*pids):
    """Whether these processes have ended; a zombie waits for its parent only."""

    def ended(pid):
        try:
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    return all(map(ended, pids))


def find(tree, path):
    """The address of a worker, as the directory of the top knows it."""
    return tree.ask(tree.top, Locate(path), Located).peer.address


@both_bases
def test_a_transient_child_that_finishes_is_left_alone(grow, base):
    tree = grow(base, spec(*workers("a", restart=TRANSIENT), *workers("b", restart=TEMPORARY)))
    tree.hear(Ready)
    tree.system.tell(find(tree, "a"), "finish")
    tree.system.tell(find(tree, "b"), "finish")
    tree.wait(lambda t: statuses(t) == {"a": "ended", "b": "ended"})


@both_bases
def test_too_many_restarts_give_up_with_the_reason(grow, base):
    tree = grow(base, spec(*workers("a", "b"), max_restarts=2))
    tree.hear(Ready)
    for times in (1, 2):
        tree.system.tell(find(tree, "a"), "raise")
        tree.wait(restarted("a", times))
    tree.system.tell(find(tree, "a"), "raise")
    gave_up = tree.hear(GaveUp)
    assert gave_up.reason.endswith(
        "a ended, and that was more than 2 restarts in 10 s; the last time it failed with "
        "RuntimeError: told to"
    )


@both_bases
def test_a_child_that_cannot_start_makes_it_give_up(grow, base):
    tree = grow(base, spec(*workers("a", args={"fail_start": True}), max_restarts=1))
    reason = tree.hear(GaveUp).reason
    assert "a ended" in reason
    assert "RuntimeError: cannot start" in reason


@both_bases
def test_a_child_whose_constructor_raises_makes_it_give_up(grow, base):
    tree = grow(base, spec(ChildSpec("a", NotStarting, start_s=1.0), max_restarts=1))
    assert "a ended" in tree.hear(GaveUp).reason


@both_bases
@pytest.mark.parametrize(
    ("restart", "how"),
    [(TEMPORARY, "fail_start"), (TEMPORARY, "finish_start"), (TRANSIENT, "finish_start")],
)
def test_one_that_ends_while_it_starts_and_may_not_be_restarted_is_left_and_holds_up_nobody(
    grow, base, restart, how, tmp_path
):
    journal = tmp_path / "journal"
    args = {"journal": str(journal), how: True}
    tree = grow(base, spec(*workers("a", args=args, restart=restart), *workers("b")))
    tree.hear(Ready)
    assert statuses(tree.tree()) == {"a": "ended", "b": "running"}
    assert journal.read_text() == "start a\n"


@both_bases
def test_a_transient_child_that_crashes_while_it_starts_makes_it_give_up(grow, base):
    child = workers("a", args={"fail_start": True}, restart=TRANSIENT)
    tree = grow(base, spec(*child, max_restarts=1))
    assert "a ended" in tree.hear(GaveUp).reason


@both_bases
def test_escalation_restarts_the_nested_supervisor_with_all_its_children(grow, base):
    nested = ChildSpec("n", Supervisor, spec(*workers("x", "y"), max_restarts=0))
    tree = grow(base, spec(nested, *workers("b")))
    tree.hear(Ready)
    tree.system.tell(find(tree, "n/x"), "raise")
    tree.wait(restarted("n"))
    tree.wait(lambda t: [c.status for c in t.children[0].children] == ["running", "running"])
    assert tree.node("b").restarts == 0


@both_bases
def test_peers_hear_of_a_restart_and_reach_the_new_incarnation(grow, base):
    nested = ChildSpec("n", Supervisor, spec(*workers("x", "y")))
    tree = grow(base, spec(*workers("a", peers=("n/*", "b")), *workers("b"), nested))
    tree.hear(Ready)
    a = find(tree, "a")
    before = tree.ask(a, "peers", dict)
    assert set(before) == {"n/x", "n/y", "b"}
    tree.system.tell(find(tree, "n/x"), "raise")
    tree.wait(restarted("n/x"))
    after = tree.ask(a, "peers", dict)
    assert after["n/x"] > before["n/x"]
    assert (after["n/y"], after["b"]) == (before["n/y"], before["b"])


@both_bases
def test_peers_hear_once_of_children_that_start_in_a_row(grow, base):
    nested = ChildSpec("n", Supervisor, spec(*workers("x", "y", "z"), gather_s=600.0))
    watcher = ChildSpec("w", Watcher, peers=("*",))
    tree = grow(base, spec(watcher, *workers("a", "b"), nested, *workers("c"), gather_s=600.0))
    tree.hear(Ready)
    w = find(tree, "w")
    everyone = {"w", "a", "b", "n", "n/x", "n/y", "n/z", "c"}
    tree.wait(lambda _tree: set(tree.ask(w, "peers", dict)) == everyone)
    assert tree.ask(w, "changes", int) == 1


@multiprocess
def test_peers_that_have_started_are_known_while_another_one_takes_long(grow, tmp_path):
    slow = ChildSpec("c", Worker, {"start_after": str(tmp_path / "go")})
    tree = grow(MULTI, spec(ChildSpec("w", Watcher, peers=("*",)), *workers("a", "b"), slow))
    tree.wait(lambda t: statuses(t) == dict.fromkeys("wab", "running") | {"c": "starting"})
    w = find(tree, "w")
    tree.wait(lambda _tree: set(tree.ask(w, "peers", dict)) == {"w", "a", "b"})
    (tmp_path / "go").touch()
    tree.hear(Ready)


@both_bases
@pytest.mark.parametrize(("strategy", "again"), [(ONE_FOR_ALL, "abc"), (REST_FOR_ONE, "bc")])
def test_strategies_restart_their_group(grow, base, strategy, again):
    tree = grow(base, spec(*workers("a", "b", "c"), strategy=strategy))
    tree.hear(Ready)
    tree.system.tell(find(tree, "b"), "raise")
    tree.wait(restarted("b"))
    tree.wait(lambda t: set(statuses(t).values()) == {"running"})
    assert {c.id for c in tree.tree().children if c.restarts} == set(again)


@multiprocess
def test_a_killed_child_is_replaced_at_once(grow):
    tree = grow(MULTI, spec(*workers("a", "b")))
    tree.hear(Ready)
    before = tree.node("a").pid
    tree.kill("a")
    tree.wait(restarted("a"), timeout_s=2)
    assert tree.node("a").pid != before


@multiprocess
def test_a_child_that_hangs_is_killed_and_replaced(grow):
    tree = grow(MULTI, spec(*workers("a", "b")))
    tree.hear(Ready)
    before = tree.node("a").pid
    tree.system.tell(find(tree, "a"), "hang")
    tree.wait(restarted("a"))
    assert gone(before)
    assert tree.node("b").restarts == 0


@multiprocess
def test_a_child_that_says_it_goes_on_may_be_silent_for_longer(grow, tmp_path):
    journal = tmp_path / "journal"
    waiting = ChildSpec("a", Worker, {"journal": str(journal)})
    tree = grow(MULTI, spec(waiting))
    tree.hear(Ready)
    tree.system.tell(find(tree, "a"), "wait")
    tree.wait(lambda _found: "waited a" in journal.read_text())
    assert tree.node("a").restarts == 0


@multiprocess
def test_a_stopped_process_is_a_hanging_child(grow):
    tree = grow(MULTI, spec(*workers("a")))
    tree.hear(Ready)
    os.kill(tree.node("a").pid, signal.SIGSTOP)
    tree.wait(restarted("a"))


@multiprocess
def test_a_child_that_hangs_while_starting_is_killed(grow):
    child = ChildSpec("a", Worker, {"hang_start": True}, start_s=0.3)
    tree = grow(MULTI, spec(child, max_restarts=1))
    assert "a ended" in tree.hear(GaveUp).reason


@multiprocess
def test_a_child_that_does_not_stop_is_killed(grow):
    tree = grow(MULTI, spec(*workers("a", args={"deaf": True}, shutdown_s=0.3), *workers("b")))
    tree.hear(Ready)
    pid = tree.node("a").pid
    tree.system.tell(tree.top, Stop())
    tree.hear(Finished)
    assert gone(pid)


@multiprocess
def test_children_do_not_outlive_a_killed_supervisor(grow):
    nested = ChildSpec("n", Supervisor, spec(*workers("x", "y")))
    tree = grow(MULTI, spec(nested))
    tree.hear(Ready)
    tree.wait(lambda t: len(t.children[0].children) == 2)
    pids = [child.pid for child in tree.node("n").children]
    tree.kill("n")
    tree.wait(restarted("n"))
    assert gone(*pids)


@multiprocess
def test_figures_of_the_children_are_in_the_tree(grow):
    tree = grow(MULTI, spec(*workers("a")))
    tree.hear(Ready)
    tree.wait(lambda t: t.children[0].stats == {"answer": 42})


@both_bases
def test_a_forwarded_message_is_answered_straight_to_the_asker(grow, base):
    relay = ChildSpec("a", Relay, peers=("b",))
    tree = grow(base, spec(*workers("b"), relay))
    tree.hear(Ready)
    assert tree.ask(find(tree, "a"), "who", tuple)[0] == "b"


@both_bases
def test_the_answer_to_a_question_has_its_number(grow, base):
    relay = ChildSpec("a", Relay, peers=("b",))
    tree = grow(base, spec(*workers("b"), relay))
    tree.hear(Ready)
    answer = tree.ask(find(tree, "b"), Question(7, "who"), Answer)
    assert (answer.ref, answer.message[0]) == (7, "b")
    relayed = tree.ask(find(tree, "a"), Question(8, "who"), Answer)
    assert (relayed.ref, relayed.message[0]) == (8, "b")


@both_bases
def test_where_names_begin_paths_are_the_same_wherever_the_branch_hangs(grow, base):
    inner = spec(*workers("x", peers=("y", "c", "n/*")), *workers("y"))
    outside = ChildSpec("c", Worker, peers=("n/*", "guests/*"))
    tree = grow(base, spec(ChildSpec("n", Branch, inner), outside))
    tree.hear(Ready)
    assert set(tree.ask(find(tree, "c"), "peers", dict)) == {"n/x", "n/y"}
    x = find(tree, "n/x")
    tree.wait(lambda _tree: set(tree.ask(x, "peers", dict)) == {"y"})
    assert tree.ask(x, "who", tuple)[0] == "x"


@both_bases
def test_a_guest_is_a_peer_of_those_that_ask_for_it(grow, base):
    inner = spec(*workers("x", peers=("guests/*",)), *workers("y"))
    tree = grow(base, spec(ChildSpec("n", Branch, inner)))
    tree.hear(Ready)
    x, y = find(tree, "n/x"), find(tree, "n/y")
    assert tree.ask(x, "peers", dict) == {}
    tree.system.tell(find(tree, "n"), "take me in")
    tree.wait(lambda _tree: tree.ask(x, "peers", dict) == {"guests/1": 1})
    assert tree.ask(y, "peers", dict) == {}


@multiprocess
def test_a_successor_says_why_its_predecessor_ended(grow):
    children = [*workers("a", "b", "c"), *workers("d", args={"deaf": True}, shutdown_s=0.2)]
    tree = grow(MULTI, spec(*children, strategy=REST_FOR_ONE, max_restarts=9))
    tree.hear(Ready)

    def because(path):
        return tree.ask(tree.top, Locate(path), Located).peer.because

    assert because("d") == ""
    for times, (what, why) in enumerate(
        [
            ("raise", "it failed with RuntimeError: told to"),
            ("kill", "it was killed by SIGKILL"),
            ("finish", "it finished"),
            ("hang", "it was silent"),
        ]
    ):
        tree.system.tell(find(tree, "c"), what)
        tree.wait(restarted("d", times + 1))
        assert because("c").startswith(why)
        assert because("d") == "restarted along with c"
    assert because("b") == ""
