"""What waits means what its hook means now."""

import json

import pytest
from attrs import evolve

from callboard.webhooks.deliveries.delivery import delivery_of
from callboard.webhooks.deliveries.encoding import NotConvertible, content, content_type
from callboard.webhooks.deliveries.presenting import presented
from callboard.webhooks.hooks.hook import FORM_DATA, JSON, Hook
from callboard.webhooks.hooks.options import CANCELLED_UNTIL, NO_OPTIONS, Options
from callboard.webhooks.retries.retry_message import RetryMessage, as_json, from_json
from callboard.webhooks.retries.standing import (
    BY_REQUEST,
    DELETED,
    DISABLED,
    Cancel,
    Ended,
    Held,
    Ready,
    Send,
    Unknown,
    Wait,
    judged,
    standing,
)
from callboard.webhooks.values.exact_numbers import json_bytes

ACCOUNT = "ab" * 16
NOW, HOURS = 1_700_000_000.0, 3600.0
PAYLOAD = {"n": 1, "ok": True, "t": "ö", "none": None, "o": {"l": [1.5]}}
AS_JSON = content("application/json", PAYLOAD)
AS_FORM = content("application/x-www-form-urlencoded", PAYLOAD)
DOCUMENT = {
    "_id": "h",
    "pvt_type": "webhook",
    "pvt_account_id": ACCOUNT,
    "uri": "https://e.example/in",
    "hook": "object",
    "format": "json",
}
EVENTS = ("object",)


def hook(**changes):
    return Hook(id="h", account_id=ACCOUNT, uri="https://e.example/in", event="object", **changes)


def delivery(its, *, raw=False):
    sent = AS_JSON if its.format == JSON and its.verb != "get" else AS_FORM
    source = b"" if sent is AS_JSON else json_bytes(PAYLOAD)
    form = content_type(its)
    return delivery_of(
        its, form, sent, id="d" * 32, event_id="e", webhook_id="w", source=source, raw=raw
    )


def waiting(its=None, **state):
    made = delivery(its or hook(format=JSON))
    return RetryMessage(made, 1, int(NOW * 1000), history=((5, "timeout"),), **state)


def judge(retry, state, now=NOW, most_s=72 * HOURS):
    return judged(retry, state, now, most_s, lambda: 0.5)


# The hook's state


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (None, Ended(DELETED)),
        ({"pvt_deleted": True}, Ended(DELETED)),
        ({"pvt_deleted": True, "enabled": False, "pvt_disabled_message": "x"}, Ended(DELETED)),
        ({"enabled": False}, Ended(DISABLED)),
        ({"enabled": "false"}, Ended(DISABLED)),
        ({"enabled": False, "pvt_disabled_message": None}, Ended(DISABLED)),
        ({"enabled": False, "pvt_disabled_message": "too many"}, Held(DISABLED)),
        (
            {"enabled": False, "pvt_disabled_message": "too many", CANCELLED_UNTIL: 7},
            Held(DISABLED, 7),
        ),
        ({"pvt_disabled_message": "of another time"}, Ready(hook(format=JSON))),
        ({}, Ready(hook(format=JSON))),
        ({CANCELLED_UNTIL: 9}, Ready(hook(format=JSON, options=Options(cancelled_until_ms=9)))),
        *(
            ({CANCELLED_UNTIL: odd}, Ready(hook(format=JSON)))
            for odd in (0, -1, "soon", None, [], 2**60)
        ),
    ],
)
def test_a_document_says_what_becomes_of_deliveries(changes, expected):
    document = None if changes is None else {**DOCUMENT, **changes}
    assert standing(document, EVENTS) == expected


def test_a_hook_that_cannot_fire_now_holds_its_deliveries():
    state = standing({**DOCUMENT, "uri": ""}, EVENTS)
    assert isinstance(state, Held)
    assert state.reason.startswith("hook invalid: uri is missing")


# The verdict


def test_those_of_an_ended_hook_are_cancelled_and_those_of_a_callflow_sent():
    retry = waiting()
    assert judge(retry, Ended(DELETED)) == Cancel(retry, DELETED)
    assert judge(retry, Unknown()) == Send(retry)


def test_an_unchanged_hook_changes_nothing():
    for its in (hook(format=JSON), hook(), hook(verb="get"), hook(verb="put", max_attempts=5)):
        retry = waiting(its)
        assert judge(retry, Ready(its)) == Send(retry)


@pytest.mark.parametrize(("taken_ms", "ends"), [(99, True), (100, True), (101, False)])
def test_a_request_cancels_what_was_taken_until_then(taken_ms, ends):
    retry = waiting(taken_ms=taken_ms)
    ready = judge(retry, Ready(hook(format=JSON, options=Options(cancelled_until_ms=100))))
    held = judge(retry, Held(DISABLED, 100))
    assert (isinstance(ready, Cancel), isinstance(held, Cancel)) == (ends, ends)
    if ends:
        assert ready == held == Cancel(retry, BY_REQUEST)


def test_a_message_of_an_earlier_version_was_taken_at_the_latest_at_its_first_attempt():
    retry = waiting()
    assert retry.taken_at_ms == 5
    assert evolve(retry, history=(), deferred_since_ms=6).taken_at_ms == 6
    assert evolve(retry, deferred_since_ms=3).taken_at_ms == 3
    assert evolve(retry, history=()).taken_at_ms == retry.due_ms
    assert evolve(retry, taken_ms=4).taken_at_ms == 4


def test_those_of_a_hook_disabled_for_failures_wait_more_and_more_rarely_and_not_for_ever():
    retry, now, waits = waiting(), NOW, []
    while isinstance(fate := judge(retry, Held(DISABLED), now), Wait):
        assert fate.retry.delivery == retry.delivery
        assert fate.retry.attempts_made == retry.attempts_made
        assert fate.retry.deferrals == retry.deferrals + 1
        waits.append(fate.retry.due_ms / 1000 - now)
        assert fate.retry.left
        retry, now = fate.retry, fate.retry.due_ms / 1000
    assert 1 <= waits[0] <= 10
    assert max(waits) <= 600
    assert 72 * HOURS <= now - NOW < 73 * HOURS
    assert fate == Cancel(retry, f"hook disabled for {round(now - NOW)} s")
    assert judge(retry, Ready(hook(format=JSON)), now) == Send(retry), "it was enabled in time"


def test_a_clock_that_was_set_back_does_not_end_the_wait():
    retry = waiting(deferred_since_ms=int((NOW + 10**6) * 1000))
    fate = judge(retry, Held(DISABLED))
    assert isinstance(fate, Wait)
    assert fate.retry.deferred_since_ms == int(NOW * 1000)


# The request


def test_it_is_sent_to_the_present_url_with_the_present_headers_and_options():
    options = Options(policy="standard", ordered=True, headers=(("X-Key", "new"),), secrets=("s",))
    old = hook(format=JSON, options=Options(headers=(("X-Key", "old"), ("X-Gone", "1"))))
    new = evolve(old, uri="https://n.example/", verb="put", max_attempts=4, options=options)
    made = presented(delivery(old), new)
    assert made == evolve(
        delivery(old), uri=new.uri, method="PUT", url="https://n.example/", max_attempts=4,
        options=options,
        headers=(
            ("Content-Type", "application/json"), ("X-Hook-ID", "h"), ("X-Account-ID", ACCOUNT),
            ("X-Key", "new"), ("webhook-id", "w"),
        ),
    )  # fmt: skip


@pytest.mark.parametrize("verb", ["post", "put", "get"])
@pytest.mark.parametrize("format", [JSON, FORM_DATA])
@pytest.mark.parametrize("old_verb", ["post", "put", "get"])
@pytest.mark.parametrize("old_format", [JSON, FORM_DATA])
def test_the_data_stay_in_any_form(old_format, old_verb, format, verb):
    """Also after a way through the retry queue, and back to the form at first."""
    old, new = hook(format=old_format, verb=old_verb), hook(format=format, verb=verb)
    waited = from_json(as_json(waiting(old))).delivery
    made = presented(waited, new)
    again = from_json(as_json(RetryMessage(made, 1, 5))).delivery
    for one in (made, again):
        assert one.request_url == (f"{new.uri}?{AS_FORM.decode()}" if verb == "get" else new.uri)
        body = b"" if verb == "get" else AS_JSON if format == JSON else AS_FORM
        assert one.request_body == body
        assert one.content[0] == dict(delivery(new).headers).get("Content-Type", one.content[0])
    assert presented(again, old).content == delivery(old).content


def test_a_form_of_an_earlier_version_stays_a_form():
    document = json.loads(as_json(waiting(hook())))
    assert json.loads(document["delivery"].pop("source")) == PAYLOAD
    old = from_json(json.dumps(document).encode()).delivery
    made = presented(old, hook(format=JSON))
    assert made.content == ("application/x-www-form-urlencoded", AS_FORM)


def test_a_message_of_an_earlier_version_does_not_tell_whether_its_hook_is_stored():
    document = json.loads(as_json(waiting()))
    assert from_json(json.dumps(document).encode()).delivery.unstored is False
    del document["delivery"]["unstored"], document["taken_ms"]
    read = from_json(json.dumps(document).encode())
    assert (read.delivery.unstored, read.taken_ms) == (None, None)


def test_raw_bytes_stay_and_are_never_put_into_a_query():
    raw = evolve(delivery(hook(format=JSON), raw=True), body=b"<x/>")
    raw = evolve(raw, headers=(("Content-Type", "text/xml"), ("webhook-id", "w")))
    assert presented(raw, hook()).content == ("text/xml", b"<x/>")
    with pytest.raises(NotConvertible):
        presented(raw, hook(verb="get"))
    retry = evolve(waiting(), delivery=raw)
    assert "verb get" in judge(retry, Ready(hook(verb="get"))).reason


def test_numbers_keep_their_spelling_when_the_form_changes():
    body = b'{"price": 1.10, "big": 12345678901234567890}'
    exact = evolve(delivery(hook(format=JSON)), body=body)
    assert presented(exact, hook()).body == b"price=1.10&big=12345678901234567890"


def test_what_is_no_object_cannot_become_a_form():
    odd = evolve(delivery(hook(format=JSON)), body=b"[1]")
    with pytest.raises(NotConvertible):
        presented(odd, hook())
    assert isinstance(judge(evolve(waiting(), delivery=odd), Ready(hook())), Cancel)


def test_the_mark_of_a_request_is_not_an_option_of_the_message():
    marked = waiting(hook(format=JSON, options=Options(cancelled_until_ms=5)))
    assert from_json(as_json(marked)).delivery.options == NO_OPTIONS
