import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.webhooks.dispatch.circuit_breaker import (
    CircuitLimits,
    Circuits,
    reached,
)
from callboard.webhooks.retries.outcome import ClientError, Response

MOST = 1 - 1e-12


def circuits(failures=2, random=MOST):
    return Circuits(CircuitLimits(failures, first_pause_s=10.0, max_pause_s=35.0), lambda: random)


def request(made, now, was_reached, endpoint="e"):
    assert made.allows(endpoint, now)
    made.end(endpoint, now, was_reached, probe=made.begin(endpoint))


def opened(random=MOST):
    made = circuits(random=random)
    request(made, 0, False)
    request(made, 0, False)
    return made


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        (Response(200), True),
        (Response(500), True),
        (ClientError("timeout"), False),
        (ClientError("failed_connect: econnrefused"), False),
        (ClientError("failed_connect: nxdomain"), False),
        (ClientError("bad_response"), False),
        (ClientError("refused: loopback"), None),
    ],
)
def test_any_answer_reaches_the_endpoint(outcome, says):
    assert reached(outcome) is says


def test_the_latest_error_and_the_time_of_the_first_are_known():
    made = circuits()
    assert (made.error("e"), made.failing_s("e", 5.0)) == ("", 0.0)
    made.end("e", 1.0, False, probe=False, error="timeout")
    made.end("e", 3.0, False, probe=False, error="failed_connect: econnrefused")
    assert made.error("e") == "failed_connect: econnrefused"
    assert made.failing_s("e", 5.0) == 4.0
    made.end("e", 6.0, True, probe=False)
    assert (made.error("e"), made.failing_s("e", 7.0)) == ("", 0.0)


def test_it_can_be_closed_before_its_pause_is_over():
    made = opened()
    assert not made.allows("e", 1)
    assert made.close("e")
    assert (made.allows("e", 1), made.open, made.failures("e")) == (True, 0, 0)
    assert not made.close("e")
    request(made, 1, False)
    assert not made.close("e"), "it was closed, with a failure"
    assert made.failures("e") == 0


def test_consecutive_errors_open_a_circuit():
    made = circuits(failures=3)
    for was_reached in (False, False, True, False, None, False):
        request(made, 0, was_reached)
    assert (made.state("e", 0), made.failures("e"), made.open) == ("closed", 2, 0)
    request(made, 0, False)
    assert (made.state("e", 0), made.failures("e"), made.open) == ("open", 3, 1)
    assert list(made.failing()) == ["e"]
    assert not made.allows("e", 9)


def test_endpoints_are_apart():
    made = opened()
    assert made.allows("other", 0)
    assert (made.state("other", 0), made.failures("other"), made.probe_at("other")) == (
        "closed",
        0,
        None,
    )


def test_after_the_pause_one_request_goes():
    made = opened()
    at = made.probe_at("e")
    assert at == pytest.approx(10)
    assert not made.allows("e", at - 0.001)
    assert made.state("e", at) == "half-open"
    assert made.allows("e", at)
    assert made.begin("e")
    assert not made.allows("e", at + 1000)
    assert (made.state("e", at), made.probe_at("e")) == ("half-open", None)


def test_for_how_long_an_endpoint_is_left_alone():
    assert circuits().probe_in_s("e", 5) == 0
    made = opened()
    assert [made.probe_in_s("e", now) for now in (8, 10, 12)] == [pytest.approx(2), 0, 0]
    made.begin("e")
    assert made.probe_in_s("e", 8) == 0


def test_those_that_may_be_tried_are_counted():
    made = circuits(failures=1)
    request(made, 0, False, "a")
    request(made, 5, False, "b")
    pause_s = made.probe_at("a")
    assert [made.half_open(now) for now in (0, pause_s, pause_s + 5)] == [0, 1, 2]
    assert made.open == 2


def test_a_probe_that_reaches_the_endpoint_closes_it():
    made = opened()
    request(made, 10, True)
    assert (made.state("e", 10), made.failures("e"), made.open, len(made)) == ("closed", 0, 0, 0)
    assert made.opened == 1


@pytest.mark.parametrize(("random", "pauses"), [(MOST, [10, 20, 35, 35]), (0, [5, 10, 17.5, 17.5])])
def test_pauses_double_up_to_a_bound_and_a_half_is_random(random, pauses):
    made, now, found = opened(random), 0.0, []
    for _probe in pauses:
        found.append(made.probe_at("e") - now)
        now = made.probe_at("e")
        request(made, now, False)
    assert found == pytest.approx(pauses)
    assert (made.opened, made.failures("e")) == (1, 6)


def test_after_a_success_the_pauses_begin_anew():
    made = opened()
    request(made, 10, False)
    request(made, 30, True)
    request(made, 30, False)
    assert made.state("e", 30) == "closed"
    request(made, 30, False)
    assert made.probe_at("e") == pytest.approx(40)
    assert made.opened == 2


def test_a_probe_that_says_nothing_lets_another_go():
    made = opened()
    request(made, 10, None)
    assert (made.state("e", 10), made.allows("e", 10)) == ("half-open", True)


def test_late_errors_of_before_change_nothing():
    made = opened()
    made.end("e", 5, False, probe=False)
    assert (made.failures("e"), made.probe_at("e")) == (2, pytest.approx(10))
    assert made.begin("e")
    made.end("e", 11, False, probe=False)
    made.end("e", 11, None, probe=False)
    assert (made.probe_at("e"), made.allows("e", 11)) == (None, False)


def test_a_late_answer_closes_the_circuit():
    made = opened()
    made.end("e", 5, True, probe=False)
    assert (made.state("e", 5), made.open) == ("closed", 0)


def test_a_circuit_that_is_closed_and_open_again_is_not_judged_by_an_old_probe():
    made = opened()
    old = made.begin("e")
    made.end("e", 10, True, probe=False)
    made.end("e", 10, False, probe=False)
    made.end("e", 10, False, probe=False)
    made.end("e", 10, False, probe=old)
    assert (made.failures("e"), made.probe_at("e")) == (2, pytest.approx(20))


def test_one_error_may_be_enough():
    made = circuits(failures=1)
    request(made, 0, False)
    assert made.state("e", 0) == "open"


@pytest.mark.parametrize("wrong", [{"failures": 0}, {"first_pause_s": 0.0}, {"max_pause_s": -1.0}])
def test_limits_that_cannot_be(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        CircuitLimits(**wrong)


def test_by_default_ten_errors_leave_an_endpoint_alone_for_5_seconds_and_up_to_5_minutes():
    assert CircuitLimits() == CircuitLimits(failures=10, first_pause_s=5.0, max_pause_s=300.0)


def test_pauses_may_be_shorter_than_a_second():
    made = Circuits(CircuitLimits(1, first_pause_s=0.25, max_pause_s=0.5), lambda: MOST)
    request(made, 0.0, False)
    assert (made.allows("e", 0.2), made.allows("e", 0.25)) == (False, True)
    assert (made.open, made.close("e"), made.close("e"), made.open) == (1, True, False, 0)


def test_endpoints_in_order_take_no_memory():
    made = circuits()
    for number in range(1000):
        request(made, 0, was_reached=True, endpoint=f"e{number}")
        request(made, 0, was_reached=None, endpoint=f"e{number}")
    assert len(made) == 0


def test_of_failing_endpoints_so_many_are_remembered():
    made = circuits(failures=2)
    for endpoint in ["a", "a", "b", *range(99_998), "b"]:
        made.end(endpoint, 0, False, probe=False)
    assert (len(made), made.open) == (100_000, 2)
    made.end("one more", 0, False, probe=False)
    assert (len(made), made.open, list(made.failing())) == (100_000, 1, ["b"])
    assert made.state("a", 0) == "closed"
    assert made.failures("one more") == 1
    made.end("one more again", 0, False, probe=False)  # one with a closed circuit makes room
    assert (len(made), made.open) == (100_000, 1)


def test_the_endpoint_is_forgotten_that_failed_longest_ago():
    made = circuits(failures=5)
    for endpoint in ["b", "a", "b", *range(99_999)]:
        made.end(endpoint, 0, False, probe=False)
    assert [made.failures(endpoint) for endpoint in ["a", "b", 0]] == [0, 2, 1]


def test_the_bound_holds_for_the_first_pause_too():
    made = Circuits(CircuitLimits(1, first_pause_s=50.0, max_pause_s=35.0), lambda: MOST)
    request(made, 0, False)
    assert made.probe_at("e") == pytest.approx(35)


uses = st.tuples(
    st.sampled_from(["begin", "reached", "failed", "nothing", "wait"]),
    st.sampled_from("ab"),
)


@given(st.lists(uses, max_size=80), st.integers(1, 3))
def test_no_more_than_one_probe_and_counts_that_agree(uses, failures):
    made, now = circuits(failures), 0.0
    under_way = {"a": [], "b": []}
    for use, endpoint in uses:
        if use == "wait":
            now += 7
        elif use == "begin":
            if made.allows(endpoint, now):
                under_way[endpoint].append(made.begin(endpoint))
        elif under_way[endpoint]:
            was_reached = {"reached": True, "failed": False, "nothing": None}[use]
            made.end(endpoint, now, was_reached, probe=under_way[endpoint].pop())
            if was_reached:
                assert made.state(endpoint, now) == "closed"
        not_closed = [e for e in "ab" if made.state(e, now) != "closed"]
        assert sorted(made.failing()) == not_closed
        assert made.open == len(not_closed)
        for e in "ab":
            assert made.is_closed(e) == (e not in not_closed)
            assert made.allows(e, now) <= (made.state(e, now) != "open")
            at = made.probe_at(e)
            assert at is None or (at <= now) == made.allows(e, now)
            # Nothing waits for ever: it may go now, at a time, or after a probe under way.
            assert made.allows(e, now) or at is not None or any(under_way[e])
