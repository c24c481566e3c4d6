"""What is sent once more: the content of then, to the hook of now, known by the same id."""

import hashlib
import json
import re

import pytest
from attrs import evolve

from callboard.webhooks.deliveries.delivery import delivery_of
from callboard.webhooks.deliveries.encoding import content, content_type
from callboard.webhooks.history.attempts import attempt_document
from callboard.webhooks.history.dead_letters import NotRepeatable, dead_letter
from callboard.webhooks.history.resending import again, of_attempt, of_letter
from callboard.webhooks.hooks.hook import Hook
from callboard.webhooks.hooks.options import Options
from callboard.webhooks.retries.outcome import Response

ACCOUNT = "ab" * 16
HOOK = Hook(
    id="h", account_id=ACCOUNT, uri="https://e.example/in?k=1", event="object", format="json"
)
PAYLOAD = {"a": "1", "b": {"c": "ö"}}
NOW = 1_700_000_000.0


def first(hook=HOOK, payload=PAYLOAD):
    form = content_type(hook)
    made = delivery_of(hook, form, content(form, payload), id="d" * 32, event_id="e")
    return evolve(made, reference="no 7")


def letter_of(delivery):
    made = dead_letter(delivery, "timeout", 1, (), NOW, "n")
    return of_letter(json.loads(json.dumps(made)))


def attempt_of(delivery, limit=10_000):
    return attempt_document(delivery, Response(500), 1, NOW, limit)


def by_attempt(delivery):
    return of_attempt(json.loads(json.dumps(attempt_of(delivery))), "run")


@pytest.mark.parametrize("once", [letter_of, by_attempt])
@pytest.mark.parametrize("verb", ["post", "put", "get"])
@pytest.mark.parametrize("format", ["json", "form-data"])
def test_it_is_sent_as_it_was(once, verb, format):
    hook = evolve(HOOK, verb=verb, format=format)
    delivery = first(hook)
    more = again(once(delivery), hook)
    assert re.fullmatch(r"[0-9a-f]{32}", more.id)
    assert more.id != delivery.id
    assert more.webhook_id == delivery.id
    assert evolve(more, id=delivery.id, max_attempts=delivery.max_attempts) == delivery


@pytest.mark.parametrize("once", [letter_of, by_attempt])
@pytest.mark.parametrize("form", ["application/json", "Text/XML; boundary=AbC"])
def test_a_body_that_was_the_message_s_own_is_not_converted(once, form):
    hook = evolve(HOOK, format="form-data")
    delivery = first(hook)
    headers = (("Content-Type", form), *delivery.headers[1:])
    delivery = evolve(delivery, headers=headers, body=b'{"a": 1.10}', raw=True)
    more = again(once(delivery), hook)
    assert evolve(more, id=delivery.id, max_attempts=delivery.max_attempts) == delivery
    with pytest.raises(NotRepeatable, match="verb get"):
        again(once(delivery), evolve(hook, verb="get"))


def test_bytes_that_an_attempt_cannot_store_are_not_sent_changed():
    delivery = evolve(first(), body=b"\xff\x00", raw=True)
    with pytest.raises(NotRepeatable, match="no text"):
        by_attempt(delivery)
    assert again(letter_of(delivery), HOOK).body == b"\xff\x00"


@pytest.mark.parametrize("once", [letter_of, by_attempt])
def test_it_goes_to_the_hook_of_now(once):
    now = evolve(
        HOOK,
        uri="https://other.example/",
        verb="put",
        max_attempts=5,
        options=Options(policy="standard", headers=(("X-Key", "2"),), secrets=("s",)),
    )
    more = again(once(first()), now)
    assert (more.method, more.url, more.uri, more.max_attempts) == ("PUT", now.uri, now.uri, 5)
    assert more.options == now.options
    assert ("X-Key", "2") in more.headers
    assert json.loads(more.body) == PAYLOAD


def test_json_becomes_a_form_where_the_hook_wants_one_now():
    for now in (evolve(HOOK, format="form-data"), evolve(HOOK, verb="get")):
        assert again(letter_of(first()), now) == again(letter_of(first(now)), now)


def test_a_form_stays_a_form():
    more = again(letter_of(first(evolve(HOOK, format="form-data"))), HOOK)
    assert more.body == b"a=1&b[c]=%C3%B6"
    assert dict(more.headers)["Content-Type"] == "application/x-www-form-urlencoded"


def test_what_is_no_object_cannot_become_a_form():
    delivery = evolve(first(), body=b"[1]")
    with pytest.raises(NotRepeatable, match="sent as a form"):
        again(letter_of(delivery), evolve(HOOK, format="form-data"))


def test_a_letter_makes_the_same_delivery_whenever_it_is_retried_and_its_own_letter_another():
    once = letter_of(first())
    assert again(once, HOOK) == again(letter_of(first()), HOOK)
    second = again(once, HOOK)
    third = again(letter_of(second), HOOK)
    assert len({first().id, second.id, third.id}) == 3
    assert second.webhook_id == third.webhook_id == first().id


def id_of(*what):
    return hashlib.blake2b(json.dumps(what).encode(), digest_size=16).hexdigest()


def test_ids_are_those_of_earlier_releases():
    """What a node of another release has sent again is not sent once more."""
    attempt = attempt_of(first())
    assert letter_of(first()).id == id_of("retry", "d" * 32)
    assert of_attempt(attempt, "run").id == id_of("replay", "run", "d" * 32)
    for unusable in ("", "a.b", None):
        attempt["req_headers"]["webhook-id"] = unusable
        once = of_attempt(attempt, "run")
        assert once.webhook_id == id_of("attempt", "h", "e")
        assert once.id == id_of("replay", "run", once.webhook_id)


def test_an_attempt_is_replayed_once_in_a_run_and_anew_in_the_next():
    attempt = attempt_of(first())
    assert of_attempt(attempt, "1").id == of_attempt(attempt, "1").id
    assert of_attempt(attempt, "1").id != of_attempt(attempt, "2").id


def test_an_attempt_of_kazoos_gets_an_id_that_all_of_its_delivery_share():
    attempt = attempt_of(first())
    del attempt["req_headers"]["webhook-id"]
    ids = {of_attempt(attempt | {"retries": n}, str(n)).webhook_id for n in (1, 2)}
    assert len(ids) == 1
    other = of_attempt(attempt | {"event_id": "other"}, "1").webhook_id
    assert other not in ids
    assert "." not in other


@pytest.mark.parametrize(
    ("content_type", "form"),
    [
        ("application/json", "application/json"),
        ("application/json; charset=utf-8", "application/json"),
        ("application/x-www-form-urlencoded; charset=utf-8", "application/x-www-form-urlencoded"),
        ("application/jsonp", "application/x-www-form-urlencoded"),
    ],
)
def test_parameters_of_the_content_type_are_no_part_of_it(content_type, form):
    attempt = attempt_of(first())
    attempt["req_headers"]["content-type"] = content_type
    assert of_attempt(attempt, "1").form == form


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"req_body": "abc…[cut]"}, "its body was cut"),
        ({"req_body": None}, "its body is not stored"),
        ({"method": "get"}, "its query is not stored"),
    ],
)
def test_what_is_not_whole_cannot_be_replayed(changed, reason):
    with pytest.raises(NotRepeatable, match=reason):
        of_attempt(attempt_of(first()) | changed, "run")


def test_a_body_longer_than_what_attempts_keep_cannot_be_replayed():
    for hook in (HOOK, evolve(HOOK, verb="get")):
        with pytest.raises(NotRepeatable, match="was cut"):
            of_attempt(attempt_of(first(hook), limit=5), "run")


@pytest.mark.parametrize("missing", ["delivery_id", "webhook_id", "content_type", "body"])
def test_a_letter_that_somebody_has_damaged_is_refused(missing):
    letter = dead_letter(first(), "timeout", 1, (), NOW, "n")
    del letter[missing]
    with pytest.raises(NotRepeatable):
        of_letter(letter)


@pytest.mark.parametrize("reference", ["", "no 7"])
def test_the_reference_is_that_of_the_first_delivery(reference):
    delivery = evolve(first(), reference=reference)
    for once in (letter_of, by_attempt):
        assert again(once(delivery), HOOK).reference == reference
