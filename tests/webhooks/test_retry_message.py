"""Deliveries in the durable retry queue: what is written is read again, and nothing else is."""

import json

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.events.trace_context import TraceContext
from callboard.webhooks.hooks.options import Options
from callboard.webhooks.hooks.signature_schemes import Scheme
from callboard.webhooks.retries.outcome import ClientError, Response
from callboard.webhooks.retries.retry_message import (
    RetryMessage,
    UnreadableDelivery,
    as_json,
    from_json,
    in_time,
    with_attempt,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
pairs = st.lists(st.tuples(texts, texts), max_size=3).map(tuple)
whole = st.integers(0, 2**53)
ranges = st.lists(st.tuples(st.integers(200, 300), st.integers(301, 599)), max_size=2).map(tuple)
options = st.builds(
    Options,
    policy=st.sampled_from([None, "kazoo", "standard"]),
    ordered=st.booleans(),
    rate_per_s=st.none() | st.floats(0.001, 1000),
    headers=pairs,
    secrets=st.lists(texts, max_size=2).map(tuple),
    certificate=st.none() | texts,
    retry_steps_s=st.lists(st.floats(1, 1e6), max_size=3).map(tuple),
    success=ranges,
    give_up=ranges,
    log_successful=st.none() | st.booleans(),
    scheme=st.none()
    | st.builds(
        Scheme,
        st.just("hmac-sha512"),
        st.just("X-Sig"),
        st.sampled_from(["", "v="]),
        st.sampled_from(["hex", "base64"]),
    ),
    secrets_until=st.lists(whole, max_size=2).map(tuple),
).map(lambda made: evolve(made, secrets_until=made.secrets_until[: len(made.secrets)]))
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
traces = st.none() | st.builds(TraceContext, st.just(PARENT), st.sampled_from(["", "a=1,b=2"]))
deliveries = st.builds(
    Delivery,
    **dict.fromkeys(
        ("id", "event_id", "hook_id", "account_id", "hook_event", "uri", "method", "url"), texts
    ),
    headers=pairs,
    body=st.binary(max_size=50),
    max_attempts=whole,
    options=options,
    trace=traces,
    raw=st.booleans(),
    source=texts.map(str.encode),
    unstored=st.sampled_from([None, False, True]),
    reference=texts,
)
laters = st.builds(
    RetryMessage,
    delivery=deliveries,
    attempts_made=whole,
    due_ms=whole,
    left=st.lists(texts, max_size=4).map(tuple),
    deferred_since_ms=st.none() | whole,
    deferrals=whole,
    history=st.lists(st.tuples(whole, texts), max_size=20).map(tuple),
    taken_ms=st.none() | whole,
)

DELIVERY = Delivery("i", "e", "h", "a", "all", "http://x/", "POST", "http://x/", (), b"{}")
LATER = RetryMessage(DELIVERY, 1, 5000, ("2s",))


@given(laters)
def test_what_is_written_is_read_again(retry):
    assert from_json(as_json(retry)) == retry


def test_what_the_version_before_has_written_is_read():
    document = json.loads(as_json(LATER))
    for name in ("retry_steps_s", "success", "give_up", "log_successful", "scheme", "raw"):
        assert name not in document["options"], "a version before reads what need not be new"
        assert name not in document["delivery"]
    assert from_json(json.dumps(document).encode()) == LATER


@given(st.binary(max_size=200))
def test_any_other_bytes_are_refused_with_a_reason(message):
    with pytest.raises(UnreadableDelivery, match=r".+"):
        from_json(message)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=5), v, max_size=3),
    max_leaves=5,
)
members = st.sampled_from(
    [(key,) for key in json.loads(as_json(LATER))]
    + [
        (section, key)
        for section in ("delivery", "options")
        for key in json.loads(as_json(LATER))[section]
    ]
)


@given(members, json_values)
def test_any_value_of_a_member_is_read_or_refused(path, value):
    document = json.loads(as_json(LATER))
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    try:
        assert isinstance(from_json(json.dumps(document).encode()), RetryMessage)
    except UnreadableDelivery as problem:
        assert str(problem)


def test_members_of_later_versions_are_ignored():
    document = json.loads(as_json(LATER)) | {"colour": "blue"}
    document["delivery"]["shape"] = "round"
    assert from_json(json.dumps(document).encode()) == LATER


def test_a_trace_is_optional_and_never_makes_a_delivery_unreadable():
    document = json.loads(as_json(LATER))
    assert "traceparent" not in document["delivery"]
    document["delivery"] |= {"traceparent": PARENT, "tracestate": "a=1"}
    assert from_json(json.dumps(document).encode()).delivery.trace == TraceContext(PARENT, "a=1")
    for broken in ("no parent", 7, None, {}):
        document["delivery"]["traceparent"] = broken
        assert from_json(json.dumps(document).encode()) == LATER


def test_a_lone_surrogate_in_what_an_error_said_loses_no_delivery():
    retry = evolve(LATER, history=((1, "name \udcff unknown"),))
    assert from_json(as_json(retry)) == retry


def test_when_it_is_due_and_how_it_waits():
    assert in_time(2000, 10.5) == (12_500, ("2s",))


def test_a_history_tells_the_latest_tries():
    history = with_attempt((), 1.5, Response(503))
    assert with_attempt(history, 2.0, ClientError("timeout")) == (
        (1500, "status 503"),
        (2000, "timeout"),
    )
    for number in range(30):
        history = with_attempt(history, float(number), Response(500))
    assert len(history) == 20
    assert history[-1] == (29_000, "status 500")


def with_member(path, value):
    """The message of `LATER` with another value at this path, such as `options.secrets`."""
    document = json.loads(as_json(LATER))
    place = document
    *parents, name = path.split(".")
    for parent in parents:
        place = place[parent]
    place[name] = value
    return json.dumps(document).encode()


NO_NUMBER = "is no whole number from 0 to 2**53"
REFUSED = [
    ("version", 2, "version 2 is unknown: this Callboard reads 1"),
    ("delivery", [], "delivery is no object"),
    ("options", [], "options is no object"),
    ("tries_made", None, f"tries_made {NO_NUMBER}"),
    ("due_ms", 2**53 + 1, f"due_ms {NO_NUMBER}"),
    ("due_ms", True, f"due_ms {NO_NUMBER}"),
    ("left", "1s", "left is no list of texts"),
    ("left", [1], "left is no list of texts"),
    ("left", ["\ud800"], "left holds half a character"),
    ("parked_since_ms", 10**400, f"parked_since_ms {NO_NUMBER}"),
    ("rounds", 1.0, f"rounds {NO_NUMBER}"),
    ("history", {}, "history is no list"),
    ("history", [[1]], "history has a member that is no time and text"),
    ("history", [[True, "timeout"]], "history has a member that is no time and text"),
    ("history", [[2**53 + 1, "timeout"]], "history has a time that is not from 0 to 2**53"),
    ("history", [[-1, "timeout"]], "history has a time that is not from 0 to 2**53"),
    ("taken_ms", -1, f"taken_ms {NO_NUMBER}"),
    *(
        (f"delivery.{name}", value, f"{name} {why}")
        for name in (
            "id",
            "event_id",
            "hook_id",
            "account_id",
            "hook_event",
            "uri",
            "method",
            "url",
            "body",
        )
        for value, why in ((5, "is no text"), ("\ud800", "holds half a character"))
    ),
    ("delivery.id", "i" * 256, "id is longer than 255 bytes"),
    ("delivery.id", "ü" * 128, "id is longer than 255 bytes"),
    ("delivery.headers", {}, "headers is no list"),
    ("delivery.headers", ["ab"], "headers has a member that is no pair of texts"),
    ("delivery.headers", [["a", 1]], "headers has a member that is no pair of texts"),
    ("delivery.headers", [["a", "\ud800"]], "headers holds half a character"),
    ("delivery.headers", [["\ud800", "a"]], "headers holds half a character"),
    ("delivery.tries", "2", f"tries {NO_NUMBER}"),
    ("delivery.source", 5, "source is no text"),
    ("delivery.body_base64", 5, "body_base64 is no text"),
    ("delivery.body_base64", "e30=!", "the body cannot be read: .*"),
    ("options.policy", 5, "policy is no text"),
    ("options.rate_per_s", "1", "rate_per_s is no rate"),
    ("options.rate_per_s", True, "rate_per_s is no rate"),
    ("options.rate_per_s", 1.157e-5, "rate_per_s is no rate"),
    ("options.rate_per_s", 1e9, "rate_per_s is no rate"),
    ("options.headers", {}, "headers is no list"),
    ("options.secrets", "s", "secrets is no list of texts"),
    ("options.secrets", ["\ud800"], "secrets holds half a character"),
    ("options.certificate", 5, "certificate is no text"),
    ("options.retry_steps_s", {}, "retry_steps_s is no list of numbers"),
    ("options.retry_steps_s", [True], "retry_steps_s is no list of numbers"),
    ("options.retry_steps_s", [-1], "retry_steps_s is no list of numbers"),
    ("options.retry_steps_s", [2**53 + 1], "retry_steps_s is no list of numbers"),
    ("options.success", 200, "success is no list"),
    ("options.success", ["ab"], "success has a member that is no pair of numbers"),
    ("options.give_up", [[1]], "give_up has a member that is no pair of numbers"),
    ("options.give_up", [[1, True]], "give_up has a member that is no pair of numbers"),
    ("options.scheme", ["github"], "scheme has 1 members, not 4"),
    ("options.scheme", ["rot13", "X", "", "hex"], "scheme: name 'rot13' is unknown: .*"),
    ("options.endpoint", [], "endpoint is no object"),
    ("options.endpoint", {"tls_verify": "maybe"}, "endpoint: tls_verify .*"),
    ("options.secrets_until", {}, "secrets_until is no list of numbers"),
    ("options.secrets_until", [1700000000], "secrets_until has more members than secrets"),
]


@pytest.mark.parametrize(("path", "value", "reason"), REFUSED)
def test_what_no_actor_could_go_on_with_is_refused_with_a_reason(path, value, reason):
    with pytest.raises(UnreadableDelivery, match=f"^{reason.replace('**', '[*]{2}')}$"):
        from_json(with_member(path, value))


def test_a_message_is_an_object():
    with pytest.raises(UnreadableDelivery, match=r"^message is no object$"):
        from_json(b"[]")
    with pytest.raises(UnreadableDelivery, match=r"^it is no JSON: "):
        from_json(b"{")


@pytest.mark.parametrize(
    ("path", "value", "read"),
    [
        ("due_ms", 0, 0),
        ("due_ms", 2**53, 2**53),
        ("parked_since_ms", None, None),
        ("history", [[0, "a"], [2**53, "b"]], ((0, "a"), (2**53, "b"))),
        ("history", [[n, "a"] for n in range(21)], tuple((n, "a") for n in range(1, 21))),
        ("delivery.id", "ü" * 127 + "i", "ü" * 127 + "i"),
        ("delivery.raw", 1, False),
        ("delivery.source", None, b""),
        ("delivery.body_base64", "/w==", b"\xff"),
        ("delivery.unstored", None, None),
        ("delivery.unstored", 1, False),
        ("delivery.reference", "7", "7"),
        ("delivery.reference", None, ""),
        ("options.rate_per_s", 1 / 86_400, 1 / 86_400),
        ("options.rate_per_s", 999_999_999, 999_999_999.0),
        ("options.retry_steps_s", [0, 2**53], (1.0, float(2**53))),
        ("options.ordered", 1, False),
        ("options.log_successful", 1, False),
    ],
)
def test_what_is_just_permitted_is_read(path, value, read):
    place = from_json(with_member(path, value))
    *parents, name = path.split(".")
    for parent in parents:
        place = place.delivery if parent == "delivery" else place.delivery.options
    ours = {"parked_since_ms": "deferred_since_ms", "body_base64": "body"}.get(name, name)
    assert getattr(place, ours) == read


def test_a_get_whose_body_is_no_query_is_refused():
    """It could not be added to the URL, which ended the deliverer."""
    document = json.loads(as_json(LATER))
    del document["delivery"]["body"]
    document["delivery"] |= {"method": "GET", "body_base64": "/w=="}
    with pytest.raises(UnreadableDelivery, match="GET"):
        from_json(json.dumps(document).encode())
