"""What each stage of an event's way costs that computes: instructions, bytes, and growth.

Everything is done once before it counts, so that what a process does once is left out (and as
Python 3.13 tells of instructions only from a function's second call on).
"""

import base64
import json
import pickle
from itertools import count

import pytest
from attrs import evolve

from callboard.actors.messages import RawEvent
from callboard.adapters.keys.secret_box import SecretBox
from callboard.adapters.keys.signer import Signer
from callboard.webhooks.acknowledgement.event_ledger import BatchLimits, EventLedger
from callboard.webhooks.deliveries.delivery import deliveries, new_event_id
from callboard.webhooks.deliveries.signing import SharedSecret
from callboard.webhooks.dispatch.circuit_breaker import CircuitLimits, Circuits
from callboard.webhooks.dispatch.dispatcher import Dispatcher, DispatchLimits
from callboard.webhooks.events.event import parse_event
from callboard.webhooks.hooks.hook import Hook
from callboard.webhooks.hooks.matching import HookIndex
from callboard.webhooks.hooks.options import Options
from callboard.webhooks.modules.kazoo.channel_create import MODULE
from callboard.webhooks.retries.outcome import Response
from callboard.webhooks.retries.policy import policy_named, verdict
from performance.counting import blocks_kept, c_calls, instructions
from support.accounts import Accounts
from support.running import ACCOUNT, call_event

EVENTS = 20


def hook(number, account=ACCOUNT, **fields):
    return Hook(
        f"{number:032x}", account, "https://receiver.example/", event="CHANNEL_CREATE", **fields
    )


def index_of(hooks):
    index = HookIndex()
    for one in hooks:
        index.put(one)
    return index


def index_with(others):
    """The one hook of the account, and so many of others."""
    return index_of([hook(0), *(hook(n, f"{n // 4:032x}") for n in range(1, others + 1))])


def bodies():
    """Events of 2 kB."""
    numbers = count()
    while True:
        body = call_event(next(numbers)) | {"Channel-Call-State": "x" * 1_550}
        yield json.dumps(body).encode()


BODIES = bodies()


def events(some=EVENTS):
    """Each is another."""
    return [
        parse_event(next(BODIES), "application/json", None, "callevt", "k") for _ in range(some)
    ]


def made(index, some):
    return [
        delivery
        for event in some
        for delivery in deliveries(event, MODULE, index, Accounts(), "cluster", new_event_id)
    ]


def each(work, items):
    """Instructions for one of the items, when `work` is done for all."""
    instructions(lambda: work(items[:1]))
    return instructions(lambda: work(items[1:])) / len(items[1:])


def test_to_decode_an_event(within):
    some = [next(BODIES) for _ in range(EVENTS)]

    def decode(bodies):
        for body in bodies:
            parse_event(body, "application/json", None, "callevt", "k")

    within("stages", {"decode: instructions": each(decode, some)})


def test_to_find_and_encode_a_delivery(within):
    few, many = index_with(100), index_with(20_000)
    cost = each(lambda some: made(few, some), events())
    within("stages", {"match and encode: instructions": cost})
    growth = each(lambda some: made(many, some), events()) / cost
    within("stages", {"match and encode: growth from 100 hooks to 20,000": growth}, room=1.05)


@pytest.mark.parametrize("form", ["json", "form-data"])
def test_a_hook_more(within, form):
    """One event to a hundred hooks, which send the same."""
    index = index_of([hook(number, format=form) for number in range(100)])
    cost = each(lambda some: made(index, some), events(3)) / 100
    within("stages", {f"fan-out, {form}: instructions a delivery": cost})
    (event,) = events(1)
    with c_calls() as calls:
        assert len(made(index, [event])) == 100
    within("stages", {f"fan-out, {form}: C functions called a delivery": calls.total() / 100})
    dumped = sum(times for (_, name), times in calls.items() if name == "dumps")
    within("stages", {f"fan-out, {form}: times JSON is written": dumped}, room=1)


def test_to_sign_a_delivery(within, tmp_path):
    box = SecretBox(base64.b64encode(b"k" * 32).decode(), tmp_path / "none")
    (delivery,) = made(index_with(0), events(1))
    secret = box.sealed(SharedSecret(b"s" * 32).text, delivery.hook_id)
    signed = [evolve(delivery, options=Options(secrets=(secret,)))] * EVENTS
    signer = Signer(box)
    cost = each(lambda some: [signer.signed(one, 1_700_000_000.0) for one in some], signed)
    within("stages", {"sign: instructions": cost})


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("name", ["kazoo", "standard"])
def test_to_decide_what_follows_from_an_answer(within, name, status):
    policy, answer = policy_named(name), Response(status)

    def decide(some):
        for delivery in some:
            verdict(policy, delivery, 1, answer, 0.0, lambda: 0.5)

    cost = each(decide, made(index_with(0), events()))
    within("stages", {f"verdict of {name} on {status}: instructions": cost})


def ledger_run(some):
    """The books of events from their arrival until they are settled, in batches of a hundred."""
    ledger = EventLedger(BatchLimits(most_items=100))
    for event in some:
        ledger.take(event, {"m"})
    while (sent := ledger.next("m", 0.0)) is not None:
        id, batch = sent
        part, tags = f"{id}/0", [event.tag for event in batch]
        ledger.routed(id, {part: tags}, {part: ("d", 1)}, 0.0)
        ledger.accepted(part)
        ledger.settled(part, tags)
    assert not ledger.open


def test_to_keep_the_books_of_an_event(within):
    def raw(some):
        return [RawEvent(tag, "e", "k", b"{}", None, None) for tag in range(1, some + 1)]

    def cost(some):
        events = raw(some)
        return instructions(lambda: ledger_run(events)) / some

    cost(10)
    few, many = cost(200), cost(2_000)
    within("stages", {"books: instructions": many})
    within("stages", {"books: growth from 200 events to 2,000": many / few}, room=1.05)


def dispatcher_run(waiting, turns=100):
    """Instructions of a delivery that comes and goes while so many others wait."""
    dispatcher = Dispatcher(
        DispatchLimits(in_flight=50, waiting=100_000, keeping_up=100_000),
        Circuits(CircuitLimits(failures=5), lambda: 0.5),
    )
    numbers = count()

    def add():
        number = next(numbers)
        endpoint = f"http://e{number % 10}.example"
        dispatcher.add(number, str(number), endpoint, f"h{number % 20}", Options(), 0.0)

    def turn():
        add()
        dispatcher.done(dispatcher.next(0.0), 0.001, True)

    for _ in range(waiting):
        add()
    instructions(turn)
    return instructions(lambda: [turn() for _ in range(turns)]) / turns


def test_to_wait_for_a_turn(within):
    few, many = dispatcher_run(20), dispatcher_run(5_000)
    within("stages", {"dispatcher: instructions": many})
    within("stages", {"dispatcher: growth from 20 waiting to 5,000": many / few}, room=1.2)


def test_memory_of_what_is_kept(within):
    made(index_with(10), events())
    blocks = blocks_kept(lambda: index_with(10_000)) / 10_000
    within("stages", {"hook known: blocks of memory": blocks})
    some, index = events(200), index_with(0)
    blocks = blocks_kept(lambda: made(index, some)) / 200
    within("stages", {"delivery in hand: blocks of memory": blocks})


def test_size_of_what_travels(within):
    some = tuple(made(index_with(0), events(100)))
    beyond = len(pickle.dumps(some)) / 100 - len(some[0].body)
    within("stages", {"delivery: bytes pickled beyond its body": beyond})
    some = tuple(made(index_of([hook(n) for n in range(100)]), events(1)))
    within("stages", {"fan-out: bytes pickled of a delivery": len(pickle.dumps(some)) / 100})
    gets = [hook(n, verb="get") for n in range(100)]
    some = tuple(made(index_of(gets), events(1)))
    within("stages", {"fan-out, get: bytes pickled of a delivery": len(pickle.dumps(some)) / 100})
