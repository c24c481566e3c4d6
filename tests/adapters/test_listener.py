"""The receiver that judges signatures, counts repeats, and fails as it is told."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
import requests

from callboard.adapters.receiver.arrivals import Arrivals, Attempt
from callboard.adapters.receiver.faults import AtFirst, Misbehaviour, Sometimes
from callboard.adapters.receiver.listener import Listener, in_words
from callboard.adapters.receiver.server import Answer, Close, Hang
from callboard.webhooks.deliveries.signing import (
    ED25519,
    InvalidSecret,
    new_secret,
    signature_headers,
)
from callboard.webhooks.deliveries.verifying import Verdict
from support.patience import patient

SECRET = new_secret()


def post(listener, path="/", id=None, secret=None, age_s=0, body=b"{}"):
    headers = {} if id is None else {"webhook-id": id}
    if secret is not None:
        headers |= dict(signature_headers([secret], id, time.time() - age_s, body))
    return requests.post(
        f"{listener.url}{path}", body, headers=headers, timeout=patient(10)
    ).status_code


@pytest.mark.parametrize(
    ("sent", "verdict"),
    [
        ({"secret": SECRET}, "ok"),
        ({"secret": new_secret()}, "wrong"),
        ({}, "missing"),
        ({"secret": SECRET, "age_s": 301}, "too old"),
        ({"secret": SECRET, "age_s": -400}, "too new"),
    ],
)
def test_signatures_are_judged(sent, verdict):
    with Listener(keys=[SECRET.text]) as listener:
        assert post(listener, id="a", **sent) == 200
        (arrival,) = listener.wait_for(1)
        assert arrival.verdict == verdict


def test_each_has_a_free_port_of_its_own():
    with Listener() as one, Listener() as other:
        assert one.url != other.url
        assert one.url.startswith("http://127.0.0.1:")
        assert (post(one), post(other)) == (200, 200)


def test_either_key_will_do_and_both_kinds():
    pair = new_secret(ED25519)
    with Listener(keys=[new_secret().text, pair.public_text]) as listener:
        post(listener, id="a", secret=pair)
        assert listener.wait_for(1)[0].verdict == "ok"


def test_an_arrival_wakes_who_waits_for_it():
    with Listener() as listener, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(listener.wait_for, 1, patient(20))
        while not waiting.running():
            time.sleep(0.001)
        post(listener)
        assert len(waiting.result(patient(5))) == 1


def test_without_a_key_nothing_is_judged():
    with Listener() as listener:
        post(listener, id="a", secret=SECRET)
        assert listener.wait_for(1)[0].verdict is None


def test_a_strict_one_refuses_what_is_not_signed_well():
    with Listener(keys=[SECRET.text], strict=True) as listener:
        assert post(listener, id="a", secret=new_secret()) == 401
        assert post(listener, id="a", secret=SECRET) == 200
        # Nothing was answered well before, so the second is no repeat.
        assert [a.made.repeat for a in listener.arrivals] == [False, False]


@pytest.mark.parametrize("key", ["", "secret", "whsk_AAAA", "whsec_short", "whpk_AAAA"])
def test_what_is_no_key_is_refused(key):
    with pytest.raises(InvalidSecret):
        Listener(keys=[key])


def test_retries_and_repeats_are_told_apart():
    failing = Misbehaviour(Answer(503), AtFirst(2))
    with Listener(misbehaviour=failing) as listener:
        assert [post(listener, id="a") for _ in range(4)] == [503, 503, 200, 200]
        assert post(listener, id="b") == 503
        made = [arrival.made for arrival in listener.wait_for(5)]
        assert [(m.delivery, m.number, m.repeat) for m in made] == [
            ("a", 1, False),
            ("a", 2, False),
            ("a", 3, False),
            ("a", 4, True),
            ("b", 1, False),
        ]
        account = listener.account
        assert (account.requests, account.deliveries, account.good, account.repeats) == (5, 2, 2, 1)
        assert made[0].since_last_s is None
        assert all(m.since_last_s >= 0 for m in made[1:])


def test_requests_without_id_fail_at_first_together():
    with Listener(misbehaviour=Misbehaviour(when=AtFirst(1))) as listener:
        assert [post(listener) for _ in range(3)] == [500, 200, 200]


def test_a_part_fails_by_chance():
    chances = iter([0.2, 0.9, 0.49, 0.5])
    rate = Sometimes(0.5, chance=lambda: next(chances))
    with Listener(misbehaviour=Misbehaviour(when=rate)) as listener:
        assert [post(listener) for _ in range(4)] == [500, 200, 500, 200]


def test_other_paths_than_the_one_are_not_there():
    with Listener(path="/hook") as listener:
        assert [post(listener, path) for path in ("/hook", "/", "/hook/x")] == [200, 404, 404]


def test_the_path_says_what_to_answer_where_nothing_else_does():
    with Listener(misbehaviour=Misbehaviour(Close(), AtFirst(1))) as listener:
        with pytest.raises(requests.ConnectionError):
            post(listener, "/status/404", id="a")
        assert post(listener, "/status/404", id="a") == 404
        assert [a.answer for a in listener.wait_for(2)] == ["close", "404"]


def test_attempts_are_counted_by_delivery():
    arrivals = Arrivals()
    found = [
        arrivals.take({"webhook-id": id} if id is not None else {}, verdict, now_s)
        for id, verdict, now_s in (
            ("a", Verdict.OK, 10.0),
            ("a", Verdict.OK, 12.5),
            ("", Verdict.WRONG, 12.5),
            (None, None, 13.0),
        )
    ]
    assert found == [
        Attempt("a", 1, False, None),
        Attempt("a", 2, False, 2.5),
        Attempt(None, 1, False, 0.0),
        Attempt(None, 1, False, 0.5),
    ]
    arrivals.answered_well("a")
    arrivals.answered_well(None)
    assert arrivals.take({"webhook-id": "a"}, Verdict.OK, 14.0) == Attempt("a", 3, True, 1.0)
    assert arrivals.take({"webhook-id": "b"}, None, 14.0) == Attempt("b", 1, False, 0.0)
    assert (arrivals.requests, arrivals.good, arrivals.repeats) == (6, 2, 1)
    assert arrivals.deliveries == 2
    assert dict(arrivals.verdicts) == {Verdict.OK: 3, Verdict.WRONG: 1}


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (Answer(204), "204"),
        (Answer(200, delay_s=0.25), "200 after 0.25 s"),
        (Answer(200, delay_s=2.0), "200 after 2 s"),
        (Close(), "close"),
        (Hang(), "hang"),
    ],
)
def test_a_response_in_words(behaviour, words):
    assert in_words(behaviour) == words


def test_a_success_is_a_status_from_200_to_299():
    with Listener() as listener:
        for status in (199, 300, 200, 299):
            with suppress(requests.ConnectionError):  # of the interim status
                requests.post(f"{listener.url}/status/{status}", timeout=patient(5))
        listener.wait_for(4)
        assert listener.account.good == 2


def test_only_so_many_arrivals_are_remembered():
    with Listener(keep=2) as listener:
        for number in range(3):
            requests.post(f"{listener.url}/{number}", timeout=patient(5))
        assert [each.request.path for each in listener.wait_for(3)] == ["/1", "/2"]
        assert [each.request.path for each in listener.arrivals] == ["/1", "/2"]
        with pytest.raises(TimeoutError, match=r"^only 3 requests within 0\.001 s$"):
            listener.wait_for(4, timeout_s=0.001)
