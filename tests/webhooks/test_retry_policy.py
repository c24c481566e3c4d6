import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.history.attempts import attempt_document
from callboard.webhooks.hooks.options import NO_OPTIONS, Options
from callboard.webhooks.retries.delay_classes import waits
from callboard.webhooks.retries.outcome import ClientError, Done, GiveUp, Response, Retry
from callboard.webhooks.retries.policy import (
    KazooPolicy,
    StandardPolicy,
    chosen,
    deferral,
    max_attempts,
    policy_named,
    policy_of,
    retry_after_s,
    succeeded,
    verdict,
    with_choices,
    within,
)

NOW = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT
DAY_S = 86_400
KAZOO, STANDARD = KazooPolicy(), StandardPolicy()
TIMEOUT = ClientError("timeout")
REFUSED = ClientError("refused: loopback")

fractions = st.floats(0, 1, exclude_max=True)
statuses = st.integers(100, 599)


def delivery(method="POST", max_attempts=3, options=NO_OPTIONS):
    uri = "https://example.org/"
    return Delivery("d", "e", "h", "a", "all", uri, method, uri, (), b"", max_attempts, options)


def then(policy, attempts_made, outcome, *, random=0.5, now=NOW, method="POST"):
    return verdict(policy, delivery(method), attempts_made, outcome, now, lambda: random)


# Which policy


@pytest.mark.parametrize(
    ("hook", "account", "node", "name"),
    [
        ("standard", "kazoo", "kazoo", "standard"),
        ("kazoo", "standard", "standard", "kazoo"),
        (None, "standard", "kazoo", "standard"),
        (None, "kazoo", "standard", "kazoo"),
        (None, None, "standard", "standard"),
        (None, "Standard", "kazoo", "kazoo"),
        (None, 7, "kazoo", "kazoo"),
        (None, ["standard"], "kazoo", "kazoo"),
        (None, {"standard": 1}, "kazoo", "kazoo"),
    ],
)
def test_the_hook_chooses_then_its_account_then_the_node(hook, account, node, name):
    assert chosen(hook, account, node) == name


STEPS_S = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h: the specification of Standard Webhooks."""


def test_a_policy_by_its_name():
    assert policy_named("kazoo", (1.0,)) == KazooPolicy()
    assert policy_named("standard", (1.0, 2.5)) == StandardPolicy((1.0, 2.5))
    assert policy_named("standard").steps_s == STEPS_S


@pytest.mark.parametrize("step", [0.0, -1.0, math.inf, math.nan])
def test_a_step_must_be_a_time(step):
    with pytest.raises(ValueError, match=r"retry step .* is no number of seconds above 0"):
        StandardPolicy((1.0, step))


def test_how_many_tries_there_are():
    assert max_attempts(KAZOO, delivery(max_attempts=4)) == 4
    assert max_attempts(STANDARD, delivery(max_attempts=4)) == 10
    assert max_attempts(StandardPolicy(()), delivery(max_attempts=4)) == 1


@pytest.mark.parametrize(
    ("hook", "account", "node", "event_steps_s", "policy", "steps_s"),
    [
        ({}, {}, "kazoo", (), "kazoo", STEPS_S),
        ({}, {}, "standard", (), "standard", STEPS_S),
        ({}, {}, "kazoo", (9.0,), "standard", (9.0,)),
        ({}, {"retry_policy": "kazoo"}, "standard", (9.0,), "kazoo", (9.0,)),
        ({}, {"retry_policy": "standard"}, "kazoo", (9.0,), "standard", (9.0,)),
        ({"policy": "kazoo"}, {}, "standard", (9.0,), "kazoo", (9.0,)),
        ({"retry_steps_s": (7.0,)}, {"retry_policy": "kazoo"}, "kazoo", (9.0,), "standard", (7.0,)),
        ({"retry_steps_s": (7.0,), "policy": "kazoo"}, {}, "standard", (), "kazoo", (7.0,)),
        (
            {"retry_steps_s": (5.0, 200_000.0, 300_000.0)},
            {},
            "kazoo",
            (),
            "standard",
            (5.0, 200_000.0),
        ),
        ({"retry_steps_s": (300_000.0,)}, {}, "kazoo", (), "standard", STEPS_S),
    ],
)
def test_the_steps_are_the_hook_s_or_the_event_type_s_within_the_node_s(
    hook, account, node, event_steps_s, policy, steps_s
):
    chosen_ = with_choices(delivery(options=Options(**hook)), account, node, event_steps_s)
    made = policy_of(chosen_.options, node, STEPS_S)
    assert made == (KAZOO if policy == "kazoo" else StandardPolicy(steps_s))


def test_a_delivery_without_choices_is_not_copied():
    one = delivery()
    assert with_choices(one, {}, "kazoo") is one
    assert with_choices(one, {"retry_policy": "kazoo"}, "kazoo") is one


@pytest.mark.parametrize(("written", "log"), [(True, True), ("false", False), (None, None)])
def test_an_account_chooses_whether_its_successes_are_logged(written, log):
    account = {"log_successful_attempts": written}
    assert with_choices(delivery(), account, "kazoo").options.log_successful is log


@pytest.mark.parametrize("name", ["kazoo", "standard"])
@pytest.mark.parametrize(
    ("status", "success"), [(200, False), (204, False), (304, True), (410, True), (404, False)]
)
def test_a_hook_says_what_success_is(name, status, success):
    policy = policy_of(Options(policy=name, success=((300, 399), (410, 410))), name, STEPS_S)
    assert (then(policy, 1, Response(status)) == Done()) is success


@pytest.mark.parametrize(
    ("status", "expected"),
    [(400, GiveUp), (401, Retry), (404, GiveUp), (409, GiveUp), (410, GiveUp), (500, Retry)],
)
def test_a_hook_says_what_is_not_tried_again(status, expected):
    options = Options(policy="standard", give_up=((400, 400), (404, 409)))
    verdict = then(policy_of(options, "kazoo", STEPS_S), 1, Response(status))
    assert isinstance(verdict, expected)
    assert getattr(verdict, "disable", False) is (status == 410)


# kazoo


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
@pytest.mark.parametrize("status", [100, 199, 200, 201, 202, 204, 299, 301, 400, 404, 500, 503])
def test_kazoo_takes_200_for_success_and_201_to_a_put(method, status):
    expected = status == 200 or (method, status) == ("PUT", 201)
    assert succeeded(KAZOO, method, Response(status)) is expected
    assert (then(KAZOO, 1, Response(status), method=method) == Done()) is expected


@pytest.mark.parametrize("attempts_made", [1, 2, 3])
@pytest.mark.parametrize("status", [204, 302, 410, 429, 503])
def test_kazoo_does_not_try_a_bad_status_again(attempts_made, status):
    response = Response(status, {"Retry-After": "5"})
    assert then(KAZOO, attempts_made, response) == GiveUp(f"status {status}", disable=False)


@pytest.mark.parametrize(
    ("attempts_made", "expected"),
    [(1, Retry(2000)), (2, Retry(2000)), (3, GiveUp("timeout")), (4, GiveUp("timeout"))],
)
def test_kazoo_tries_a_client_error_again_while_there_are_tries(attempts_made, expected):
    assert then(KAZOO, attempts_made, TIMEOUT) == expected


# Both


@pytest.mark.parametrize("policy", [KAZOO, STANDARD])
def test_a_refused_address_is_refused_for_good(policy):
    assert then(policy, 1, REFUSED) == GiveUp("refused: loopback")


@pytest.mark.parametrize("policy", [KAZOO, STANDARD])
def test_a_refused_connection_is_no_refused_address(policy):
    error = ClientError("failed_connect: econnrefused", "Connection refused")
    assert isinstance(then(policy, 1, error), Retry)


@pytest.mark.parametrize("policy", [KAZOO, STANDARD])
def test_a_success_on_the_last_try_is_a_success(policy):
    last = max_attempts(policy, delivery())
    assert then(policy, last, Response(200)) == Done()


# standard


@given(statuses, st.sampled_from(["GET", "POST", "PUT"]))
def test_standard_takes_any_2xx_for_success(status, method):
    expected = 200 <= status <= 299
    assert succeeded(STANDARD, method, Response(status)) is expected
    assert (then(STANDARD, 1, Response(status), method=method) == Done()) is expected


@pytest.mark.parametrize("outcome", [TIMEOUT, Response(500), Response(404), Response(302)])
def test_standard_tries_again_after_each_step_and_then_gives_up(outcome):
    pauses = [then(STANDARD, made, outcome, random=0.999_999_999_9) for made in range(1, 10)]
    assert pauses == [Retry(step * 1000) for step in STEPS_S]
    reason = "timeout" if outcome is TIMEOUT else f"status {outcome.status}"
    assert then(STANDARD, 10, outcome) == GiveUp(reason)
    assert then(STANDARD, 11, outcome) == GiveUp(reason)


def test_the_least_pause_is_a_tenth_of_a_step_and_a_second():
    pauses = [then(STANDARD, made, TIMEOUT, random=0.0).after_ms for made in (1, 2, 9)]
    assert pauses == [1000, 30_000, 8_640_000]


def test_a_step_below_a_second_is_its_own_least_pause():
    assert then(StandardPolicy((0.2,)), 1, TIMEOUT, random=0.0) == Retry(200)


@given(st.floats(0.001, 1e7), fractions)
def test_a_pause_lies_within_its_step(step, random):
    after_ms = then(StandardPolicy((step,)), 1, TIMEOUT, random=random).after_ms
    least = min(step, max(1.0, step / 10)) * 1000
    assert least * (1 - 1e-9) <= after_ms <= math.ceil(step * 1000)


@given(st.floats(11, 1e6), fractions, fractions)
def test_a_larger_number_makes_a_longer_pause(step, one, other):
    policy = StandardPolicy((step,))
    low, high = sorted([one, other])
    assert (
        then(policy, 1, TIMEOUT, random=low).after_ms
        <= then(policy, 1, TIMEOUT, random=high).after_ms
    )


@pytest.mark.parametrize("attempts_made", [1, 5, 10])
def test_410_gives_up_and_the_hook_with_it(attempts_made):
    assert then(STANDARD, attempts_made, Response(410)) == GiveUp("status 410", disable=True)


@pytest.mark.parametrize(
    ("status", "honoured"),
    [
        *((status, True) for status in (429, 503, 300, 301, 399)),
        *((status, False) for status in (400, 408, 428, 500, 502, 504)),
    ],
)
def test_retry_after_lengthens_the_pause_where_it_means_something(status, honoured):
    response = Response(status, {"retry-after": "100"})
    assert then(STANDARD, 1, response, random=0.25) == Retry(100_000 if honoured else 2000)


@pytest.mark.parametrize("wish", ["0", "1", "-5", "soon", "Sun, 06 Nov 1994 08:49:36 GMT"])
def test_retry_after_shortens_no_pause(wish):
    assert then(STANDARD, 1, Response(429, {"Retry-After": wish}), random=0.25) == Retry(2000)


def test_retry_after_makes_no_further_try():
    assert then(STANDARD, 10, Response(429, {"Retry-After": "1"})) == GiveUp("status 429")


@pytest.mark.parametrize(
    ("wish", "seconds"),
    [
        ("120", 120),
        (" 120 ", 120),
        ("0", 0),
        ("000000000000000120", 120),
        ("86400", DAY_S),
        ("86401", DAY_S),
        ("9" * 5000, DAY_S),
        ("0" * 5000, 0),
        ("Sun, 06 Nov 1994 08:50:37 GMT", 60),
        ("Sunday, 06-Nov-94 08:50:37 GMT", 60),
        ("Sun Nov  6 08:50:37 1994", 60),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0),
        ("Sun, 06 Nov 1994 09:50:37 +0100", 60),
        ("Sun, 06 Nov 1994 08:48:37 GMT", 0),
        ("Sun, 06 Nov 2094 08:49:37 GMT", DAY_S),
        ("Sun, 06 Nov 99999 08:49:37 GMT", 0),
        ("-120", 0),
        ("+120", 0),
        ("1.5", 0),
        ("1e3", 0),
        ("１２０", 0),
        ("120, 130", 0),
        ("120s", 0),
        ("", 0),
    ],
)
def test_what_retry_after_may_say(wish, seconds):
    assert retry_after_s({"Retry-After": wish}, NOW) == seconds


@pytest.mark.parametrize("name", ["Retry-After", "retry-after", "RETRY-AFTER"])
def test_the_name_of_the_header_is_of_any_case(name):
    assert retry_after_s({"Server": "x", name: "7"}, NOW) == 7
    assert retry_after_s({}, NOW) == 0


dates = st.from_regex(
    r"\A[A-Z][a-z]{2,8},? ?[0-9]{0,3}[ -]?(Jan|Feb|Nov)[ -][0-9]{0,5} [0-9:]{0,9}"
    r" ?(GMT|[+-][0-9]{0,9})?"
)


@given(st.text() | dates | st.from_regex(r"\A[0-9:., +-]*\Z"), st.floats(0, 1e11))
def test_no_retry_after_asks_for_too_much(wish, now):
    assert 0 <= retry_after_s({"Retry-After": wish}, now) <= DAY_S


# Parked


@pytest.mark.parametrize(
    ("parked_s", "least_ms", "most_ms"),
    [
        (0, 2000, 5000),
        (4, 2000, 5000),
        (60, 20_000, 60_000),
        (600, 300_000, 600_000),
        (5000, 300_000, 600_000),
        (-1000, 2000, 5000),
    ],
)
def test_what_is_parked_comes_back_more_and_more_rarely(parked_s, least_ms, most_ms):
    assert deferral(NOW, NOW + parked_s, 99, DAY_S, lambda: 0.0) == Retry(least_ms)
    assert deferral(NOW, NOW + parked_s, 99, DAY_S, lambda: 1 - 1e-12) == Retry(most_ms)


def test_the_first_pause_is_of_five_seconds_by_chance():
    """60 % of 5 s are nearer to the wait of 2 s than to that of 5 s, and 80 % are not."""
    assert deferral(NOW, NOW, 0, DAY_S, lambda: 0.2) == Retry(2000)
    assert deferral(NOW, NOW, 0, DAY_S, lambda: 0.6) == Retry(5000)


@given(fractions, st.integers(0, DAY_S), st.floats(0, 300))
def test_what_is_parked_waits_once_and_not_in_vain(fraction, parked_s, probe_in_s):
    """One wait; about as long as the endpoint is left alone, or longer where the step is."""
    then = deferral(NOW, NOW + parked_s, 9999, 2 * DAY_S, lambda: fraction, probe_in_s)
    assert len(waits(then.after_ms)) == 1
    # The next class is at most 3 times the one before: the nearest is wrong by its root at most.
    assert then.after_ms / 1000 * 3**0.5 >= probe_in_s
    longest_s = max(min(max(parked_s, 5), 600), probe_in_s + 5)
    assert then.after_ms / 1000 <= longest_s * 3**0.5


def test_what_is_parked_for_too_long_is_given_up():
    assert isinstance(deferral(NOW, NOW + 99, 1, 100, lambda: 0.0), Retry)
    assert deferral(NOW, NOW + 100, 1, 100, lambda: 0.0) == GiveUp(
        "endpoint not available for 100 s"
    )


def test_what_was_parked_while_the_clock_jumped_or_nobody_was_there_is_not_given_up():
    assert deferral(NOW, NOW + 10 * DAY_S, 1, 4 * DAY_S, lambda: 1 - 1e-12) == Retry(600_000)
    assert isinstance(deferral(NOW, NOW + 10 * DAY_S, 600, 4 * DAY_S, lambda: 0.0), GiveUp)


@given(fractions, st.integers(600, 10 * DAY_S))
def test_what_is_parked_all_the_time_is_given_up_when_it_should_be(fraction, most_s):
    """However the pauses fall: the rounds never hold it back."""
    now, deferrals = NOW, 0
    while isinstance(then := deferral(NOW, now, deferrals, most_s, lambda: fraction), Retry):
        assert now < NOW + most_s
        now += then.after_ms / 1000
        deferrals += 1
    assert now <= NOW + most_s + 600


# The attempts


@pytest.mark.parametrize(("policy", "result"), [(KAZOO, "failure"), (STANDARD, "success")])
def test_an_attempt_tells_success_by_the_policy(policy, result):
    document = attempt_document(delivery(), Response(204), 3, NOW, 100, policy)
    assert document["result"] == result


def test_own_steps_may_take_as_long_as_the_node_s_together():
    assert within((2.0, 3.0), (1.0, 4.0)) == (2.0, 3.0)
    assert within((2.0, 3.5, 1.0), (1.0, 4.0)) == (2.0,)


def test_a_deferral_ends_after_the_circuit_may_be_probed():
    assert deferral(NOW, NOW, 0, DAY_S, lambda: 0.0, probe_in_s=8.0) == Retry(10_000)
