"""A whole system that is sent nonsense: nothing dies of it, and what makes sense is delivered."""

import itertools
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.actors.messages import AddHook, HookSaved, Published, PublishEvents
from callboard.actors.system.actor_system import RequestRefused
from callboard.adapters.receiver.server import Answer
from support.bus import CHANGE, UPDATE
from support.fuzz import bodies, changed, fuzzed_as_it_runs, values
from support.patience import patient
from support.running import ACCOUNT, call_event

pytestmark = pytest.mark.multiprocess

CALL = call_event(0)
MISSED = CHANGE | {
    "Event-Category": "notification",
    "Event-Name": "webhook",
    "Hook": CHANGE["Doc"],
    "Data": {},
}
PLACES = [
    ("callevt", "call.CHANNEL_CREATE.x", CALL),
    ("callevt", "call.PARK_PARKED.x", CALL | {"Event-Name": "PARK_PARKED"}),
    ("im", "sms.inbound.offnet.x", CALL | {"Event-Category": "sms", "Event-Name": "inbound"}),
    ("configuration", "doc_edited.webhooks.webhook.h0", CHANGE),
    ("configuration", "doc_type_update.x.webhook.y", UPDATE),
    ("notifications", "notifications.webhook.callflow", MISSED),
]
HOOK = {"pvt_account_id": ACCOUNT, "name": "n", "hook": "all", "format": "json"}
TYPES = ("application/json", "", "application/erlang")
OPTIONS = ("headers", "rate_limit", "custom_data", "modifiers", "retries", "client_certificate")


@st.composite
def messages(draw):
    """A message as PublishEvents takes it: to a place where somebody listens."""
    exchange, key, sample = draw(st.sampled_from(PLACES))
    body, _encoding = draw(bodies(changed(sample) | values))
    return (
        exchange,
        key,
        body,
        draw(st.sampled_from(("application/json", "", "application/erlang"))),
    )


def test_nonsense_costs_no_neighbour_and_no_actor(start, receiver):
    system = start(kazoo__modules="*", delivery__request_timeout_ms=int(patient(60_000)))
    system.add_hook(f"{receiver.url}/good", format="json")
    numbers = itertools.count(1)
    arrived = set()

    def answer(request):
        arrived.add(json.loads(request.body)["call_id"])
        return Answer()

    receiver.answer("/good", answer)

    @fuzzed_as_it_runs(0.1)
    @given(
        st.lists(messages(), min_size=20, max_size=30),
        st.lists(changed(HOOK | {"uri": f"{receiver.url}/other"}, OPTIONS), max_size=2),
    )
    def fuzz(nonsense, hooks):
        for document in hooks:
            with suppress(RequestRefused):
                system.client.ask_actor("hook_listener", AddHook(document), HookSaved)
        mine, published = set(), []
        for message in nonsense:
            number = next(numbers)
            mine.add(f"call-{number}@switch")
            good = json.dumps(call_event(number)).encode()
            published += [message, ("callevt", "call.CHANNEL_CREATE.x", good, "application/json")]
        system.client.ask_actor("event_bridge", PublishEvents(tuple(published)), Published, 30)
        system.wait(lambda: mine <= arrived, 60, "what makes sense")

    fuzz()
    system.wait(lambda: system.node("event_bridge").stats.get("poison"), what="something to refuse")
    restarted = {node.path: node.restarts for node in system.tree().below() if node.restarts}
    assert restarted == {}
