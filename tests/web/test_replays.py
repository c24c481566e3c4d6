"""Replays of the API: what is the same replay, how many there are, and what is asked again."""

import threading

import pytest
from attrs import evolve

from callboard import admin
from callboard.actors.messages import NoAnswer, RefusedByActor
from callboard.web.operations.replays import NameTaken, Replays, TooMany, Wanted
from services.rabbitmq import wait_until

WANTED = Wanted("account", "hook", "run", 1.0, 2.0)


class Actor:
    """The backend of a replay: `listed` holds a result for each request, or what it raises."""

    def __init__(self, *listed):
        self.asked = []
        self.listed = list(listed)
        self.go_on = threading.Event()
        self.go_on.set()

    def ask(self, path, request, kind, timeout_s):
        self.asked.append((path, request, timeout_s))
        assert self.go_on.wait(30)
        if isinstance(request, admin.ReplayAttempts):
            return kind(request.ids)
        answer = self.listed.pop(0) if self.listed else admin.AttemptsListed(())
        if isinstance(answer, BaseException):
            raise answer
        return answer


def attempts(count, **more):
    return admin.AttemptsListed(
        tuple(admin.StoredAttempt(f"m/{n}", f"e{n}", n, True, "500", **more) for n in range(count))
    )


@pytest.fixture
def begun():
    made = []

    def begun(actor):
        made.append((actor, Replays(actor)))
        return made[-1][1]

    yield begun
    for actor, replays in made:
        actor.go_on.set()
        replays.close()


def ended(replays, wanted=WANTED):
    wait_until(lambda: replays.get(wanted.key).state != "running", "the end of the replay", 30)
    return replays.get(wanted.key)


def test_it_asks_the_actor_for_pages_and_for_each_batch(begun):
    actor = Actor(attempts(3))
    replays = begun(actor)
    assert replays.begin(WANTED).state == "running"
    assert (ended(replays).found, ended(replays).replayed) == (3, 3)
    assert actor.asked == [
        ("redelivery", admin.ListAttempts("hook", 1.0, 2.0, (), limit=500), 30.0),
        ("redelivery", admin.ReplayAttempts("hook", ("m/0", "m/1", "m/2"), "run"), 30.0),
    ]


@pytest.mark.parametrize("change", [{"since_s": 0.5}, {"until_s": 3.0}, {"rate": 5.0}])
def test_another_time_or_rate_is_the_same_replay(begun, change):
    actor = Actor(attempts(1))
    replays = begun(actor)
    replays.begin(WANTED)
    done = ended(replays)
    assert replays.begin(evolve(WANTED, **change)) == done
    assert len(actor.asked) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"failed": True},
        {"event_id": "e"},
        {"attempt_id": "a"},
        {"dry_run": True},
        {"asked_span": (1, None)},
        {"account_id": "another"},
    ],
)
def test_other_attempts_are_another_replay(begun, change):
    replays = begun(Actor())
    replays.begin(WANTED)
    ended(replays)
    with pytest.raises(NameTaken):
        replays.begin(evolve(WANTED, **change))


def test_one_that_is_under_way_is_not_begun_twice(begun):
    actor = Actor(attempts(1))
    actor.go_on.clear()
    replays = begun(actor)
    replays.begin(WANTED)
    assert replays.begin(WANTED).state == "running"
    # It does not keep the process from ending.
    assert [each.daemon for each in threading.enumerate() if each.name == "api-replay-run"] == [
        True
    ]
    actor.go_on.set()
    assert ended(replays).replayed == 1
    assert len(actor.asked) == 2


def test_sixteen_accounts_may_have_one_each(begun):
    actor = Actor()
    actor.go_on.clear()
    replays = begun(actor)
    for number in range(16):
        replays.begin(Wanted(f"a{number}", "h", f"r{number}", 1.0, 2.0))
    with pytest.raises(TooMany, match="a replay of this account runs"):
        replays.begin(Wanted("a0", "h", "other", 1.0, 2.0))
    with pytest.raises(TooMany, match="as many replays run as may"):
        replays.begin(Wanted("a16", "h", "r16", 1.0, 2.0))


def test_the_last_hundred_are_remembered(begun):
    replays = begun(Actor())
    made = [Wanted("a", "h", f"r{number}", 1.0, 2.0) for number in range(101)]
    for wanted in made:
        replays.begin(wanted)
        ended(replays, wanted)
    assert replays.get(made[0].key) is None
    assert replays.get(made[1].key).state == "done"


def test_one_that_was_begun_again_is_not_the_oldest(begun):
    replays = begun(Actor(RefusedByActor("away")))
    made = [Wanted("a", "h", f"r{number}", 1.0, 2.0) for number in range(101)]
    for wanted in (*made[:100], made[0], made[100]):
        replays.begin(wanted)
        ended(replays, wanted)
    assert replays.get(made[0].key).state == "done"
    assert replays.get(made[1].key) is None


def test_a_hundred_skipped_attempts_are_named_and_the_rest_counted(begun):
    replays = begun(Actor(attempts(102, problem="cut")))
    replays.begin(WANTED)
    found = ended(replays)
    assert (len(found.skipped), found.skipped_count, found.replayed) == (100, 102, 0)
    assert found.skipped["m/0"] == "cut"


def test_an_actor_that_is_restarted_is_asked_again(begun):
    actor = Actor(NoAnswer("restarting"), attempts(1))
    replays = begun(actor)
    replays.begin(WANTED)
    assert (ended(replays).state, ended(replays).replayed) == ("done", 1)
    assert [type(request) for _path, request, _s in actor.asked] == [
        *(admin.ListAttempts, admin.ListAttempts, admin.ReplayAttempts)
    ]


def test_one_that_stays_away_is_asked_five_times(begun):
    actor = Actor(*[NoAnswer("away")] * 6)
    replays = begun(actor)
    replays.begin(WANTED)
    found = ended(replays)
    assert (found.state, found.reason, len(actor.asked)) == ("failed", "away", 5)


def test_one_that_refuses_is_not_asked_again_but_may_be_begun_again(begun):
    actor = Actor(RefusedByActor("no such hook"), attempts(2))
    replays = begun(actor)
    replays.begin(WANTED)
    found = ended(replays)
    assert (found.state, found.reason, len(actor.asked)) == ("failed", "no such hook", 1)
    assert replays.begin(WANTED).state == "running"
    assert (ended(replays).state, ended(replays).replayed) == ("done", 2)


def test_what_ends_while_it_is_listed_is_stopped(begun):
    more = evolve(attempts(2), more=("202611",))
    actor = Actor(more, attempts(2))
    actor.go_on.clear()
    replays = begun(actor)
    replays.begin(WANTED)
    wait_until(lambda: actor.asked, "the request", 30)
    replays.stop(WANTED.key)
    replays.stop(("hook", "unknown"))
    actor.go_on.set()
    found = ended(replays)
    assert (found.state, found.found, len(actor.asked)) == ("stopped", None, 1)


def test_a_batch_is_sent_within_half_a_second(begun):
    actor = Actor(attempts(5))
    replays = begun(actor)
    replays.begin(evolve(WANTED, rate=8.0))
    assert ended(replays).replayed == 5
    sent = [request.ids for _path, request, _s in actor.asked[1:]]
    assert sent == [("m/0", "m/1", "m/2", "m/3"), ("m/4",)]


def test_a_batch_has_a_hundred_at_most(begun):
    actor = Actor(attempts(101))
    replays = begun(actor)
    replays.begin(evolve(WANTED, rate=10_000.0))
    assert ended(replays).replayed == 101
    assert [len(request.ids) for _path, request, _s in actor.asked[1:]] == [100, 1]
