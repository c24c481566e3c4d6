"""Hooks that choose events, and shape what they send, by expressions of their own."""

import base64
import hashlib
import hmac
import json
import re
from itertools import count
from pathlib import Path

import pytest
from attrs import evolve

from callboard.webhooks.deliveries.delivery import deliveries, fan_out
from callboard.webhooks.deliveries.presenting import presented
from callboard.webhooks.deliveries.preview import preview
from callboard.webhooks.deliveries.shaping import AT_ONCE, NotWanted, Unshapable
from callboard.webhooks.deliveries.signing import new_secret, signature_headers
from callboard.webhooks.deliveries.slicing import FanOuts, made_or_refused, reason_of
from callboard.webhooks.events.event import Event, parse_event, whole_event
from callboard.webhooks.expressions.parsing import InvalidExpression
from callboard.webhooks.expressions.shape import Shape, _Kept, expression, parse_shape
from callboard.webhooks.history.attempts import attempt_document
from callboard.webhooks.history.dead_letters import NotRepeatable, dead_letter
from callboard.webhooks.history.resending import again, of_attempt, of_letter
from callboard.webhooks.hooks.hook import InvalidHook, parse_hook, size_of
from callboard.webhooks.modules.bus_module import BusModule
from callboard.webhooks.modules.kazoo.channel_create import MODULE as CREATE
from callboard.webhooks.modules.protocol import EventExchange
from callboard.webhooks.retries.outcome import Response
from callboard.webhooks.retries.retry_message import RetryMessage, as_json, from_json
from support.hooks import hooks_with, index_of

ORDER = {
    "order": 7,
    "amount": {"total": 129.9, "currency": "EUR"},
    "customer": {"id": "shop", "country": "DE"},
    "items": [{"sku": "a", "n": 2}, {"sku": "b", "n": 1}],
    "note": None,
}
DOCUMENT = {"_id": "h", "pvt_account_id": "shop", "uri": "https://x.example/", "hook": "order_paid"}
PAGE = (Path(__file__).parents[2] / "docs" / "filters.md").read_text()

hook = hooks_with(account_id="shop", event="order_paid", format="json")


def shop(**values):
    defaults = {"id": "order_paid", "keys": ("#",), "account": "customer.id"}
    return BusModule(exchange=EventExchange("shop", durable=True), **(defaults | values))


def shaped(id="h", filter="", transform="", **fields):
    return hook(id, shape=Shape(filter, transform), **fields)


def message(body=ORDER, **values):
    return Event(body, "shop", "order.paid", "m1", content=json.dumps(body).encode(), **values)


def deliver(*hooks, event=None, module=None):
    numbers = count()
    event = message() if event is None else event
    module = module or shop()
    return deliveries(event, module, index_of(*hooks), Known(), None, lambda: str(next(numbers)))


class Known:
    """A directory that has no account."""

    def account(self, _account_id):
        return None


def fired(filter, body=ORDER, **values):
    return bool(deliver(shaped(filter=filter), event=message(body, **values)))


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ("amount.total > `100` && starts_with(customer.country, 'D')", True),
        ("amount.total > `130`", False),
        ("amount.total == `129.90`", True),
        ("order == '7'", False),
        ("order == `7.0`", True),
        ("order == `true`", False),
        # Missing and null members are false, also as a function's argument.
        ("missing", False),
        ("missing.deeper[0].still", False),
        ("note", False),
        ("note == missing", True),
        ("missing > `1`", False),
        ("missing < `1`", False),
        ("!missing", True),
        ("starts_with(missing, 'D')", False),
        ("!starts_with(missing, 'D')", False),
        ("starts_with(missing, 'D') || order", False),
        ("order || starts_with(missing, 'D')", True),
        ("length(missing) > `1`", False),
        ("contains(not_null(missing, ''), 'x')", False),
        # What is empty is false; 0 is true.
        ("`0`", True),
        ("''", False),
        ("`[]`", False),
        ("items[?sku == 'c']", False),
        ("items[?sku == 'b']", True),
        ("`{}`", False),
        ("'false'", True),
        ("@", True),
        # The event and its message.
        ("_event.routing_key == 'order.paid' && _event.exchange == 'shop'", True),
        ("_event.module == 'order_paid' && _event.account_id == 'shop'", True),
        ("_event.message_id == 'm1'", True),
        ("_headers.\"x-tenant\" == 'ä'", True),
        ("_headers.missing", False),
        ("contains(keys(@), '_event')", False),
        ("contains(keys(@), '_event') && _event", True),
    ],
)
def test_a_filter_decides(filter, expected):
    assert fired(filter, headers={"x-tenant": "ä"}) is expected


@pytest.mark.parametrize("more", [{}, {"o": {}}])
def test_a_payload_with_little_fires_what_asks_for_little(more):
    empty = {"customer": {"id": "shop"}, **more}
    assert fired("customer.id == 'shop'", empty)
    assert not fired("o.a.b || items[0] || keys(o)", empty)


def test_members_of_the_payload_do_not_pass_for_the_event_s():
    body = ORDER | {"_event": {"routing_key": "forged"}, "_headers": {"x": 1}}
    assert not fired("_event.routing_key == 'forged'", body)
    assert not fired("_headers.x", body)


def test_unicode_is_compared_by_characters():
    body = ORDER | {"größe": "ⅻ", "emoji": "👩‍👩‍👧", "half": "\ud83d"}
    assert fired("\"größe\" == 'ⅻ' && length(emoji) == `5`", body)
    assert fired("starts_with(emoji, '👩')", body)
    assert fired('half == `"\\ud83d"`', body)


def test_modifiers_and_filter_both_decide():
    for modifiers, expected in (({"order": 7}, 1), ({"order": 8}, 0), ({"missing": 1}, 1)):
        assert len(deliver(shaped(filter="order", modifiers=modifiers))) == expected


def test_the_filter_sees_the_payload_before_custom_data():
    sent = deliver(shaped(filter="order == `7`", custom_data={"order": None, "team": "x"}))
    assert "order" not in json.loads(sent[0].body)
    assert not deliver(shaped(filter="team == 'x'", custom_data={"team": "x"}))


def test_hooks_of_one_event_decide_each_for_itself():
    hooks = (
        shaped("a", "order == `7`"),
        shaped("b", "order == `8`"),
        hook("c"),
        shaped("d", "", "@"),
    )
    assert [made.hook_id for made in deliver(*hooks)] == ["a", "c", "d"]


def test_an_event_that_no_filter_wants_fires_nothing():
    assert fan_out(message(), shop(), index_of(shaped(filter="missing")), Known(), None) is None


def test_a_transform_makes_the_body():
    (made,) = deliver(
        shaped(transform="{id: order, n: sum(items[].n), by: team}", custom_data={"team": "x"})
    )
    assert json.loads(made.body) == {"id": 7, "n": 3, "by": "x"}
    assert made.body.startswith(b"{\n")
    assert dict(made.headers)["Content-Type"] == "application/json"
    assert made.request_body == made.body


@pytest.mark.parametrize(
    ("transform", "body"),
    [
        ("items[].sku", ["a", "b"]),
        ("'Order'", "Order"),
        ("order", 7),
        ("!order", False),
        ("`[]`", []),
        ("{note: note, missing: missing}", {"note": None, "missing": None}),
        ("@", ORDER),
    ],
)
def test_json_may_be_any_value_but_null(transform, body):
    (made,) = deliver(shaped(transform=transform))
    assert json.loads(made.body) == body


def test_numbers_are_sent_as_they_were_spelt():
    text = b'{"customer": {"id": "shop"}, "total": 1.10, "big": 123456789012345678901234567890}'
    event = parse_event(text, None, None, "shop", "k")
    (made,) = deliver(shaped(transform="[total, big, to_string(total)]"), event=event)
    assert b"1.10" in made.body
    assert b"123456789012345678901234567890" in made.body
    assert json.loads(made.body)[2] == "1.10"


def test_a_form_and_a_query_are_made_of_the_result():
    transform = "{id: order, skus: items[].sku}"
    (form,) = deliver(shaped(transform=transform, format="form-data"))
    assert form.body == b"id=7&skus[]=a&skus[]=b"
    (query,) = deliver(shaped(transform=transform, verb="get"))
    assert query.request_url == "https://x.example/?id=7&skus[]=a&skus[]=b"
    # Its source is the result, too, if the hook's format changes while it waits.
    assert json.loads(presented(form, hook(format="json")).body) == {"id": 7, "skus": ["a", "b"]}


def test_hooks_with_the_same_transform_share_a_body():
    one, other, third, plain = deliver(
        shaped("a", "", "[order]"),
        shaped("b", "order", "[order]"),
        shaped("c", "", "[note]"),
        hook("d"),
    )
    assert one.body is other.body
    assert len({one.body, third.body, plain.body}) == 3


def test_the_message_s_own_bytes_are_replaced_by_the_result():
    event = whole_event(json.dumps(ORDER).encode(), "application/vnd.x+json", None, "shop", "k")
    hooks = shaped("a", "order == `7`", "[order]"), hook("b"), shaped("c", "order")
    shaped_one, raw, filtered = deliver(*hooks, event=event, module=shop(raw=True))
    assert (json.loads(shaped_one.body), shaped_one.raw) == ([7], False)
    assert dict(shaped_one.headers)["Content-Type"] == "application/json"
    assert raw.raw and filtered.raw
    assert raw.body == filtered.body == json.dumps(ORDER).encode()


def test_a_message_that_is_no_json_is_an_empty_payload():
    event = whole_event(b"\xff", "image/png", None, "shop", "k", any_content=True)
    module = shop(raw=True, account="", account_id="shop")
    hooks = (
        shaped("a", "order"),
        shaped("b", "_event.routing_key == 'k'"),
        shaped("c", "", "{k: _event.routing_key}"),
    )
    sent = deliver(*hooks, event=event, module=module)
    assert sent[0].body == b"\xff"
    assert json.loads(sent[1].body) == {"k": "k"}


def test_kazoo_s_payloads_are_filtered_as_they_are_sent(call, directory):
    mine = hooks_with(account_id="1b" * 16, event="CHANNEL_CREATE", format="json")(
        "h", shape=Shape("call_direction == 'inbound'", "{id: call_id, cluster: cluster_id}")
    )
    (made,) = deliveries(call(), CREATE, index_of(mine), directory, "c1")
    assert json.loads(made.body) == {"id": "leg-a", "cluster": "c1"}


# Failures


def refusal(one, event=None):
    made = fan_out(event or message(), shop(), index_of(one), Known(), None)
    return made_or_refused(made, one, lambda: made.make(one))


@pytest.mark.parametrize(
    ("transform", "format", "reason"),
    [
        ("missing", "json", "the result is null, which is no body"),
        ("join(', ', missing)", "json", "argument 2 of join must be of the type array of strings"),
        ("[order]", "form-data", "a form needs an object, and the result is none"),
        ("|".join(["[@, @]"] * 30), "json", "too much to do"),
    ],
)
def test_a_transform_that_fails_is_refused_with_the_reason(transform, format, reason):
    bare, refused = refusal(shaped(transform=transform, format=format))
    why, size = reason_of(refused)
    assert why.startswith("refused: transform: ")
    assert reason in why
    assert (size, bare.body) == (0, b"")


def test_a_transform_that_fails_leaves_others_alone():
    made = fan_out(
        message(), shop(), index_of(shaped("a", "", "missing"), hook("b")), Known(), None
    )
    with pytest.raises(Unshapable):
        made.make(made.hooks[0])
    assert json.loads(made.make(made.hooks[1]).body) == ORDER


def test_its_dead_letter_has_no_body_to_send():
    bare, refused = refusal(shaped(transform="missing"))
    reason, size = reason_of(refused)
    letter = dead_letter(bare, reason, 0, (), 0.0, "node", size)
    assert letter["reason"] == "refused: transform: the result is null, which is no body"
    with pytest.raises(NotRepeatable, match="its hook could make none"):
        of_letter(letter)


TOO_MUCH = "the expression has too much to do for this event"
ITEMS = {"customer": {"id": "shop"}, "items": [{"n": n} for n in range(30_000)]}
SLOW = "items[?n == `-1` || n == `-2`]"


def test_a_filter_that_would_never_end_is_refused():
    _bare, refused = refusal(shaped(filter="|".join(["[@, @][]"] * 30)))
    assert (
        reason_of(refused)[0] == "refused: filter: the expression has too much to do for this event"
    )


def test_filters_that_take_no_more_than_their_steps_are_decided_at_once():
    other = f"contains([{', '.join(['`6`'] * 300)}], order)"
    hooks = [shaped(f"h{n}", other) for n in range(500)]
    made = fan_out(message(), shop(), index_of(*hooks, shaped("it")), Known(), None)
    assert [one.id for one in made.hooks] == ["it"]


def test_filters_that_take_long_are_decided_while_deliveries_are_made():
    """By the work that those before took, so that a thousand of them hold up no other account."""
    hooks = [shaped(f"h{n}", SLOW) for n in range(9)] + [shaped("wanted", f"!({SLOW})")]
    made = fan_out(message(ITEMS), shop(), index_of(*hooks), Known(), None)
    left = [one.id for one in made.hooks]
    assert 3 <= len(left) < 10, "as many are decided as fit into AT_ONCE, and no more"
    assert left[-1] == "wanted"
    for one in made.hooks[:-1]:
        with pytest.raises(NotWanted):
            made.make(one)
    assert made.make(made.hooks[-1]).hook_id == "wanted"
    assert AT_ONCE < 500_000


def test_slices_leave_out_those_that_turn_out_not_to_want_the_event():
    hooks = [shaped(f"h{n}", SLOW) for n in range(9)] + [
        shaped("wanted", f"!({SLOW})"),
        hook("plain"),
    ]
    made = fan_out(message(ITEMS), shop(), index_of(*hooks), Known(), None)
    outs = FanOuts(lambda _owner: lambda one: one, lambda _key, make: make())
    outs.begin(("shop", "k", None, b""), made, 0.0, "waiter")
    sent = outs.next(lambda: False)
    assert [one.delivery.hook_id for one in sent] == ["wanted", "plain"]
    assert not outs.ended()
    outs.settled(sent)
    assert [event.waiters for event in outs.ended()] == [["waiter"]]


def test_an_event_that_nobody_turns_out_to_want_ends():
    hooks = [shaped(f"h{n}", SLOW) for n in range(9)]
    made = fan_out(message(ITEMS), shop(), index_of(*hooks), Known(), None)
    outs = FanOuts(lambda _owner: lambda one: one, lambda _key, make: make())
    outs.begin(("shop", "k", None, b""), made, 0.0, "waiter")
    assert outs.next(lambda: False) == []
    assert [event.waiters for event in outs.ended()] == [["waiter"]]


def test_a_hook_without_expressions_takes_the_bytes_of_its_payload():
    made = fan_out(message(), shop(), index_of(hook("plain")), Known(), None)
    assert made.encoded_bytes == 0
    delivery = made.make(made.hooks[0])
    assert made.encoded_bytes == len(delivery.body) + len(delivery.source)


def test_the_work_of_transforms_counts_as_bytes_of_payloads():
    cheap, dear = shaped("a", "", "[order]"), shaped("b", "", "length(items[?n == `1`])")
    made = fan_out(message(ITEMS), shop(), index_of(cheap, dear), Known(), None)
    made.make(cheap)
    before = made.encoded_bytes
    made.make(dear)
    assert before < 1_000
    assert made.encoded_bytes > 8 * 30_000


# From the first attempt to a replay


def test_a_retry_keeps_the_body_whatever_the_hook_s_transform_is_by_then():
    (made,) = deliver(shaped(transform="[order]"))
    stored = from_json(as_json(RetryMessage(made, attempts_made=1, due_ms=0)))
    now = shaped(transform="{other: order}")
    assert json.loads(presented(stored.delivery, now).body) == [7]


def test_attempts_and_dead_letters_show_the_body_and_replays_send_it():
    one = shaped(transform="{id: order}")
    (made,) = deliver(one)
    record = attempt_document(made, Response(500), 1, 0.0, 10_000)
    assert json.loads(record["req_body"]) == {"id": 7}
    letter = dead_letter(made, "failed", 1, (), 0.0, "node")
    assert json.loads(letter["body"]) == {"id": 7}
    now = shaped(transform="{other: order}")
    assert again(of_letter(letter), now).body == made.body
    stored = {
        "event_id": "e",
        "hook_id": "h",
        "method": "post",
        "req_headers": {"content-type": "application/json", "webhook-id": made.id},
        "req_body": made.body.decode(),
    }
    assert again(of_attempt(stored, "run"), now).body == made.body


def test_signatures_are_over_the_transformed_body():
    (made,) = deliver(shaped(transform="{id: order}"))
    secret = new_secret()
    (sent,) = [
        value
        for name, value in signature_headers([secret], made.webhook_id, 1.0, made.request_body)
        if name == "webhook-signature"
    ]
    by_hand = f"{made.webhook_id}.1.".encode() + b'{\n  "id": 7\n}'
    digest = hmac.new(base64.b64decode(secret.text.removeprefix("whsec_")), by_hand, hashlib.sha256)
    assert sent == f"v1,{base64.b64encode(digest.digest()).decode()}"


def test_the_identity_of_a_delivery_does_not_depend_on_the_transform():
    """So that receivers see repeats as such, also after the hook was changed."""
    (first,) = deliver(shaped(transform="[order]"))
    (second,) = deliver(shaped(transform="{id: order}"))
    assert first.id == second.id


# Documents


def test_expressions_are_read_from_the_document():
    parsed = parse_hook(DOCUMENT | {"filter": "a", "transform": "[a]"}, {"order_paid"})
    assert parsed.shape == Shape("a", "[a]")
    plain = parse_hook(DOCUMENT | {"filter": None}, {"order_paid"})
    assert plain.shape is None
    assert size_of(parsed) == size_of(plain) + 4
    assert size_of(plain) == 200 + len(plain.uri)
    own = evolve(plain, custom_data={"a": 1}, modifiers={"b": [2]})
    assert size_of(own) == size_of(plain) + len('{"a": 1}') + len('{"b": [2]}')
    headers = parse_hook(DOCUMENT | {"headers": {"X-A": "b"}}, {"order_paid"})
    assert size_of(headers) == size_of(plain) + 4


@pytest.mark.parametrize(
    ("member", "value", "reason"),
    [
        ("filter", "a.", "filter is no JMESPath: '' is not expected here at character 3"),
        (
            "transform",
            "lenght(a)",
            "transform is no JMESPath: there is no function lenght at character 1",
        ),
        ("filter", "", "filter is no JMESPath: it is empty at character 1"),
        ("filter", {"a": 1}, "filter is no text with a JMESPath expression"),
        ("transform", True, "transform is no text with a JMESPath expression"),
    ],
)
def test_a_document_with_a_mistake_cannot_fire(member, value, reason):
    with pytest.raises(InvalidHook) as refused:
        parse_hook(DOCUMENT | {member: value}, {"order_paid"})
    assert refused.value.reason == reason


def test_compiled_expressions_are_kept_up_to_a_size():
    kept = _Kept(9)
    first = kept.get("a.b")
    assert kept.get("a.b") is first
    second = kept.get("c.d.e")
    assert (kept.get("a.b"), kept.get("c.d.e")) == (first, second)
    kept.get("a.b")
    kept.get("f.g")  # Beyond the size, so the one that was not used for the longest time goes.
    assert kept.get("a.b") is first
    assert kept.get("c.d.e") is not second
    with pytest.raises(InvalidExpression):
        kept.get("a.")


def test_the_expression_of_a_text_is_compiled_once():
    assert expression("order.a") is expression("order.a")
    assert parse_shape({"filter": "order.a"}) == Shape("order.a")


# Previews


def test_a_preview_shows_what_would_be_sent():
    one = shaped("h", "order == `7`", "{id: order, t: team}", custom_data={"team": "x"})
    found = preview(one, message(), "order_paid", ORDER)
    assert (found.sent, found.modifiers, found.filter) == (True, True, True)
    assert found.payload == ORDER | {"team": "x"}
    assert json.loads(found.body) == {"id": 7, "t": "x"}
    assert (found.content_type, found.filter_error, found.transform_error) == (
        "application/json",
        "",
        "",
    )


@pytest.mark.parametrize(
    ("filter", "transform", "modifiers", "shown"),
    [
        ("missing", "", {}, (False, True, None, "", "")),
        ("order", "", {"order": 8}, (False, False, 7, "", "")),
        ("items[].n", "", {}, (True, True, [2, 1], "", "")),
        ("", "", {}, (True, True, None, "", "")),
        (
            "starts_with(missing, 'D')",
            "",
            {},
            (
                False,
                True,
                None,
                "argument 1 of starts_with must be of the type string, and is of the type null",
                "",
            ),
        ),
        ("", "missing", {}, (False, True, None, "", "the result is null, which is no body")),
    ],
)
def test_a_preview_says_why_nothing_would_be_sent(filter, transform, modifiers, shown):
    found = preview(shaped("h", filter, transform, modifiers=modifiers), message(), "m", ORDER)
    assert (
        found.sent,
        found.modifiers,
        found.filter,
        found.filter_error,
        found.transform_error,
    ) == shown
    assert bool(found.body) == (not found.transform_error)


def test_a_preview_of_a_filter_that_would_never_end_ends():
    found = preview(shaped("h", "|".join(["[@, @][]"] * 30)), message(), "m", ORDER)
    assert (found.sent, found.filter_error) == (
        False,
        "the expression has too much to do for this event",
    )


# The page


EXAMPLES = re.findall(
    r"^### (.*?)\n+```json\n(.*?)```\n+```text\n(.*?)```\n+```json\n(.*?)```", PAGE, re.M | re.S
)


def test_the_page_has_examples():
    names = [name for name, *_rest in EXAMPLES]
    assert names == ["Slack", "Microsoft Teams", "Discord", "A list of what matters"]


@pytest.mark.parametrize(("name", "payload", "transform", "sent"), EXAMPLES)
def test_the_examples_of_the_page_make_what_it_shows(name, payload, transform, sent):
    event = parse_event(payload.encode(), None, None, "shop", "k")
    one = shaped(transform=parse_shape({"transform": transform}).transform)
    (made,) = deliver(one, event=event, module=shop(account="", account_id="shop"))
    assert json.loads(made.body) == json.loads(sent)
